"""Counts, means, spreads and extremes of a series in windows of time and of last rows, per seed, inside DuckDB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow
from numpy.typing import NDArray

from relgraph.data.time import STATIC
from relgraph.tabular.series import DAY, Value

if TYPE_CHECKING:
    import duckdb

__all__ = ["SHARES", "Moments", "Summary", "last_values", "summarise"]

SHARES = 5
"""So many of the commonest categories of a column are counted."""

_SEEDS = 50_000  # of one query: what its groups take in memory is bounded

_MOST_PAIRS = 200_000_000
_BLOCK = 256  # rows
_ENDS = ("low", "high")

Array = NDArray[np.float64]


class Moments:
    """Count, mean, sum of squared deviations, least and largest of a value per seed and window, each ``[S, W]``."""

    def __init__(self, seeds: int, windows: int) -> None:
        self.count, self.mean, self.squares = (np.zeros((seeds, windows)) for _ in range(3))
        self.low, self.high = np.full((seeds, windows), np.inf), np.full((seeds, windows), -np.inf)

    def accumulate(self) -> None:
        """Make of disjoint pieces, the latest first, windows that reach from now back over all pieces before."""
        for i in range(1, self.count.shape[1]):
            self._meet(np.s_[:, i], self, np.s_[:, i - 1])

    def add(self, other: Moments) -> None:
        """Join the same pieces of other rows."""
        self._meet(np.s_[:, :], other, np.s_[:, :])

    def _meet(self, here: Any, other: Moments, there: Any) -> None:
        """Join two pieces, as in Chan, Golub & LeVeque 1979, "Updating formulae", eq. 2.1."""
        n, m = other.count[there], self.count[here]
        total = np.maximum(n + m, 1)
        gap = self.mean[here] - other.mean[there]
        mean = np.where(n == 0, self.mean[here], other.mean[there] + gap * (m / total))
        self.squares[here] += other.squares[there] + np.where((n > 0) & (m > 0), gap**2 * (n * m / total), 0)
        self.mean[here] = np.where(m == 0, other.mean[there], mean)
        self.count[here] = n + m
        self.low[here] = np.minimum(self.low[here], other.low[there])
        self.high[here] = np.maximum(self.high[here], other.high[there])

    def get(self, what: str, window: int) -> Array:
        """``mean``, ``sum``, ``std`` (population), ``min`` or ``max`` in a window, ``[S]``; NaN where there is none."""
        count, mean = self.count[:, window], self.mean[:, window]
        some = count > 0
        if what == "mean":
            return np.where(some, mean, np.nan)
        if what == "sum":
            return mean * count
        if what == "std":
            return np.where(some, np.sqrt(self.squares[:, window] / np.maximum(count, 1)), np.nan)
        return np.where(some, (self.low if what == "min" else self.high)[:, window], np.nan)


class Summary:
    """A series as seen from each seed.

    Args:
        seeds: How many.
        windows: Of time or of last rows, short to long.
        values: What is summarised.
    """

    def __init__(self, seeds: int, windows: int, values: Sequence[Value]) -> None:
        self.rows = np.zeros((seeds, windows))
        self.first, self.last = np.full(seeds, np.nan), np.full(seeds, np.nan)
        self.moments = {v.sql: Moments(seeds, windows) for v in values if v.form != "category"}
        self.counts = {v.sql: np.zeros((seeds, windows, SHARES + 1)) for v in values if v.form == "category"}
        self.slope: dict[str, Array] = {}

    def accumulate(self) -> None:
        """Make of disjoint pieces windows that all end now."""
        np.cumsum(self.rows, axis=1, out=self.rows)
        for counts in self.counts.values():
            np.cumsum(counts, axis=1, out=counts)
        for moments in self.moments.values():
            moments.accumulate()

    def add(self, other: Summary) -> None:
        """Join the same pieces of other rows."""
        self.rows += other.rows
        self.first, self.last = np.fmin(self.first, other.first), np.fmax(self.last, other.last)
        for sql, counts in other.counts.items():
            self.counts[sql] += counts
        for sql, moments in other.moments.items():
            self.moments[sql].add(moments)

    def share(self, sql: str, code: int, window: int) -> Array:
        """The share of a category among the rows of a window that have one, ``[S]``."""
        counts = self.counts[sql][:, window]
        return np.where(counts[:, -1] > 0, counts[:, code] / np.maximum(counts[:, -1], 1), np.nan)

    def mode(self, sql: str, window: int) -> Array:
        """The commonest code in a window out of those counted, the smaller one of two, ``[S]``."""
        counts = self.counts[sql][:, window, :SHARES]
        return np.where(counts.max(axis=1) > 0, counts.argmax(axis=1), np.nan)


def summarise(
    cursor: duckdb.DuckDBPyConnection,
    seeds: int,
    values: Sequence[Value],
    windows: Sequence[int],
    last: Sequence[int],
    slopes: Sequence[Value] = (),
) -> tuple[Summary, Summary]:
    """Summarise the table ``series`` for every row of the table ``seeds``.

    Args:
        cursor: With ``series`` (see :func:`~relgraph.tabular.series.series`) and ``seeds(seed, anchor, time)``.
        seeds: How many seeds there are, numbered from 0.
        values: What is summarised.
        windows: Days back, short to long; after them comes the whole past.
        last: Numbers of last rows, few to many.
        slopes: Of which values the slope over the most last rows is wanted.

    Returns:
        By windows of time and by last rows.
    """
    by_time, by_last = Summary(seeds, len(windows) + 1, values), Summary(seeds, len(last), values)
    moment = f"nullif(e.time, {STATIC})"
    terms = ", ".join(["count(*)", f"min({moment})", f"max({moment})", *_aggregates(values)])
    slope = [f"regr_slope(e.{value.sql}, e.place)" for value in slopes]
    for value in slopes:
        by_last.slope[value.sql] = np.full(seeds, np.nan)
    cases = [(f"{{time}} > s.time - {days * DAY}", i) for i, days in enumerate(windows)]
    piece = _cases([(case.format(time="e.time"), i) for case, i in cases], len(windows))
    crowded = _crowded(cursor)
    if crowded:
        _make_blocks(cursor, values)
    newest = _cases([(f"s.back < {k}", i) for i, k in enumerate(last)], len(last))
    for start in range(0, seeds, _SEEDS):
        some = f"(SELECT * FROM seeds WHERE seed BETWEEN {start} AND {start + _SEEDS - 1})"
        if crowded:
            whole = Summary(seeds, len(windows) + 1, values)
            low, high = (
                _cases([(case.format(time=f"b.{end}"), i) for case, i in cases], len(windows)) for end in _ENDS
            )
            inside = f"b.high <= s.time AND {low} = {high}"
            joined = f"FROM blocks b JOIN {some} s ON b.anchor = s.anchor WHERE {inside} GROUP BY ALL"
            _read(cursor, f"SELECT s.seed, {low} AS piece, {_block_terms(values)} {joined}", whole, values)
            by_time.add(whole)
            rest = (
                f"FROM {some} s JOIN blocks b ON b.anchor = s.anchor AND b.low <= s.time AND NOT ({inside}) "
                f"JOIN series e ON e.anchor = b.anchor AND (e.place - 1) // {_BLOCK} = b.block AND e.time <= s.time"
            )
        else:
            rest = f"FROM series e JOIN {some} s ON e.anchor = s.anchor AND e.time <= s.time"
        loose = Summary(seeds, len(windows) + 1, values)
        _read(cursor, f"SELECT s.seed, {piece} AS piece, {terms} {rest} GROUP BY ALL", loose, values)
        by_time.add(loose)
        if not last:
            continue
        part = slice(start, min(start + _SEEDS, seeds))
        seen = pyarrow.table({"seed": np.arange(part.start, part.stop), "n": by_time.rows[part].sum(axis=1)})
        cursor.register("seen", seen)
        recent = (
            f"(SELECT s.seed, s.anchor, CAST(n.n AS BIGINT) - b.back AS place, b.back FROM {some} s "
            f"JOIN seen n ON n.seed = s.seed JOIN (SELECT unnest(range({last[-1]})) AS back) b ON b.back < n.n)"
        )
        joined = f"FROM series e JOIN {recent} s ON e.anchor = s.anchor AND e.place = s.place"
        _read(cursor, f"SELECT s.seed, {newest} AS piece, {terms} {joined} GROUP BY ALL", by_last, values)
        if slope:
            found = cursor.execute(f"SELECT s.seed, {', '.join(slope)} {joined} GROUP BY s.seed").fetchnumpy()
            row, *columns = found.values()
            for value, column in zip(slopes, columns, strict=True):
                by_last.slope[value.sql][row] = np.ma.filled(column, np.nan)
        cursor.unregister("seen")
    cursor.execute("DROP TABLE IF EXISTS blocks")
    by_time.accumulate()
    by_last.accumulate()
    return by_time, by_last


def _crowded(cursor: duckdb.DuckDBPyConnection) -> bool:
    """Whether seeds and rows of the same anchor make too many pairs to look at each."""
    counts = "(SELECT anchor, count(*) AS n FROM {} GROUP BY anchor)"
    sql = f"SELECT sum(s.n * e.n) FROM {counts.format('seeds')} s JOIN {counts.format('series')} e USING (anchor)"
    return (cursor.execute(sql).fetchall()[0][0] or 0) > _MOST_PAIRS


def _make_blocks(cursor: duckdb.DuckDBPyConnection, values: Sequence[Value]) -> None:
    """The table ``blocks``: runs of 256 rows of the same anchor, summed up once for all seeds that see all of one."""
    terms = [f"min(nullif(time, {STATIC})) AS first", f"max(nullif(time, {STATIC})) AS last"]
    bases = []
    for value in values:
        v = value.sql
        if value.form == "category":
            terms += [f"count(*) FILTER (WHERE {v} = {code}) AS n{code}_{v}" for code in range(SHARES)]
            terms.append(f"count({v}) AS n{SHARES}_{v}")
        else:
            terms += [f"count({v}) AS n_{v}", f"avg({v}) AS mean_{v}", f"var_pop({v}) * count({v}) AS squares_{v}"]
            terms += [f"min({v}) AS min_{v}", f"max({v}) AS max_{v}"]
            # means are held as distances to the first block's, so that squaring loses no digits
            bases.append(f"coalesce(first_value(mean_{v}) OVER (PARTITION BY anchor ORDER BY block), 0) AS base_{v}")
    cursor.execute(
        f"CREATE OR REPLACE TABLE summed AS SELECT anchor, (place - 1) // {_BLOCK} AS block, min(time) AS low, "
        f"max(time) AS high, count(*) AS n, {', '.join(terms)} FROM series GROUP BY ALL"
    )
    cursor.execute(f"CREATE OR REPLACE TABLE blocks AS SELECT {', '.join(['*', *bases])} FROM summed")
    cursor.execute("DROP TABLE summed")


def _block_terms(values: Sequence[Value]) -> str:
    """What :func:`_aggregates` gives of rows, of whole blocks."""
    terms = ["CAST(sum(b.n) AS BIGINT)", "min(b.first)", "max(b.last)"]
    for value in values:
        v = value.sql
        if value.form == "category":
            terms += [f"CAST(sum(b.n{code}_{v}) AS BIGINT)" for code in range(SHARES + 1)]
            continue
        n, away = f"sum(b.n_{v})", f"(b.mean_{v} - b.base_{v})"
        total, squares = f"sum(b.n_{v} * {away})", f"sum(b.squares_{v} + b.n_{v} * {away} * {away})"
        terms += [f"CAST({n} AS BIGINT)", f"any_value(b.base_{v}) + {total} / nullif({n}, 0)"]
        terms += [f"greatest({squares} / nullif({n}, 0) - pow({total} / nullif({n}, 0), 2), 0)"]
        terms += [f"min(b.min_{v})", f"max(b.max_{v})"]
    return ", ".join(terms)


def last_values(cursor: duckdb.DuckDBPyConnection, seen: Array, values: Sequence[Value]) -> dict[str, Array]:
    """What each seed's last row of the table ``series`` holds, NULL as NaN.

    Args:
        cursor: With ``series`` and ``seeds``.
        seen: How many rows each seed sees, ``[S]``.
        values: Which columns.

    Returns:
        By the column of the series, ``[S]``.
    """
    out = {value.sql: np.full(len(seen), np.nan) for value in values}
    if not values:
        return out
    cursor.register("seen", pyarrow.table({"seed": np.arange(len(seen)), "place": seen.astype(np.int64)}))
    terms = ", ".join(f"CAST(e.{value.sql} AS DOUBLE)" for value in values)
    row, *columns = (
        cursor.execute(
            f"SELECT s.seed, {terms} FROM seeds s JOIN seen n ON n.seed = s.seed "
            "JOIN series e ON e.anchor = s.anchor AND e.place = n.place"
        )
        .fetchnumpy()
        .values()
    )
    cursor.unregister("seen")
    for value, column in zip(values, columns, strict=True):
        out[value.sql][row] = np.ma.filled(column, np.nan)
    return out


def _cases(conditions: Sequence[tuple[str, int]], otherwise: int) -> str:
    found = " ".join(f"WHEN {condition} THEN {number}" for condition, number in conditions)
    return f"CASE {found} ELSE {otherwise} END" if found else str(otherwise)


def _aggregates(values: Sequence[Value]) -> list[str]:
    out = []
    for value in values:
        column = f"e.{value.sql}"
        if value.form == "category":
            out += [f"count(*) FILTER (WHERE {column} = {code})" for code in range(SHARES)]
            out.append(f"count({column})")
        else:
            out += [f"{f}({column})" for f in ("count", "avg", "var_pop", "min", "max")]
    return out


def _read(cursor: duckdb.DuckDBPyConnection, sql: str, summary: Summary, values: Sequence[Value]) -> None:
    """Run a query and put what it gives for each seed and piece in its place."""
    row, piece, rows, first, last, *columns = cursor.execute(sql).fetchnumpy().values()
    summary.rows[row, piece] = rows
    for target, found, choose in ((summary.first, first, np.fmin), (summary.last, last, np.fmax)):
        choose.at(target, row, np.ma.filled(np.ma.masked_array(found).astype(np.float64), np.nan))
    for value in values:
        if value.form == "category":
            for code in range(SHARES + 1):
                summary.counts[value.sql][row, piece, code] = columns.pop(0)
            continue
        moments = summary.moments[value.sql]
        count, mean, variance, low, high = (np.ma.filled(columns.pop(0), 0) for _ in range(5))
        some = count > 0
        moments.count[row, piece] = count
        moments.mean[row, piece] = mean
        moments.squares[row, piece] = variance * count
        moments.low[row, piece] = np.where(some, low, np.inf)
        moments.high[row, piece] = np.where(some, high, -np.inf)
