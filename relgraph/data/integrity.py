"""What is sound and what is not in a database's keys and times: every count is one SQL query inside DuckDB."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from relgraph.data.report import ForeignKeyReport, Report, TableReport
from relgraph.data.schema import ForeignKey, TableSchema
from relgraph.data.sql import quote, quote_all
from relgraph.data.time import format_time
from relgraph.errors import SchemaError

if TYPE_CHECKING:
    from relgraph.data.database import Database

__all__ = ["make_report"]

_FIRST_TEXTS = 200  # a text column whose first values are no dates is not read to its end


def make_report(db: Database) -> Report:
    """Count everything a :class:`Report` holds.

    Args:
        db: The database; its cut, if it is one of :meth:`Database.upto`.
    """
    times, problems = _times(db)
    return Report(
        db.name,
        tuple(_table(db, table, times.get(table.name), problems.get(table.name, "")) for table in db.schema),
        tuple(_foreign_key(db, table, key, times) for table, key in db.schema.foreign_keys),
        db.notes,
    )


def _times(db: Database) -> tuple[dict[str, str], dict[str, str]]:
    """Per table the SQL of its time, and per table why it has none although it is declared."""
    times, problems = {}, {}
    for table in db.schema:
        if table.time_column is not None:
            try:
                times[table.name] = db.time_sql(table.name)
            except SchemaError as error:
                problems[table.name] = str(error)
    return times, problems


def _row(db: Database, query: str) -> tuple[Any, ...]:
    found: tuple[Any, ...] = db.cursor().execute(query).fetchall()[0]
    return found


def _table(db: Database, table: TableSchema, time: str | None, problem: str) -> TableReport:
    name = quote(table.name)
    duplicates = nulls = missing = 0
    span = None
    if table.primary_key:
        keys = quote_all(table.primary_key)
        absent = " OR ".join(f"{quote(column)} IS NULL" for column in table.primary_key)
        nulls = _row(db, f"SELECT count(*) FROM {name} WHERE {absent}")[0]
        grouped = f"SELECT 1 FROM {name} WHERE NOT ({absent}) GROUP BY {keys} HAVING count(*) > 1"
        duplicates = _row(db, f"SELECT count(*) FROM ({grouped})")[0]
    if time is not None:
        missing, first, last = _row(db, f"SELECT count(*) - count({time}), min({time}), max({time}) FROM {name}")
        span = None if first is None else (format_time(first), format_time(last))
    linked = {end for start, key in db.schema.foreign_keys for end in (start.name, key.table)}
    return TableReport(
        table.name,
        db.num_rows(table.name),
        table.primary_key,
        duplicates,
        nulls,
        table.time_column,
        missing,
        span,
        problem,
        () if table.time_column else tuple(_candidates(db, table)),
        table.name not in linked,
    )


def _candidates(db: Database, table: TableSchema) -> Iterator[str]:
    for column in table.columns:
        if column.name in table.key_columns:
            continue
        if column.dtype == "DATE" or column.dtype.startswith("TIMESTAMP"):
            if _row(db, f"SELECT count({quote(column.name)}) FROM {quote(table.name)}")[0]:
                yield column.name
        elif column.dtype == "VARCHAR" and _all_dates(db, table.name, column.name):
            yield column.name


def _all_dates(db: Database, table: str, column: str) -> bool:
    text = f"nullif(trim({quote(column)}), '')"
    count = f"SELECT count(v), count(TRY_CAST(v AS TIMESTAMPTZ)) FROM (SELECT {text} AS v FROM {quote(table)}"
    for limit in (f" WHERE {text} IS NOT NULL LIMIT {_FIRST_TEXTS}", ""):
        values, dates = _row(db, f"{count}{limit})")
        if not values or values != dates:
            return False
    return True


def _foreign_key(db: Database, table: TableSchema, key: ForeignKey, times: dict[str, str]) -> ForeignKeyReport:
    targets = db.schema.target_columns(key)
    pairs = list(zip(key.columns, targets, strict=True))
    absent = " OR ".join(f"child.{quote(own)} IS NULL" for own in key.columns)
    match = " AND ".join(f"child.{quote(own)} = parent.{quote(other)}" for own, other in pairs)
    child, parent = quote(table.name), quote(key.table)
    null = _row(db, f"SELECT count(*) FROM {child} AS child WHERE {absent}")[0]
    dangling = _row(db, f"SELECT count(*) FROM {child} AS child ANTI JOIN {parent} AS parent ON {match}")[0] - null
    future = None
    if table.name in times and key.table in times:
        own = f"(SELECT *, {times[table.name]} AS __time FROM {child})"
        other = f"(SELECT *, {times[key.table]} AS __time FROM {parent})"
        earlier = f"{match} AND child.__time < parent.__time"
        future = _row(db, f"SELECT count(*) FROM {own} AS child JOIN {other} AS parent ON {earlier}")[0]
    return ForeignKeyReport(table.name, key.name, key.table, db.num_rows(table.name), null, dangling, future)
