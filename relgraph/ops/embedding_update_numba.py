"""The compiled part of :mod:`relgraph.ops.embedding_update`: every touched row is read and written once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from relgraph.ops.compiled import compiled, over_rows

__all__ = ["update"]

_FEWEST_ROWS = 64  # worth a thread


def update(
    weight: Tensor,
    index: Tensor,
    gradient: Tensor,
    rule: str,
    lr: float,
    state: Sequence[Tensor],
    eps: float,
    betas: tuple[float, float],
    step: int,
) -> None:
    """See :func:`relgraph.ops.embedding_update`; tables are contiguous."""
    order = index.argsort(stable=True)
    rows, counts = torch.unique_consecutive(index[order], return_counts=True)
    ends = counts.cumsum(0)
    none = weight.new_empty(0, 0)
    first, second = (*state, none, none)[:2]
    tables = [x.numpy() for x in (weight, first, second, gradient.contiguous(), order, rows, ends)]
    number = weight.numpy().dtype.type
    decay, square_decay = betas
    left = [1 - decay**step, 1 - square_decay**step]  # what bias correction divides by
    numbers = [number(x) for x in (lr, eps, 1 - decay, square_decay, 1 - square_decay, *left)]
    work = {"sgd": _sgd, "adagrad": _adagrad, "adam": _adam}[rule]
    over_rows(lambda a, b: work(*tables, *numbers, a, b), len(rows), _FEWEST_ROWS)


@compiled(any_order=True)  # type: ignore[untyped-decorator]
def _sum(gradient: Any, order: Any, start: int, end: int, total: Any) -> None:
    """The sum of the gradients of one row."""
    total[:] = gradient[order[start]]
    for place in range(start + 1, end):
        part = gradient[order[place]]
        for i in range(total.size):
            total[i] += part[i]


@compiled(any_order=True)  # type: ignore[untyped-decorator]
def _sgd(
    weight: Any, first: Any, second: Any, gradient: Any, order: Any, rows: Any, ends: Any, lr: Any, eps: Any,
    new: Any, kept_square: Any, new_square: Any, left: Any, left_square: Any, begin: int, stop: int,
) -> None:  # fmt: skip
    total = np.empty(weight.shape[1], weight.dtype)
    for n in range(begin, stop):
        _sum(gradient, order, ends[n - 1] if n else 0, ends[n], total)
        w = weight[rows[n]]
        for i in range(total.size):
            w[i] -= lr * total[i]


@compiled(any_order=True)  # type: ignore[untyped-decorator]
def _adagrad(
    weight: Any, first: Any, second: Any, gradient: Any, order: Any, rows: Any, ends: Any, lr: Any, eps: Any,
    new: Any, kept_square: Any, new_square: Any, left: Any, left_square: Any, begin: int, stop: int,
) -> None:  # fmt: skip
    total = np.empty(weight.shape[1], weight.dtype)
    for n in range(begin, stop):
        _sum(gradient, order, ends[n - 1] if n else 0, ends[n], total)
        w, squares = weight[rows[n]], first[rows[n]]
        for i in range(total.size):
            g = total[i]
            s = squares[i] + g * g
            squares[i] = s
            w[i] -= lr * g / (np.sqrt(s) + eps)


@compiled(any_order=True)  # type: ignore[untyped-decorator]
def _adam(
    weight: Any, first: Any, second: Any, gradient: Any, order: Any, rows: Any, ends: Any, lr: Any, eps: Any,
    new: Any, kept_square: Any, new_square: Any, left: Any, left_square: Any, begin: int, stop: int,
) -> None:  # fmt: skip
    total = np.empty(weight.shape[1], weight.dtype)
    rate = lr / left
    for n in range(begin, stop):
        _sum(gradient, order, ends[n - 1] if n else 0, ends[n], total)
        w, mean, squares = weight[rows[n]], first[rows[n]], second[rows[n]]
        for i in range(total.size):
            g = total[i]
            m = mean[i] + new * (g - mean[i])
            s = kept_square * squares[i] + new_square * g * g
            mean[i], squares[i] = m, s
            w[i] -= rate * m / (np.sqrt(s / left_square) + eps)
