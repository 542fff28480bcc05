"""What a Database asks of a source of tables, and how declared keys and times join its schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from relgraph.data.schema import ForeignKey, Schema, TableSchema
from relgraph.errors import SchemaError

if TYPE_CHECKING:
    import pyarrow

__all__ = ["TableBatches", "TableSource", "apply_declarations", "distinct_names", "select_tables"]

Declaration = str | Sequence[str] | Mapping[str, Any] | None


@dataclass(frozen=True)
class TableBatches:
    """The rows of one table, in order.

    Args:
        name: The table's name in the schema given to ``read``.
        schema: Arrow schema of every batch; columns in the order of the table's schema.
        batches: The rows; read once, before the next table is asked for.
        num_rows: How many rows come, if known: for the progress display only.
    """

    name: str
    schema: pyarrow.Schema
    batches: Iterable[pyarrow.RecordBatch]
    num_rows: int | None = None


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

    def read(self, schema: Schema) -> Iterator[TableBatches]:
        """Every table of the schema, all within one transaction of the source.

        Raises:
            AdapterError: If the source cannot be read.
        """

    def fingerprint(self) -> str:
        """Text that differs when the source's content differs; empty where that cannot be told without reading it."""

    def close(self) -> None:
        """Let go of files and connections."""


def select_tables(
    found: Iterable[TableSchema], tables: Sequence[str] | None
) -> tuple[tuple[TableSchema, ...], list[str]]:
    """Only the named tables, in the order of the source.

    Args:
        found: Everything the source has.
        tables: Names to keep; None keeps all.

    Returns:
        These tables, and a note for each foreign key that was dropped because its target was left out.

    Raises:
        SchemaError: If a name is not a table of the source.
    """
    found = tuple(found)
    if tables is None:
        return found, []
    if isinstance(tables, str):
        tables = [tables]
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


def apply_declarations(
    found: Iterable[TableSchema],
    keys: Mapping[str, Declaration] | None = None,
    times: Mapping[str, str | None] | None = None,
) -> Schema:
    """Add declared keys and time columns to what the source says.

    Args:
        found: The source's own tables.
        keys: Per table its primary key (a column or several), or a mapping with ``primary_key`` and ``foreign_keys``.
            ``foreign_keys`` maps columns to a table (its primary key is meant) or to ``(table, columns)``; None takes
            the source's foreign key on these columns away. What is not named stays as the source declares it.
        times: Per table the column that says when a row happened; None takes it away.

    Raises:
        SchemaError: If a table or column does not exist, or a declaration has another form; also if a foreign key of
            the source refers to nothing and no declaration takes it away.

    Example:
        >>> from relgraph.data.schema import ColumnSchema
        >>> race, result = (ColumnSchema("raceId"),), (ColumnSchema("raceId"), ColumnSchema("rank"))
        >>> schema = Schema((TableSchema("races", race), TableSchema("results", result)))
        >>> declared = {"races": "raceId", "results": {"foreign_keys": {"raceId": "races"}}}
        >>> apply_declarations(schema, declared)["results"].foreign_keys[0].table
        'races'
    """
    found = tuple(found)
    tables = {table.name: table for table in found}
    for name, declaration in _mapping("keys", keys).items():
        tables[name] = _with_keys(_declared("keys", name, tables), declaration, f"keys[{name!r}]")
    for name, column in _mapping("times", times).items():
        table = _declared("times", name, tables)
        if column is not None and (not isinstance(column, str) or column not in table.column_names):
            raise SchemaError(
                f"times[{name!r}] names column {column!r}, which does not exist; columns: "
                + ", ".join(table.column_names)
            )
        tables[name] = replace(table, time_column=column)
    for table in found:
        _require_targets(table, tables)
    return Schema(tuple(tables.values()))


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


def _require_targets(table: TableSchema, tables: Mapping[str, TableSchema]) -> None:
    """SQLite lets a foreign key refer to what does not exist: say how to go on without it."""
    for key in table.foreign_keys:
        if key not in tables[table.name].foreign_keys:
            continue
        if key.table not in tables:
            missing, there = f"table {key.table!r}", f"tables: {', '.join(tables)}"
        else:
            names = tables[key.table].column_names
            lacking = [name for name in key.target_columns if name not in names]
            if not lacking:
                continue
            missing, there = f"{key.table}.{lacking[0]}", f"columns: {', '.join(names)}"
        declared = {table.name: {"foreign_keys": {key.name if len(key.columns) == 1 else key.columns: None}}}
        others = [name for name in tables if name != table.name]
        remedy = f" or leave its table out with tables={others}" if others else ""
        raise SchemaError(
            f"{table.name}.{key.name} refers to {missing}, which does not exist; {there}; the source declares this "
            f"foreign key: take it away with keys={declared}{remedy}"
        )


def _mapping(argument: str, value: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise SchemaError(f"{argument}: expected a mapping from table names, got {type(value).__name__}")
    return value


def _declared(argument: str, name: str, tables: Mapping[str, TableSchema]) -> TableSchema:
    if name not in tables:
        raise SchemaError(f"{argument} names table {name!r}, which does not exist; tables: {', '.join(tables)}")
    return tables[name]


def _with_keys(table: TableSchema, declaration: Declaration, where: str) -> TableSchema:
    if not isinstance(declaration, Mapping):
        return replace(table, primary_key=_columns(table, declaration or (), where))
    unknown = sorted(set(declaration) - {"primary_key", "foreign_keys"})
    if unknown:
        raise SchemaError(f"{where} has {unknown[0]!r}; expected 'primary_key' and 'foreign_keys'")
    if "primary_key" in declaration:
        table = replace(table, primary_key=_columns(table, declaration["primary_key"] or (), f"{where}['primary_key']"))
    where += "['foreign_keys']"
    keys = {key.columns: key for key in table.foreign_keys}
    several = [key for key in table.foreign_keys if keys[key.columns] is not key]
    for names, target in _mapping(where, declaration.get("foreign_keys")).items():
        columns = _columns(table, names, where)
        several = [key for key in several if key.columns != columns]
        keys.pop(columns, None)
        if target is not None:
            keys[columns] = _foreign_key(columns, target, f"{where}[{names!r}]")
    return replace(table, foreign_keys=(*keys.values(), *several))


def _foreign_key(columns: tuple[str, ...], target: object, where: str) -> ForeignKey:
    if isinstance(target, str):
        return ForeignKey(columns, target)
    if isinstance(target, Sequence) and len(target) == 2 and isinstance(target[0], str):
        names = (target[1],) if isinstance(target[1], str) else target[1]
        if isinstance(names, Sequence) and all(isinstance(name, str) for name in names):
            return ForeignKey(columns, target[0], tuple(names))
    raise SchemaError(f"{where} is {target!r}; expected a table name or (table, columns)")


def _columns(table: TableSchema, names: str | Sequence[str], where: str) -> tuple[str, ...]:
    columns = (names,) if isinstance(names, str) else tuple(names) if isinstance(names, Sequence) else None
    if columns is None or not all(isinstance(name, str) for name in columns):
        raise SchemaError(f"{where} is {names!r}; expected a column name or several")
    for name in columns:
        if name not in table.column_names:
            raise SchemaError(
                f"{where} names column {name!r}, which table {table.name!r} does not have; columns: "
                + ", ".join(table.column_names)
            )
    return columns


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
    )
