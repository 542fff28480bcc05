"""What is sound and what is not in a database's keys and times: every count is one SQL query inside DuckDB."""

from __future__ import annotations

import time as clock
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from relgraph.data.check.proposals import Proposals
from relgraph.data.check.propose import Survey, propose, survey
from relgraph.data.check.report import ForeignKeyReport, LaterColumn, Report, TableReport
from relgraph.data.check.suspects import LabelledTask, label_leaks, later_columns
from relgraph.data.check.time_choice import is_planned
from relgraph.data.check.time_columns import MICROSECONDS_9000, in_days, whole_days
from relgraph.data.progress import track
from relgraph.data.schema import ForeignKey, TableSchema
from relgraph.data.sql import WHOLE_NUMBERS, quote, quote_all
from relgraph.data.time import format_time, time_expression, to_moment
from relgraph.errors import SchemaError

if TYPE_CHECKING:
    from relgraph.data.database import Database

__all__ = ["make_report"]

_WORTH_NAMING = 0.2
_MOST_CELLS = 500_000_000  # of a table whose repeated rows are counted


def make_report(
    db: Database,
    task: LabelledTask | None = None,
    *,
    proposed: bool = True,
    now: int | str | datetime | None = None,
    progress: bool = True,
) -> Report:
    """Count everything a :class:`Report` holds.

    Args:
        db: The database; its cut, if it is one of :meth:`Database.upto`.
        task: Whose label no column should give away.
        proposed: Look for keys and times that are not declared.
        now: What rows in the future are later than; the present by default.
        progress: Show progress on stderr.
    """
    moment = int(clock.time()) * 1_000_000 if now is None else to_moment(now, "now")
    times, problems = _times(db)
    counted = survey(db, progress, None if proposed else times)
    proposals = propose(db, counted, progress) if proposed else None
    tables = tuple(
        _table(db, table, times.get(table.name), problems.get(table.name, ""), moment, counted, proposals)
        for table in track(list(db.schema), "checking tables", progress, lambda table: table.name)
    )
    keys = tuple(
        _foreign_key(db, table, key, times)
        for table, key in track(list(db.schema.foreign_keys), "checking keys", progress, lambda pair: pair[0].name)
    )
    labels = () if task is None else label_leaks(db, task)
    notes = db.notes if proposals is None else (*db.notes, *proposals.notes)
    return Report(db.name, tables, keys, notes, db.schema, proposals, labels, format_time(moment))


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


def _table(
    db: Database,
    table: TableSchema,
    time: str | None,
    problem: str,
    moment: int,
    counted: Survey,
    proposals: Proposals | None,
) -> TableReport:
    duplicates, nulls = _key_counts(db, table)
    rows = db.num_rows(table.name)
    missing = future = endless = 0
    span = None
    if time is not None:
        missing, first, last, future, endless = _row(
            db,
            f"SELECT count(*) - count(t), min(t), max(t), count(*) FILTER (t > {moment}), "
            f"count(*) FILTER (t >= {MICROSECONDS_9000}) FROM (SELECT {time} AS t FROM {quote(table.name)})",
        )
        span = None if first is None else (format_time(first), format_time(last))
    linked = {end for start, key in db.schema.foreign_keys for end in (start.name, key.table)}
    candidates = _candidates(table, proposals)
    unique = () if table.primary_key else _unique(table, counted, proposals)
    return TableReport(
        table.name,
        rows,
        table.primary_key,
        duplicates,
        nulls,
        table.time_column,
        missing,
        span,
        problem,
        candidates,
        table.name not in linked,
        end_column=table.end_column,
        future_rows=future,
        endless_rows=endless,
        backward_rows=_backward(db, table, time),
        same_time=span is not None and span[0] == span[1] and rows - missing > 1,
        duplicate_rows=None if table.primary_key or unique else _repeated(db, table, rows),
        candidate_keys=unique,
        later_columns=_later(db, table, time, counted, proposals),
    )


def _key_counts(db: Database, table: TableSchema) -> tuple[int, int]:
    """Key values that stand more than once, and rows without a key."""
    if not table.primary_key:
        return 0, 0
    name, keys = quote(table.name), quote_all(table.primary_key)
    absent = " OR ".join(f"{quote(column)} IS NULL" for column in table.primary_key)
    nulls = _row(db, f"SELECT count(*) FROM {name} WHERE {absent}")[0]
    return _repetitions(db, f"SELECT 1 FROM {name} WHERE NOT ({absent}) GROUP BY {keys}"), nulls


def _repetitions(db: Database, grouped: str) -> int:
    return int(_row(db, f"SELECT count(*) FROM ({grouped} HAVING count(*) > 1)")[0])


