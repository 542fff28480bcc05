"""Gradient boosting on columns, stopped early and tuned on validation: LightGBM, or scikit-learn where it is absent."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from relgraph.errors import BackendError, ProtocolError
from relgraph.tabular.block import Matrix

__all__ = ["SEARCH", "Boosted", "Rows", "booster_name", "fit_boosting"]

Engine = Literal["auto", "lightgbm", "sklearn"]
_ROUNDS, _PATIENCE = 600, 50

SEARCH: tuple[Mapping[str, Any], ...] = (
    {},
    {"num_leaves": 7, "min_child_samples": 40, "learning_rate": 0.03},
    {"num_leaves": 15, "feature_fraction": 0.3, "bagging_fraction": 0.7, "bagging_freq": 1, "lambda_l2": 5.0},
    {"num_leaves": 63, "feature_fraction": 0.6, "lambda_l2": 20.0, "learning_rate": 0.03},
)
"""What is tried on validation, over LightGBM's names; the last one matters on much data, the second on little."""

_BASE: Mapping[str, Any] = {"learning_rate": 0.05, "num_leaves": 31, "min_child_samples": 20}
_METRICS = {
    "auroc": "auc",
    "average_precision": "average_precision",
    "mae": "l1",
    "rmse": "l2",
    "r2": "l2",
}


@dataclass(frozen=True, eq=False)
class Rows:
    """Columns and labels of a split.

    Args:
        x: float64 ``[n, F]``, NaN where there is no value.
        y: ``[n]``, or ``[n, labels]``.
    """

    x: Matrix
    y: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Boosted:
    """Trained boosters whose predictions are averaged.

    Args:
        kind: Of the task.
        models: One per seed; for several labels one list of such per label.
        options: The configuration that validation chose.
        tried: Every configuration with its score on validation.
        classes: How many columns a prediction of classes has.
    """

    kind: str
    models: list[Any]
    options: Mapping[str, Any]
    tried: list[tuple[Mapping[str, Any], float]]
    classes: int = 0

    def predict(self, x: Matrix) -> Matrix:
        """Probability of 1, value, or a probability per class or label: ``[n]`` or ``[n, columns]``."""
        if self.kind == "multilabel":
            return np.stack([_mean(models, x) for models in self.models], axis=1)
        return _mean(self.models, x)


def booster_name() -> str:
    """``"LightGBM"`` where it is installed, else scikit-learn's implementation of the same method."""
    return "LightGBM" if importlib.util.find_spec("lightgbm") else "scikit-learn HistGradientBoosting"


def fit_boosting(
    kind: str,
    train: Rows,
    val: Rows,
    score: Callable[[Matrix], float],
    *,
    metric: str | None = None,
    categorical: Sequence[int] = (),
    classes: int = 0,
    search: Sequence[Mapping[str, Any]] = SEARCH,
    seeds: Sequence[int] = (0,),
    threads: int | None = None,
    engine: Engine = "auto",
) -> Boosted:
    """Try configurations on validation, keep the best, and train it for every seed.

    Rounds end where validation has not become better for 50 of them.

    Args:
        kind: ``"binary"``, ``"multiclass"``, ``"multilabel"`` or ``"regression"``.
        train: What is learned from.
        val: What stops and chooses.
        score: The task's metric of predictions for ``val``; more is better.
        metric: The task's metric by name: what validation watches, and ``mae`` makes a regression on the absolute
            error, others on the squared one.
        categorical: Columns that hold codes.
        classes: How many classes there are.
        search: Configurations over LightGBM's names; scikit-learn takes what it knows of them.
        seeds: Of the boosters whose predictions are averaged.
        threads: All of torch's by default.
        engine: ``"auto"`` takes LightGBM if it is there.

    Returns:
        The trained boosters.

    Raises:
        BackendError: If LightGBM is asked for and not installed.
        ProtocolError: If there is nothing to try or no seed, or a split has no rows.
    """
    if engine == "auto":
        engine = "lightgbm" if booster_name() == "LightGBM" else "sklearn"
    if engine == "lightgbm" and booster_name() != "LightGBM":
        raise BackendError("LightGBM is not installed; pip install 'relgraph[boosting]', or take engine='sklearn'")
    if not isinstance(search, Sequence) or not all(isinstance(options, Mapping) for options in search):
        raise ProtocolError(f"search: expected a list of configurations such as [{{'num_leaves': 31}}], got {search!r}")
    if not search or not seeds or not len(train.x) or not len(val.x):
        raise ProtocolError(
            f"boosting needs configurations, seeds and rows; got {len(search)} configurations, {len(seeds)} seeds, "
            f"{len(train.x)} rows to train and {len(val.x)} to validate"
        )
    fit = _lightgbm if engine == "lightgbm" else _histogram
    fixed: dict[str, Any] = {"metric": metric, "categorical": tuple(categorical), "classes": classes}
    fixed["threads"] = threads or torch.get_num_threads()

    def trained(options: Mapping[str, Any], seed: int) -> list[Any]:
        if kind != "multilabel":
            return [fit(kind, train, val, options, seed, **fixed)]
        labels = range(train.y.shape[1])
        parts = [(Rows(train.x, train.y[:, i]), Rows(val.x, val.y[:, i])) for i in labels]
        return [[fit("binary", own, other, options, seed, **fixed)] for own, other in parts]

    best: list[Any] = []
    tried: list[tuple[Mapping[str, Any], float]] = []
    for options in search:
        models = trained(options, seeds[0])
        found = score(Boosted(kind, models, options, [], classes).predict(val.x))
        if not tried or found > max(value for _, value in tried):
            best = models
        tried.append((dict(options), found))
    chosen = max(tried, key=lambda pair: pair[1])[0]
    for seed in seeds[1:]:
        more = trained(chosen, seed)
        best = [a + b for a, b in zip(best, more, strict=True)] if kind == "multilabel" else best + more
    return Boosted(kind, best, chosen, tried, classes)


