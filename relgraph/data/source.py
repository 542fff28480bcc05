"""What a Database asks of a source of tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from relgraph.data.schema import ForeignKey, Schema, TableSchema
from relgraph.errors import SchemaError

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Scan", "Selection", "TableBatches", "TableSource", "Tail", "distinct_names", "select_tables"]


@dataclass(frozen=True)
class Selection:
    """Which tables of a source are wanted.

    Args:
        tables: Names to keep; for files, frames and DuckDB also a mapping from names to SQL. All by default.
        schemas: Schemas to read, for sources that have them: names, or ``"*"`` for all that are not the system's own.
            The default schema by default. Tables outside the default schema are named ``schema.table``.
        views: Also read views. A view that ``tables`` names is read in any case.

    Raises:
        SchemaError: If one of them is empty or of another form.
    """

    tables: Sequence[str] | Mapping[str, str | None] | None = None
    schemas: Sequence[str] | None = None
    views: bool = False

    def __post_init__(self) -> None:
        self._require("tables", self.tables)
        self._require("schemas", self.schemas)
        if isinstance(self.schemas, Mapping):
            raise SchemaError(f"schemas: expected names, got {self.schemas!r}")

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names in ``tables``, or None for all."""
        if self.tables is None:
            return None
        return (self.tables,) if isinstance(self.tables, str) else tuple(self.tables)

    @property
    def schema_names(self) -> tuple[str, ...] | None:
        """The names in ``schemas``; None for the default schema, ``("*",)`` for all."""
        if self.schemas is None:
            return None
        return (self.schemas,) if isinstance(self.schemas, str) else tuple(self.schemas)

    def require_names(self, source: str) -> None:
        """Refuse SQL.

        Raises:
            SchemaError: If ``tables`` is a mapping.
        """
        if isinstance(self.tables, Mapping):
            raise SchemaError(
                f"{source}: tables of a database are chosen by name, expected a list; SQL over tables works for "
                "files, frames and DuckDB: make a view in the database, or read it with snapshot='copy.duckdb' and "
                "connect that file"
            )

    def require_no_schemas(self, source: str) -> None:
        """Refuse schemas.

        Raises:
            SchemaError: If schemas are named.
        """
        if self.schemas is not None:
            raise SchemaError(f"{source} has no schemas; leave out schemas={self.schemas!r}")

    @staticmethod
    def _require(argument: str, value: object) -> None:
        if value is None:
            return
        if not isinstance(value, str | Sequence | Mapping) or not all(isinstance(name, str) for name in value):
            raise SchemaError(f"{argument}: expected names (for tables also a mapping to SQL), got {value!r}")
        if not value:
            raise SchemaError(f"{argument}: expected at least one name, got none; leave it out to read all")


@dataclass(frozen=True)
class Scan:
    """A table that is read where it lies, whenever a query needs it.

    Args:
        relation: SQL to stand after FROM, valid in any DuckDB once ``setup`` has run there.
        columns: SQL of each column over ``relation``, in the order of the table's schema.
        row: SQL over ``relation`` of the row number, BIGINT ``0..n-1`` in the order of the source.
        setup: Statements to run on a DuckDB before ``relation`` means something there; each must bear repetition.
        costly: Whether each query has to read and parse all of it, as text files are.
    """

    relation: str
    columns: tuple[str, ...]
    row: str
    setup: tuple[str, ...] = ()
    costly: bool = False


@dataclass(frozen=True)
class Tail:
    """The end of a table: rows at or after a moment, and those without one (``column >= last OR column IS NULL``).

    Args:
        column: A column of the source that is a date, timestamp or number.
        last: A value of it: ``date``, ``datetime`` (aware if the column is), ``int`` or ``float``.
    """

    column: str
    last: Any


@dataclass(frozen=True)
class TableBatches:
    """The rows of one table, in order.

    Args:
        name: The table's name in the schema given to ``read``.
        schema: Arrow schema of every batch; columns in the order of the table's schema.
        batches: The rows; read once, before the next table is asked for.
        num_rows: How many rows come, if known: for the progress display only.
        older: Where only a :class:`Tail` was asked for: how many rows the source has before it (``column < last``).
            None where the whole table comes in spite of that.
    """

    name: str
    schema: pyarrow.Schema
    batches: Iterable[pyarrow.RecordBatch]
    num_rows: int | None = None
    older: int | None = None


