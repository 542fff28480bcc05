"""Backtests: what was known at an origin by brute force, lags, helpers, and linear models against their formula."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import relgraph
from relgraph.baselines.backtest import Backtest, TableModel
from relgraph.baselines.boosting import Rows
from relgraph.baselines.linear import fit_linear, leave_out, scaled, solve
from relgraph.baselines.origins import CLOCK, Columns, History
from relgraph.data.database import Database
from relgraph.data.graph import HeteroGraph
from relgraph.data.time import to_moment
from relgraph.errors import ProtocolError
from relgraph.tabular import RowFeatures
from relgraph.tasks import EntityTask

DAY = 86_400_000_000
VAL = to_moment("2020-07-01", "val_time")
SQL = """
SELECT t.timestamp, s.shop, {label} AS label FROM timestamps t
JOIN sale s ON s.at > t.timestamp AND s.at <= t.timestamp + {{horizon}} GROUP BY t.timestamp, s.shop"""
FEW = {"windows": (30,), "last": (1, 3), "max_columns": 12}


def task(regime: str = "frozen", label: str = "CAST(mean(s.amount) > 50 AS INT)", kind: str = "binary") -> EntityTask:
    return EntityTask(
        "shop",
        SQL.format(label=label),
        "10 days",
        kind,  # type: ignore[arg-type]
        val_time="2020-07-01",
        test_time="2020-10-01",
        num_eval_times=4,
        entity_column="shop",
        regime=regime,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def db() -> Iterator[Database]:
    rng = np.random.default_rng(0)
    shops, days = 30, 365
    level = rng.uniform(0, 100, shops)
    shop = np.tile(np.arange(shops), days // 5)
    at = np.repeat(pd.date_range("2020-01-01", periods=days // 5, freq="5D"), shops)
    amount = level[shop] + rng.normal(0, 5, len(shop))
    frames = {
        "shop": pd.DataFrame({"id": np.arange(shops), "size": rng.uniform(0, 1, shops)}),
        "sale": pd.DataFrame({"id": np.arange(len(shop)), "shop": shop, "at": at, "amount": amount}),
    }
    keys: dict[str, Any] = {"shop": "id", "sale": {"primary_key": "id", "foreign_keys": {"shop": "shop"}}}
    with relgraph.connect(frames, keys=keys, times={"sale": "at"}, progress=False) as found:
        yield found


@pytest.fixture(scope="module")
def graph(db: Database) -> HeteroGraph:
    return relgraph.build_graph(db, fit_until=task().val_time, text=None, progress=False)


class Spy:
    """Columns that tell which moment they were asked for."""

    names, categorical = ("moment",), ()

    def matrix(self, node: torch.Tensor, time: torch.Tensor | None) -> np.ndarray:
        assert time is not None
        return time.numpy().astype(np.float64)[:, None]

    def describe(self) -> dict[str, Any]:
        return {}


def test_training_rows_end_at_the_origin_and_lag_as_the_test_does(db: Database) -> None:
    asked = task()
    history = History(db, asked, Columns([Spy()]), copies=2, seed=0)
    assert history.span == 30 * DAY
    origin = VAL - 20 * DAY
    x, rows = history.train(origin, reach=None)
    time = torch.cat([asked.seeds(db, split).moments for split in ("train", "val")])
    expected = time[time + 10 * DAY <= origin]
    assert torch.equal(rows.time, expected.repeat(2))
    lag = (rows.time.numpy() - x[:, 0]) / DAY
    assert np.allclose(lag, x[:, 1])  # the first column of the clock
    assert set(lag.tolist()) == {0.0, 10.0, 20.0, 30.0}
    half = len(lag) // 2
    assert set(lag[:half].tolist()) == {0.0, 10.0}
    assert set(lag[half:].tolist()) == {20.0, 30.0}
    near, _ = history.train(origin, reach=20 / 365.2425)
    assert len(near) == 2 * int((expected >= origin - 20 * DAY).sum())
    with pytest.raises(ProtocolError, match="no training row"):
        history.train(int(time.min()), reach=None)


def test_no_row_lags_where_each_sees_its_own_past(db: Database) -> None:
    history = History(db, task("seed-time"), Columns([Spy()]), copies=5, seed=0)
    x, rows = history.train(VAL, reach=None)
    assert np.array_equal(x[:, 0], rows.time.numpy().astype(np.float64))
    assert len(torch.unique(torch.stack([rows.node, rows.time]), dim=1).T) == len(rows.time)


def test_the_level_is_the_mean_of_labels_whose_window_had_ended(db: Database) -> None:
    history = History(db, task(), Columns([Spy()]), copies=1, seed=0)
    known = history.rows
    seen = known.time[len(known.time) // 2 :] - 10 * DAY
    clock = history.clock(known.time[len(known.time) // 2 :], seen)
    assert clock.shape[1] == len(CLOCK)
    for moment, level in zip(seen.tolist()[::50], clock[::50, 4].tolist(), strict=True):
        ended = known.time + history.task.horizon
        mine = known.label[(ended <= moment) & (ended > moment - 365.2425 * DAY)]
        assert level == pytest.approx(float(mine.mean()))
    assert np.isnan(history.clock(known.time[:1], known.time[:1] - 400 * DAY)[0, 4])


def test_the_season_is_the_mean_of_windows_whole_years_before(db: Database) -> None:
    history = History(db, task(), Columns([Spy()]), copies=1, seed=0)
    known, horizon = history.rows, history.task.horizon
    time = known.time[-1:] + torch.tensor([300, 665]).mul(DAY)
    seen = known.time[-1:].repeat(2)
    for moment, level, years in zip(time.tolist(), history.clock(time, seen)[:, 5].tolist(), (1, 2), strict=True):
        middles = [moment - (years + more) * 365.2425 * DAY for more in range(3)]
        mine = torch.stack([(known.time - middle).abs() <= horizon / 2 for middle in middles]).any(0)
        assert bool((known.time[mine] + horizon <= seen[0]).all())
        assert level == pytest.approx(float(known.label[mine].mean()))


def test_a_ridge_without_a_fold_is_the_ridge_of_the_others() -> None:
    rng = np.random.default_rng(0)
    z, y, weight, fold = rng.normal(size=(90, 4)), rng.normal(size=90), rng.uniform(0.5, 2, 90), np.arange(90) % 3
    for number, answer in enumerate(leave_out(z, y, fold, 3, penalty=7.0, weight=weight)):
        rest = fold != number
        expected = solve("regression", z[rest], y[rest], penalty=7.0, weight=weight[rest])
        np.testing.assert_allclose(answer(z), expected(z))


@pytest.mark.slow
def test_questions_are_read_only_by_models_that_ask_for_them(db: Database, graph: HeteroGraph) -> None:
    helper = task(label="mean(s.shop)", kind="regression")
    backtest = Backtest(db, graph, task(), helpers=[helper], copies=1, aggregates=FEW)
    parts: tuple[Any, ...] = ("linear", "boosting", "forecasts")
    for part in parts:
        without, given = (backtest.predict(TableModel((part,), rounds=20, asked=asked), VAL) for asked in (False, True))
        assert not torch.equal(without, given)


@pytest.mark.slow
def test_a_frozen_origin_sees_nothing_later(db: Database, graph: HeteroGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, seen = task(), []
    backtest = Backtest(db, graph, asked, copies=1, aggregates=FEW)
    plain = Columns.matrix

    def watched(self: Columns, node: torch.Tensor, moment: torch.Tensor) -> np.ndarray:
        seen.append((len(node), int(moment.max())))
        return plain(self, node, moment)

    monkeypatch.setattr(Columns, "matrix", watched)
    for origin in (asked.val_time, asked.test_time):
        seen.clear()
        label = backtest.labels(origin)
        backtest.predict(TableModel(("linear",)), origin)
        assert (len(label), origin) in seen
    assert torch.equal(backtest.labels(asked.test_time), asked.seeds(db, "test").label)


@pytest.mark.slow
@pytest.mark.parametrize("regime", ["frozen", "seed-time"])
def test_all_parts_learn_what_is_there(db: Database, graph: HeteroGraph, regime: str) -> None:
    helper = task(regime, "mean(s.amount)", "regression")
    backtest = Backtest(db, graph, task(regime), helpers=[helper], copies=2, aggregates=FEW)
    for parts in (("linear",), ("boosting",), ("forecasts",), ("linear", "boosting", "forecasts")):
        model = TableModel(parts, penalty=1.0, rounds=20)
        assert backtest.score(model, task().val_time)["auroc"] > 0.95
        assert torch.equal(backtest.predict(model, task().val_time), backtest.predict(model, task().val_time))
    assert backtest.score(TableModel(("linear",), penalty=1.0), task().test_time)["auroc"] > 0.95
    amounts = Backtest(db, graph, helper, copies=1, aggregates=FEW)
    assert amounts.score(TableModel(penalty=1.0), "2020-06-01")["mae"] < 8


@pytest.mark.slow
def test_forecasts_of_training_rows_come_from_other_entities(db: Database, graph: HeteroGraph) -> None:
    asked = task("seed-time")
    helper = task("seed-time", "mean(s.shop)", "regression")  # a label that only its own entity's rows can tell
    backtest = Backtest(db, graph, asked, helpers=[helper], aggregates=FEW)
    at, model = VAL, TableModel(("forecasts",), penalty=1e-3)
    x, rows = backtest.history.train(at, None)
    few = backtest._asked(at)
    told, said = backtest._forecasts(
        model, at, x, rows.node, backtest.columns.matrix(few.node, few.time), few, few.time
    )
    z, known = backtest.helpers[0].train(at, None)
    fold = 1
    rest = (known.node % 4 != fold).numpy()
    expected = fit_linear(
        "regression",
        Rows(z[rest], known.label.numpy()[rest]),
        penalty=1e-3,
        weight=0.5 ** ((at - known.time.numpy()[rest]) / (365.2425 * DAY) / 10),
    )
    own = (rows.node % 4 == fold).numpy()
    assert np.corrcoef(told[own, 0], expected(z[own]))[0, 1] > 0.95
    assert said.shape == (len(few.node), 1)


def test_linear_models_solve_their_formula() -> None:
    rng = np.random.default_rng(1)
    z, weight = rng.normal(size=(60, 2)), rng.uniform(0.5, 2, 60)
    y = z @ [1.0, -2.0] + 3
    answer = solve("regression", z, y, penalty=5.0, weight=weight)
    centre = z - np.average(z, axis=0, weights=weight)
    target = y - np.average(y, weights=weight)
    w = np.linalg.solve(centre.T @ (weight[:, None] * centre) + 5 * np.eye(2), centre.T @ (weight * target))
    assert np.allclose(answer(np.eye(2)) - answer(np.zeros((2, 2))), w)
    label = (y > 3).astype(np.float64)
    odds = solve("binary", z, label, penalty=0.5, weight=weight)
    b = odds(np.zeros((1, 2)))[0]
    w = odds(np.eye(2)) - b
    residual = weight * (1 / (1 + np.exp(-(z @ w + b))) - label)
    assert np.allclose(z.T @ residual + 0.5 * w, 0, atol=1e-2)  # the gradient of the loss
    assert residual.sum() == pytest.approx(0, abs=1e-2)
    assert np.array_equal(solve("binary", z, np.ones(60), penalty=1.0)(z), np.zeros(60))
    assert scaled(np.zeros((3, 0)), []).shape == (3, 1)


def test_what_cannot_be_asked_is_said(db: Database, graph: HeteroGraph) -> None:
    asked = task()
    backtest = Backtest(db, graph, asked, copies=1, aggregates=FEW)
    with pytest.raises(ProtocolError, match="origin: expected"):
        backtest.score(TableModel(), VAL + DAY)
    with pytest.raises(ProtocolError, match="needs helpers"):
        backtest.score(TableModel(("forecasts",)), asked.val_time)
    with pytest.raises(ProtocolError, match="parts: expected"):
        backtest.score(TableModel(()), asked.val_time)
    with pytest.raises(ProtocolError, match="copies"):
        Backtest(db, graph, asked, copies=0)
    with pytest.raises(ProtocolError, match="helpers: expected the task's regime"):
        Backtest(db, graph, asked, helpers=[task("seed-time")])
    with pytest.raises(ProtocolError, match="multiclass"):
        Backtest(db, graph, task(kind="multiclass"))
    with pytest.raises(ProtocolError, match="penalty"):
        fit_linear("regression", Rows(np.ones((2, 1)), np.ones(2)), penalty=0)
    with pytest.raises(ProtocolError, match="rows to train"):
        fit_linear("regression", Rows(np.ones((0, 1)), np.ones(0)))
    with pytest.raises(ProtocolError, match="kind"):
        fit_linear("multiclass", Rows(np.ones((2, 1)), np.ones(2)))
    assert TableModel().to_dict()["parts"] == ["linear", "boosting"]
    assert len(RowFeatures(graph, "shop").names) == len(backtest.columns.sources[1].names)
