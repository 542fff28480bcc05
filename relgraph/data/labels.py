"""The SQL side of a task: labels per row and moment, and the span of time that a database covers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from relgraph.data.sql import quote
from relgraph.data.time import time_sql
from relgraph.errors import ProtocolError, SchemaError

if TYPE_CHECKING:
    import pyarrow

    from relgraph.data.database import Database

__all__ = ["label_rows", "time_quantiles"]


def label_rows(
    db: Database,
    visible: Database,
    table: str,
    query: str,
    times: Sequence[int],
    entity_columns: Sequence[str],
    time_column: str,
    label_column: str,
) -> pyarrow.Table:
    """What a label query gives, with the row number and key of each entity.

    Args:
        db: The database, whose row numbers are given.
        visible: What the query may see of it.
        table: The entity table.
        query: One SELECT; ``timestamps(timestamp)`` holds ``times``.
        times: Seed times, int64 microseconds.
        entity_columns: The query's columns with the key; empty means the names of the primary key.
        time_column: The query's column with the timestamp.
        label_column: The query's column with the label.

    Returns:
        ``__node`` (NULL where the key is not in the table), ``__time`` (microseconds), ``__label`` (double; NULL where
        it is no number), ``__early`` (whether the entity's own time is later than ``__time``) and the key columns,
        ordered by time and row.

    Raises:
        SchemaError: If the table has no key, or the query cannot run or lacks a column.
    """
    hidden = [name for name in db.schema.names if name.casefold() == "timestamps"]
    if hidden:
        raise SchemaError(
            f"table {hidden[0]!r} would be hidden by the table of seed times that a task's SQL is given; connect it "
            "under another name or leave it out (tables=)"
        )
    key = _key(db, table, entity_columns)
    labels = _run(visible, query, times, [*(entity_columns or key), time_column, label_column], len(key))
    cursor = db.cursor()
    try:
        cursor.register("__labels", labels)
        types = {name: str(kind) for name, kind, *_ in cursor.execute("DESCRIBE __labels").fetchall()}
        terms = []
        for i, name in enumerate(key):
            ours, theirs = db.schema[table].column(name).dtype, types[f"k{i}"]
            mixed = (ours == "VARCHAR") != (theirs == "VARCHAR")
            left, right = f"l.k{i}", f"n.{quote(name)}"
            terms.append(f"CAST({left} AS VARCHAR) = CAST({right} AS VARCHAR)" if mixed else f"{left} = {right}")
        born = "NULL" if db.schema[table].time_column is None else db.time_sql(table)
        entities = f'SELECT *, {born} AS "__born" FROM ({db.numbered(table)})'
        columns = ", ".join(f"n.{quote(name)}" for name in key)
        return cursor.sql(
            f'SELECT n."__row" AS __node, {time_sql("l.time", types["time"])} AS __time, '
            f'TRY_CAST(l.label AS DOUBLE) AS __label, coalesce(n."__born" > __time, FALSE) AS __early, {columns} '
            f"FROM __labels l LEFT JOIN ({entities}) n ON {' AND '.join(terms)} ORDER BY __time, __node"
        ).to_arrow_table()
    finally:
        cursor.close()


def time_quantiles(db: Database, fractions: Sequence[float]) -> list[int]:
    """Quantiles of the times of all rows of all tables, int64 microseconds.

    Raises:
        ProtocolError: If no row has a time.
    """
    parts = [
        f"SELECT {db.time_sql(table.name)} AS t FROM {quote(table.name)}"
        for table in db.schema
        if table.time_column is not None
    ]
    if parts:
        found = db.sql(f"SELECT quantile_disc(t, {list(fractions)}) AS q FROM ({' UNION ALL '.join(parts)})")
        times: list[int] | None = found["q"][0].as_py()
        if times is not None:
            return times
    raise ProtocolError(
        f"{db.name}: no row has a time, so nothing can be predicted ahead; name the time columns with times="
    )


def _key(db: Database, table: str, entity_columns: Sequence[str]) -> tuple[str, ...]:
    """The primary key of the entity table, in the table's names."""
    key = db.schema[table].primary_key
    if not key:
        raise SchemaError(
            f"entity table {table!r} has no primary key, so the SQL cannot name its rows; "
            f"declare one: connect(..., keys={{{table!r}: ...}})"
        )
    if entity_columns and len(entity_columns) != len(key):
        raise SchemaError(f"entity_column: expected {len(key)} columns for key {key}, got {tuple(entity_columns)}")
    return key


def _run(db: Database, query: str, times: Sequence[int], names: Sequence[str], num_keys: int) -> pyarrow.Table:
    """The query's columns ``names`` under the names ``k0, k1, ..., time, label``."""
    moments = f"SELECT make_timestamp(unnest({list(times)}::BIGINT[])) AS timestamp"
    whole = f"WITH timestamps AS ({moments}), __labels AS (\n{query.strip().rstrip(';')}\n) "
    found = db.sql(f"{whole} SELECT * FROM __labels LIMIT 0")
    given = {name.casefold(): name for name in found.column_names}
    missing = [name for name in names if name.casefold() not in given]
    if missing:
        raise SchemaError(
            f"the task's SQL must give the columns {', '.join(map(repr, names))}; it lacks "
            f"{', '.join(map(repr, missing))} and gives {', '.join(map(repr, found.column_names))}"
        )
    as_names = [*(f"k{i}" for i in range(num_keys)), "time", "label"]
    chosen = ", ".join(f"{quote(given[n.casefold()])} AS {a}" for n, a in zip(names, as_names, strict=True))
    return db.sql(f"{whole} SELECT {chosen} FROM __labels")
