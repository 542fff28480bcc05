"""Columns that know too much: later than their own row, or as good as the label of a task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from relgraph.data.check.report import LabelReport, LaterColumn
from relgraph.data.check.time_columns import MICROSECONDS_9000, Moment, in_days, whole_days
from relgraph.data.sql import FRACTIONS, WHOLE_NUMBERS, quote, quote_all
from relgraph.data.time import UNKNOWN

if TYPE_CHECKING:
    import duckdb

    from relgraph.data.database import Database

__all__ = ["LabelledTask", "label_leaks", "later_columns"]

_TOGETHER = 50  # columns of one query
_MOSTLY = 0.5
_PERFECT = 0.999999
_LEAST_ROWS = 10
_LARGEST = 20_000_000  # rows of a table that refers to the entities
_MOST_SEEDS = 5_000  # whose referring rows are summed up
_LABELS = "__relgraph_labels"
_SUMMED = "__relgraph_summed"


class LabelledTask(Protocol):
    """What :meth:`Database.check` asks of a task; :class:`relgraph.EntityTask` is one."""

    entity_table: str

    def seeds(self, db: Database, split: Any) -> Any:
        """Rows with ``node``, ``time`` and ``label``, one tensor each."""


def later_columns(
    db: Database, table: str, time: str, moments: Sequence[Moment], left_out: frozenset[str]
) -> tuple[LaterColumn, ...]:
    """Columns with times that are later than the row's own in most rows; on a later day where that is in whole days.

    Args:
        db: The database.
        table: The table.
        time: SQL of its time in microseconds.
        moments: Its columns with times.
        left_out: Columns not to look at: the time itself, the end of an interval, what is planned.
    """
    tried = [moment for moment in moments if moment.column not in left_out]
    if not tried:
        return ()
    cursor = db.cursor()
    days = whole_days(cursor, time, table)
    found: list[int] = []
    for start in range(0, len(tried), _TOGETHER):
        some = tried[start : start + _TOGETHER]
        columns = ", ".join(f"{in_days(moment.sql) if days else moment.sql} AS t{i}" for i, moment in enumerate(some))
        counts = ", ".join(
            f"count(*) FILTER (t{i} < {MICROSECONDS_9000}), count(*) FILTER (t{i} > own AND t{i} < {MICROSECONDS_9000})"
            for i in range(len(some))
        )
        query = f"SELECT {counts} FROM (SELECT {time} AS own, {columns} FROM {quote(table)}) WHERE own IS NOT NULL"
        found += cursor.execute(query).fetchall()[0]
    shares = [later / both if both else 0.0 for both, later in zip(found[::2], found[1::2], strict=True)]
    return tuple(
        LaterColumn(moment.column, share) for moment, share in zip(tried, shares, strict=True) if share >= _MOSTLY
    )


def label_leaks(db: Database, task: LabelledTask) -> tuple[LabelReport, ...]:
    """Columns of the entity table, and sums over rows that refer to it, that are as good as the training label.

    Of a table with a time only rows up to the seed time are taken: what lies later is what the label is made of.

    Args:
        db: The database.
        task: Whose training rows are compared.
    """
    import pyarrow
    import torch

    seeds = task.seeds(db, "train")
    label = seeds.label.double().numpy()
    cursor = db.cursor()
    # a task without time sees everything
    time = torch.full_like(seeds.node, UNKNOWN) if seeds.time is None else seeds.time
    columns = {"node": seeds.node.numpy(), "time": time.numpy(), "label": label}
    cursor.register(_LABELS, pyarrow.table(columns))
    try:
        if len(label) < _LEAST_ROWS or (label == label[0]).all():
            return ()
        return (*_own_columns(db, cursor, task.entity_table), *_referring_columns(db, cursor, task.entity_table))
    finally:
        cursor.close()


def _own_columns(db: Database, cursor: duckdb.DuckDBPyConnection, name: str) -> Iterator[LabelReport]:
    table = db.schema[name]
    for column in table.columns:
        if column.name not in table.key_columns and _is_plain(column.dtype):
            entities = db.numbered(name, [column.name])
            rows = f'SELECT l.label, e.* FROM {_LABELS} l JOIN ({entities}) e ON e."__row" = l.node'
            how, compared = _compared(cursor, rows, quote(column.name), _is_number(column.dtype))
            if how:
                yield LabelReport(name, column.name, how, compared)


def _referring_columns(db: Database, cursor: duckdb.DuckDBPyConnection, name: str) -> Iterator[LabelReport]:
    """Counts, extremes, sums and means per entity over the rows that a seed can see; of some seeds only."""
    step = f"SELECT 1 + count(*) // {_MOST_SEEDS} FROM {_LABELS}"
    some = (
        "SELECT * FROM (SELECT *, row_number() OVER (ORDER BY node, time, label) AS seed "
        f"FROM {_LABELS}) WHERE seed % ({step}) = 0"
    )
    for table, key in db.schema.foreign_keys:
        if key.table != name or table.name == name or db.num_rows(table.name) > _LARGEST:
            continue
        targets = db.schema.target_columns(key)
        match = " AND ".join(f"c.{quote(a)} = e.{quote(b)}" for a, b in zip(key.columns, targets, strict=True))
        born = "NULL" if table.time_column is None else db.time_sql(table.name)
        numbers = [c.name for c in table.columns if c.name not in table.key_columns and _is_number(c.dtype)]
        for start in range(0, max(len(numbers), 1), _TOGETHER):
            together = numbers[start : start + _TOGETHER]
            terms = [f"{function}({quote(n)})" for n in together for function in ("min", "max", "sum", "avg")]
            terms = terms if start else ["count(*)", *terms]
            summed = ", ".join(f"{term} AS a{i}" for i, term in enumerate(terms))
            needed = quote_all(list(dict.fromkeys([*key.columns, *together])))
            seen = (
                f'SELECT l.seed AS "__seed", l.label AS "__label", c.* FROM ({some}) l '
                f'JOIN ({db.numbered(name, targets)}) e ON e."__row" = l.node '
                f'JOIN (SELECT {needed}, {born} AS "__born" FROM {quote(table.name)}) c ON {match} '
                'WHERE c."__born" IS NULL OR c."__born" <= l.time'
            )
            query = f'SELECT any_value("__label") AS label, {summed} FROM ({seen}) GROUP BY "__seed"'
            cursor.register(_SUMMED, cursor.sql(query).to_arrow_table())
            for i, term in enumerate(terms):
                how, compared = _compared(cursor, f"FROM {_SUMMED}", f"a{i}", True)
                if how:
                    yield LabelReport(table.name, term.replace('"', ""), how, compared)


def _is_number(dtype: str) -> bool:
    return dtype in WHOLE_NUMBERS or dtype in FRACTIONS or dtype.startswith("DECIMAL")


def _is_plain(dtype: str) -> bool:
    known = ("VARCHAR", "BOOLEAN", "DATE", "TIMESTAMP", "ENUM", "UUID")
    return not dtype.endswith("]") and (_is_number(dtype) or dtype.startswith(known))


def _compared(cursor: duckdb.DuckDBPyConnection, rows: str, value: str, number: bool) -> tuple[str, int]:
    """How a value relates to the label, empty if in no telling way, and in how many rows both are there."""
    text = f"CAST({value} AS VARCHAR)"
    truth = f"CASE {text} WHEN 'true' THEN '1' WHEN 'false' THEN '0' ELSE {text} END"
    real = f"CAST({value} AS DOUBLE)" if number else f"TRY_CAST({truth} AS DOUBLE)"
    both, equal, values, labels, pairs, related = cursor.execute(
        "SELECT count(*), count(*) FILTER (x = label), count(DISTINCT v), count(DISTINCT label), "
        "count(DISTINCT (v, label)), corr(x, label) FILTER (abs(x) < 1e100) "
        f"FROM (SELECT {value} AS v, {real} AS x, label FROM ({rows})) WHERE v IS NOT NULL"
    ).fetchall()[0]
    if both < _LEAST_ROWS or labels < 2:
        return "", both
    if equal == both:
        return "equal", both
    if values == labels == pairs and 2 * values <= both:
        return "one to one", both
    if labels > 2 and values > 2 and related is not None and abs(related) >= _PERFECT:
        return "correlated", both
    return "", both
