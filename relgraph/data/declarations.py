"""How keys and times that a person declares join what a source says about itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from relgraph.data.schema import ForeignKey, Schema, TableSchema
from relgraph.errors import SchemaError

__all__ = ["Declaration", "TimeDeclaration", "apply_declarations"]

Declaration = str | Sequence[str] | Mapping[str, Any] | None
"""A primary key, or a mapping with ``primary_key`` and ``foreign_keys``."""

TimeDeclaration = str | Sequence[str] | None
"""A time column, or the two columns from and until which a row holds."""


def apply_declarations(
    found: Iterable[TableSchema],
    keys: Mapping[str, Declaration] | None = None,
    times: Mapping[str, TimeDeclaration] | None = None,
    notes: list[str] | None = None,
) -> Schema:
    """Add declared keys and time columns to what the source says.

    A foreign key of the source that leads nowhere is left out; SQLite lets one refer to a table that does not exist.

    Args:
        found: The source's own tables.
        keys: Per table its primary key (a column or several), or a mapping with ``primary_key`` and ``foreign_keys``.
            ``foreign_keys`` maps columns to a table (its primary key is meant) or to ``(table, columns)``; None takes
            the source's foreign key on these columns away. What is not named stays as the source declares it.
        times: Per table the column that says when a row happened, or the two that say from when and until when it
            holds; None takes it away.
        notes: Grows by a sentence for each foreign key of the source that was left out.

    Raises:
        SchemaError: If a table or column that is declared does not exist, or a declaration has another form.

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
        tables[name] = _with_time(_declared("times", name, tables), column)
    own = {table.name: set(table.foreign_keys) for table in found}
    kept = [_without_hanging(table, own[table.name], tables, notes) for table in tables.values()]
    return Schema(tuple(kept))


def _without_hanging(
    table: TableSchema, own: Set[ForeignKey], tables: Mapping[str, TableSchema], notes: list[str] | None
) -> TableSchema:
    """The table without those keys of the source that lead nowhere; one that a person declared is an error later."""
    keys = []
    for key in table.foreign_keys:
        why = _why_hanging(key, tables) if key in own else ""
        if not why:
            keys.append(key)
        elif notes is not None:
            notes.append(
                f"foreign key {table.name}.{key.name} left out: {why}; declare it with keys= if it leads elsewhere"
            )
    return replace(table, foreign_keys=tuple(keys))


def _why_hanging(key: ForeignKey, tables: Mapping[str, TableSchema]) -> str:
    target = tables.get(key.table)
    if target is None:
        return f"it refers to table {key.table!r}, which does not exist"
    referred = key.target_columns or target.primary_key
    for column in referred:
        if column not in target.column_names:
            return f"it refers to {key.table}.{column}, which does not exist"
    if not referred:
        return f"it refers to table {key.table!r}, which has no primary key"
    if len(referred) != len(key.columns):
        return f"it has {len(key.columns)} columns but refers to {len(referred)}: {key.table}({', '.join(referred)})"
    return ""


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


def _with_time(table: TableSchema, declaration: TimeDeclaration) -> TableSchema:
    several = isinstance(declaration, Sequence) and not isinstance(declaration, str)
    pair: tuple[Any, ...] = tuple(declaration or ()) if several else (declaration, None)
    if len(pair) != 2 or (several and None in pair):
        raise SchemaError(
            f"times[{table.name!r}] is {declaration!r}; expected a column, or two: from when and until when a row holds"
        )
    for column in pair:
        if column is not None and (not isinstance(column, str) or column not in table.column_names):
            raise SchemaError(
                f"times[{table.name!r}] names column {column!r}, which does not exist; columns: "
                + ", ".join(table.column_names)
            )
    return replace(table, time_column=pair[0], end_column=pair[1])
