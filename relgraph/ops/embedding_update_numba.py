"""The compiled part of :mod:`relgraph.ops.embedding_update`: one pass over the touched rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from relgraph.ops.compiled import compiled
from relgraph.ops.distinct import distinct

__all__ = ["update_rows"]

_RULES = {"sgd": 0, "adagrad": 1, "adam": 2}


def update_rows(
    weight: Tensor,
    index: Tensor,
    gradient: Tensor,
    rule: str,
    state: Sequence[Tensor],
    numbers: Sequence[float],
) -> None:
    """See :func:`relgraph.ops.embedding_update`; float32 or float64. The numbers are named in ``_update``."""
    rows, place = distinct(index, len(weight))
    if len(rows) == len(index):
        rows, total = index, gradient.detach()  # each row once: its gradient is the sum, in any order
    else:
        total = gradient.new_zeros(len(rows), gradient.shape[1])
        _add_up(gradient.detach().numpy(), place.numpy(), total.numpy())
    table = weight.detach().numpy()
    first, second = ([x.detach().numpy() for x in state] + [table, table])[:2]
    given = np.array(numbers, table.dtype)
    _update(_RULES[rule], table, first, second, rows.contiguous().numpy(), total.numpy(), given)


@compiled
def _add_up(gradient: Any, place: Any, total: Any) -> None:
    for i in range(place.size):
        row = place[i]
        for c in range(gradient.shape[1]):
            total[row, c] += gradient[i, c]


@compiled
def _update(rule: int, table: Any, first: Any, second: Any, rows: Any, total: Any, numbers: Any) -> None:
    lr, eps, new_mean, old_squares, new_squares, rate, correction = numbers
    for i in range(rows.size):
        row = rows[i]
        if rule == 0:
            for c in range(total.shape[1]):
                table[row, c] -= lr * total[i, c]
        elif rule == 1:
            for c in range(total.shape[1]):
                squares = first[row, c] + total[i, c] * total[i, c]
                first[row, c] = squares
                # not "/", whose test for zero would keep the loop scalar
                table[row, c] -= np.divide(lr * total[i, c], np.sqrt(squares) + eps)
        else:
            for c in range(total.shape[1]):
                mean = first[row, c] + new_mean * (total[i, c] - first[row, c])
                squares = old_squares * second[row, c] + new_squares * total[i, c] * total[i, c]
                first[row, c] = mean
                second[row, c] = squares
                table[row, c] -= np.divide(rate * mean, np.sqrt(squares * correction) + eps)
