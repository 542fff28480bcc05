"""The compiled part of :mod:`relgraph.ops.rank`."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from relgraph.ops.compiled import compiled, over_rows
from relgraph.ops.tiles import Csr, refuse_nan

__all__ = ["count_tile"]

_ROWS = 16  # worth a thread


def count_tile(
    score: Tensor, own: Tensor, targets: Csr, start: int, known: tuple[Tensor, Tensor], counts: tuple[Tensor, Tensor]
) -> None:
    """Add what a tile of scores has above and beside the targets, in one pass over it for each target of a row.

    Args:
        score: ``[rows, width]``, contiguous.
        own: The score of each target, ``[T]``.
        targets: CSR of the targets of each row.
        start: The candidate in the first column.
        known: Row and column, counted inside the tile, of candidates that do not compete, each once.
        counts: Where to add: greater and equal, int64 ``[T]``.

    Raises:
        ProtocolError: If a score is NaN; the counts mean nothing then.
    """
    arrays = [tensor.numpy() for tensor in (score, own, *targets, *counts)]
    row, column = (tensor.numpy() for tensor in known)
    if any(over_rows(lambda first, last: _count(first, last, start, *arrays), len(score), _ROWS)):
        refuse_nan(score)
    _take_out(row, column, start, *arrays)


@compiled
def _count(
    first: int, last: int, start: int, score: Any, own: Any, ptr: Any, target: Any, greater: Any, equal: Any
) -> bool:
    missing = 0
    width = score.shape[1]
    for i in range(first, last):
        for n in range(ptr[i], ptr[i + 1]):
            mine = own[n]
            above = beside = strange = 0
            for j in range(width):
                s = score[i, j]
                above += s > mine
                beside += s == mine
                strange += s != s
            greater[n] += above
            equal[n] += beside
            missing += strange
            if start <= target[n] < start + width:
                equal[n] -= 1
    return missing > 0


@compiled
def _take_out(
    row: Any, column: Any, start: int, score: Any, own: Any, ptr: Any, target: Any, greater: Any, equal: Any
) -> None:
    for place in range(row.size):
        i, j = row[place], column[place]
        for n in range(ptr[i], ptr[i + 1]):
            if start + j == target[n]:
                continue
            if score[i, j] > own[n]:
                greater[n] -= 1
            elif score[i, j] == own[n]:
                equal[n] -= 1
