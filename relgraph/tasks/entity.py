"""What to predict: an SQL query gives a label per row of a table and moment, time splits train from test."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from relgraph.data.interval import format_interval, interval_sql, parse_interval
from relgraph.data.labels import label_rows, time_quantiles
from relgraph.data.time import format_time, to_moment
from relgraph.errors import ProtocolError, SchemaError
from relgraph.metrics import ENTITY_METRICS, LOWER_IS_BETTER, entity_metrics
from relgraph.tasks.seeds import Regime, Seeds, Split

if TYPE_CHECKING:
    import pyarrow

    from relgraph.data.database import Database

__all__ = ["EntityTask"]

Kind = Literal["binary", "regression", "multiclass"]
_MAX_TIMES = 100_000


class EntityTask:
    """Predict something about rows of one table.

    The SQL may use every table of the database, a table ``timestamps`` with one column ``timestamp`` (the seed times)
    and ``{horizon}``, which becomes an ``INTERVAL``. It gives one row per entity and timestamp with the entity's key,
    the timestamp and the label, usually of the window ``(timestamp, timestamp + {horizon}]``.

    Seed times: train ``val_time - i h`` (i = 1, 2, ...) down to the database's first row; val ``val_time + i h`` and
    test ``test_time + i h`` (i < ``num_eval_times``) as long as the window ends by ``test_time``, or by the last row.
    Labels of train and val see rows up to ``test_time``, test labels see all.

    Args:
        entity_table: The table whose rows are predicted.
        sql: The query.
        horizon: Length of the label window: ``"30 days"``, ``"12 h"``, ``"2 weeks"`` or a ``timedelta``.
        kind: ``"binary"`` (labels 0 and 1), ``"regression"`` or ``"multiclass"`` (labels 0, 1, 2, ...).
        val_time: Where training labels end, inclusive: int microseconds, ISO text or datetime. Default: the 80 %
            quantile of all row times, set by :meth:`with_times`.
        test_time: Where the test begins; 90 % quantile by default.
        entity_column: The query's column (or columns) with the key; default: the names of the table's primary key.
        time_column: The query's column with the timestamp.
        label_column: The query's column with the label.
        num_eval_times: At how many moments val and test are asked.
        regime: What a test row may see: ``"seed-time"``, all up to its own seed time, or ``"frozen"``, the database as
            it was at ``test_time`` for every test row.
        metric: What training is steered by; by default the first of ``auroc``, ``average_precision``, ``accuracy``
            (binary), ``mae``, ``rmse``, ``r2`` (regression), ``accuracy``, ``macro_f1`` (multiclass).

    Raises:
        ProtocolError: If the horizon cannot be read, a choice is unknown, or ``val_time`` is not before ``test_time``.
    """

    def __init__(
        self,
        entity_table: str,
        sql: str,
        horizon: str | timedelta,
        kind: Kind,
        *,
        val_time: int | str | datetime | None = None,
        test_time: int | str | datetime | None = None,
        entity_column: str | Sequence[str] | None = None,
        time_column: str = "timestamp",
        label_column: str = "label",
        num_eval_times: int = 1,
        regime: Regime = "seed-time",
        metric: str | None = None,
    ) -> None:
        _one_of("kind", kind, get_args(Kind))
        _one_of("regime", regime, get_args(Regime))
        for name, value in (("entity_table", entity_table), ("sql", sql)):
            if not isinstance(value, str):
                raise ProtocolError(f"{name}: expected text, got {value!r}")
        if not isinstance(num_eval_times, int) or isinstance(num_eval_times, bool) or num_eval_times < 1:
            raise ProtocolError(f"num_eval_times: expected at least 1, a whole number, got {num_eval_times!r}")
        self.entity_table = entity_table
        self.sql = sql
        self.horizon = parse_interval(horizon, "horizon")
        self.kind: Kind = kind
        self.entity_columns = (entity_column,) if isinstance(entity_column, str) else tuple(entity_column or ())
        self.time_column = time_column
        self.label_column = label_column
        self.num_eval_times = num_eval_times
        self.regime: Regime = regime
        self.metric = metric or ENTITY_METRICS[kind][0]
        _one_of("metric", self.metric, ENTITY_METRICS[kind])
        self._val_time = None if val_time is None else to_moment(val_time, "val_time")
        self._test_time = None if test_time is None else to_moment(test_time, "test_time")
        if self._val_time is not None and self._test_time is not None and self._val_time >= self._test_time:
            raise ProtocolError(
                f"val_time must be before test_time, got {format_time(self._val_time)} "
                f"and {format_time(self._test_time)}"
            )

    @property
    def val_time(self) -> int:
        """Where training labels end, int64 microseconds.

        Raises:
            ProtocolError: If it was not given and :meth:`with_times` was not called.
        """
        return self._required("val_time", self._val_time)

    @property
    def test_time(self) -> int:
        """Where the test begins, int64 microseconds.

        Raises:
            ProtocolError: If it was not given and :meth:`with_times` was not called.
        """
        return self._required("test_time", self._test_time)

    @property
    def mode(self) -> Literal["min", "max"]:
        """Whether less or more of the metric is better."""
        return "min" if self.metric in LOWER_IS_BETTER else "max"

    @property
    def until(self) -> int | None:
        """The latest moment that any row may see: ``test_time`` in the frozen regime, else ``None``."""
        return self.test_time if self.regime == "frozen" else None

    def with_times(self, db: Database, progress: bool = True) -> EntityTask:
        """The task with the times that were not given: the 80 % and 90 % quantiles of the database's row times.

        Args:
            db: The database.
            progress: Say on stderr which times were chosen.

        Raises:
            ProtocolError: If no table of the database has a time, or the times leave no room between them.
        """
        if self._val_time is not None and self._test_time is not None:
            return self
        val, test = time_quantiles(db, (0.8, 0.9))
        settings = self.to_dict()
        settings["val_time"] = val if self._val_time is None else self._val_time
        settings["test_time"] = test if self._test_time is None else self._test_time
        task = EntityTask(**settings)
        if progress:
            sys.stderr.write(
                f"val_time {format_time(task.val_time)}, test_time {format_time(task.test_time)} "
                "(where not given: the 80 % and 90 % quantiles of all row times)\n"
            )
        return task

    def times(self, db: Database, split: Split) -> Tensor:
        """The seed times of a split, ascending, int64 microseconds; may be empty.

        Raises:
            ProtocolError: If the split is unknown, or the task's times are not set.
        """
        _one_of("split", split, get_args(Split))
        first, last = time_quantiles(db, (0.0, 1.0))
        if split == "train":
            count = max((self.val_time - first) // self.horizon, 0)
            if count > _MAX_TIMES:
                raise ProtocolError(
                    f"a horizon of {format_interval(self.horizon)} makes {count:,} training times between "
                    f"{format_time(first)} and {format_time(self.val_time)}, more than {_MAX_TIMES:,}; "
                    "choose a longer horizon"
                )
            return self.val_time - self.horizon * torch.arange(count, 0, -1)
        start, end = (self.val_time, self.test_time) if split == "val" else (self.test_time, last)
        count = min(max((end - start) // self.horizon, 0), self.num_eval_times)
        return start + self.horizon * torch.arange(count)

    def seeds(self, db: Database, split: Split) -> Seeds:
        """The rows of a split, ordered by time and row number.

        Args:
            db: The whole database; what labels may not see is left out here.
            split: ``"train"``, ``"val"`` or ``"test"``.

        Raises:
            SchemaError: If the query cannot run, lacks a column, or gives NULLs or times that were not asked for.
            ProtocolError: If the split has no rows, or labels do not fit the kind.
        """
        times = self.times(db, split)
        if not times.numel():
            raise ProtocolError(
                f"split {split!r} has no seed time: no label window of {format_interval(self.horizon)} fits "
                f"({self._where(split)}); choose a shorter horizon or other val_time and test_time"
            )
        visible = db if split == "test" else db.upto(self.test_time)
        return self._to_seeds(self._rows(db, visible, times), split, times)

    def metrics(self, label: Tensor, prediction: Tensor) -> dict[str, float]:
        """Every metric of the task's kind; see :func:`relgraph.metrics.entity_metrics`."""
        return entity_metrics(self.kind, label, prediction)

    def to_dict(self) -> dict[str, Any]:
        """The task as plain JSON values; ``EntityTask(**values)`` is the inverse."""
        return {
            "entity_table": self.entity_table,
            "sql": self.sql,
            "horizon": f"{self.horizon / 1_000_000:.6f} s",
            "kind": self.kind,
            "val_time": self._val_time,
            "test_time": self._test_time,
            "entity_column": list(self.entity_columns) or None,
            "time_column": self.time_column,
            "label_column": self.label_column,
            "num_eval_times": self.num_eval_times,
            "regime": self.regime,
            "metric": self.metric,
        }

    def __repr__(self) -> str:
        times = [None if t is None else format_time(t) for t in (self._val_time, self._test_time)]
        return (
            f"EntityTask({self.entity_table!r}, {self.kind}, horizon {format_interval(self.horizon)}, "
            f"val_time {times[0] or 'not set'}, test_time {times[1] or 'not set'}, {self.regime}, {self.metric})"
        )

    def _required(self, name: str, value: int | None) -> int:
        if value is None:
            raise ProtocolError(
                f"{name} of the task is not set: give it, or take the quantiles of the data with "
                "task = task.with_times(db)"
            )
        return value

    def _where(self, split: str) -> str:
        return f"split {split}, val_time {format_time(self.val_time)}, test_time {format_time(self.test_time)}"

    def _rows(self, db: Database, visible: Database, times: Tensor) -> pyarrow.Table:
        """What the query gives; see :func:`relgraph.data.labels.label_rows`."""
        query = self.sql.replace("{horizon}", interval_sql(self.horizon))
        columns = (self.entity_columns, self.time_column, self.label_column)
        return label_rows(db, visible, self.entity_table, query, times.tolist(), *columns)

    def _to_seeds(self, joined: pyarrow.Table, split: str, times: Tensor) -> Seeds:
        self._check_labels(joined, times)
        known = joined.filter(joined["__node"].is_valid())
        if not len(known):
            raise ProtocolError(
                f"split {split!r} has no rows: the task's SQL gives {len(joined)} rows, none with a key of table "
                f"{self.entity_table!r} ({self._where(split)})"
            )
        node, time, label = (torch.from_numpy(known[c].to_numpy().copy()) for c in ("__node", "__time", "__label"))
        return Seeds(
            node=node,
            time=time,
            label=self._checked(label),
            keys=known.drop_columns(["__node", "__time", "__label", "__early"]),
            notes=_notes(self.entity_table, len(joined) - len(known), sum(known["__early"].to_pylist()), node, time),
        )

    def _check_labels(self, joined: pyarrow.Table, times: Tensor) -> None:
        for what, column in (("timestamp", self.time_column), ("label", self.label_column)):
            nulls = joined["__time" if what == "timestamp" else "__label"].null_count
            if nulls:
                raise SchemaError(
                    f"the task's SQL gives {nulls} of {len(joined)} rows with a NULL (or unreadable) {what} in column "
                    f"{column!r}; leave such rows out in the SQL or give them a value"
                )
        found = joined["__time"].to_numpy()
        odd = found[~np.isin(found, times.numpy())]
        if len(odd):
            raise SchemaError(
                f"the task's SQL gives {len(odd)} of {len(joined)} rows whose time in column {self.time_column!r} is "
                f"not in the table timestamps, such as {format_time(int(odd[0]))}; select timestamps.timestamp itself"
            )

    def _checked(self, label: Tensor) -> Tensor:
        if self.kind == "multiclass":
            odd = label[(label < 0) | (label != label.round())]
            if odd.numel():
                raise ProtocolError(f"multiclass labels must be 0, 1, 2, ...; got {float(odd[0]):g}")
            return label.to(torch.int64)
        if self.kind == "binary" and not bool(((label == 0) | (label == 1)).all()):
            other = label[(label != 0) & (label != 1)]
            raise ProtocolError(f"binary labels must be 0 or 1; got {other[0].item():g} and {len(other) - 1} more")
        if not bool(label.isfinite().all()):
            raise ProtocolError(f"labels must be finite; got {int((~label.isfinite()).sum())} that are not")
        return label


def _one_of(what: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ProtocolError(f"{what}: expected one of {', '.join(known)}, got {value!r}")


def _notes(table: str, dropped: int, early: int, node: Tensor, time: Tensor) -> tuple[str, ...]:
    notes = []
    if early:
        notes.append(
            f"{early:,} rows of the task's SQL ask about rows of table {table!r} before these exist (their own time is "
            "later than the timestamp), so the model sees columns from the future: leave them out in the SQL"
        )
    if dropped:
        notes.append(f"{dropped:,} rows of the task's SQL have a key that table {table!r} does not have: dropped")
    repeated = len(node) - torch.unique(torch.stack([node, time]), dim=1).size(1)
    if repeated:
        notes.append(f"{repeated:,} rows of the task's SQL repeat a key and timestamp: is a GROUP BY missing?")
    return tuple(notes)
