"""The best candidates in Triton: one pass keeps the maximum of every block, a second looks into the best blocks.

Whatever is among the ``k`` best stands in one of the ``k`` blocks with the highest maxima, of equal ones the first: any
other block has ``k`` candidates before its own best one. So the first pass writes a number per block of 64 candidates,
never the scores, and the second computes ``64 k`` scores of each query once more. There a score is a sum of products
in one fixed order, whatever its place, so that equal candidates are ties.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from relgraph.ops.kernels.bits import bit_at, bit_rows
from relgraph.ops.kernels.jit import kernel
from relgraph.ops.kernels.score_tile import score_tile
from relgraph.ops.tiles import Csr, Scores, nan_error, spans

__all__ = ["best_blocks"]

_SIDE, _INNER, _WARPS, _STAGES = 64, 16, 4, 2
_BYTES = 2**28  # of what the second pass writes, at once


def best_blocks(scores: Scores, k: int, filter: Csr) -> tuple[Tensor, Tensor]:
    """Scores and numbers of a few candidates of each query, in rising order of number, the ``k`` best among them.

    Args:
        scores: The factors, float32.
        k: How many are wanted, at least 1.
        filter: CSR of the candidates that a query must not get; they score ``-inf``.

    Returns:
        Both ``[B, min(k, blocks) * 64]``; places beyond the last candidate have score ``-inf`` and number 0.

    Raises:
        ProtocolError: If a score is NaN.
    """
    query, candidates = scores.query.contiguous(), scores.candidates.contiguous()
    biases = [None if x is None else x.contiguous() for x in (scores.query_bias, scores.candidate_bias)]
    (b, width), n = query.shape, len(candidates)
    blocks = triton.cdiv(n, _SIDE)
    kept = min(k, blocks)
    value = torch.empty(b, kept * _SIDE, device=query.device)
    number = torch.empty(b, kept * _SIDE, dtype=torch.int64, device=query.device)
    nan = torch.zeros(1, dtype=torch.int32, device=query.device)
    step = max(_BYTES // (16 * kept * _SIDE + n // 8 + 4 * blocks), 1)
    for rows in spans(b, step):
        out = bit_rows((filter[0][rows.start : rows.stop + 1], filter[1]), n)
        bias = None if biases[0] is None else biases[0][rows]
        part = (query[rows], candidates, bias, biases[1])
        size = rows.stop - rows.start
        maxima = torch.empty(size, blocks, device=query.device)
        _maxima[triton.cdiv(size, _SIDE), blocks](
            *part, out, maxima, nan, size, n, scores.alpha, out.shape[1], blocks,
            K=width, SIDE=_SIDE, INNER=_INNER, num_warps=_WARPS, num_stages=_STAGES,
        )  # fmt: skip
        chosen = maxima.argsort(dim=1, descending=True, stable=True)[:, :kept].sort(1).values.contiguous()
        _look_into[size, kept](
            *part, out, chosen, value[rows], number[rows], n, scores.alpha, out.shape[1],
            K=width, SIDE=_SIDE, INNER=_INNER, num_warps=_WARPS,
        )  # fmt: skip
    if int(nan):
        raise nan_error(f"{int(nan)} of {b * n}")
    return value, number


@kernel
def _maxima(
    query: tl.tensor,  # [B, K]
    candidates: tl.tensor,  # [N, K]
    query_bias: tl.tensor,
    candidate_bias: tl.tensor,
    out: tl.tensor,  # int32 [B, WIDTH]: bits of those that do not count
    maxima: tl.tensor,  # [B, BLOCKS], written
    nan: tl.tensor,  # int32 [1], added to
    B: tl.tensor,
    N: tl.tensor,
    alpha: tl.tensor,
    WIDTH: tl.tensor,
    BLOCKS: tl.tensor,
    K: tl.constexpr,
    SIDE: tl.constexpr,
    INNER: tl.constexpr,
) -> None:
    rows = tl.program_id(0).to(tl.int64) * SIDE + tl.arange(0, SIDE)
    block = tl.program_id(1).to(tl.int64)
    columns = block * SIDE + tl.arange(0, SIDE)
    row_inside, column_inside = rows < B, columns < N
    inside = row_inside[:, None] & column_inside[None, :]
    score = score_tile(
        query, candidates, query_bias, candidate_bias, rows, columns, row_inside, column_inside, K, alpha,
        query_bias is not None, candidate_bias is not None, SIDE, SIDE, INNER, "ieee",
    )  # fmt: skip
    tl.atomic_add(nan, tl.sum((inside & (score != score)).to(tl.int32)))
    counts = inside & (bit_at(out, WIDTH, rows[:, None], columns[None, :], inside) == 0)
    best = tl.max(tl.where(counts, score, -float("inf")), 1)
    tl.store(maxima + rows * BLOCKS + block, best, mask=row_inside)


@kernel
def _look_into(
    query: tl.tensor,  # as in _maxima, as far as out
    candidates: tl.tensor,
    query_bias: tl.tensor,
    candidate_bias: tl.tensor,
    out: tl.tensor,
    chosen: tl.tensor,  # int64 [B, kept]: blocks
    value: tl.tensor,  # [B, kept, SIDE], written
    number: tl.tensor,  # int64 [B, kept, SIDE], written
    N: tl.tensor,
    alpha: tl.tensor,
    WIDTH: tl.tensor,
    K: tl.constexpr,
    SIDE: tl.constexpr,
    INNER: tl.constexpr,
) -> None:
    row = tl.program_id(0).to(tl.int64)
    place = row * tl.num_programs(1) + tl.program_id(1)
    columns = tl.load(chosen + place) * SIDE + tl.arange(0, SIDE)
    inside = columns < N
    score = tl.zeros([SIDE], tl.float32)
    for start in range(0, K, INNER):
        k = start + tl.arange(0, INNER)
        x = tl.load(query + row * K + k, mask=k < K, other=0.0)
        both = inside[:, None] & (k < K)[None, :]
        y = tl.load(candidates + columns[:, None] * K + k[None, :], mask=both, other=0.0)
        score += tl.sum(x[None, :] * y, 1)
    score *= alpha
    if query_bias is not None:
        score += tl.load(query_bias + row)
    if candidate_bias is not None:
        score += tl.load(candidate_bias + columns, mask=inside, other=0.0)
    counts = inside & (bit_at(out, WIDTH, row, columns, inside) == 0)
    at = place * SIDE + tl.arange(0, SIDE)
    tl.store(value + at, tl.where(counts, score, -float("inf")))
    tl.store(number + at, tl.where(inside, columns, 0))
