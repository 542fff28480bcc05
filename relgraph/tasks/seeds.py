"""What a split of a task is: rows, their moments, and what is to be predicted about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from relgraph.data.time import format_time
from relgraph.errors import ProtocolError

if TYPE_CHECKING:
    import pyarrow

__all__ = ["LinkSeeds", "Regime", "Seeds", "Split"]

Regime = Literal["seed-time", "frozen", "static"]
"""What a test row may see: all up to its own seed time; the database as it was at the test time; or, for tasks without
time, all but what is hidden of it."""

Split = Literal["train", "val", "test"]


@dataclass(frozen=True, eq=False)
class Seeds:
    """Rows to predict, each with its moment and its label.

    Args:
        node: Row numbers in the entity table, int64 ``[n]``.
        time: Seed times, int64 ``[n]`` microseconds; ``None`` for a task without time.
        label: ``[n]``: float64, or int64 for several classes; float64 ``[n, labels]`` for several labels per row.
        keys: The database's own key of each row, a column per key column.
        notes: What was dropped or looked odd.
    """

    node: Tensor
    time: Tensor | None
    label: Tensor
    keys: pyarrow.Table
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.node.numel()

    @property
    def moments(self) -> Tensor:
        """The seed times where there must be some.

        Raises:
            ProtocolError: If the task has no time.
        """
        return _moments(self.time)

    def __repr__(self) -> str:
        several = f", {self.label.size(1)} labels each" if self.label.dim() == 2 else ""
        mean = f", mean label {self.label.double().nanmean():.4g}" if self.label.is_floating_point() else ""
        return f"Seeds({len(self):,} rows{_when(self.time)}{several}{mean})"


@dataclass(frozen=True, eq=False)
class LinkSeeds:
    """Source rows, each with its moment and the target rows it will be linked to.

    Args:
        node: Row numbers in the source table, int64 ``[n]``; a pair of row and moment comes once.
        time: Seed times, int64 ``[n]`` microseconds; ``None`` for a task without time.
        ptr: Where the targets of each begin, int64 ``[n + 1]``.
        target: Row numbers in the target table, int64 ``[ptr[-1]]``, ascending and distinct within a seed.
        keys: The database's own key of each source row, a column per key column.
        notes: What was dropped or looked odd.
    """

    node: Tensor
    time: Tensor | None
    ptr: Tensor
    target: Tensor
    keys: pyarrow.Table
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.node.numel()

    @property
    def moments(self) -> Tensor:
        """The seed times where there must be some.

        Raises:
            ProtocolError: If the task has no time.
        """
        return _moments(self.time)

    def __repr__(self) -> str:
        return f"LinkSeeds({len(self):,} rows{_when(self.time)}, {self.target.numel():,} links)"


def _when(time: Tensor | None) -> str:
    """At how many moments rows stand, and between which, in words."""
    if time is None or not time.numel():
        return ""
    first, last, count = int(time.min()), int(time.max()), torch.unique(time).numel()
    if count == 1:
        return f" at {format_time(first)}"
    return f" at {count:,} moments from {format_time(first)} to {format_time(last)}"


def _moments(time: Tensor | None) -> Tensor:
    if time is None:
        raise ProtocolError("this needs seed times, but the task has none: it is a task without time")
    return time
