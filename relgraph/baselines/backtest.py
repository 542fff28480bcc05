"""A table model asked at earlier moments: trained on what was known then, scored on what came after, as the test is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relgraph.baselines.asked import ASKED, Asked
from relgraph.baselines.boosting import Rows
from relgraph.baselines.linear import fit_linear, fit_scales, leave_out, scaled, solve
from relgraph.baselines.origins import YEAR, Columns, History, Known
from relgraph.data.graph import HeteroGraph
from relgraph.data.time import format_time, to_moment
from relgraph.errors import BackendError, ProtocolError
from relgraph.tabular.aggregates import Aggregates
from relgraph.tabular.block import Matrix
from relgraph.tabular.row import RowFeatures
from relgraph.tasks.entity import EntityTask

if TYPE_CHECKING:
    from relgraph.data.database import Database

__all__ = ["Backtest", "TableModel"]

Part = Literal["linear", "boosting", "forecasts"]
_FOLDS = 4
_BOOSTING: Mapping[str, Any] = {
    "num_leaves": 8,
    "learning_rate": 0.04,
    "min_child_samples": 40,
    "feature_fraction": 0.2,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "max_bin": 63,
}


@dataclass(frozen=True)
class TableModel:
    """How a table model is trained.

    Args:
        parts: What is averaged, in log-odds for binary tasks: ``"linear"``, ``"boosting"``, ``"forecasts"`` (a linear
            model that sees the forecasts of the helpers and the clock only).
        penalty: Of the linear models with all columns.
        half_life: A training row this many years before the origin counts half; ``None``: all count alike.
        reach: Training rows older than so many years are left out; ``None``: none is.
        rounds: Trees of the boosting.
        options: Of LightGBM, over defaults for few rows.
        asked: Whether columns of the questions themselves are read (:class:`~relgraph.baselines.asked.Asked`).
    """

    parts: tuple[Part, ...] = ("linear", "boosting")
    penalty: float = 1000.0
    half_life: float | None = 10.0
    reach: float | None = None
    rounds: int = 150
    options: Mapping[str, Any] = field(default_factory=dict)
    asked: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON values."""
        return {**asdict(self), "parts": list(self.parts), "options": dict(self.options)}


