"""Two vectors change each other through a convolution over their interleaved coordinates."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from relgraph.errors import ShapeError
from relgraph.kge.layers.dropout import Dropout
from relgraph.kge.layers.norm import BatchNorm

__all__ = ["GatedFusion", "Interaction"]


class Interaction(nn.Module):
    r"""Convolution-based bidirectional interaction of two vectors (HyperFormer; Vashishth et al. 2020, InteractE).

    The coordinates of both, each in a random order of its own, lie on a chequered grid of ``height`` rows and
    ``2 * width`` columns with ``height * width = dim``, so that every neighbour of a coordinate is of the other vector.
    The grid is filtered as a torus, and one linear map makes both new vectors of all filters' answers:

    .. math:: [u', v'] = BN(D(W \, \mathrm{vec}(D(\mathrm{ReLU}(BN(\omega \star D(BN(\mathrm{grid}(u, v)))))))))

    Args:
        dim: Length of the vectors.
        channels: Filters.
        kernel: Odd side of a filter.
        dropout: Shares that training drops of the grid, of whole filters' answers, and of the linear map's output.

    Raises:
        ShapeError: If the kernel is even or larger than the grid.
    """

    order: Tensor

    def __init__(self, dim: int, channels: int, kernel: int, dropout: tuple[float, float, float]) -> None:
        super().__init__()
        height = max(h for h in range(1, math.isqrt(dim) + 1) if dim % h == 0)
        if kernel % 2 == 0 or kernel > height:
            raise ShapeError(
                f"kernel: expected an odd side of at most {height}, the height of the grid for dim={dim}, got {kernel}"
            )
        self.grid = height, 2 * dim // height
        first, second = (torch.randperm(dim).view(height, -1) for _ in range(2))
        cells = torch.stack([first, second + dim], 2)  # [height, width, 2]
        cells[1::2] = cells[1::2].flip(2)
        self.register_buffer("order", cells.flatten())
        self.grid_norm, self.filter_norm, self.output_norm = BatchNorm(1), BatchNorm(channels), BatchNorm(2 * dim)
        self.filters = nn.Parameter(nn.init.xavier_normal_(torch.empty(channels, 1, kernel, kernel)))
        self.linear = nn.Linear(2 * dim * channels, 2 * dim)
        self.grid_dropout, self.filter_dropout = Dropout(dropout[0]), nn.Dropout2d(dropout[1])
        self.output_dropout = Dropout(dropout[2])

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Both vectors, ``[B, dim]`` each, changed by the other."""
        grid = torch.cat([first, second], 1)[:, self.order].view(-1, 1, *self.grid)
        grid = self.grid_dropout(self.grid_norm(grid))
        margin = self.filters.shape[-1] // 2
        grid = F.pad(grid, (margin, margin, margin, margin), mode="circular") if margin else grid
        found = self.filter_dropout(self.filter_norm(F.conv2d(grid, self.filters)).relu())
        out = self.output_norm(self.output_dropout(self.linear(found.flatten(1))))
        left, right = out.chunk(2, 1)
        return left, right


class GatedFusion(nn.Module):
    r"""A learned mean of two vectors, coordinate by coordinate.

    .. math:: g = \sigma(W p + b + W q + b), \quad f(p, q) = g \odot p + (1 - g) \odot q
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, dim)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """``[B, dim]`` of two such."""
        gate: Tensor = (self.linear(first) + self.linear(second)).sigmoid()
        return gate * first + (1 - gate) * second
