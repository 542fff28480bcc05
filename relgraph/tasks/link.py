"""Which rows of another table a row will be linked to: recommendation, as a ranking of the target table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from relgraph.data.labels import LabelQuery, link_rows
from relgraph.errors import ProtocolError, ShapeError
from relgraph.metrics import LINK_METRICS, link_metrics
from relgraph.tasks.base import Moment, Task, one_of, text, window_regime
from relgraph.tasks.forms import link_form
from relgraph.tasks.rows import check_times, link_seeds, of_split, query_sql
from relgraph.tasks.seeds import LinkSeeds, Regime, Split

if TYPE_CHECKING:
    from relgraph.data.database import Database

__all__ = ["LinkTask"]


class LinkTask(Task):
    """Rank the rows of a target table for rows of a source table.

    The SQL gives one row per source key, timestamp and target key that are linked in the window ``(timestamp,
    timestamp + {horizon}]``; a column of lists may hold the targets. A source without a target is not asked about.
    Seed times, splits, ``{horizon}`` and tasks without time are those of :class:`~relgraph.tasks.EntityTask`. Without
    SQL: :meth:`next`.

    Args:
        entity_table: The source table.
        target_table: The table whose rows are ranked.
        sql: The query.
        horizon: Length of the label window; ``None`` for a task without time.
        k: How many targets are recommended; every metric looks at so many.
        val_time: Where training labels end, see :class:`~relgraph.tasks.EntityTask`.
        test_time: Where the test begins.
        entity_column: The query's column (or columns) with the source key; default: the names of its primary key.
        target_column: The same for the target key; needed where both keys have one name.
        time_column: The query's column with the timestamp.
        num_eval_times: At how many moments val and test are asked.
        regime: See :class:`~relgraph.tasks.EntityTask`.
        metric: What training is steered by: ``map`` (as RelBench has it), ``recall``, ``ndcg`` or ``precision``, at
            ``k``.
        fractions: Shares of train, val and test of a task without time; a hash of the source key decides.
        split_column: The query's column that says ``train``, ``val`` or ``test`` instead.
        hide: Columns, as ``"table.column"``, that features must not show.

    Raises:
        ProtocolError: If a setting makes no sense; see :class:`~relgraph.tasks.EntityTask`.
    """

    family: ClassVar[str] = "link"
    _kind = "link"

    def __init__(
        self,
        entity_table: str,
        target_table: str,
        sql: str,
        horizon: str | timedelta | None,
        *,
        k: int = 10,
        val_time: Moment | None = None,
        test_time: Moment | None = None,
        entity_column: str | Sequence[str] | None = None,
        target_column: str | Sequence[str] | None = None,
        time_column: str = "timestamp",
        num_eval_times: int = 1,
        regime: Regime | None = None,
        metric: str = "map",
        fractions: Sequence[float] | None = None,
        split_column: str | None = None,
        hide: Sequence[str] = (),
    ) -> None:
        text("target_table", target_table)
        text("sql", sql)
        if not isinstance(k, int) or isinstance(k, bool) or k < 1:
            raise ProtocolError(f"k: expected a whole number of at least 1, got {k!r}")
        super().__init__(
            entity_table,
            horizon=horizon,
            val_time=val_time,
            test_time=test_time,
            num_eval_times=num_eval_times,
            regime=window_regime(horizon, regime),
            fractions=fractions,
            split_column=split_column,
            hide=hide,
        )
        self.target_table = target_table
        self.sql = sql
        self.k = k
        self.entity_columns = (entity_column,) if isinstance(entity_column, str) else tuple(entity_column or ())
        self.target_columns = (target_column,) if isinstance(target_column, str) else tuple(target_column or ())
        self.time_column = time_column
        text("metric", metric)
        name = metric.removesuffix(f"@{k}")
        one_of("metric", name, LINK_METRICS)
        self._metric = f"{name}@{k}"

    @classmethod
    def next(
        cls,
        db: Database,
        entity_table: str,
        target_table: str,
        via: str,
        horizon: str | timedelta,
        *,
        where: str | None = None,
        active: str | timedelta | None = None,
        keys: str | Sequence[str] | None = None,
        **settings: Any,
    ) -> LinkTask:
        """Which rows of the target table will be linked in the next horizon: ``via="review"``, of customer to product.

        Args:
            db: The database, whose keys and times say how tables are related.
            entity_table: The source table; it needs a primary key.
            target_table: The table to rank; it needs a primary key.
            via: The table whose rows make a link: they refer to both, over one foreign key or two.
            horizon: Length of the label window ``(timestamp, timestamp + horizon]``.
            where: SQL condition on the rows that make a link, with the column names of their table.
            active: Ask only about rows that had a link in this time up to the timestamp.
            keys: Where several ways lead to an end: the foreign keys to take, as ``"table.column"``.
            settings: Further arguments of the class: ``k``, ``val_time``, ``regime`` and so on; with
                ``progress=False`` the times are not told on stderr.

        Returns:
            The task, its SQL in ``task.sql``; times that are not given are set as :meth:`with_times` does.

        Raises:
            SchemaError: If there is no such table, or an end has no primary key.
            ProtocolError: If no way leads from ``via`` to an end, or several do, or its rows have no time.
        """
        query = link_form(db, entity_table, target_table, via, where, active, keys)
        given = {**query, **settings}
        progress = given.pop("progress", True)
        return cls(entity_table, target_table, horizon=horizon, **given).with_times(db, progress=progress)

    def seeds(self, db: Database, split: Split) -> LinkSeeds:
        """The source rows of a split with their targets, ordered by time and row number.

        Args:
            db: The whole database; what labels may not see is left out here.
            split: ``"train"``, ``"val"`` or ``"test"``.

        Raises:
            SchemaError: If the query cannot run, lacks a column, or gives NULLs or times that were not asked for.
            ProtocolError: If the split has no links, or the keys of both tables have one name and are not told apart.
        """
        self._check_columns(db)
        times = self._asked(db, split)
        rows = link_rows(db, self._visible(db, split), self._query(), times, self.target_table, self.target_columns)
        if times is None:
            rows = of_split(rows, split, self.split_column)
        else:
            check_times(rows, self.time_column, times)
        return link_seeds(rows, self.entity_table, self.target_table, times is not None, *self._where(split))

    def links_at(self, db: Database, times: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Links of windows that begin at moments of one's own: what became known by their end.

        As for splits, windows that end by ``test_time`` see nothing later, others see all.

        Args:
            db: The whole database.
            times: Where windows begin, int64 microseconds, in any order.

        Returns:
            Source rows, where the windows begin, and target rows, each int64 ``[n]``; may be empty.

        Raises:
            SchemaError: If the query cannot run, or gives NULLs or times that were not asked for.
            ProtocolError: If the task has no time.
        """
        import pyarrow.compute

        self._check_columns(db)
        test_time = self.moments[1]
        parts = [torch.empty(3, 0, dtype=torch.int64)]
        for split in ("val", "test"):
            some = [time for time in times if (time + self.horizon <= test_time) == (split == "val")]
            if some:
                visible = db.upto(test_time) if split == "val" else db
                rows = link_rows(db, visible, self._query(), some, self.target_table, self.target_columns)
                check_times(rows, self.time_column, some)
                known = rows.filter(pyarrow.compute.and_(rows["__node"].is_valid(), rows["__target"].is_valid()))
                columns = [known[name].to_numpy().copy() for name in ("__node", "__time", "__target")]
                parts.append(torch.stack([torch.from_numpy(column) for column in columns]))
        source, begin, target = torch.cat(parts, dim=1)
        return source, begin, target

    def metrics(self, label: LinkSeeds, prediction: Tensor) -> dict[str, float]:
        """MAP, recall, NDCG and precision at ``k``, by names such as ``map@10``.

        Args:
            label: The seeds with their targets.
            prediction: Per seed the numbers of its recommended rows of the target table, best first, int64
                ``[n, at least k]``; fewer columns, or -1, where there are no more.

        Raises:
            ProtocolError: If there are no seeds, or none has a target.
            ShapeError: If the shapes differ, or a row is recommended twice; see
                :func:`relgraph.metrics.link_metrics`.
        """
        if not isinstance(label, LinkSeeds):
            raise ShapeError(f"metrics of a LinkTask: expected LinkSeeds as the label, got {type(label).__name__}")
        return link_metrics(prediction, label.ptr, label.target, self.k)

    def to_dict(self) -> dict[str, Any]:
        """The task as plain JSON values; :func:`relgraph.tasks.task_from_dict` is the inverse."""
        return {
            **self._common(),
            "target_table": self.target_table,
            "sql": self.sql,
            "horizon": self._horizon_text(),
            "k": self.k,
            "entity_column": list(self.entity_columns) or None,
            "target_column": list(self.target_columns) or None,
            "time_column": self.time_column,
            "num_eval_times": self.num_eval_times,
            "metric": self.metric,
            "split_column": self.split_column,
        }

    def __repr__(self) -> str:
        regime = "" if self.regime == "static" else f"{self.regime}, "
        ends = f"{self.entity_table!r} to {self.target_table!r}"
        return f"LinkTask({ends}, {self._when()}, {regime}{self.metric})"

    def _check_columns(self, db: Database) -> None:
        source = self.entity_columns or db.schema[self.entity_table].primary_key
        target = self.target_columns or db.schema[self.target_table].primary_key
        shared = {name.casefold() for name in source} & {name.casefold() for name in target}
        if shared:
            raise ProtocolError(
                f"source {self.entity_table!r} and target {self.target_table!r} would both be read from column "
                f"{', '.join(map(repr, sorted(shared)))} of the task's SQL; give its columns other names and say so "
                "with entity_column= and target_column="
            )

    def _query(self) -> LabelQuery:
        return LabelQuery(
            query_sql(self.sql, self._horizon),
            self.entity_table,
            self.entity_columns,
            self.time_column,
            self.split_column,
            self.fractions,
        )