def _mean(models: Sequence[Callable[[Matrix], Matrix]], x: Matrix) -> Matrix:
    found: Matrix = np.mean([model(x) for model in models], axis=0)
    return found


def _lightgbm(
    kind: str,
    train: Rows,
    val: Rows,
    options: Mapping[str, Any],
    seed: int,
    *,
    metric: str | None,
    categorical: tuple[int, ...],
    classes: int,
    threads: int,
) -> Callable[[Matrix], Matrix]:
    import lightgbm

    regression = "regression_l1" if metric == "mae" else "regression"
    settings = {
        **_BASE,
        **options,
        "objective": {"binary": "binary", "multiclass": "multiclass", "regression": regression}[kind],
        "num_threads": threads,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    if kind == "multiclass":
        settings["num_class"] = classes
    watched = _METRICS.get(metric or "")
    if watched is not None and len(np.unique(val.y)) > 1:
        settings["metric"] = watched
    data = lightgbm.Dataset(train.x, train.y, categorical_feature=list(categorical), free_raw_data=False)
    stop = lightgbm.early_stopping(_PATIENCE, verbose=False)
    valid = lightgbm.Dataset(val.x, val.y, reference=data)
    model = lightgbm.train(settings, data, _ROUNDS, [valid], callbacks=[stop])
    return lambda x: np.asarray(model.predict(x, num_threads=threads), dtype=np.float64)


def _histogram(
    kind: str,
    train: Rows,
    val: Rows,
    options: Mapping[str, Any],
    seed: int,
    *,
    metric: str | None,
    categorical: tuple[int, ...],
    classes: int,
    threads: int,
) -> Callable[[Matrix], Matrix]:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    given = {**_BASE, **options}
    # a column without any value is refused by its binning of codes
    few = [i for i in categorical if np.isfinite(train.x[:, i]).any() and np.nanmax(train.x[:, i]) < 255]
    settings = {
        "max_iter": _ROUNDS,
        "n_iter_no_change": _PATIENCE,
        "early_stopping": True,
        "random_state": seed,
        "learning_rate": given["learning_rate"],
        "max_leaf_nodes": given["num_leaves"],
        "min_samples_leaf": given["min_child_samples"],
        "l2_regularization": given.get("lambda_l2", 0.0),
        "max_features": given.get("feature_fraction", 1.0),
        "categorical_features": few or None,
    }
    model: Any
    if kind == "regression":
        loss = "absolute_error" if metric == "mae" else "squared_error"
        model = HistGradientBoostingRegressor(loss=loss, **settings)
        model.fit(train.x, train.y, X_val=val.x, y_val=val.y)
        return lambda x: np.asarray(model.predict(x), dtype=np.float64)
    seen = np.unique(train.y)
    if len(seen) == 1:  # nothing to tell apart
        return lambda x: _only(kind, int(seen[0]), len(x), classes)
    known = np.isin(val.y, seen)
    model = HistGradientBoostingClassifier(**settings)
    model.fit(train.x, train.y, X_val=val.x[known], y_val=val.y[known])

    def predict(x: Matrix) -> Matrix:
        found = np.asarray(model.predict_proba(x), dtype=np.float64)
        if kind == "binary":
            return found[:, 1]
        out = np.zeros((len(x), classes))  # a class that training lacks has no column of its own
        out[:, model.classes_.astype(int)] = found
        return out

    return predict


def _only(kind: str, value: int, size: int, classes: int) -> Matrix:
    return np.full(size, float(value)) if kind == "binary" else np.tile(np.eye(classes)[value], (size, 1))
