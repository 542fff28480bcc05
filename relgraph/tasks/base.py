"""What every task has: moments that split train from test, what may be seen, and a way to and from JSON."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar, cast, get_args

import torch
from torch import Tensor

from relgraph.data.interval import format_interval, parse_interval
from relgraph.data.labels import time_quantiles
from relgraph.data.time import format_time, to_moment
from relgraph.errors import LeakageError, ProtocolError
from relgraph.metrics import LOWER_IS_BETTER
from relgraph.tasks.seeds import LinkSeeds, Regime, Seeds, Split

if TYPE_CHECKING:
    from relgraph.data.database import Database
    from relgraph.data.graph import HeteroGraph

__all__ = ["Moment", "Task", "one_of", "text", "window_regime"]

Moment = int | str | datetime
_T = TypeVar("_T")
_MAX_TIMES = 100_000
_FRACTIONS = (0.8, 0.1, 0.1)


class Task(ABC):
    """A question about rows of a table, with the moments at which it is asked.

    With a horizon ``h``, seed times are: train ``val_time - i h`` (i = 1, 2, ...) down to the database's first row; val
    ``val_time + i h`` and test ``test_time + i h`` (i < ``num_eval_times``) as long as the window ends by
    ``test_time``, or by the last row. Without time (regime ``"static"``) the rows are split by a hash of their key, so
    a row stays where it is when others come.

    Args:
        entity_table: The table whose rows are asked about.
        horizon: Length of the label window; ``None`` where there is none.
        val_time: Where training labels end, inclusive: int microseconds, ISO text or datetime.
        test_time: Where the test begins.
        num_eval_times: At how many moments val and test are asked.
        regime: What a test row may see, see :data:`~relgraph.tasks.Regime`; ``None`` where it is found later.
        fractions: Shares of train, val and test of a task without time.
        split_column: What says the split of each row of a task without time, instead of a hash.
        hide: Columns, as ``"table.column"``, that features must not show.

    Raises:
        ProtocolError: If a setting cannot be read, or settings contradict each other.
    """

    family: ClassVar[str]
    """What :meth:`to_dict` calls ``"task"``."""

    _kind: str | None = None
    _metric: str | None = None

    def __init__(
        self,
        entity_table: str,
        *,
        horizon: str | timedelta | None,
        val_time: Moment | None,
        test_time: Moment | None,
        num_eval_times: int,
        regime: str | None,
        fractions: Sequence[float] | None,
        split_column: str | None,
        hide: Sequence[str],
    ) -> None:
        text("entity_table", entity_table)
        if not isinstance(num_eval_times, int) or isinstance(num_eval_times, bool) or num_eval_times < 1:
            raise ProtocolError(f"num_eval_times: expected at least 1, a whole number, got {num_eval_times!r}")
        if regime is not None:
            one_of("regime", regime, get_args(Regime))
        self.entity_table = entity_table
        self.num_eval_times = num_eval_times
        self._horizon = None if horizon is None else parse_interval(horizon, "horizon")
        self._regime = regime
        self._val_time = None if val_time is None else to_moment(val_time, "val_time")
        self._test_time = None if test_time is None else to_moment(test_time, "test_time")
        self._fractions = None if fractions is None else _checked_fractions(fractions)
        self.split_column = split_column
        self.hide = _checked_columns(hide)
        if regime == "static":
            given = {"horizon": horizon, "val_time": val_time, "test_time": test_time}
            odd = [f"{name}={value!r}" for name, value in given.items() if value is not None]
            if odd:
                raise ProtocolError(f"a static task has no time, but got {', '.join(odd)}; leave that out")
        elif regime is not None and (fractions is not None or split_column is not None):
            raise ProtocolError(
                "fractions and split_column split a task without time; this one is split by val_time and test_time"
            )
        if self._val_time is not None and self._test_time is not None and self._val_time >= self._test_time:
            raise ProtocolError(
                f"val_time must be before test_time, got {format_time(self._val_time)} "
                f"and {format_time(self._test_time)}"
            )

    @property
    def fractions(self) -> tuple[float, float, float]:
        """Shares of train, val and test of a task without time."""
        return _FRACTIONS if self._fractions is None else self._fractions

    @property
    def regime(self) -> Regime:
        """What a test row may see.

        Raises:
            ProtocolError: If it depends on the database and :meth:`with_times` was not called.
        """
        regime: Any = self._required("regime", self._regime)
        return cast("Regime", regime)

    @property
    def kind(self) -> str:
        """What a label is: ``"binary"``, ``"regression"``, ``"multiclass"``, ``"multilabel"`` or ``"link"``.

        Raises:
            ProtocolError: If it depends on the database and :meth:`with_times` was not called.
        """
        return self._required("kind", self._kind)

    @property
    def metric(self) -> str:
        """What training is steered by, a name that :meth:`metrics` gives."""
        return self._required("metric", self._metric)

    @property
    def horizon(self) -> int:
        """Length of the label window in microseconds.

        Raises:
            ProtocolError: If the task has none.
        """
        if self._horizon is None:
            raise ProtocolError(f"{type(self).__name__} about {self.entity_table!r} has no label window")
        return self._horizon

    @property
    def val_time(self) -> int | None:
        """Where training labels end, int64 microseconds; ``None`` for a task without time.

        Raises:
            ProtocolError: If it was not given and :meth:`with_times` was not called.
        """
        return None if self._regime == "static" else self._required("val_time", self._val_time)

    @property
    def test_time(self) -> int | None:
        """Where the test begins, int64 microseconds; ``None`` for a task without time.

        Raises:
            ProtocolError: If it was not given and :meth:`with_times` was not called.
        """
        return None if self._regime == "static" else self._required("test_time", self._test_time)

    @property
    def moments(self) -> tuple[int, int]:
        """``val_time`` and ``test_time`` of a task that has them.

        Raises:
            ProtocolError: If the task has no time, or they are not set.
        """
        if self._regime == "static":
            raise ProtocolError(f"{self!r} has no time, so it has neither val_time nor test_time")
        return self._required("val_time", self._val_time), self._required("test_time", self._test_time)

    @property
    def mode(self) -> Literal["min", "max"]:
        """Whether less or more of the metric is better."""
        return "min" if self.metric in LOWER_IS_BETTER else "max"

    @property
    def until(self) -> int | None:
        """The latest moment that any row may see: ``test_time`` in the frozen regime, else ``None``."""
        return self.test_time if self.regime == "frozen" else None

    @property
    def hidden(self) -> tuple[str, ...]:
        """Columns, as ``"table.column"``, that features must not show: ``build_graph(db, hide=task.hidden)``."""
        return self.hide

    def with_times(self, db: Database, progress: bool = True) -> Self:
        """The task with the times that were not given: the 80 % and 90 % quantiles of the database's row times.

        Args:
            db: The database.
            progress: Say on stderr which times were chosen.

        Raises:
            ProtocolError: If no table of the database has a time, or the times leave no room between them.
        """
        if self._regime == "static" or (self._val_time is not None and self._test_time is not None):
            return self
        return self._with_quantiles(time_quantiles(db, (0.8, 0.9)), "all row times", progress)

    def times(self, db: Database, split: Split) -> Tensor:
        """The seed times of a split, ascending, int64 microseconds; may be empty.

        Raises:
            ProtocolError: If the split is unknown, the task has no label window, or its times are not set.
        """
        one_of("split", split, get_args(Split))
        val_time, test_time = self.moments
        first, last = time_quantiles(db, (0.0, 1.0))
        if split == "train":
            count = max((val_time - first) // self.horizon, 0)
            if count > _MAX_TIMES:
                raise ProtocolError(
                    f"a horizon of {format_interval(self.horizon)} makes {count:,} training times between "
                    f"{format_time(first)} and {format_time(val_time)}, more than {_MAX_TIMES:,}; "
                    "choose a longer horizon"
                )
            return val_time - self.horizon * torch.arange(count, 0, -1)
        start, end = (val_time, test_time) if split == "val" else (test_time, last)
        count = min(max((end - start) // self.horizon, 0), self.num_eval_times)
        return start + self.horizon * torch.arange(count)

    @abstractmethod
    def seeds(self, db: Database, split: Split) -> Seeds | LinkSeeds:
        """The rows of a split, ordered by time and row number."""

    @abstractmethod
    def metrics(self, label: Any, prediction: Any) -> dict[str, float]:
        """Every metric of the task's kind, by name."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The task as plain JSON values; :func:`relgraph.tasks.task_from_dict` is the inverse."""

    def require_sound(self, graph: HeteroGraph, left_out: Sequence[str] = (), what: str = "the graph") -> None:
        """Refuse a graph that shows what the task hides, or whose statistics saw rows of validation and test.

        Args:
            graph: What a model reads.
            left_out: Columns of it, as ``"table.column"``, that the model does not read.
            what: What messages call it.

        Raises:
            LeakageError: If it does; the message says how to build it.
        """
        self.require_hidden(graph, left_out, what)
        until, val_time = graph.fit_until, self.val_time
        timed = any(store.time is not None for store in graph.nodes.values())
        if val_time is None or (not timed if until is None else until <= val_time):
            return
        seen = "all rows, whatever their time" if until is None else f"rows up to {format_time(until)}"
        raise LeakageError(
            f"the column statistics of {what} saw {seen}, but validation begins at {format_time(val_time)}; "
            "build the graph with build_graph(db, fit_until=task.val_time)"
        )

    def require_hidden(self, graph: HeteroGraph, left_out: Sequence[str] = (), what: str = "the graph") -> None:
        """The part of :meth:`require_sound` that is about :attr:`hidden`; arguments and errors are its own."""
        tables = {
            name: store.features.column_names for name, store in graph.nodes.items() if store.features is not None
        }
        there = {f"{table}.{column}" for table, columns in tables.items() for column in columns}
        shown = [name for name in self.hidden if name in there and name not in left_out]
        if shown:
            raise LeakageError(
                f"{what} shows {', '.join(shown)}, from which the label of {self!r} can be told; "
                "build the graph with build_graph(db, hide=task.hidden)"
            )

    def _with(self, changes: Mapping[str, Any]) -> Self:
        """The same task with other settings."""
        settings = {**self.to_dict(), **changes}
        settings.pop("task")
        return type(self)(**settings)

    def _with_quantiles(self, found: Sequence[int], what: str, progress: bool) -> Self:
        val = found[0] if self._val_time is None else self._val_time
        test = found[1] if self._test_time is None else self._test_time
        task = self._with({"val_time": val, "test_time": test})
        if progress:
            sys.stderr.write(
                f"val_time {format_time(val)}, test_time {format_time(test)} "
                f"(where not given: the 80 % and 90 % quantiles of {what})\n"
            )
        return task

    def _asked(self, db: Database, split: Split) -> list[int] | None:
        """The seed times of a split, at least one; ``None`` without time."""
        one_of("split", split, get_args(Split))
        if self._regime == "static":
            return None
        times: list[int] = self.times(db, split).tolist()
        if not times:
            name, moments = self._where(split)
            first, last = time_quantiles(db, (0.0, 1.0))
            latest = [format_time(last - n * self.horizon) for n in (2, 1)]
            fitting = (
                f" such as val_time={latest[0]!r}, test_time={latest[1]!r}" if last - 3 * self.horizon > first else ""
            )
            raise ProtocolError(
                f"{name} has no seed time: no label window of {format_interval(self.horizon)} fits ({moments}, rows "
                f"from {format_time(first)} to {format_time(last)}); choose a shorter horizon or other times{fitting}"
            )
        return times

    def _visible(self, db: Database, split: Split) -> Database:
        """What labels of a split may see: of train and val nothing after the test time."""
        return db if split == "test" or self._regime == "static" else db.upto(self.moments[1])

    def _common(self) -> dict[str, Any]:
        """The settings that every task has."""
        return {
            "task": self.family,
            "entity_table": self.entity_table,
            "val_time": self._val_time,
            "test_time": self._test_time,
            "regime": self._regime,
            "fractions": None if self._fractions is None else list(self._fractions),
            "hide": list(self.hide),
        }

    def _horizon_text(self) -> str | None:
        return None if self._horizon is None else f"{self._horizon / 1_000_000:.6f} s"

    def _where(self, split: str) -> tuple[str, str]:
        """What messages call a split, and what they say of its times."""
        if self._regime == "static":
            return f"split {split!r}", "without time"
        times = f"val_time {self._shown(self._val_time)}, test_time {self._shown(self._test_time)}"
        return f"split {split!r}", times

    def _when(self) -> str:
        """The times for ``repr``."""
        if self._regime == "static":
            return "static"
        moments = f"val_time {self._shown(self._val_time)}, test_time {self._shown(self._test_time)}"
        return moments if self._horizon is None else f"horizon {format_interval(self._horizon)}, {moments}"

    @staticmethod
    def _shown(time: int | None) -> str:
        return "not set" if time is None else format_time(time)

    def _required(self, name: str, value: _T | None) -> _T:
        if value is None:
            raise ProtocolError(
                f"{name} of the task is not set: give it, or take what the data says with task = task.with_times(db)"
            )
        return value


