"""Key columns that refer to each other get types that compare, so that every later join is plain equality."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from relgraph.data.relations import Relations
from relgraph.data.schema import Schema
from relgraph.data.sql import FRACTIONS, WHOLE_NUMBERS, quote

if TYPE_CHECKING:
    import duckdb

__all__ = ["joinable"]

_Column = tuple[str, str]  # table, column
_EXACT = {"FLOAT": 2**24, "DOUBLE": 2**53}  # up to which each whole number is one


def joinable(connection: duckdb.DuckDBPyConnection, relations: Relations, schema: Schema, notes: list[str]) -> Schema:
    """Bring the columns of every key that belong together to types that compare.

    Whole numbers held as floats (a frame's integer column with gaps) become int64. A column without any value takes
    the type of what it is compared with. Where text meets numbers or dates, or numbers meet that DuckDB would round to
    compare them, all columns of that key become text: ``1`` then joins ``'1'``, and no value is lost.

    Args:
        connection: Where the tables are.
        relations: What can change their types.
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
                _cast(relations, column, "BIGINT", types)
        families = {_family(types[column]) for column in filled}
        rounded = families == {"number"} and _would_round(connection, filled, types)
        as_text = len(families) > 1 or rounded
        if as_text:
            held = ", ".join(f"{'.'.join(column)} {types[column]}" for column in filled)
            notes.append(f"keys of different types are compared as text: {held}")
        target = "VARCHAR" if as_text else types[(filled or group)[0]]
        for column in group:
            if as_text or column not in filled:
                _cast(relations, column, target, types, _exact_text(column, types) if rounded else None)
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
    fits = f"isfinite({name}) AND {name} = trunc({name}) AND abs({name}) <= {_EXACT['DOUBLE']}"
    return bool(connection.execute(f"SELECT coalesce(bool_and({fits}), FALSE) FROM {table}").fetchall()[0][0])


def _would_round(connection: duckdb.DuckDBPyConnection, columns: list[_Column], types: dict[_Column, str]) -> bool:
    """Whether DuckDB makes two different numbers one, or fails, where it compares these columns."""
    kinds = {types[column] for column in columns}
    if len(kinds) == 1 or all(_is_integer(kind) and kind != "UHUGEINT" for kind in kinds):
        return False
    if not kinds & set(FRACTIONS) or not all(kind in FRACTIONS or kind in WHOLE_NUMBERS for kind in kinds):
        return True
    most = _EXACT["FLOAT" if "FLOAT" in kinds else "DOUBLE"]
    return any(_is_beyond(connection, column, most) for column in columns if types[column] in WHOLE_NUMBERS)


def _is_integer(dtype: str) -> bool:
    return dtype in WHOLE_NUMBERS or (dtype.startswith("DECIMAL") and dtype.endswith(",0)"))


def _is_beyond(connection: duckdb.DuckDBPyConnection, column: _Column, most: int) -> bool:
    table, name = map(quote, column)
    found = connection.execute(f"SELECT 1 FROM {table} WHERE {name} NOT BETWEEN {-most} AND {most} LIMIT 1").fetchall()
    return bool(found)


def _exact_text(column: _Column, types: dict[_Column, str]) -> str | None:
    """SQL of a number as text that is the same for the same number of any type."""
    name = quote(column[1])
    if types[column] in FRACTIONS:
        whole = f"isfinite({name}) AND {name} = trunc({name}) AND abs({name}) < 1e37"
        return f"CASE WHEN {whole} THEN CAST(CAST({name} AS HUGEINT) AS VARCHAR) ELSE CAST({name} AS VARCHAR) END"
    if types[column].startswith("DECIMAL") and not _is_integer(types[column]):
        return f"rtrim(rtrim(CAST({name} AS VARCHAR), '0'), '.')"
    return None


def _cast(
    relations: Relations, column: _Column, dtype: str, types: dict[_Column, str], using: str | None = None
) -> None:
    if types[column] != dtype:
        relations.cast(*column, dtype, using)
        types[column] = dtype