class TableSource(Protocol):
    """One place that tables come from: a database server, a file, a folder, frames in memory."""

    name: str
    """What was connected, in words a person recognises; never with a password."""

    notes: list[str]
    """What was left out or changed on the way, in sentences; grows while reading."""

    def schema(self) -> Iterable[TableSchema]:
        """The chosen tables, their columns and the keys the source declares, which may refer to nothing.

        A column's ``dtype`` is the DuckDB type it is declared as, or empty where the rows say it themselves.

        Raises:
            AdapterError: If the source cannot be read.
            SchemaError: If a chosen table does not exist.
        """

    def scans(self, schema: Schema) -> Mapping[str, Scan]:
        """The tables of the schema that can be read where they lie; the others are read and copied.

        Raises:
            AdapterError: If the source cannot be read.
        """

    def read(self, schema: Schema, tails: Mapping[str, Tail] | None = None) -> Iterator[TableBatches]:
        """Every table of the schema, all within one transaction of the source.

        Args:
            schema: The tables.
            tails: For tables of which only the end is wanted.

        Raises:
            SourceUnavailableError: If the source is away for now; to be tried again from the beginning.
            AdapterError: If the source cannot be read.
        """

    def unchanged(self) -> None:
        """Check that what is read in place is still what was connected; cheap, and valid after :meth:`close` too.

        Raises:
            AdapterError: If a file has another size or time of change, or is gone.
        """

    def fingerprint(self) -> str:
        """Text that differs when the source's content differs; of a server it can tell only the chosen tables."""

    def close(self) -> None:
        """Let go of files and connections."""


def select_tables(found: Iterable[TableSchema], selection: Selection) -> tuple[tuple[TableSchema, ...], list[str]]:
    """Only the named tables, in the order of the source.

    Args:
        found: Everything the source has.
        selection: What to keep.

    Returns:
        These tables, and a note for each foreign key that was dropped because its target was left out.

    Raises:
        SchemaError: If a name is not a table of the source.
    """
    found = tuple(found)
    if selection.names is None:
        return found, []
    tables = selection.names
    names = [table.name for table in found]
    for name in tables:
        if name not in names:
            raise SchemaError(f"there is no table {name!r}; tables: {', '.join(names)}")
    notes, kept = [], []
    for table in found:
        if table.name not in tables:
            continue
        keys = tuple(key for key in table.foreign_keys if key.table in tables)
        notes += [
            f"foreign key {table.name}.{key.name} left out: its table {key.table!r} was not selected"
            for key in table.foreign_keys
            if key not in keys
        ]
        kept.append(replace(table, foreign_keys=keys))
    return tuple(kept), notes


def distinct_names(schema: Schema) -> tuple[Schema, list[str]]:
    """Suffix names that an engine blind to case, or with a hidden ``rowid``, could not tell apart.

    Returns:
        A schema with the same tables and columns in the same order, keys included, and a note for each change.
    """
    notes: list[str] = []
    tables = _suffixed(schema.names, ())
    columns: dict[str, dict[str, str]] = {}
    for table in schema:
        if tables[table.name] != table.name:
            notes.append(f"table {table.name!r} is called {tables[table.name]!r}: another name differs only in case")
        columns[table.name] = _suffixed(table.column_names, ("rowid", "__row"))
        notes += [
            f"column {table.name}.{old} is called {new!r}: its name is taken, upper and lower case being the same"
            for old, new in columns[table.name].items()
            if old != new
        ]
    if not notes:
        return schema, []
    return Schema(tuple(_renamed(schema, table, tables, columns) for table in schema)), notes


def _suffixed(names: Sequence[str], reserved: Sequence[str]) -> dict[str, str]:
    taken = {name.casefold() for name in (*names, *reserved)}
    used, out = set(reserved), {}
    for name in names:
        new, number = name, 0
        while new.casefold() in used or (number and new.casefold() in taken):
            number += 1
            new = f"{name}_{number}"
        used.add(new.casefold())
        out[name] = new
    return out


def _renamed(
    schema: Schema, table: TableSchema, tables: Mapping[str, str], columns: Mapping[str, Mapping[str, str]]
) -> TableSchema:
    own = columns[table.name]
    keys = []
    for key in table.foreign_keys:
        target = tuple(columns[key.table][c] for c in schema.target_columns(key))
        keys.append(ForeignKey(tuple(own[c] for c in key.columns), tables[key.table], target))
    return TableSchema(
        tables[table.name],
        tuple(replace(column, name=own[column.name]) for column in table.columns),
        tuple(own[c] for c in table.primary_key),
        tuple(keys),
        None if table.time_column is None else own[table.time_column],
        None if table.end_column is None else own[table.end_column],
    )