class Backtest:
    """Rolling origins for a task with time (Tashman 2000, "Out-of-sample tests of forecasting accuracy").

    At an origin a model is trained on all seeds whose label window has ended by then, and asked about the seeds from
    then on, over as long a time as the test split covers. Origins up to ``val_time`` choose a model without the test;
    the origin ``test_time`` is the test itself, with the labels of train and val known, as they are at that moment.

    In the frozen regime the rows asked about see the database as it was at the origin, up to years before. Training
    rows are made like them: each comes ``copies`` times, and each copy sees the database as it was a while before its
    own seed time, a while drawn evenly from those of the test rows. A column says how long it is.

    Columns are :class:`~relgraph.tabular.Aggregates` and :class:`~relgraph.tabular.RowFeatures` as of what is seen,
    and of the clock (:data:`relgraph.baselines.origins.CLOCK`).

    Helpers are tasks about the same table whose labels are more plentiful or say more. Each gives a forecast of its
    own label for the rows of this task, a linear model trained on the other three quarters of the entities; boosting
    sees it as a column.

    Args:
        db: Where labels come from.
        graph: What columns come from; its statistics see nothing later than ``task.val_time``.
        task: The task, with its times.
        helpers: Tasks with the same entity table, times and regime.
        copies: Of each training row in the frozen regime.
        seed: Of the lags of the copies.
        aggregates: Settings of :class:`~relgraph.tabular.Aggregates`.

    Raises:
        ProtocolError: If a task is neither binary nor a regression, helpers do not fit, or there is no copy.
        LeakageError: If ``graph`` shows what a task hides, or its statistics saw rows later than ``task.val_time``.
    """

    def __init__(
        self,
        db: Database,
        graph: HeteroGraph,
        task: EntityTask,
        *,
        helpers: Sequence[EntityTask] = (),
        copies: int = 3,
        seed: int = 0,
        aggregates: Mapping[str, Any] | None = None,
    ) -> None:
        if copies < 1:
            raise ProtocolError(f"copies: expected at least 1, got {copies!r}")
        for one in (task, *helpers):
            _check(task, one)
        if task.val_time is None or task.test_time is None:
            raise ProtocolError("a backtest is for tasks with time, but this one is static")
        for one in (task, *helpers):
            one.require_sound(graph)
        self._times = task.val_time, task.test_time
        self.db, self.task = db, task
        sources = (
            Aggregates(graph, task.entity_table, **(aggregates or {})),
            RowFeatures(graph, task.entity_table),
        )
        self.columns = Columns(sources)
        self.history = History(db, task, self.columns, copies, seed)
        self.helpers = [History(db, helper, self.columns, copies, seed) for helper in helpers]
        test = task.seeds(db, "test")
        known = self.history.rows
        self.questions = Asked(torch.cat([known.node, test.node]), torch.cat([known.time, test.moments]))
        self._told: dict[tuple[Any, ...], tuple[Matrix, Matrix]] = {}
        self._said: dict[tuple[Any, ...], NDArray[np.float64]] = {}

    def labels(self, origin: Any) -> Tensor:
        """The labels of the seeds asked about at an origin, float64 ``[n]``."""
        return self._asked(self._origin(origin)).label

    def predict(self, model: TableModel, origin: Any, seed: int = 0) -> Tensor:
        """Train at an origin and predict what is asked there.

        Args:
            model: How to train.
            origin: A moment up to ``task.val_time``, or ``task.test_time``.
            seed: Of the boosting.

        Returns:
            Probabilities or values, float64 ``[n]``, in the order of :meth:`labels`.

        Raises:
            ProtocolError: If the origin is another, nothing can be learned or is asked there, or the model has a part
                that is unknown or needs helpers.
            BackendError: If boosting is asked for and LightGBM is not installed.
        """
        at = self._origin(origin)
        self._check_parts(model)
        mean = np.mean([self._part(part, model, at, seed) for part in model.parts], axis=0)
        return torch.from_numpy(1 / (1 + np.exp(-mean)) if self.task.kind == "binary" else mean)

    def score(self, model: TableModel, origin: Any, seed: int = 0) -> dict[str, float]:
        """The task's metrics at an origin; see :meth:`predict`."""
        return self.task.metrics(self.labels(origin), self.predict(model, origin, seed))

    def _part(self, part: Part, model: TableModel, at: int, seed: int) -> NDArray[np.float64]:
        """What one part says of the rows asked about: values or log-odds; parts that models share are trained once."""
        key: tuple[Any, ...] = (part, at, model.penalty, model.half_life, model.reach, model.asked)
        if part == "boosting":
            key = (*key, model.rounds, repr(sorted(model.options.items())), seed)
        if key not in self._said:
            self._said[key] = self._train_part(part, model, at, seed)
        return self._said[key]

    def _train_part(self, part: Part, model: TableModel, at: int, seed: int) -> NDArray[np.float64]:
        x, rows = self.history.train(at, model.reach)
        asked = self._asked(at)
        seen = asked.time.clamp(max=at) if self.task.regime == "frozen" else asked.time
        base, clock = self.columns.matrix(asked.node, seen), self.history.clock(asked.time, seen)
        if model.asked:
            x = np.concatenate([x, self.questions.matrix(rows.node, rows.time)], axis=1)
            clock = np.concatenate([clock, self.questions.matrix(asked.node, asked.time)], axis=1)
        weight, y = _weight(model, at, rows), rows.label.numpy()
        if part == "linear":
            categorical = self.columns.categorical
            linear = fit_linear(
                self.task.kind, Rows(x, y), penalty=model.penalty, weight=weight, categorical=categorical
            )
            return linear(np.concatenate([base, clock], axis=1))
        told, said = self._forecasts(model, at, x, rows.node, base, asked, seen)
        if part == "boosting":
            boosted = self._boosted(model, np.concatenate([x, told], axis=1), y, weight, seed)
            return boosted(np.concatenate([base, clock, said], axis=1))
        own = Rows(np.concatenate([told, x[:, base.shape[1] :]], axis=1), y)
        stacked = fit_linear(self.task.kind, own, penalty=1.0, weight=weight)
        return stacked(np.concatenate([said, clock], axis=1))

    def _origin(self, origin: Any) -> int:
        at = to_moment(origin, "origin")
        val, test = self._times
        if at > val and at != test:
            raise ProtocolError(
                f"origin: expected a moment up to val_time ({format_time(val)}) or test_time ({format_time(test)}), "
                f"got {format_time(at)}"
            )
        return at

    def _check_parts(self, model: TableModel) -> None:
        odd = [part for part in model.parts if part not in ("linear", "boosting", "forecasts")]
        if odd or not model.parts:
            raise ProtocolError(f"parts: expected some of linear, boosting and forecasts, got {model.parts!r}")
        if "forecasts" in model.parts and not self.helpers:
            raise ProtocolError("the part 'forecasts' needs helpers: give helpers= to Backtest")

    def _asked(self, at: int) -> Known:
        rows = self.history.rows
        if at == self.task.test_time:
            seeds = self.task.seeds(self.db, "test")
            rows = Known(seeds.node, seeds.moments, seeds.label.double())
        some = (rows.time >= at) & (rows.time <= at + self.history.span)
        if not bool(some.any()):
            raise ProtocolError(f"no seed of the task lies in the time from the origin {format_time(at)} on")
        return rows[some]

    def _forecasts(
        self, model: TableModel, at: int, x: Matrix, node: Tensor, base: Matrix, asked: Known, seen: Tensor
    ) -> tuple[Matrix, Matrix]:
        """What helpers say of training rows, by models of other entities, and of rows asked about, by all of these."""
        key = (at, model.penalty, model.half_life, model.reach, model.asked)
        if key in self._told:
            return self._told[key]
        told, said = np.zeros((len(x), len(self.helpers))), np.zeros((len(base), len(self.helpers)))
        width = base.shape[1]
        for place, helper in enumerate(self.helpers):
            z, rows = helper.train(at, model.reach)
            mine = np.concatenate([x[:, :width], self._helper_clock(helper, x[:, width:])], axis=1)
            there = np.concatenate([base, helper.clock(asked.time, seen)], axis=1)
            if model.asked:
                z = np.concatenate([z, self.questions.matrix(rows.node, rows.time)], axis=1)
                mine = np.concatenate([mine, x[:, -len(ASKED) :]], axis=1)
                there = np.concatenate([there, self.questions.matrix(asked.node, asked.time)], axis=1)
            scales = fit_scales(z, self.columns.categorical)
            mine, there = scaled(mine, scales), scaled(there, scales)
            for fold, forecast in enumerate(_forecasters(helper.task.kind, scaled(z, scales), rows, model, at)):
                own = (node % _FOLDS == fold).numpy()
                told[own, place] = forecast(mine[own])
                said[:, place] += forecast(there) / _FOLDS
        self._told[key] = told, said
        return told, said

    def _helper_clock(self, helper: History, clock: Matrix) -> Matrix:
        """The clock of training rows with the level of the helper's labels."""
        time = np.round(clock[:, 3] * YEAR).astype(np.int64)
        seen = time - np.round(clock[:, 0] * 86_400_000_000).astype(np.int64)
        return helper.clock(torch.from_numpy(time), torch.from_numpy(seen))

    def _boosted(
        self, model: TableModel, x: Matrix, y: NDArray[np.float64], weight: NDArray[np.float64], seed: int
    ) -> Callable[[Matrix], Matrix]:
        try:
            import lightgbm
        except ImportError as error:
            raise BackendError("LightGBM is not installed; pip install 'relgraph[boosting]'") from error
        absolute = "regression_l1" if self.task.metric == "mae" else "regression"
        settings = {
            **_BOOSTING,
            **model.options,
            "objective": "binary" if self.task.kind == "binary" else absolute,
            "num_threads": torch.get_num_threads(),
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }
        booster = lightgbm.train(settings, lightgbm.Dataset(x, y, weight=weight), model.rounds)
        return lambda z: np.asarray(booster.predict(z, raw_score=True), dtype=np.float64)


