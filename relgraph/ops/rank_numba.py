"""The compiled part of :mod:`relgraph.ops.rank`."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from relgraph.ops.compiled import compiled
from relgraph.ops.tiles import refuse_nan

__all__ = ["count_tile"]


def count_tile(
    score: Tensor, own: Tensor, target: Tensor, start: int, known: tuple[Tensor, Tensor], counts: tuple[Tensor, Tensor]
) -> None:
    """Add what a tile of scores has above and beside the targets, in one pass over it.

    Args:
        score: ``[rows, width]``, contiguous.
        own: The target's score of each row, ``[rows]``.
        target: The target of each row, int64 ``[rows]``.
        start: The candidate in the first column.
        known: Row and column, counted inside the tile, of candidates that do not compete, each once.
        counts: Where to add: greater and equal, int64 ``[rows]``.

    Raises:
        ProtocolError: If a score is NaN; the counts mean nothing then.
    """
    arrays = [tensor.numpy() for tensor in (score, own, target, *known, *counts)]
    if _count(*arrays[:3], start, *arrays[3:]):
        refuse_nan(score)


@compiled
def _count(
    score: Any, own: Any, target: Any, start: int, known_row: Any, known_column: Any, greater: Any, equal: Any
) -> bool:
    missing = 0
    width = score.shape[1]
    for i in range(score.shape[0]):
        mine = own[i]
        above = beside = strange = 0
        for j in range(width):
            s = score[i, j]
            above += s > mine
            beside += s == mine
            strange += s != s
        greater[i] += above
        equal[i] += beside
        missing += strange
        if start <= target[i] < start + width:
            equal[i] -= 1
    for n in range(known_row.size):
        i, j = known_row[n], known_column[n]
        if start + j == target[i]:
            continue
        if score[i, j] > own[i]:
            greater[i] -= 1
        elif score[i, j] == own[i]:
            equal[i] -= 1
    return missing > 0
