"""When a row came to be known, as SQL: its own time, or that of the latest row it refers to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relgraph.data.sql import quote
from relgraph.data.time import STATIC

if TYPE_CHECKING:
    from relgraph.data.database import Database

__all__ = ["known_sql"]


def known_sql(
    db: Database, table: str, row: str, null_time: int = STATIC, home: str = "", above: tuple[str, ...] = ()
) -> str | None:
    """SQL of the moment at which a row came to be known, by the rule of :func:`~relgraph.data.inherit.inherit_times`.

    Args:
        db: The database; its tables are read as they are, or as a cut shows them.
        table: The table.
        row: What its rows are called in the query, which reads nothing else at that place.
        null_time: What a time of NULL counts as: ``STATIC``, always known, or ``UNKNOWN``, never.
        home: What stands before the names of tables, with its dot.
        above: Tables that led here.

    Returns:
        SQL that gives BIGINT microseconds, ``STATIC`` where a row refers to nothing timed; ``None`` for a table that
        has no time and refers to none.

    Raises:
        SchemaError: If a time column holds no times.
    """
    own = db.schema[table]
    if own.time_column is not None:
        return f"coalesce({db.time_sql(table)}, {_bigint(null_time)})"
    terms = []
    for number, key in enumerate(own.foreign_keys):
        target = f"{row}_{number}"
        moment = (
            None if key.table in (*above, table) else known_sql(db, key.table, target, null_time, home, (*above, table))
        )
        if moment is not None:
            pairs = zip(key.columns, db.schema.target_columns(key), strict=True)
            equal = " AND ".join(f"{target}.{quote(other)} = {row}.{quote(column)}" for column, other in pairs)
            latest = f"(SELECT max({moment}) FROM {home}{quote(key.table)} {target} WHERE {equal})"
            terms.append(f"coalesce({latest}, {_bigint(STATIC)})")
    return f"greatest({', '.join(terms)})" if terms else None


def _bigint(value: int) -> str:
    return f"CAST('{value}' AS BIGINT)"
