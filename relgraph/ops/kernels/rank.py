"""Rank counters in Triton: one pass over the score tiles, what is filtered left out by bits.

Ties are exact because every score has the same bits wherever it is computed: products are full float32, so a score is
one chain of fused multiply-adds over K, by one function with one tile shape (:mod:`relgraph.ops.kernels.score_tile`).
The target's own score comes from a tile of its queries against their gathered targets, whose diagonal it is. No other
score is computed twice: what is filtered is not subtracted again but never counted. (In Triton's interpreter products
are numpy's, whose last bits depend on the place.)
"""

from __future__ import annotations

import torch
import triton.language as tl
from torch import Tensor

from relgraph.ops.kernels.bits import bit_at, bit_rows
from relgraph.ops.kernels.jit import kernel, processors
from relgraph.ops.kernels.score_tile import score_tile
from relgraph.ops.tiles import Csr, Scores, nan_error, spans

__all__ = ["rank_counts"]

_SIDE, _INNER, _WARPS, _STAGES = 64, 16, 4, 2  # of a tile, which is square: the diagonal is needed
_BITS = 2**26  # bytes of filter bits at once


def rank_counts(scores: Scores, target: Tensor, filter: Csr) -> tuple[Tensor, Tensor]:
    """How many unfiltered candidates score above and beside the target of each query, int64 ``[B]`` each.

    Args:
        scores: The factors, float32.
        target: A candidate of each query, int64 ``[B]``.
        filter: CSR of the candidates that do not compete.

    Raises:
        ProtocolError: If a score is NaN.
    """
    greater, equal = torch.zeros_like(target), torch.zeros_like(target)
    nan = target.new_zeros(())
    step = max(_BITS // max(scores.num_candidates // 8, 1), 1) // _SIDE * _SIDE
    for rows in spans(scores.num_queries, max(step, _SIDE)):
        part = scores.select(rows, slice(None))
        out = bit_rows((filter[0][rows.start : rows.stop + 1], filter[1]), scores.num_candidates)
        greater[rows], equal[rows], here = _count(part, target[rows], out)
        nan += here
    if scores.num_queries and int(nan):
        raise nan_error(f"{int(nan)} of {scores.num_queries * scores.num_candidates}")
    return greater, equal


def _count(scores: Scores, target: Tensor, out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    query, candidates = scores.query.contiguous(), scores.candidates.contiguous()
    (b, k), n = query.shape, len(candidates)
    blocks = -(-b // _SIDE)
    parts = max(min(2 * processors(query.device) // blocks, -(-n // _SIDE)), 1)
    length = -(-n // (parts * _SIDE)) * _SIDE
    parts = -(-n // length)
    own = torch.empty(b, device=query.device)
    counts = torch.empty(3, parts, b, dtype=torch.int32, device=query.device)
    biases = [None if x is None else x.contiguous() for x in (scores.query_bias, scores.candidate_bias)]
    same = {"K": k, "SIDE": _SIDE, "INNER": _INNER, "num_warps": _WARPS, "num_stages": _STAGES}
    _own_scores[(blocks,)](query, candidates, *biases, target, own, b, scores.alpha, **same)
    _count_tiles[blocks, parts](
        query, candidates, *biases, target, own, out, counts, b, n, scores.alpha, out.shape[1], length, **same
    )
    greater, equal, nan = counts.sum(1)
    return greater, equal, nan.sum()


@kernel
def _own_scores(
    query: tl.tensor,  # [B, K]
    candidates: tl.tensor,  # [N, K]
    query_bias: tl.tensor,
    candidate_bias: tl.tensor,
    target: tl.tensor,  # [B]
    own: tl.tensor,  # [B], written
    B: tl.tensor,
    alpha: tl.tensor,
    K: tl.constexpr,
    SIDE: tl.constexpr,
    INNER: tl.constexpr,
) -> None:
    place = tl.arange(0, SIDE)
    rows = tl.program_id(0).to(tl.int64) * SIDE + place
    inside = rows < B
    columns = tl.load(target + rows, mask=inside, other=0)
    score = score_tile(
        query, candidates, query_bias, candidate_bias, rows, columns, inside, inside, K, alpha,
        query_bias is not None, candidate_bias is not None, SIDE, SIDE, INNER, "ieee",
    )  # fmt: skip
    diagonal = tl.where(place[:, None] == place[None, :], score, 0.0)
    tl.store(own + rows, tl.sum(diagonal, 1), mask=inside)  # zeros added to a number leave it


@kernel
def _count_tiles(
    query: tl.tensor,
    candidates: tl.tensor,
    query_bias: tl.tensor,
    candidate_bias: tl.tensor,
    target: tl.tensor,  # [B]
    own: tl.tensor,  # [B]
    out: tl.tensor,  # int32 [B, WIDTH]: bits of those that do not compete
    counts: tl.tensor,  # int32 [3, parts, B], written: above, beside, NaN
    B: tl.tensor,
    N: tl.tensor,
    alpha: tl.tensor,
    WIDTH: tl.tensor,
    LENGTH: tl.tensor,
    K: tl.constexpr,
    SIDE: tl.constexpr,
    INNER: tl.constexpr,
) -> None:
    rows = tl.program_id(0).to(tl.int64) * SIDE + tl.arange(0, SIDE)
    part = tl.program_id(1)
    row_inside = rows < B
    mine = tl.load(own + rows, mask=row_inside, other=0.0)[:, None]
    answer = tl.load(target + rows, mask=row_inside, other=0)[:, None]
    above = tl.zeros([SIDE], tl.int32)
    beside = tl.zeros([SIDE], tl.int32)
    nan = tl.zeros([SIDE], tl.int32)
    for start in range(part * LENGTH, tl.minimum((part + 1) * LENGTH, N), SIDE):
        columns = (start + tl.arange(0, SIDE)).to(tl.int64)
        column_inside = columns < N
        inside = row_inside[:, None] & column_inside[None, :]
        score = score_tile(
            query, candidates, query_bias, candidate_bias, rows, columns, row_inside, column_inside, K, alpha,
            query_bias is not None, candidate_bias is not None, SIDE, SIDE, INNER, "ieee",
        )  # fmt: skip
        rival = inside & (columns[None, :] != answer)
        rival = rival & (bit_at(out, WIDTH, rows[:, None], columns[None, :], inside) == 0)
        above += tl.sum((rival & (score > mine)).to(tl.int32), 1)
        beside += tl.sum((rival & (score == mine)).to(tl.int32), 1)
        nan += tl.sum((inside & (score != score)).to(tl.int32), 1)
    at = counts + part.to(tl.int64) * B + rows
    size = tl.num_programs(1).to(tl.int64) * B
    tl.store(at, above, mask=row_inside)
    tl.store(at + size, beside, mask=row_inside)
    tl.store(at + 2 * size, nan, mask=row_inside)