def one_of(what: str, value: object, known: Sequence[str]) -> None:
    """Check a choice.

    Raises:
        ProtocolError: If it is none of those known.
    """
    if value not in known:
        raise ProtocolError(f"{what}: expected one of {', '.join(known)}, got {value!r}")


def text(what: str, value: object) -> None:
    """Check that something is text.

    Raises:
        ProtocolError: If it is not.
    """
    if not isinstance(value, str):
        raise ProtocolError(f"{what}: expected text, got {value!r}")


def window_regime(horizon: object, regime: str | None) -> str:
    """The regime of a task that has a label window unless it is static.

    Raises:
        ProtocolError: If both contradict each other.
    """
    if regime is None:
        return "static" if horizon is None else "seed-time"
    if horizon is None and regime != "static":
        raise ProtocolError(f"regime: a task without a horizon is 'static', got {regime!r}; give horizon=")
    return regime


def _checked_fractions(fractions: Sequence[float]) -> tuple[float, float, float]:
    shares = tuple(float(share) for share in fractions if isinstance(share, int | float))
    if len(shares) != 3 or len(fractions) != 3 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        raise ProtocolError(f"fractions: expected shares of train, val and test, adding up to 1; got {fractions!r}")
    return shares[0], shares[1], shares[2]


def _checked_columns(names: Sequence[str]) -> tuple[str, ...]:
    columns = (names,) if isinstance(names, str) else tuple(names)
    for name in columns:
        if not isinstance(name, str) or not all(name.rpartition(".")):
            raise ProtocolError(f"hide: expected columns such as 'table.column', got {name!r}")
    return columns
