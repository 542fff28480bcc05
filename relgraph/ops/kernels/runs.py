"""Edges group by group, in runs that a program each takes."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["WHOLE", "runs_of"]

WHOLE = 2**62
"""The length of runs that never end before their group does."""


def runs_of(group: Tensor, num_groups: int, longest: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The edges ordered by group, and runs of at most ``longest`` of them: the group, the first and the last + 1."""
    order = torch.argsort(group, stable=True)
    counts = torch.bincount(group, minlength=num_groups)
    ends = counts.cumsum(0)
    number = (counts + longest - 1) // longest
    rows = torch.repeat_interleave(torch.arange(num_groups, device=group.device), number)
    before = number.cumsum(0) - number
    nth = torch.arange(len(rows), device=group.device) - before[rows]
    starts = (ends - counts)[rows] + nth * min(longest, len(group))
    return order, rows, starts, torch.minimum(starts + min(longest, len(group)), ends[rows])
