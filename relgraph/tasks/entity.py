"""What to predict: an SQL query gives a label per row of a table and moment, time splits train from test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from relgraph.data.labels import LabelQuery, label_rows
from relgraph.errors import ProtocolError
from relgraph.metrics import ENTITY_METRICS, entity_metrics
from relgraph.tasks.base import Moment, Task, one_of, text, window_regime
from relgraph.tasks.forms import Form, entity_form
from relgraph.tasks.rows import as_label, check_times, entity_seeds, of_split, query_sql
from relgraph.tasks.seeds import Regime, Seeds, Split

if TYPE_CHECKING:
    from relgraph.data.database import Database

__all__ = ["EntityKind", "EntityTask"]

EntityKind = Literal["binary", "regression", "multiclass", "multilabel"]


class EntityTask(Task):
    """Predict something about rows of one table.

    The SQL may use every table of the database, a table ``timestamps`` with one column ``timestamp`` (the seed times)
    and ``{horizon}``, which becomes an ``INTERVAL``. It gives one row per entity and timestamp with the entity's key,
    the timestamp and the label, usually of the window ``(timestamp, timestamp + {horizon}]``. Without SQL:
    :meth:`count`, :meth:`sum`, :meth:`exists` and :meth:`last` of related rows.

    Seed times: train ``val_time - i h`` (i = 1, 2, ...) down to the database's first row; val ``val_time + i h`` and
    test ``test_time + i h`` (i < ``num_eval_times``) as long as the window ends by ``test_time``, or by the last row.
    Labels of train and val see rows up to ``test_time``, test labels see all.

    With ``horizon=None`` the task is static: the SQL gives a key and a label, no timestamp, and sees all rows.

    Args:
        entity_table: The table whose rows are predicted.
        sql: The query.
        horizon: Length of the label window: ``"30 days"``, ``"12 h"``, ``"2 weeks"`` or a ``timedelta``; ``None`` for a
            task without time.
        kind: ``"binary"`` (labels 0 and 1), ``"regression"``, ``"multiclass"`` (labels 0, 1, 2, ...) or
            ``"multilabel"`` (several labels per row, each 0 or 1).
        val_time: Where training labels end, inclusive: int microseconds, ISO text or datetime. Default: the 80 %
            quantile of all row times, set by :meth:`with_times`.
        test_time: Where the test begins; 90 % quantile by default.
        entity_column: The query's column (or columns) with the key; default: the names of the table's primary key.
        time_column: The query's column with the timestamp.
        label_column: The query's column with the label; of a multilabel task the columns, or one column of lists.
        num_eval_times: At how many moments val and test are asked.
        regime: What a test row may see: ``"seed-time"``, all up to its own seed time (default), or ``"frozen"``, the
            database as it was at ``test_time`` for every test row; ``"static"`` for a task without time.
        metric: What training is steered by; by default the first of its kind in
            :data:`~relgraph.metrics.ENTITY_METRICS`.
        fractions: Shares of train, val and test of a task without time, 0.8, 0.1 and 0.1 by default; a hash of the key
            decides.
        split_column: The query's column that says ``train``, ``val`` or ``test`` instead.
        hide: Columns, as ``"table.column"``, that features must not show: ``build_graph(db, hide=task.hidden)``.

    Raises:
        ProtocolError: If the horizon cannot be read, a choice is unknown, or ``val_time`` is not before ``test_time``.
    """

    family: ClassVar[str] = "entity"

    def __init__(
        self,
        entity_table: str,
        sql: str,
        horizon: str | timedelta | None,
        kind: EntityKind,
        *,
        val_time: Moment | None = None,
        test_time: Moment | None = None,
        entity_column: str | Sequence[str] | None = None,
        time_column: str = "timestamp",
        label_column: str | Sequence[str] = "label",
        num_eval_times: int = 1,
        regime: Regime | None = None,
        metric: str | None = None,
        fractions: Sequence[float] | None = None,
        split_column: str | None = None,
        hide: Sequence[str] = (),
    ) -> None:
        one_of("kind", kind, get_args(EntityKind))
        text("sql", sql)
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
        self.sql = sql
        self._kind = kind
        self.entity_columns = (entity_column,) if isinstance(entity_column, str) else tuple(entity_column or ())
        self.time_column = time_column
        self.label_columns = (label_column,) if isinstance(label_column, str) else tuple(label_column)
        self._metric = metric or ENTITY_METRICS[kind][0]
        one_of("metric", self._metric, ENTITY_METRICS[kind])
        if not self.label_columns or (len(self.label_columns) > 1 and kind != "multilabel"):
            raise ProtocolError(
                f"label_column: expected one column for a {kind} task, got {self.label_columns!r}; "
                "several columns make kind='multilabel'"
            )

    @classmethod
    def count(
        cls,
        db: Database,
        entity_table: str,
        of: str,
        horizon: str | timedelta,
        *,
        where: str | None = None,
        active: str | timedelta | None = None,
        via: str | Sequence[str] | None = None,
        **settings: Any,
    ) -> EntityTask:
        """How many related rows will there be in the next horizon?

        Related are the rows of a table that refer to the entity over one foreign key or two (order lines to the
        customer of their order). A row falls into the window by its own time, or that of the latest row it refers to.
        Asked is about every row of the entity table that exists at the timestamp.

        Args:
            db: The database, whose keys and times say how tables are related.
            entity_table: The table whose rows are asked about; it needs a primary key.
            of: The related table.
            horizon: Length of the label window ``(timestamp, timestamp + horizon]``.
            where: SQL condition on the related rows, with the column names of their table.
            active: Ask only about rows that had a related row in this time up to the timestamp.
            via: Where several ways lead there: the foreign keys to take, as ``"table.column"``.
            settings: Further arguments of the class: ``kind``, ``val_time``, ``num_eval_times``, ``regime`` and so on;
                with ``progress=False`` the times are not told on stderr.

        Returns:
            The task, its SQL in ``task.sql``; times that are not given are set as :meth:`with_times` does.

        Raises:
            SchemaError: If there is no such table or column, or the entity table has no primary key.
            ProtocolError: If no way leads there, or several do, or the related rows have no time.

        Example:
            >>> import pandas, relgraph
            >>> at = pandas.date_range("2024-01-01", periods=100)
            >>> frames = {
            ...     "customer": pandas.DataFrame({"id": ["ann"]}),
            ...     "orders": pandas.DataFrame({"who": ["ann"] * 100, "at": at}),
            ... }
            >>> keys = {"customer": "id", "orders": {"foreign_keys": {"who": "customer"}}}
            >>> db = relgraph.connect(frames, keys=keys, times={"orders": "at"}, progress=False)
            >>> task = relgraph.EntityTask.count(
            ...     db, "customer", of="orders", horizon="7 days", val_time="2024-03-01", test_time="2024-03-20"
            ... )
            >>> task.seeds(db, "val").label.tolist()
            [7.0]
        """
        return cls._of_form(db, "count", entity_table, of, horizon, where, active, via, settings)

    @classmethod
    def sum(
        cls,
        db: Database,
        entity_table: str,
        of: str,
        horizon: str | timedelta,
        *,
        where: str | None = None,
        active: str | timedelta | None = None,
        via: str | Sequence[str] | None = None,
        **settings: Any,
    ) -> EntityTask:
        """The sum of a column, ``of="order_line.quantity"``, of related rows in the next horizon; 0 without any.

        Args and errors are those of :meth:`count`.
        """
        return cls._of_form(db, "sum", entity_table, of, horizon, where, active, via, settings)

    @classmethod
    def exists(
        cls,
        db: Database,
        entity_table: str,
        of: str,
        horizon: str | timedelta,
        *,
        where: str | None = None,
        active: str | timedelta | None = None,
        via: str | Sequence[str] | None = None,
        **settings: Any,
    ) -> EntityTask:
        """Will there be a related row in the next horizon? A binary task.

        Args and errors are those of :meth:`count`.
        """
        return cls._of_form(db, "exists", entity_table, of, horizon, where, active, via, settings)

    @classmethod
    def last(
        cls,
        db: Database,
        entity_table: str,
        of: str,
        horizon: str | timedelta,
        *,
        where: str | None = None,
        active: str | timedelta | None = None,
        via: str | Sequence[str] | None = None,
        **settings: Any,
    ) -> EntityTask:
        """The value of a column, ``of="results.position"``, in the last related row of the next horizon.

        Asked is only about rows that have such a row and value: who is asked about comes from the future. Args and
        errors are those of :meth:`count`.
        """
        return cls._of_form(db, "last", entity_table, of, horizon, where, active, via, settings)

    @classmethod
    def _of_form(
        cls,
        db: Database,
        form: Form,
        entity_table: str,
        of: str,
        horizon: str | timedelta,
        where: str | None,
        active: str | timedelta | None,
        via: str | Sequence[str] | None,
        settings: Mapping[str, Any],
    ) -> EntityTask:
        query = entity_form(db, form, entity_table, of, where, active, via)
        given = {**query, **settings}
        progress = given.pop("progress", True)
        return cls(entity_table, horizon=horizon, **given).with_times(db, progress=progress)

    @property
    def label_column(self) -> str:
        """The query's column with the label; of several, the first."""
        return self.label_columns[0]

    def seeds(self, db: Database, split: Split) -> Seeds:
        """The rows of a split, ordered by time and row number.

        Args:
            db: The whole database; what labels may not see is left out here.
            split: ``"train"``, ``"val"`` or ``"test"``.

        Raises:
            SchemaError: If the query cannot run, lacks a column, or gives NULLs or times that were not asked for.
            ProtocolError: If the split has no rows, or labels do not fit the kind.
        """
        times = self._asked(db, split)
        rows = label_rows(db, self._visible(db, split), self._query(), times, self.label_columns)
        if times is None:
            rows = of_split(rows, split, self.split_column)
        else:
            check_times(rows, self.time_column, times)
        timed = times is not None
        return entity_seeds(rows, self.entity_table, self.kind, self.label_columns, timed, *self._where(split))

    def labels_at(self, db: Database, times: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Labels of windows that begin at moments of one's own: what became known about rows by their end.

        As for splits, windows that end by ``test_time`` see nothing later, others see all.

        Args:
            db: The whole database.
            times: Where windows begin, int64 microseconds, in any order.

        Returns:
            Row numbers ``[n]``, where their windows begin ``[n]`` and labels ``[n]`` or ``[n, labels]``; rows that are
            not in the entity table are left out. May be empty.

        Raises:
            SchemaError: If the query cannot run, or gives NULLs or times that were not asked for.
            ProtocolError: If the task has no time, or labels do not fit the kind.
        """
        test_time = self.moments[1]
        ended = [time for time in times if time + self.horizon <= test_time]
        parts: list[tuple[Tensor, Tensor, Tensor]] = []
        for split, some in (("val", ended), ("test", [time for time in times if time + self.horizon > test_time])):
            if not some and (parts or split == "val"):
                continue
            visible = db.upto(test_time) if split == "val" else db
            rows = label_rows(db, visible, self._query(), some, self.label_columns)
            check_times(rows, self.time_column, some)
            label = as_label(rows, self.kind, self.label_columns)
            known = torch.from_numpy(rows["__node"].is_valid().to_numpy())
            rows = rows.filter(rows["__node"].is_valid())
            node, time = (torch.from_numpy(rows[name].to_numpy().copy()) for name in ("__node", "__time"))
            parts.append((node, time, label[known]))
        filled = [part for part in parts if part[0].numel()] or parts[:1]
        node, time, label = (torch.cat(column) for column in zip(*filled, strict=True))
        return node, time, label

    def metrics(self, label: Tensor, prediction: Tensor) -> dict[str, float]:
        """Every metric of the task's kind; see :func:`relgraph.metrics.entity_metrics`."""
        return entity_metrics(self.kind, label, prediction)

    def to_dict(self) -> dict[str, Any]:
        """The task as plain JSON values; :func:`relgraph.tasks.task_from_dict` is the inverse."""
        return {
            **self._common(),
            "sql": self.sql,
            "horizon": self._horizon_text(),
            "kind": self.kind,
            "entity_column": list(self.entity_columns) or None,
            "time_column": self.time_column,
            "label_column": self.label_column if len(self.label_columns) == 1 else list(self.label_columns),
            "num_eval_times": self.num_eval_times,
            "metric": self.metric,
            "split_column": self.split_column,
        }

    def __repr__(self) -> str:
        regime = "" if self.regime == "static" else f"{self.regime}, "
        return f"EntityTask({self.entity_table!r}, {self.kind}, {self._when()}, {regime}{self.metric})"

    def _query(self) -> LabelQuery:
        return LabelQuery(
            query_sql(self.sql, self._horizon),
            self.entity_table,
            self.entity_columns,
            self.time_column,
            self.split_column,
            self.fractions,
        )
