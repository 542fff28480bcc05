"""What labels and predictions must be before a metric is computed of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relgraph.errors import ProtocolError, ShapeError

__all__ = ["binary_pair", "pair"]

Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


def pair(label: ArrayLike, predicted: ArrayLike) -> Pair:
    """Labels and predictions as float64 ``[n]``.

    Raises:
        ProtocolError: If there are no rows or values that are not finite.
        ShapeError: If the shapes differ.
    """
    both = np.asarray(label, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if both[0].ndim != 1 or both[0].shape != both[1].shape:
        raise ShapeError(
            f"expected labels and predictions of one length, got {list(both[0].shape)} and {list(both[1].shape)}"
        )
    if not len(both[0]):
        raise ProtocolError("there are no rows to evaluate; is the split empty?")
    for name, values in zip(("labels", "predictions"), both, strict=True):
        wrong = int((~np.isfinite(values)).sum())
        if wrong:
            raise ProtocolError(f"{wrong} of {len(values)} {name} are NaN or infinite; they have no metric")
    return both


def binary_pair(label: ArrayLike, score: ArrayLike, metric: str) -> Pair:
    """The same, where labels are 0 or 1 and both occur.

    Raises:
        ProtocolError: If there are no rows, one class only, or values that are not finite.
        ShapeError: If the shapes differ or a label is neither 0 nor 1.
    """
    labels, scores = pair(label, score)
    if not np.isin(labels, (0, 1)).all():
        raise ShapeError(f"{metric}: labels must be 0 or 1, got {np.unique(labels)[:5].tolist()}")
    positive = int(labels.sum())
    if positive in (0, len(labels)):
        raise ProtocolError(
            f"{metric} needs both classes, got {positive} positive of {len(labels)} labels; "
            "use a longer period or another validation time"
        )
    return labels, scores
