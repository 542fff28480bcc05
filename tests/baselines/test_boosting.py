"""Gradient boosting: learns a rule of every kind, chooses on validation, says what is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from relgraph.baselines import boosting
from relgraph.baselines.boosting import Boosted, Rows, fit_boosting
from relgraph.errors import BackendError, ProtocolError

ENGINES = ["lightgbm", "sklearn"]


def rows(kind: str, size: int, seed: int) -> Rows:
    random = np.random.default_rng(seed)
    x = np.stack([random.normal(size=size), random.integers(0, 4, size)], axis=1).astype(np.float64)
    x[random.random(size) < 0.05, 0] = np.nan
    label = np.where(x[:, 1] == 2, 2, np.nan_to_num(x[:, 0]) > 0).astype(np.float64)
    if kind == "binary":
        return Rows(x, (label == 2).astype(np.float64))
    if kind == "multilabel":
        return Rows(x, np.stack([label == 2, label == 1], axis=1).astype(np.float64))
    return Rows(x, label)


def closeness(kind: str, y: Any) -> Any:
    def score(prediction: np.ndarray) -> float:
        if kind == "multiclass":
            return float((prediction.argmax(1) == y).mean())
        return -float(np.abs(prediction - y).mean())

    return score


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["binary", "regression", "multiclass", "multilabel"])
def test_learns_a_rule(kind: str, engine: Any) -> None:
    if engine == "lightgbm":
        pytest.importorskip("lightgbm")
    train, val, test = (rows(kind, size, i) for i, size in enumerate((600, 200, 200)))
    given: dict[str, Any] = {"categorical": [1], "classes": 3, "threads": 1, "engine": engine}
    search = ({}, {"num_leaves": 4})
    model = fit_boosting(kind, train, val, closeness(kind, val.y), search=search, seeds=(0, 1), **given)
    found = model.predict(test.x)
    if kind == "multiclass":
        assert found.shape == (200, 3)
        np.testing.assert_allclose(found.sum(1), 1)
        assert closeness(kind, test.y)(found) > 0.95
    else:
        assert found.shape == test.y.shape
        assert -closeness(kind, test.y)(found) < 0.1
    assert model.options == max(model.tried, key=lambda pair: pair[1])[0]
    assert len(model.tried) == 2
    again = fit_boosting(kind, train, val, closeness(kind, val.y), search=search, seeds=(0, 1), **given)
    np.testing.assert_array_equal(again.predict(test.x), found)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_absolute_error_asks_for_the_median(engine: Any) -> None:
    if engine == "lightgbm":
        pytest.importorskip("lightgbm")
    x = np.zeros((300, 1))
    y = np.r_[np.zeros(200), np.full(100, 30.0)]
    data = Rows(x, y)
    for metric, expected in (("mae", 0.0), ("rmse", 10.0)):
        model = fit_boosting(
            "regression", data, data, lambda _: 0.0, metric=metric, search=({},), engine=engine, threads=1
        )
        assert model.predict(x[:1])[0] == pytest.approx(expected, abs=1e-6)


def test_a_class_that_training_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boosting, "booster_name", lambda: "scikit-learn HistGradientBoosting")
    random = np.random.default_rng(0)
    train = Rows(random.normal(size=(100, 1)), random.integers(0, 2, 100) * 2)
    val = Rows(random.normal(size=(30, 1)), random.integers(0, 4, 30))
    model = fit_boosting("multiclass", train, val, lambda _: 0.0, classes=4, search=({},), threads=1)
    found = model.predict(val.x)
    assert found.shape == (30, 4)
    assert (found[:, [1, 3]] == 0).all()
    one = fit_boosting("binary", Rows(train.x, np.ones(100)), val, lambda _: 0.0, search=({},), threads=1)
    assert (one.predict(val.x) == 1).all()


def test_bagging_is_the_mean() -> None:
    model = Boosted("binary", [lambda x: np.full(len(x), 0.25), lambda x: np.full(len(x), 0.75)], {}, [])
    assert model.predict(np.zeros((2, 1))).tolist() == [0.5, 0.5]


def test_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    data = rows("binary", 30, 0)
    with pytest.raises(ProtocolError, match="0 configurations"):
        fit_boosting("binary", data, data, lambda _: 0.0, search=())
    with pytest.raises(ProtocolError, match="0 rows to train"):
        fit_boosting("binary", Rows(data.x[:0], data.y[:0]), data, lambda _: 0.0)
    monkeypatch.setattr(boosting, "booster_name", lambda: "scikit-learn HistGradientBoosting")
    with pytest.raises(BackendError, match=r"relgraph\[boosting\]"):
        fit_boosting("binary", data, data, lambda _: 0.0, engine="lightgbm")
