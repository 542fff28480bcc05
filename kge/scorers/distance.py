r"""What scorers by squared distance share: the distance as a product with biases, and the numbers it needs for that.

.. math:: \gamma - \lVert x - y \rVert^2 = 2\, x \cdot y + (\gamma - \lVert x \rVert^2) - \lVert y \rVert^2

The right side takes a small number, the distance of a true answer, from large ones. In float32 its error is below
:math:`10^{-5} (|q| |k| + |a| + |b|)`; in bfloat16 true answers would drown in it. So queries and candidates are made in
float32 (or float64) whatever autocast or the parameters say.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from relgraph.errors import ShapeError
from relgraph.kge.embeddings import Embeddings

__all__ = ["accurate", "accurate_rows", "distance_candidates", "distance_query", "require_number"]


def distance_query(x: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    """The query and its bias for points ``x``, ``[B, K]`` and ``[B]``, of a scorer with ``alpha = 2``."""
    return x, gamma - x.square().sum(1)


def distance_candidates(y: Tensor) -> tuple[Tensor, Tensor]:
    """The candidates and their biases for points ``y``, ``[N, K]`` and ``[N]``."""
    return y, -y.square().sum(1)


def accurate(x: Tensor) -> Tensor:
    """``x``, in float32 where it has less."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def accurate_rows(table: Embeddings, index: Tensor | None = None) -> Tensor:
    """The vectors ``index`` of a table, or all, in float32 or float64 and outside autocast."""
    with torch.autocast(table.weight.device.type, enabled=False):
        return accurate(table.table() if index is None else table(index))


def require_number(*, at_least: float = -math.inf, **numbers: float) -> None:
    """Check that every number is finite and not too small.

    Raises:
        ShapeError: If one is not.
    """
    for name, number in numbers.items():
        fits = isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
        if not fits or number < at_least:
            least = f" of at least {at_least:g}" if at_least > -math.inf else ""
            raise ShapeError(f"{name}: expected a finite number{least}, got {number!r}")
