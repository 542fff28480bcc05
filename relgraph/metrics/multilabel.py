"""Metrics of several labels per row."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from relgraph.errors import ProtocolError, ShapeError

__all__ = ["multilabel_metrics"]


def multilabel_metrics(label: ArrayLike, score: ArrayLike) -> dict[str, float]:
    """Metrics of several labels per row, each 0 or 1.

    ``macro_auroc`` and ``macro_average_precision`` are averages over those labels that have both classes among these
    rows: a label that everybody or nobody has says nothing about a ranking. ``micro_f1`` counts all labels of all rows
    together, a probability above one half being 1; without any true or predicted 1 it is 0.

    Args:
        label: 0 or 1, ``[n, labels]``.
        score: Probability of 1, ``[n, labels]``.

    Raises:
        ProtocolError: If there are no rows, no label has both classes, or values are not finite.
        ShapeError: If the shapes differ or a label is neither 0 nor 1.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    labels, scores = np.asarray(label, dtype=np.float64), np.asarray(score, dtype=np.float64)
    if labels.ndim != 2 or labels.shape != scores.shape:
        raise ShapeError(
            f"multilabel: expected labels and predictions of one shape [rows, labels], got {list(labels.shape)} and "
            f"{list(scores.shape)}"
        )
    if not labels.size:
        raise ProtocolError("there are no rows to evaluate; is the split empty?")
    if not np.isfinite(scores).all():
        raise ProtocolError(f"{int((~np.isfinite(scores)).sum())} of {scores.size} predictions are NaN or infinite")
    if not np.isin(labels, (0, 1)).all():
        raise ShapeError(f"multilabel: labels must be 0 or 1, got {np.unique(labels)[:5].tolist()}")
    both = np.flatnonzero((labels.min(axis=0) == 0) & (labels.max(axis=0) == 1))
    if not len(both):
        raise ProtocolError(
            f"none of {labels.shape[1]} labels has both classes among {len(labels)} rows; "
            "use a longer period or another validation time"
        )
    hits = float((labels * (scores > 0.5)).sum())
    named = float(labels.sum() + (scores > 0.5).sum())
    return {
        "macro_auroc": float(np.mean([roc_auc_score(labels[:, i], scores[:, i]) for i in both])),
        "macro_average_precision": float(np.mean([average_precision_score(labels[:, i], scores[:, i]) for i in both])),
        "micro_f1": 2 * hits / named if named else 0.0,
    }
