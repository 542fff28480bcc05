"""The one contract of everything that describes a seed by numbers."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Matrix", "SeedFeatures"]

Matrix = NDArray[np.float64]


class SeedFeatures(Protocol):
    """Columns that are computed for a row at a moment, from nothing later than that moment.

    A source of columns is made once, from a graph, a database or training labels, and asked for the seeds of any split.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """A name per column, telling table, column and what was computed."""
        ...

    @property
    def categorical(self) -> tuple[int, ...]:
        """Which columns hold codes instead of amounts."""
        ...

    def matrix(self, node: Tensor, time: Tensor | None) -> Matrix:
        """The columns of seeds.

        Args:
            node: Row numbers in the entity table, int64 ``[n]``.
            time: Seed times, int64 ``[n]`` microseconds, or ``None`` for a task without time.

        Returns:
            float64 ``[n, len(names)]``; NaN where there is no value.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Plain JSON values that the same columns can be made from again, with the same graph or database."""
        ...
