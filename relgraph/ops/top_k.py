"""The best candidates of each query, found in the same walk over tiles as the ranks."""

from __future__ import annotations

import torch
from torch import Tensor

from relgraph.errors import ShapeError
from relgraph.ops.backends import choose
from relgraph.ops.blocks import TiledScores
from relgraph.ops.rank import checked_filter, place_filter, subset_scores
from relgraph.ops.tiles import Csr, RowBlock, Scores, full_precision, refuse_nan, spans

__all__ = ["best_of_rows", "top_k", "top_k_scores"]

_ROWS = 256
_COLUMNS = 16_384
_KERNEL = (torch.float32, torch.float16, torch.bfloat16)


@torch.no_grad()
def top_k(
    query: Tensor,
    candidates: Tensor,
    k: int,
    filter: Csr | None = None,
    *,
    query_bias: Tensor | None = None,
    candidate_bias: Tensor | None = None,
    alpha: float = 1.0,
    candidate_subset: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The ``k`` candidates with the highest scores that are not filtered, the best first.

    Scores are ``alpha * query @ candidates.T + query_bias[:, None] + candidate_bias``, in tiles of at most
    256 x 16,384. Of equal scores the lower candidate number comes first, at the edge of the ``k`` too. On CUDA a
    Triton kernel writes the highest score of every 64 candidates, and a second one looks into the best ``k`` of those.

    Args:
        query: ``[B, K]``, a floating dtype.
        candidates: ``[N, K]``, the same dtype and device.
        k: How many, at least 1.
        filter: CSR ``(ptr, index)`` of the candidates that each query must not get.
        query_bias: ``[B]`` or ``None``.
        candidate_bias: ``[N]`` or ``None``.
        alpha: Factor of the product.
        candidate_subset: int64 numbers of the candidates to choose from, in any order; all by default.

    Returns:
        Scores and candidate numbers, ``[B, min(k, candidates to choose from)]``. Where a row has fewer unfiltered
        candidates than that, it ends in score ``-inf`` and number -1; a candidate that scores ``-inf`` is never given.

    Raises:
        ShapeError: If the shapes above do not hold or ``k`` is below 1.
        ProtocolError: If a score is NaN.
    """
    return top_k_scores(Scores(query, candidates, query_bias, candidate_bias, alpha), k, filter, candidate_subset)


@torch.no_grad()
def top_k_scores(
    scores: TiledScores, k: int, filter: Csr | None = None, candidate_subset: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """:func:`top_k` of scores that need not be a product.

    Args:
        scores: :class:`~relgraph.ops.tiles.Scores` or a :class:`~relgraph.ops.blocks.ScoreMatrix`.
        k: As in :func:`top_k`.
        filter: As in :func:`top_k`.
        candidate_subset: As in :func:`top_k`.

    Returns:
        As :func:`top_k`.

    Raises:
        ShapeError: If shapes do not fit or ``k`` is below 1.
        ProtocolError: If a score is NaN.
    """
    if k < 1:
        raise ShapeError(f"k: expected at least 1, got {k}")
    kernel = _KERNEL if isinstance(scores, Scores) else ()
    picked = choose("top_k", scores.device, scores.dtype, triton=kernel)
    scores = scores.accurate()
    filter = checked_filter(filter, scores)
    number = torch.arange(scores.num_candidates, device=scores.device)
    if candidate_subset is not None:
        scores, place = subset_scores(scores, candidate_subset)
        filter = place_filter(filter, place)
        number = number[place >= 0]
    k = min(k, scores.num_candidates)
    if not k or not scores.num_queries:
        size = scores.num_queries, k
        return torch.empty(size, dtype=scores.dtype, device=scores.device), number.new_empty(size)
    if picked == "triton" and isinstance(scores, Scores):
        from relgraph.ops.kernels.top_k import best_blocks  # loads Triton

        value, column = _best_first(*best_of_rows(*best_blocks(scores, k, filter), k))
    else:
        with full_precision(scores.device):
            parts = [_best_of_block(scores, rows, k, filter) for rows in spans(scores.num_queries, _ROWS)]
        value, column = (torch.cat(part) for part in zip(*parts, strict=True))
    missing = value == -torch.inf
    return value, number[column].masked_fill(missing, -1)


def _best_of_block(scores: TiledScores, rows: slice, k: int, filter: Csr) -> tuple[Tensor, Tensor]:
    known = RowBlock(filter, rows, scores.num_candidates, _COLUMNS)
    num_rows = rows.stop - rows.start
    value = torch.empty(num_rows, 0, dtype=scores.dtype, device=scores.device)
    column = torch.empty(num_rows, 0, dtype=torch.int64, device=value.device)
    for number, part in enumerate(spans(scores.num_candidates, _COLUMNS)):
        score = scores.tile(rows, part)
        refuse_nan(score)
        score[known.positions(number, part)] = -torch.inf
        here = torch.arange(part.start, part.stop, device=value.device).expand(num_rows, -1)
        # the best so far have lower numbers than this tile: order by column is order by number
        value, column = best_of_rows(torch.cat([value, score], 1), torch.cat([column, here], 1), k)
    return _best_first(value, column)


def _best_first(value: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
    by_score = value.argsort(dim=1, descending=True, stable=True)
    return value.gather(1, by_score), column.gather(1, by_score)


def best_of_rows(value: Tensor, column: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The ``k`` best of each row in the order of their columns; of equals at the edge the leftmost."""
    k = min(k, value.shape[1])
    edge = value.topk(k, dim=1).values[:, -1:]
    above, beside = value > edge, value == edge
    room = k - above.sum(1, keepdim=True)
    chosen = above | (beside & (beside.cumsum(1) <= room))
    return value[chosen].view(-1, k), column[chosen].view(-1, k)
