"""Edges group by group, for compiled loops: each group is the work of one thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from relgraph.ops.compiled import compiled, over_rows

__all__ = ["FEWEST_EDGES", "by_group"]

FEWEST_EDGES = 4096
"""Worth a thread."""


def by_group(group: Any, num_groups: int, work: Callable[..., Any]) -> None:
    """Call ``work(ptr, order, first, end)`` for ranges of groups with about as many edges each, in threads.

    The edges of group ``g`` are ``order[ptr[g]:ptr[g + 1]]``, or the numbers ``ptr[g]`` to ``ptr[g + 1]`` themselves
    if ``order`` is empty.
    """
    ptr, order = np.empty(num_groups + 1, np.int64), np.empty(group.size, np.int64)
    if _sort(group, ptr, order):
        order = order[:0]

    def part(first: int, end: int) -> None:
        # the groups whose edges begin in this share of the edges; the last part has those without edges at the end
        bounds = np.searchsorted(ptr, (first, end))
        work(ptr, order, 0 if first == 0 else bounds[0], num_groups if end == group.size else bounds[1])

    over_rows(part, group.size, FEWEST_EDGES)


@compiled
def _sort(group: Any, ptr: Any, order: Any) -> bool:
    """Fill ``ptr``, and ``order`` unless the edges are in order already; whether they are."""
    ptr[:] = 0
    sorted_already = True
    for e in range(group.size):
        ptr[group[e] + 1] += 1
        if e and group[e] < group[e - 1]:
            sorted_already = False
    for g in range(1, ptr.size):
        ptr[g] += ptr[g - 1]
    if sorted_already:
        return True
    place = ptr[:-1].copy()
    for e in range(group.size):
        order[place[group[e]]] = e
        place[group[e]] += 1
    return False
