"""The walk that every loss on a whole score matrix takes: tile by tile, gradients on the way.

A loss is a generator of :class:`Tile`: what a tile adds to the sum, and the derivative of the sum by its scores. The
rest, three matrix products and the gradients of the biases, is the same for all of them and stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from relgraph.errors import ShapeError
from relgraph.ops.loss_function import loss_of_scores
from relgraph.ops.tiles import Csr, RowBlock, Scores, spans

__all__ = ["Block", "ScoreTile", "Smoothing", "Tile", "Tiles", "blocks", "require_smoothing", "tiled_loss"]

_ROWS = 2048
_FEW_ROWS = 64
_TILE = 2**20  # scores held at once: 4 MB of float32, which stays in the cache between the passes over it

Smoothing = Literal["1/N", "eps/N"]
"""What label smoothing adds to every target: ConvE, TuckER and LowFER add ``1/N``, the textbook adds ``eps/N``."""


class ScoreTile(NamedTuple):
    """The scores of some queries and some candidates."""

    columns: slice
    score: Tensor  # [rows, columns], may be changed in place
    at: tuple[Tensor, Tensor]  # row and column, counted inside the tile, of the positives


class Tile(NamedTuple):
    """What a loss says about a tile."""

    rows: slice
    columns: slice
    value: Tensor  # scalar, added up in float64
    slope: Tensor | None  # [rows, columns], the derivative of the sum by the scores


Tiles = Callable[[Scores, bool], Iterator[Tile]]
"""A loss: the tiles of its sum, given the scores and whether slopes are wanted."""


class Block:
    """Some queries against all candidates, as tiles; it can be walked more than once."""

    def __init__(self, scores: Scores, positives: Csr, rows: slice, width: int) -> None:
        self.rows = rows
        self._scores, self._width = scores, width
        self._positives = RowBlock(positives, rows, scores.num_candidates, width)

    def __len__(self) -> int:
        return -(-self._scores.num_candidates // self._width)

    def __iter__(self) -> Iterator[ScoreTile]:
        for number, columns in enumerate(spans(self._scores.num_candidates, self._width)):
            at = self._positives.positions(number, columns)
            yield ScoreTile(columns, self._scores.tile(self.rows, columns), at)


def blocks(scores: Scores, positives: Csr, *, whole_rows: bool = False) -> Iterator[Block]:
    """The score matrix, some rows after the other.

    Args:
        scores: Its factors.
        positives: The true candidates of each query, distinct ones.
        whole_rows: Prefer few rows that fit into one tile with all their scores, unless they would be too few for a
            matrix product.
    """
    height = min(_ROWS, max(scores.num_queries, 1))
    if whole_rows:
        height = min(height, max(_TILE // max(scores.num_candidates, 1), _FEW_ROWS))
    for rows in spans(scores.num_queries, height):
        yield Block(scores, positives, rows, max(_TILE // (rows.stop - rows.start), 1))


def tiled_loss(scores: Scores, tiles: Tiles, scale: float) -> Tensor:
    """``scale`` times the sum of the tiles, differentiable once by queries, candidates and biases.

    Args:
        scores: The factors of the score matrix.
        tiles: The loss.
        scale: Factor of the sum.

    Returns:
        A scalar in the dtype of the queries.
    """
    return loss_of_scores(scores, partial(_sum_and_gradients, tiles), scale)


def require_smoothing(label_smoothing: float, smoothing: str) -> None:
    """Check the two arguments of label smoothing.

    Raises:
        ShapeError: If the share is outside ``[0, 1)``, or there is no such convention.
    """
    if not 0.0 <= label_smoothing < 1.0:
        raise ShapeError(f"label_smoothing: expected a number in [0, 1), got {label_smoothing}")
    if smoothing not in ("1/N", "eps/N"):
        raise ShapeError(f"smoothing: expected '1/N' or 'eps/N', got {smoothing!r}")


def _sum_and_gradients(tiles: Tiles, scores: Scores, with_gradient: bool) -> tuple[Tensor, list[Tensor]]:
    """The sum, float64, and its gradients by query, candidates and the two biases."""
    query, candidates, alpha = scores.query, scores.candidates, scores.alpha
    total = torch.zeros((), dtype=torch.float64, device=query.device)
    by_query, by_candidate = (torch.zeros_like(x if with_gradient else x[:0]) for x in (query, candidates))
    by_query_bias, by_candidate_bias = by_query.new_zeros(len(by_query)), by_query.new_zeros(len(by_candidate))
    for rows, columns, value, slope in tiles(scores, with_gradient):
        total += value
        if slope is None:
            continue
        by_query[rows].addmm_(slope, candidates[columns], alpha=alpha)
        by_candidate[columns].addmm_(slope.T, query[rows], alpha=alpha)
        if scores.query_bias is not None:
            by_query_bias[rows] += slope.sum(1)
        if scores.candidate_bias is not None:
            by_candidate_bias[columns] += slope.sum(0)
    return total, [by_query, by_candidate, by_query_bias, by_candidate_bias]
