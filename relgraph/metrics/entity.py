"""Metrics of entity predictions: scikit-learn's, with our checks in front."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relgraph.errors import ProtocolError, ShapeError
from relgraph.metrics.checks import binary_pair, pair
from relgraph.metrics.multilabel import multilabel_metrics

__all__ = [
    "ENTITY_METRICS",
    "LOWER_IS_BETTER",
    "accuracy",
    "auroc",
    "average_precision",
    "entity_metrics",
    "log_loss",
    "macro_f1",
    "mae",
    "r2",
    "rmse",
]

ENTITY_METRICS: dict[str, tuple[str, ...]] = {
    "binary": ("auroc", "average_precision", "accuracy"),
    "regression": ("mae", "rmse", "r2"),
    "multiclass": ("accuracy", "macro_f1", "log_loss"),
    "multilabel": ("macro_auroc", "macro_average_precision", "micro_f1"),
}
"""The metrics of each kind of task; the first is the usual one to steer by."""

LOWER_IS_BETTER = frozenset({"mae", "rmse", "log_loss"})


def auroc(label: ArrayLike, score: ArrayLike) -> float:
    """Area under the ROC curve: how often a positive scores above a negative, ties counting one half.

    Args:
        label: 0 or 1, ``[n]``, both present.
        score: Larger is more positive, ``[n]``.

    Raises:
        ProtocolError: If there are no rows, one class only, or values that are not finite.
        ShapeError: If the shapes differ or a label is neither 0 nor 1.
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(*binary_pair(label, score, "auroc")))


def average_precision(label: ArrayLike, score: ArrayLike) -> float:
    """Precision at every positive, averaged by the recall it adds.

    Args:
        label: 0 or 1, ``[n]``, both present.
        score: Larger is more positive, ``[n]``.

    Raises:
        ProtocolError: If there are no rows, one class only, or values that are not finite.
        ShapeError: If the shapes differ or a label is neither 0 nor 1.
    """
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(*binary_pair(label, score, "average_precision")))


def accuracy(label: ArrayLike, predicted: ArrayLike) -> float:
    """Share of rows whose predicted class is right.

    Args:
        label: Class numbers, ``[n]``.
        predicted: Class numbers, ``[n]``.

    Raises:
        ProtocolError: If there are no rows or values that are not finite.
        ShapeError: If the shapes differ.
    """
    label, predicted = pair(label, predicted)
    return float((label == predicted).mean())


def macro_f1(label: ArrayLike, predicted: ArrayLike) -> float:
    """F1 of every class that occurs, averaged with equal weight.

    Args:
        label: Class numbers, ``[n]``.
        predicted: Class numbers, ``[n]``.

    Raises:
        ProtocolError: If there are no rows or values that are not finite.
        ShapeError: If the shapes differ.
    """
    from sklearn.metrics import f1_score

    return float(f1_score(*pair(label, predicted), average="macro", zero_division=0))


def log_loss(label: ArrayLike, probability: ArrayLike) -> float:
    """Mean negative logarithm of the probability given to the right class; a probability of 0 counts as 1e-12.

    Args:
        label: Class numbers from 0, ``[n]``.
        probability: Of every class, ``[n, classes]``.

    Raises:
        ProtocolError: If there are no rows or values that are not finite.
        ShapeError: If the shapes differ, or a label is outside its range.
    """
    probability = np.asarray(probability, dtype=np.float64)
    _classes(label, probability)
    label, probability = pair(label, probability[np.arange(len(probability)), np.asarray(label).astype(np.int64)])
    return float(-np.log(np.clip(probability, 1e-12, None)).mean())


def mae(label: ArrayLike, predicted: ArrayLike) -> float:
    """Mean absolute error, in the unit of the label.

    Args:
        label: ``[n]``.
        predicted: ``[n]``.

    Raises:
        ProtocolError: If there are no rows or values that are not finite.
        ShapeError: If the shapes differ.
    """
    label, predicted = pair(label, predicted)
    return float(np.abs(label - predicted).mean())


def rmse(label: ArrayLike, predicted: ArrayLike) -> float:
    """Root of the mean squared error, in the unit of the label.

    Args:
        label: ``[n]``.
        predicted: ``[n]``.

    Raises:
        ProtocolError: If there are no rows or values that are not finite.
        ShapeError: If the shapes differ.
    """
    label, predicted = pair(label, predicted)
    return float(np.sqrt(np.square(label - predicted).mean()))


def r2(label: ArrayLike, predicted: ArrayLike) -> float:
    """Coefficient of determination: 1 is perfect, 0 is as good as the mean of the labels.

    Args:
        label: ``[n]``, not all equal.
        predicted: ``[n]``.

    Raises:
        ProtocolError: If there are no rows, values that are not finite, or labels without variance.
        ShapeError: If the shapes differ.
    """
    from sklearn.metrics import r2_score

    label, predicted = pair(label, predicted)
    if (label == label[0]).all():
        raise ProtocolError(f"r2 needs labels that differ, all {len(label)} are {label[0]:g}; use mae or rmse")
    return float(r2_score(label, predicted))


def entity_metrics(kind: str, label: ArrayLike, prediction: ArrayLike) -> dict[str, float]:
    """All metrics of a kind of task.

    Args:
        kind: ``"binary"``, ``"multiclass"``, ``"multilabel"`` or ``"regression"``.
        label: 0 or 1, class numbers, or values, ``[n]``; of several labels 0 or 1, ``[n, labels]``.
        prediction: Probability of class 1 ``[n]``, of every class ``[n, classes]``, of every label ``[n, labels]``, or
            values ``[n]``.

    Returns:
        By the names of :data:`ENTITY_METRICS`; for ``accuracy`` and ``micro_f1``, a probability above one half
        is class 1.

    Raises:
        ProtocolError: If there are no rows, labels of one class only, or values that are not finite.
        ShapeError: If the shapes differ, or a label or a probability is outside its range.
    """
    if kind not in ENTITY_METRICS:
        raise ProtocolError(f"kind must be one of {', '.join(ENTITY_METRICS)}, got {kind!r}")
    if kind == "regression":
        return {"mae": mae(label, prediction), "rmse": rmse(label, prediction), "r2": r2(label, prediction)}
    probability = np.asarray(prediction, dtype=np.float64)
    if probability.size and (probability.min() < 0 or probability.max() > 1):
        raise ShapeError(
            f"{kind} predictions must be probabilities in 0..1, got {probability.min():g}..{probability.max():g}; "
            "apply a sigmoid or softmax first"
        )
    if kind == "binary":
        return {
            "auroc": auroc(label, probability),
            "average_precision": average_precision(label, probability),
            "accuracy": accuracy(label, probability > 0.5),
        }
    if kind == "multilabel":
        return multilabel_metrics(label, probability)
    classes = _classes(label, probability)
    return {
        "accuracy": accuracy(label, classes),
        "macro_f1": macro_f1(label, classes),
        "log_loss": log_loss(label, probability),
    }


def _classes(label: ArrayLike, probability: NDArray[np.float64]) -> NDArray[Any]:
    if probability.ndim != 2:
        raise ShapeError(f"multiclass predictions must be [rows, classes], got {list(probability.shape)}")
    if np.isnan(probability).any():
        raise ProtocolError("the predictions hold NaN; look at the training's loss and the features")
    number = np.asarray(label)
    if number.size and (number.min() < 0 or number.max() >= probability.shape[1]):
        raise ShapeError(
            f"expected labels in 0..{probability.shape[1] - 1}, one per column of the predictions, "
            f"got {number.min()}..{number.max()}"
        )
    return cast("NDArray[Any]", probability.argmax(axis=1))