def _forecasters(kind: str, z: Matrix, rows: Known, model: TableModel, at: int) -> list[Callable[[Matrix], Matrix]]:
    """A linear model per fold of entities, trained on the others."""
    weight, y, fold = _weight(model, at, rows), rows.label.numpy(), (rows.node % _FOLDS).numpy()
    if kind == "regression":
        return leave_out(z, y, fold, _FOLDS, penalty=model.penalty, weight=weight)
    rest = [fold != number for number in range(_FOLDS)]
    return [solve(kind, z[r], y[r], penalty=model.penalty, weight=weight[r]) for r in rest]


def _weight(model: TableModel, at: int, rows: Known) -> NDArray[np.float64]:
    age = (at - rows.time.numpy()) / YEAR
    return np.ones(len(age)) if model.half_life is None else 0.5 ** (age / model.half_life)


def _check(task: EntityTask, one: EntityTask) -> None:
    if one.kind not in ("binary", "regression"):
        raise ProtocolError(f"a backtest is for 'binary' and 'regression' tasks, got kind {one.kind!r}")
    for name in ("entity_table", "val_time", "test_time", "regime"):
        if getattr(one, name) != getattr(task, name):
            raise ProtocolError(
                f"helpers: expected the task's {name}, {getattr(task, name)!r}, got {getattr(one, name)!r}"
            )
