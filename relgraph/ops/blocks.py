"""Score matrices in tiles, whether they are a product or a block of a model that is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from relgraph.errors import ShapeError

__all__ = ["ScoreMatrix", "TiledScores"]


class TiledScores(Protocol):
    """A score matrix ``[B, N]`` that is looked at tile by tile: a product of factors, or a block that is there."""

    @property
    def num_queries(self) -> int:
        """``B``."""

    @property
    def num_candidates(self) -> int:
        """``N``."""

    @property
    def device(self) -> torch.device:
        """Where the scores are."""

    @property
    def dtype(self) -> torch.dtype:
        """What the scores are."""

    def select(self, queries: Tensor | slice, candidates: Tensor | slice) -> TiledScores:
        """A part of the matrix."""

    def accurate(self) -> TiledScores:
        """The same in float32 where it has less: ranks are never taken from half precision."""

    def tile(self, rows: slice, columns: slice) -> Tensor:
        """The scores of a block of queries and a block of candidates, a new tensor, always with the same bits."""


@dataclass(frozen=True)
class ScoreMatrix:
    """Scores that are there as a block, of a model that is no product.

    Args:
        scores: ``[B, N]``, a floating dtype.

    Raises:
        ShapeError: If they are no matrix of floating numbers.
    """

    scores: Tensor

    def __post_init__(self) -> None:
        if self.scores.dim() != 2 or not self.scores.is_floating_point():
            raise ShapeError(
                f"expected scores [B, N] of a floating dtype, got {self.scores.dtype} {list(self.scores.shape)}"
            )

    @property
    def num_queries(self) -> int:
        """``B``."""
        return self.scores.shape[0]

    @property
    def num_candidates(self) -> int:
        """``N``."""
        return self.scores.shape[1]

    @property
    def device(self) -> torch.device:
        """Where the scores are."""
        return self.scores.device

    @property
    def dtype(self) -> torch.dtype:
        """What the scores are."""
        return self.scores.dtype

    def select(self, queries: Tensor | slice, candidates: Tensor | slice) -> ScoreMatrix:
        """A part of the matrix."""
        return ScoreMatrix(self.scores[queries][:, candidates])

    def accurate(self) -> ScoreMatrix:
        """The same, in float32 where it has less."""
        return self if self.dtype in (torch.float32, torch.float64) else ScoreMatrix(self.scores.float())

    def tile(self, rows: slice, columns: slice) -> Tensor:
        """A copy of a part of the matrix."""
        return self.scores[rows, columns].clone()
