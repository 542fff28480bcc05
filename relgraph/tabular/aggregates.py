"""What happened around a row until a moment, as columns: counts, means, extremes, trends over one and two hops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow
import torch
from numpy.typing import NDArray
from torch import Tensor

from relgraph.data.build import build_graph
from relgraph.data.database import Database
from relgraph.data.graph import HeteroGraph
from relgraph.data.progress import track
from relgraph.data.time import STATIC, UNKNOWN, to_moment
from relgraph.errors import SchemaError, ShapeError
from relgraph.tabular.aggregate_plan import Plan, Stat, plan_path, within
from relgraph.tabular.block import Matrix
from relgraph.tabular.paths import Path, Step, find_paths, value_columns
from relgraph.tabular.series import DAY, connection, series, series_values
from relgraph.tabular.windows import Summary, last_values, summarise

if TYPE_CHECKING:
    import duckdb

__all__ = ["Aggregates"]


class Aggregates:
    """Columns that sum up what refers to a row, and what it refers to, as known at each seed's moment.

    Per way over foreign keys (one or two; see :func:`~relgraph.tabular.paths.find_paths`) the rows that are known by
    then are counted, and their numbers become mean, sum, least, largest and standard deviation in windows of time and
    of last rows, the slope over the last rows, the distance of a window's mean to the whole past's, and the mean
    distance to rows beside them (other drivers of the same race); their categories become shares, the commonest and the
    last one; their times days since the first and the last. Ratings and other categories that are numbers count as
    both. Keys, identifiers, text, vectors and lists are left out.

    A row counts from the moment when it and all rows on the way to it are known: the graph's own rule, also for rows
    without time (:mod:`relgraph.data.inherit`). Rows of unknown time never count, static ones always, in no window of
    days. The ways are walked and summed in DuckDB, one after the other, each by one thread, so that the same seeds give
    the same digits.

    Args:
        source: The graph, or a database, which is then turned into one without text; its statistics then see every row
            up to ``until``.
        table: The entity table.
        hops: Foreign keys on the way: 1 or 2.
        windows: Days that windows of time reach back; there is always one with the whole past.
        last: Windows of so many last rows.
        until: No seed sees anything later than this moment; int microseconds, ISO text or datetime.
        hide: Columns not to look at, as ``"table.column"``.
        strict: Rows at the very moment of the seed are not seen.
        max_columns: At most so many columns. The most telling kinds come first: counts and recency, then means and last
            values of what refers to the entity, then their spread and what lies a hop further, then trends and shorter
            windows; within a kind in the order of the schema. It depends on no value.
        progress: Show progress on stderr.

    Raises:
        SchemaError: If the table does not exist, or a setting cannot be used.
    """

    def __init__(
        self,
        source: HeteroGraph | Database,
        table: str,
        *,
        hops: int = 2,
        windows: Sequence[int] = (30, 90, 365),
        last: Sequence[int] = (1, 3, 5, 10),
        until: Any = None,
        hide: Sequence[str] = (),
        strict: bool = False,
        max_columns: int = 500,
        progress: bool = False,
    ) -> None:
        if hops not in (1, 2):
            raise SchemaError(f"hops: expected 1 or 2, got {hops!r}")
        if max_columns < 1:
            raise SchemaError(f"max_columns: expected at least 1, got {max_columns!r}")
        self.table, self.hops, self.strict, self.max_columns = table, hops, strict, max_columns
        self.windows, self.last = _ascending("windows", windows), _ascending("last", last)
        self.until = None if until is None else to_moment(until, "until")
        self.hide, self.progress = tuple(hide), progress
        if isinstance(source, Database):
            source = build_graph(source, fit_until=self.until, text=None, progress=progress)
        self.graph = source
        hidden = frozenset(self.hide)
        plans = []
        for path in find_paths(source, table, hops):
            values = series_values(source, path, value_columns(source, path.end, hidden))
            plans.append(plan_path(path, values, self.windows, self.last))
        self._plans = within(plans, max_columns)
        self._stats = [stat for plan in self._plans for stat in plan.stats]

    @property
    def names(self) -> tuple[str, ...]:
        """A name per column: the way, what was computed, of what, in which window."""
        return tuple(stat.name for stat in self._stats)

    @property
    def categorical(self) -> tuple[int, ...]:
        """Which columns hold codes: of the last and the commonest category."""
        return tuple(i for i, stat in enumerate(self._stats) if stat.categorical)

    def matrix(self, node: Tensor, time: Tensor | None) -> Matrix:
        """The columns of seeds; see :class:`~relgraph.tabular.block.SeedFeatures`.

        Seeds of the same row and moment are computed once.

        Raises:
            ShapeError: If a row number is outside the table, or there are not as many times.
        """
        moment = self._moments(node, time)
        pairs, back = np.unique(np.stack([node.numpy(), moment]), axis=1, return_inverse=True)
        found = np.full((pairs.shape[1], len(self._stats)), np.nan)
        place = 0
        anchors: dict[tuple[Step, ...], NDArray[np.int64]] = {}
        with connection() as cursor:
            for plan in track(self._plans, "aggregates", self.progress, lambda plan: str(plan.path)):
                way = plan.path.steps[: plan.path.anchor]
                if way and way not in anchors:
                    anchors[way] = self._last_row(cursor, Path(way), pairs[0], pairs[1])
                columns = self._columns(cursor, plan, anchors[way] if way else pairs[0], pairs[1])
                for column in columns:
                    found[:, place] = column
                    place += 1
        return found[back.reshape(-1)]

    def _moments(self, node: Tensor, time: Tensor | None) -> NDArray[np.int64]:
        rows = self.graph.nodes[self.table].num_nodes
        if node.numel() and not 0 <= int(node.min()) <= int(node.max()) < rows:
            raise ShapeError(f"node: expected numbers in 0..{rows - 1}, got {int(node.min())}..{int(node.max())}")
        if time is not None and time.shape != node.shape:
            raise ShapeError(f"time: expected one per node, {list(node.shape)}, got {list(time.shape)}")
        moment = torch.full_like(node, UNKNOWN - 1) if time is None else time.clamp(max=UNKNOWN - 1)
        if self.until is not None:
            moment = moment.clamp(max=self.until)
        return (moment - int(self.strict)).numpy()

    def _columns(
        self, cursor: duckdb.DuckDBPyConnection, plan: Plan, node: NDArray[np.int64], moment: NDArray[np.int64]
    ) -> list[NDArray[np.float64]]:
        """The columns of a path for the rows it is anchored at (-1 for none) at moments, each ``[n]``."""
        if plan.path.anchor:
            pairs, back = np.unique(np.stack([node, moment]), axis=1, return_inverse=True)
            node, moment, back = pairs[0], pairs[1], back.reshape(-1)
        last = int(moment.max(initial=STATIC))
        numbers = [v for v in plan.values if v.form == "number"]
        slopes = [v for v in numbers if any(s.what == "slope" and s.value is v for s in plan.stats)]
        with _seeds(cursor, node, moment), series(cursor, self.graph, plan.path, plan.values, last):
            times, lasts = summarise(cursor, len(node), plan.values, self.windows, self.last, slopes)
            only = _only(cursor, plan, times.rows[:, -1], moment)
        columns = [self._column(stat, times, lasts, only, moment) for stat in plan.stats]
        return [column[back] for column in columns] if plan.path.anchor else columns

    def _last_row(
        self, cursor: duckdb.DuckDBPyConnection, path: Path, node: NDArray[np.int64], moment: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """The row that a path leads to, of several the last one, -1 where there is none."""
        with _seeds(cursor, node, moment), series(cursor, self.graph, path, (), int(moment.max(initial=STATIC))):
            rows = cursor.execute(
                "SELECT s.seed, arg_max(e.row, e.place) AS row FROM series e JOIN seeds s "
                "ON e.anchor = s.anchor AND e.time <= s.time GROUP BY s.seed"
            ).fetchnumpy()
        found = np.full(len(node), -1, dtype=np.int64)
        found[rows["seed"]] = rows["row"]
        return found

    def _column(
        self,
        stat: Stat,
        times: Summary,
        lasts: Summary,
        only: dict[str, NDArray[np.float64]],
        moment: NDArray[np.int64],
    ) -> NDArray[np.float64]:
        summary = times if stat.scope == "time" else lasts
        if stat.value is None:
            return self._timing(stat, times, moment)
        sql = stat.value.sql
        if stat.what == "only":
            return only[sql]
        if stat.what == "share":
            return summary.share(sql, stat.code, stat.window)
        if stat.what == "mode":
            return summary.mode(sql, stat.window)
        if stat.what == "slope":
            return lasts.slope[sql]
        if stat.what == "trend":
            return summary.moments[sql].get("mean", stat.window) - times.moments[sql].get("mean", len(self.windows))
        return summary.moments[sql].get(stat.what, stat.window)

    def _timing(self, stat: Stat, times: Summary, moment: NDArray[np.int64]) -> NDArray[np.float64]:
        if stat.what == "count":
            return times.rows[:, stat.window]
        if stat.what == "since last":
            return np.asarray((moment - times.last) / DAY)
        if stat.what == "since first":
            return np.asarray((moment - times.first) / DAY)
        rows = times.rows[:, len(self.windows)]
        if stat.what == "gap":
            return np.where(rows > 1, (times.last - times.first) / DAY / np.maximum(rows - 1, 1), np.nan)
        longest = len(self.windows) - 1
        return times.rows[:, 0] / self.windows[0] - times.rows[:, longest] / self.windows[longest]

    def describe(self) -> dict[str, Any]:
        """Plain JSON values; :func:`relgraph.tabular.seed_features_from_dict` makes the same columns from them."""
        return {
            "source": "aggregates",
            "table": self.table,
            "hops": self.hops,
            "windows": list(self.windows),
            "last": list(self.last),
            "until": self.until,
            "hide": list(self.hide),
            "strict": self.strict,
            "max_columns": self.max_columns,
        }

    def __repr__(self) -> str:
        return f"Aggregates({self.table!r}, {len(self._stats)} columns over {len(self._plans)} ways)"


def _only(
    cursor: duckdb.DuckDBPyConnection, plan: Plan, seen: NDArray[np.float64], moment: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """The values of the last known row that the plan asks for; of a time the days since then."""
    wanted = {stat.value.sql: stat.value for stat in plan.stats if stat.what == "only" and stat.value is not None}
    found = last_values(cursor, seen, list(wanted.values()))
    days = moment / DAY
    return {sql: days - column if wanted[sql].form == "time" else column for sql, column in found.items()}


@contextmanager
def _seeds(cursor: duckdb.DuckDBPyConnection, anchor: NDArray[np.int64], moment: NDArray[np.int64]) -> Iterator[None]:
    """The table ``seeds`` for as long as the block lasts."""
    cursor.register("seeds", pyarrow.table({"seed": np.arange(len(anchor)), "anchor": anchor, "time": moment}))
    yield
    cursor.unregister("seeds")


def _ascending(what: str, numbers: Sequence[int]) -> tuple[int, ...]:
    found = tuple(sorted(set(numbers)))
    if any(not isinstance(n, int) or isinstance(n, bool) or n < 1 for n in found):
        raise SchemaError(f"{what}: expected whole numbers from 1, got {tuple(numbers)!r}")
    return found
