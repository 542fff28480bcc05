"""What the questions themselves tell: how many rows are asked about at a moment, and how often each was before."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from relgraph.tabular.block import Matrix

__all__ = ["ASKED", "Asked"]

_DAY = 86_400_000_000
_YEAR = round(365.2425 * _DAY)

ASKED = (
    "rows asked at the moment",
    "share of the moments of a year",
    "share of the moments of two years",
    "times asked before",
    "days since last asked",
    "days since first asked",
    "asked for the first time",
)
"""The columns of :class:`Asked`."""


class Asked:
    """Columns of the seeds of a task, labels aside.

    In the frozen regime the database ends years before the last question, but the questions go on: who is still asked
    about still takes part, and how many are asked about at a moment bounds what their labels can be. A row reads
    questions up to its own moment. Where seeds are chosen by what happens after their moment, as in RelBench's rel-f1
    (:func:`relgraph.tasks.audit` says so), these columns carry that choice: say so beside a result.

    Args:
        node: Row numbers of all seeds, int64 ``[n]``.
        time: Their moments, int64 ``[n]`` microseconds.
    """

    def __init__(self, node: Tensor, time: Tensor) -> None:
        self._grid, rank, self._size = np.unique(time.numpy(), return_inverse=True, return_counts=True)
        self._seeds = np.sort(node.numpy() * (len(self._grid) + 1) + rank)  # by row, then by moment

    def matrix(self, node: Tensor, time: Tensor) -> Matrix:
        """The columns :data:`ASKED` of rows at moments, float64 ``[n, 7]``; NaN where nothing was asked before."""
        moment, row = time.numpy(), node.numpy() * (len(self._grid) + 1)
        rank = np.searchsorted(self._grid, moment)
        last = len(self._grid) - 1
        there = self._grid[np.minimum(rank, last)] == moment
        first, now = np.searchsorted(self._seeds, row), np.searchsorted(self._seeds, row + rank)
        times = now - first
        shares = []
        for years in (1, 2):
            since = np.searchsorted(self._grid, moment - years * _YEAR)
            mine = now - np.searchsorted(self._seeds, row + since)
            shares.append(np.where(rank > since, mine / np.maximum(rank - since, 1), np.nan))
        last_rank, first_rank = (self._seeds[np.maximum(at, 0) % len(self._seeds)] - row for at in (now - 1, first))
        days = [
            np.where(times > 0, (moment - self._grid[np.where(times > 0, ranks, 0)]) / _DAY, np.nan)
            for ranks in (last_rank, first_rank)
        ]
        size = np.where(there, self._size[np.minimum(rank, last)], 0)
        return np.stack([size, *shares, times, *days, times == 0], axis=1).astype(np.float64)
