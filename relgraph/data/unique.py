"""What keys refer to stands once: proved while the numbers are indexed, or asked of DuckDB."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from relgraph.data.key_rows import Column, Rows
from relgraph.data.links import NumberIndex
from relgraph.data.sql import quote, quote_all

if TYPE_CHECKING:
    import duckdb

    from relgraph.data.database import Database

__all__ = ["index_keys"]


def index_keys(
    db: Database, cursor: duckdb.DuckDBPyConnection, rows: Mapping[str, Rows]
) -> dict[tuple[str, str], NumberIndex]:
    """Index the columns that keys refer to, and check primary keys and these columns as ``db.validate_keys()`` does.

    Args:
        db: The database.
        cursor: A connection to it.
        rows: What :func:`relgraph.data.key_rows.read_rows` gave for every table.

    Returns:
        The indexes by table and column, for the columns of whole numbers that have one.

    Raises:
        SchemaError: If a value stands twice.
    """
    targets = [(table.name, table.primary_key) for table in db.schema if table.primary_key]
    targets += [(key.table, db.schema.target_columns(key)) for _, key in db.schema.foreign_keys]
    indexes: dict[tuple[str, str], NumberIndex] = {}
    checked: set[tuple[str, frozenset[str]]] = set()
    for table, columns in targets:
        if (table, frozenset(columns)) in checked:
            continue
        checked.add((table, frozenset(columns)))
        column = _column(rows[table], columns)
        index = None if column is None else NumberIndex.of(column)
        if index is not None:
            indexes[table, columns[0]] = index
        elif _stands_twice(db, cursor, table, columns):
            db.validate_keys()  # raises, with the table, the value and the remedy
    return indexes


def _column(rows: Rows, columns: tuple[str, ...]) -> Column | None:
    if len(columns) > 1:
        return None
    if columns[0] in rows.columns:
        return rows.columns[columns[0]]
    if rows.keys is not None and rows.keys.names == columns and isinstance(rows.keys.columns[0], Tensor):
        return Column(rows.keys.columns[0])
    return None


def _stands_twice(db: Database, cursor: duckdb.DuckDBPyConnection, table: str, columns: tuple[str, ...]) -> bool:
    present = " AND ".join(f"{quote(column)} IS NOT NULL" for column in columns)
    found = cursor.execute(
        f"SELECT 1 FROM ({db.numbered(table)}) WHERE {present} GROUP BY {quote_all(columns)} "
        "HAVING count(*) > 1 LIMIT 1"
    )
    return bool(found.fetchall())
