"""Metrics of recommendations: the first k of a ranking against the rows that were linked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relgraph.errors import ProtocolError, ShapeError

__all__ = ["LINK_METRICS", "link_hits", "link_metrics"]

LINK_METRICS = ("map", "recall", "ndcg", "precision")
"""The metrics of a ranking; :func:`link_metrics` names them with their k: ``map@10``."""


def link_hits(ranked: ArrayLike, ptr: ArrayLike, target: ArrayLike) -> NDArray[np.bool_]:
    """Which recommendations are right.

    Args:
        ranked: Target numbers, best first, int ``[n, width]``; -1 where there are no more.
        ptr: Where the targets of each row begin, int ``[n + 1]``.
        target: The right ones, int ``[ptr[-1]]``, distinct within a row.

    Returns:
        bool ``[n, width]``.

    Raises:
        ShapeError: If the shapes do not fit, or a row is recommended or right twice.
    """
    ranked, ptr, target = _whole("ranked", ranked, 2), _whole("ptr", ptr, 1), _whole("target", target, 1)
    if len(ptr) != len(ranked) + 1 or ptr[0] != 0 or ptr[-1] != len(target) or (np.diff(ptr) < 0).any():
        raise ShapeError(
            f"expected ptr to rise from 0 to {len(target)} (the targets) in {len(ranked)} steps (the rows ranked), "
            f"got {len(ptr) - 1} steps from {ptr[:1].tolist()} to {ptr[-1:].tolist()}"
        )
    size = int(max(ranked.max(initial=-1), target.max(initial=-1))) + 1
    if target.min(initial=0) < 0 or ranked.min(initial=0) < -1:
        raise ShapeError("expected numbers of rows from 0 on; only ranked may have -1, where there are no more")
    right = np.repeat(np.arange(len(ranked)), np.diff(ptr)) * size + target
    asked = np.arange(len(ranked))[:, None] * size + ranked
    for what, codes in (("ranked", asked[ranked >= 0]), ("target", right)):
        twice = len(codes) - len(np.unique(codes))
        if twice:
            raise ShapeError(f"{what}: {twice} rows stand twice for the same seed; each may count once")
    return np.isin(asked, right) & (ranked >= 0)


def link_metrics(ranked: ArrayLike, ptr: ArrayLike, target: ArrayLike, k: int = 10) -> dict[str, float]:
    r"""MAP, recall, NDCG and precision at k, averaged over the rows that have a target.

    With :math:`rel_i` whether the i-th recommendation is right, and :math:`T` the number of targets:

    .. math::
        AP@k = \frac{\sum_{i \le k} P@i \cdot rel_i}{\min(k, T)} \qquad
        NDCG@k = \frac{\sum_{i \le k} rel_i / \log_2(i + 1)}{\sum_{i \le \min(k, T)} 1 / \log_2(i + 1)}

    AP is as in RelBench 3 (Robinson et al. 2024, arXiv 2407.20060). Recall is hits over T, precision hits over k.

    Args:
        ranked: Target numbers, best first, int ``[n, at least k]``; a narrower one, or -1, means no more.
        ptr: Where the targets of each row begin, int ``[n + 1]``.
        target: The right ones, int ``[ptr[-1]]``, distinct within a row.
        k: How many recommendations count.

    Returns:
        ``map@k``, ``recall@k``, ``ndcg@k`` and ``precision@k``.

    Raises:
        ProtocolError: If no row has a target, or k is less than 1.
        ShapeError: If the shapes do not fit, or a row is recommended or right twice.

    Example:
        >>> link_metrics([[4, 7, 9]], [0, 2], [7, 8], k=3)["map@3"]
        0.25
    """
    if k < 1:
        raise ProtocolError(f"k: expected at least 1, got {k}")
    hits = link_hits(_whole("ranked", ranked, 2)[:, :k], ptr, target).astype(np.float64)
    hits = np.pad(hits, ((0, 0), (0, k - hits.shape[1])))
    count = np.diff(np.asarray(ptr, dtype=np.int64))
    if not (count > 0).any():
        raise ProtocolError("no row has a target, so there is nothing to rank; is the split empty?")
    hits, count = hits[count > 0], count[count > 0]
    place = np.arange(1, k + 1)
    clipped = np.minimum(count, k)
    discount = 1 / np.log2(place + 1)
    found = {
        "map": (hits.cumsum(axis=1) / place * hits).sum(axis=1) / clipped,
        "recall": hits.sum(axis=1) / count,
        "ndcg": (hits * discount).sum(axis=1) / discount.cumsum()[clipped - 1],
        "precision": hits.sum(axis=1) / k,
    }
    return {f"{name}@{k}": float(found[name].mean()) for name in LINK_METRICS}


def _whole(what: str, values: ArrayLike, dims: int) -> NDArray[np.int64]:
    array: NDArray[Any] = np.asarray(values)
    if array.ndim != dims or not (np.issubdtype(array.dtype, np.integer) or not array.size):
        raise ShapeError(
            f"{what}: expected whole numbers with {dims} dimensions, got {array.dtype} {list(array.shape)}"
        )
    return array.astype(np.int64)