def _candidates(table: TableSchema, proposals: Proposals | None) -> tuple[str, ...]:
    if proposals is None or table.time_column is not None:
        return ()
    found = [time for time in proposals.times if time.table == table.name and time.conversion is None]
    return tuple(time.column for time in found if time.score >= _WORTH_NAMING)


def _unique(table: TableSchema, counted: Survey, proposals: Proposals | None) -> tuple[str, ...]:
    """Columns that could be the key: the proposed ones first, then whatever else is unique."""
    if proposals is None:
        return ()
    chosen = ["+".join(key.columns) for key in proposals.primary_keys if key.table == table.name]
    single = [profile.name for profile in counted.profiles[table.name] if profile.identifies]
    return tuple(dict.fromkeys([*chosen, *single]))


def _repeated(db: Database, table: TableSchema, rows: int) -> int | None:
    if rows < 2 or rows * len(table.columns) > _MOST_CELLS:
        return 0 if rows < 2 else None
    distinct = f"SELECT DISTINCT {quote_all(table.column_names)} FROM {quote(table.name)}"
    return rows - int(_row(db, f"SELECT count(*) FROM ({distinct})")[0])


def _backward(db: Database, table: TableSchema, time: str | None) -> int:
    """Rows that end before they start; an end that cannot be read as a time ends nothing."""
    if time is None or table.end_column is None:
        return 0
    dtype, where = table.column(table.end_column).dtype, f"{table.name}.{table.end_column}"
    try:
        end = time_expression(db.cursor(), quote(table.name), table.end_column, dtype, where)
    except SchemaError:
        return 0
    return int(
        _row(db, f"SELECT count(*) FROM (SELECT {time} AS a, {end} AS b FROM {quote(table.name)}) WHERE b < a")[0]
    )


def _later(
    db: Database, table: TableSchema, time: str | None, counted: Survey, proposals: Proposals | None
) -> tuple[LaterColumn, ...]:
    own, end = table.time_column, table.end_column
    if time is None and proposals is not None:
        for proposal in proposals.times:
            if proposal.table == table.name and proposal.chosen and proposal.conversion is None:
                own, end = proposal.column, proposal.end_column
                time = next(moment.sql for moment in counted.moments[table.name] if moment.column == own)
    if time is None:
        return ()
    moments = counted.moments.get(table.name, ())
    left_out = {own, end} | {moment.column for moment in moments if is_planned(moment.column)}
    keys: frozenset[str] = frozenset(name for name in left_out if name is not None)
    return later_columns(db, table.name, time, moments, keys | table.key_columns)


def _foreign_key(db: Database, table: TableSchema, key: ForeignKey, times: Mapping[str, str]) -> ForeignKeyReport:
    targets = db.schema.target_columns(key)
    pairs = list(zip(key.columns, targets, strict=True))
    absent = " OR ".join(f"child.{quote(own)} IS NULL" for own in key.columns)
    match = " AND ".join(f"child.{quote(own)} = parent.{quote(other)}" for own, other in pairs)
    child, parent = quote(table.name), quote(key.table)
    null = _row(db, f"SELECT count(*) FROM {child} AS child WHERE {absent}")[0]
    zero = f"child.{quote(key.columns[0])} = 0" if _is_number(table, key.columns) else "FALSE"
    orphans = f"FROM {child} AS child ANTI JOIN {parent} AS parent ON {match}"
    dangling, zeros = _row(db, f"SELECT count(*), count(*) FILTER ({zero}) {orphans}")
    dangling -= null
    future = None
    if table.name in times and key.table in times:
        own = f"(SELECT *, {times[table.name]} AS __time FROM {child})"
        other = f"(SELECT *, {times[key.table]} AS __time FROM {parent})"
        day = in_days("parent.__time") if whole_days(db.cursor(), times[table.name], table.name) else "parent.__time"
        earlier = f"{match} AND child.__time < {day}"
        future = _row(db, f"SELECT count(*) FROM {own} AS child JOIN {other} AS parent ON {earlier}")[0]
    ambiguous = 0
    if set(targets) != set(db.schema[key.table].primary_key):
        present = " AND ".join(f"{quote(name)} IS NOT NULL" for name in targets)
        ambiguous = _repetitions(db, f"SELECT 1 FROM {parent} WHERE {present} GROUP BY {quote_all(targets)}")
    return ForeignKeyReport(
        *(table.name, key.name, key.table, db.num_rows(table.name), null, dangling, future),
        ambiguous=ambiguous,
        zeros=zeros,
    )


def _is_number(table: TableSchema, columns: Sequence[str]) -> bool:
    return len(columns) == 1 and table.column(columns[0]).dtype in WHOLE_NUMBERS
