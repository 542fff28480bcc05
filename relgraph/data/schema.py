"""What a database looks like: tables, columns, keys, times. Pure data, no engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from relgraph.errors import SchemaError

if TYPE_CHECKING:
    from relgraph.pictures.svg import Svg

__all__ = ["ColumnSchema", "ForeignKey", "Schema", "SemanticType", "TableSchema"]


class SemanticType(StrEnum):
    """What a column means to a model, whatever its storage type is."""

    NUMERICAL = "numerical"
    CATEGORICAL = "categorical"
    MULTICATEGORICAL = "multicategorical"
    TIMESTAMP = "timestamp"
    TEXT = "text"
    EMBEDDING = "embedding"
    IDENTIFIER = "identifier"
    CONSTANT = "constant"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True)
class ColumnSchema:
    """A column: its name and its SQL type as DuckDB spells it (``"BIGINT"``, ``"VARCHAR"``)."""

    name: str
    dtype: str = "VARCHAR"


@dataclass(frozen=True)
class ForeignKey:
    """A reference from columns of one table to columns of another.

    Args:
        columns: The referring columns, in key order.
        table: The table referred to.
        target_columns: The columns referred to; empty means the primary key of ``table``.
    """

    columns: tuple[str, ...]
    table: str
    target_columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", _as_key(self.columns))
        object.__setattr__(self, "target_columns", _as_key(self.target_columns))

    @property
    def name(self) -> str:
        """The relation this key stands for: its columns, joined by ``+`` where it has several."""
        return "+".join(self.columns)


@dataclass(frozen=True)
class TableSchema:
    """A table: columns, keys and times.

    Args:
        name: Its name; ``schema.table`` outside the default schema of its database.
        columns: In table order.
        primary_key: Names of columns, possibly none.
        foreign_keys: In any order; kept by the table position of their first column.
        time_column: Says when a row happened, or from when it holds.
        end_column: Says until when a row holds. It is known only then, so it becomes no feature.
    """

    name: str
    columns: tuple[ColumnSchema, ...]
    primary_key: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    time_column: str | None = None
    end_column: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))
        object.__setattr__(self, "primary_key", _as_key(self.primary_key))
        # ordered by the table position of the first column, never by the driver's order
        position = {column.name: i for i, column in enumerate(self.columns)}
        keys = sorted(self.foreign_keys, key=lambda key: [position.get(c, len(position)) for c in key.columns])
        object.__setattr__(self, "foreign_keys", tuple(keys))

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of all columns, in table order."""
        return tuple(column.name for column in self.columns)

    @property
    def key_columns(self) -> frozenset[str]:
        """Every column of the primary key or of a foreign key; none of them may become a feature."""
        return frozenset(self.primary_key).union(*(key.columns for key in self.foreign_keys))

    def column(self, name: str) -> ColumnSchema:
        """The column of that name.

        Raises:
            SchemaError: If the table has no such column.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise SchemaError(f"table {self.name!r} has no column {name!r}; columns: {', '.join(self.column_names)}")

    def lines(self, num_rows: int) -> list[str]:
        """The table in words: a line with its rows, columns, key and time, and one per foreign key."""
        line = f"  {self.name}: {num_rows:,} rows, {len(self.columns)} columns"
        if self.primary_key:
            line += f", key ({', '.join(self.primary_key)})"
        if self.time_column:
            line += f", time {self.time_column}" + (f" until {self.end_column}" if self.end_column else "")
        return [line, *(f"    {key.name} -> {key.table}" for key in self.foreign_keys)]


@dataclass(frozen=True)
class Schema:
    """The tables of a database, checked as a whole when built.

    Raises:
        SchemaError: If a key, a time column or a table referred to does not exist, or a name stands twice.
    """

    tables: tuple[TableSchema, ...] = field(default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "tables", tuple(self.tables))
        self.validate()

    def __iter__(self) -> Iterator[TableSchema]:
        return iter(self.tables)

    def __len__(self) -> int:
        return len(self.tables)

    def __contains__(self, name: object) -> bool:
        return any(table.name == name for table in self.tables)

    def __getitem__(self, name: str) -> TableSchema:
        for table in self.tables:
            if table.name == name:
                return table
        raise SchemaError(f"there is no table {name!r}; tables: {', '.join(self.names)}")

    @property
    def names(self) -> tuple[str, ...]:
        """The table names in order."""
        return tuple(table.name for table in self.tables)

    @property
    def foreign_keys(self) -> tuple[tuple[TableSchema, ForeignKey], ...]:
        """Every foreign key with the table it starts from."""
        return tuple((table, key) for table in self.tables for key in table.foreign_keys)

    def target_columns(self, key: ForeignKey) -> tuple[str, ...]:
        """The columns a foreign key refers to, with the primary key filled in."""
        return key.target_columns or self[key.table].primary_key

    def key_columns(self, table: str) -> frozenset[str]:
        """Every column of a table's keys and what keys of other tables refer to; none may become a feature."""
        referred = (self.target_columns(key) for _, key in self.foreign_keys if key.table == table)
        return self[table].key_columns.union(*referred)

    def picture(self, num_rows: Mapping[str, int] | None = None) -> Svg:
        """Tables, keys and times with an arrow for every foreign key; ``num_rows`` per table where it is given."""
        from relgraph.data.picture import schema_svg

        return schema_svg(self, num_rows)

    def _repr_html_(self) -> str:
        return self.picture()

    def validate(self) -> None:
        """Check names, keys and references.

        Raises:
            SchemaError: At the first thing that does not hold; see the class.
        """
        _unique("table", self.names, "the database")
        for table in self.tables:
            _unique("column", table.column_names, f"table {table.name!r}")
            for name in table.primary_key:
                table.column(name)
            for moment in (table.time_column, table.end_column):
                if moment is not None:
                    table.column(moment)
            if table.end_column is not None and table.time_column in (None, table.end_column):
                raise SchemaError(
                    f"table {table.name!r} ends with {table.end_column!r} but has no other column as its time"
                )
            _unique(
                "foreign key", [f"{key.name} -> {key.table}" for key in table.foreign_keys], f"table {table.name!r}"
            )
            for key in table.foreign_keys:
                self._validate_key(table, key)

    def _validate_key(self, table: TableSchema, key: ForeignKey) -> None:
        where = f"{table.name}.{key.name}"
        for name in key.columns:
            table.column(name)
        if key.table not in self:
            raise SchemaError(
                f"{where} refers to table {key.table!r}, which does not exist; tables: {', '.join(self.names)}"
            )
        target = self[key.table]
        columns = self.target_columns(key)
        if not columns:
            raise SchemaError(f"{where} refers to table {key.table!r}, which has no primary key; name target_columns")
        for name in columns:
            if name not in target.column_names:
                raise SchemaError(
                    f"{where} refers to {key.table}.{name}, which does not exist; "
                    f"columns: {', '.join(target.column_names)}"
                )
        if len(columns) != len(key.columns):
            raise SchemaError(
                f"{where} has {len(key.columns)} columns but refers to {len(columns)}: "
                f"{key.table}({', '.join(columns)})"
            )

    def to_dict(self) -> dict[str, Any]:
        """The schema as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Schema:
        """The inverse of :meth:`to_dict`."""
        tables = []
        for table in value["tables"]:
            columns = tuple(ColumnSchema(**column) for column in table["columns"])
            keys = tuple(ForeignKey(**key) for key in table["foreign_keys"])
            tables.append(TableSchema(**{**table, "columns": columns, "foreign_keys": keys}))
        return cls(tuple(tables))


def _as_key(columns: str | Sequence[str]) -> tuple[str, ...]:
    return (columns,) if isinstance(columns, str) else tuple(columns)


def _unique(what: str, names: Sequence[str], where: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise SchemaError(f"{what} {name!r} stands twice in {where}; names must be unique")
        seen.add(name)
