"""Key columns that refer to each other get types that compare, so that every later join is plain equality."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from relgraph.data.schema import Schema
from relgraph.data.sql import FRACTIONS, WHOLE_NUMBERS, quote

if TYPE_CHECKING:
    import duckdb

__all__ = ["joinable"]

_Column = tuple[str, str]  # table, column


def joinable(connection: duckdb.DuckDBPyConnection, schema: Schema, notes: list[str]) -> Schema:
    """Bring the columns of every key that belong together to types that compare.

    Whole numbers held as floats (a frame's integer column with gaps) become int64. A column without any value takes
    the type of what it is compared with. Where text meets numbers or dates, all columns of that key become text:
    ``1`` then joins ``'1'``, and no value is lost.

    Args:
        connection: The loaded tables.
        schema: With the types they have.
        notes: Grows by one sentence for each key that was changed to text.

    Returns:
        The schema with the types the columns have now.
    """
    types = {(table.name, column.name): column.dtype for table in schema for column in table.columns}
    for group in _groups(schema):
        filled = [column for column in group if _has_values(connection, column)]
        for column in filled:
            if types[column] in FRACTIONS and _is_whole(connection, column):
                _cast(connection, column, "BIGINT", types)
        families = {_family(types[column]) for column in filled}
        if len(families) > 1:
            held = ", ".join(f"{'.'.join(column)} {types[column]}" for column in filled)
            notes.append(f"keys of different types are compared as text: {held}")
        target = "VARCHAR" if len(families) > 1 else types[(filled or group)[0]]
        for column in group:
            if len(families) > 1 or column not in filled:
                _cast(connection, column, target, types)
    tables = []
    for table in schema:
        columns = tuple(replace(column, dtype=types[table.name, column.name]) for column in table.columns)
        tables.append(replace(table, columns=columns))
    return Schema(tuple(tables))


def _groups(schema: Schema) -> list[list[_Column]]:
    """Key columns that are compared with each other, those referred to first."""
    parent: dict[_Column, _Column] = {}

    def root(column: _Column) -> _Column:
        while parent.setdefault(column, column) != column:
            column = parent[column]
        return column

    referred: set[_Column] = set()
    for table, key in schema.foreign_keys:
        for own, other in zip(key.columns, schema.target_columns(key), strict=True):
            parent[root((table.name, own))] = root((key.table, other))
            referred.add((key.table, other))
    for table in schema:
        for name in table.primary_key:
            root((table.name, name))
    groups: dict[_Column, list[_Column]] = {}
    for column in parent:
        groups.setdefault(root(column), []).append(column)
    return [sorted(group, key=lambda column: column not in referred) for group in groups.values()]


def _family(dtype: str) -> str:
    if dtype in WHOLE_NUMBERS or dtype in FRACTIONS or dtype.startswith("DECIMAL"):
        return "number"
    return "time" if dtype.startswith(("DATE", "TIMESTAMP")) else dtype


def _has_values(connection: duckdb.DuckDBPyConnection, column: _Column) -> bool:
    table, name = map(quote, column)
    return bool(connection.execute(f"SELECT count({name}) > 0 FROM {table}").fetchall()[0][0])


def _is_whole(connection: duckdb.DuckDBPyConnection, column: _Column) -> bool:
    table, name = map(quote, column)
    fits = f"isfinite({name}) AND {name} = trunc({name}) AND abs({name}) <= 9007199254740992"
    return bool(connection.execute(f"SELECT coalesce(bool_and({fits}), FALSE) FROM {table}").fetchall()[0][0])


def _cast(connection: duckdb.DuckDBPyConnection, column: _Column, dtype: str, types: dict[_Column, str]) -> None:
    if types[column] != dtype:
        table, name = map(quote, column)
        connection.execute(f"ALTER TABLE {table} ALTER COLUMN {name} SET DATA TYPE {dtype}")
        types[column] = dtype
