"""Whether what keys refer to is unique."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from relgraph.data.sql import quote, quote_all
from relgraph.errors import SchemaError

if TYPE_CHECKING:
    from relgraph.data.database import Database

__all__ = ["require_unique_keys"]


def require_unique_keys(db: Database) -> None:
    """Check every primary key and every other column that a foreign key refers to.

    Raises:
        SchemaError: At the first one with a value standing twice; rows with a NULL in it do not count.
    """
    for table in db.schema:
        if table.primary_key:
            _require_unique(db, table.name, table.primary_key, "its primary key")
    for table, key in db.schema.foreign_keys:
        target = db.schema.target_columns(key)
        if set(target) != set(db.schema[key.table].primary_key):
            _require_unique(db, key.table, target, f"{table.name}.{key.name} refers to it")


def _require_unique(db: Database, table: str, columns: Sequence[str], why: str) -> None:
    names = quote_all(columns)
    present = " AND ".join(f"{quote(column)} IS NOT NULL" for column in columns)
    found = db.cursor().execute(
        f'SELECT {names}, count(*) AS "__n" FROM ({db.numbered(table)}) WHERE {present} GROUP BY {names} '
        'HAVING count(*) > 1 ORDER BY min("__row") LIMIT 1'
    )
    for *values, number in found.fetchall():
        value = ", ".join(map(repr, values))
        raise SchemaError(
            f"table {table!r}: ({', '.join(columns)}) = ({value}) stands {number} times, but {why}; "
            "remove the duplicates or declare another key with keys="
        )
