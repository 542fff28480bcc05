"""Losses on a whole score matrix: its tiles are computed anew for each gradient and never stored.

One kernel walks the tiles of a block of rows. Called with queries as rows it gives the sum and the gradients of the
queries; called with candidates as rows, those of the candidates. The columns are shared among several programs where
rows are few; each writes its own part, and the parts are added up in order, so that the same input has the same bits.

The positives are bits beside the tiles, 1/32 of what the scores would take. Queries are taken 32 K at a time, so the
bits are never more than the candidates' own bytes in float32. A slope is complete before it is rounded for its
product: ``sigmoid - 1`` of a learned positive would not survive a correction afterwards in half precision.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import triton.language as tl
from torch import Tensor

from relgraph.ops.kernels.bits import bit_at, bit_rows
from relgraph.ops.kernels.jit import kernel, processors
from relgraph.ops.kernels.score_tile import Blocks, blocks, score_tile
from relgraph.ops.tiles import Csr, Scores, spans

__all__ = ["score_loss", "shares"]


def score_loss(
    kind: Literal["bce", "ce"],
    scores: Scores,
    positives: Csr,
    certain: Tensor,
    uniform: float,
    level: Tensor | None,
    with_gradient: bool,
) -> tuple[Tensor, list[Tensor]]:
    r"""The sum of a loss over all scores, and its gradients.

    With targets :math:`y_{ij} = u + c_i [j \in P_i]`, ``"bce"`` is
    :math:`\sum \mathrm{softplus}(s) - y s`, and ``"ce"`` is :math:`-\sum y s`, whose slope is taken as
    :math:`e^{s - l_i} - y`.

    Args:
        kind: Which loss.
        scores: The factors, float32, float16 or bfloat16.
        positives: CSR of the positives :math:`P`.
        certain: :math:`c`, float32 ``[B]``.
        uniform: :math:`u`.
        level: :math:`l`, the logarithms of the sums of exponentials, float32 ``[B]``; for ``"ce"`` only.
        with_gradient: Whether gradients are wanted.

    Returns:
        The sum, float64, and the gradients by queries, candidates and both biases in float32 (empty ones if they are
        not wanted).
    """
    b, n, k = scores.num_queries, scores.num_candidates, scores.query.shape[1]
    if not b or not n:
        wanted = (b, n) if with_gradient else (0, 0)
        none = [torch.zeros(s, device=scores.device) for s in ((wanted[0], k), (wanted[1], k), *wanted)]
        return torch.zeros((), dtype=torch.float64, device=scores.device), none
    totals, by_query, by_candidate = [], [], []
    for rows in spans(b, max(32 * k, 64)):
        part = scores.select(rows, slice(None))
        bits = bit_rows((positives[0][rows.start : rows.stop + 1], positives[1]), n)
        labels = (bits, certain[rows], None if level is None else level[rows], uniform)
        value, *gradients = _walk(kind, part, labels, False, with_gradient)
        totals.append(value)
        by_query.append(gradients)
        if with_gradient:
            by_candidate.append(_walk(kind, part, labels, True, True)[1:])
    if not with_gradient:
        return sum(totals[1:], totals[0]), [certain[:0]] * 4
    queries = [torch.cat(x) if len(x) > 1 else x[0] for x in zip(*by_query, strict=True)]
    candidates = [sum(x[1:], x[0]) for x in zip(*by_candidate, strict=True)]
    return sum(totals[1:], totals[0]), [queries[0], candidates[0], queries[1], candidates[1]]


def shares(num_rows: int, num_columns: int, cut: Blocks, device: torch.device) -> tuple[int, int]:
    """Into how many parts the columns go so that all processors work, and the length of one, full tiles.

    Never so many that what they write takes more than the columns' own factors.
    """
    row_blocks = -(-num_rows // cut.rows)
    parts = max(min(-(-processors(device) // row_blocks), num_columns // num_rows), 1)
    length = -(-num_columns // (parts * cut.columns)) * cut.columns
    return -(-num_columns // length), length


def _walk(kind: str, scores: Scores, labels: Any, swapped: bool, with_gradient: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The sum (of queries as rows only), and the gradients of the rows and of their biases."""
    bits, certain, level, uniform = labels
    left, right = scores.query.contiguous(), scores.candidates.contiguous()
    biases = (scores.query_bias, scores.candidate_bias)
    if swapped:
        left, right, biases = right, left, biases[::-1]
    (r, k), c = left.shape, len(right)
    cut = blocks(left.dtype)
    parts, length = shares(r, c, cut, left.device)
    out = min(max(1 << (k - 1).bit_length(), 16), 256)  # how much of a gradient's row one program holds
    value = torch.empty(parts, r, device=left.device)
    gradient = torch.empty((parts, r, k) if with_gradient else 0, device=left.device)
    slopes = torch.empty((parts, r) if with_gradient else 0, device=left.device)
    _walk_tiles[-(-r // cut.rows), parts, -(-k // out) if with_gradient else 1](
        left,
        right,
        *(None if x is None else x.contiguous() for x in biases),
        bits,
        certain,
        level,
        value,
        gradient,
        slopes,
        r,
        c,
        k,
        scores.alpha,
        uniform,
        bits.shape[1],
        length,
        KIND=kind,
        SWAPPED=swapped,
        WITH_GRADIENT=with_gradient,
        ROWS=cut.rows,
        COLUMNS=cut.columns,
        INNER=cut.inner,
        OUT=out,
        PRECISION=cut.precision,
        num_warps=cut.warps,
        num_stages=cut.stages,
    )
    if not with_gradient:
        return value.sum(dtype=torch.float64), gradient, slopes
    return value.sum(dtype=torch.float64), gradient.sum(0) if parts > 1 else gradient[0], slopes.sum(0)


@kernel
def _walk_tiles(
    left: tl.tensor,  # [R, K], the factors that get a gradient
    right: tl.tensor,  # [C, K]
    left_bias: tl.tensor,
    right_bias: tl.tensor,
    bits: tl.tensor,  # int32 [queries, WIDTH]
    certain: tl.tensor,  # [queries]
    level: tl.tensor,  # [queries]
    value: tl.tensor,  # [parts, R]
    gradient: tl.tensor,  # [parts, R, K]
    slopes: tl.tensor,  # [parts, R]
    R: tl.tensor,
    C: tl.tensor,
    K: tl.constexpr,
    alpha: tl.tensor,
    uniform: tl.tensor,
    WIDTH: tl.tensor,
    LENGTH: tl.tensor,
    KIND: tl.constexpr,
    SWAPPED: tl.constexpr,
    WITH_GRADIENT: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    INNER: tl.constexpr,
    OUT: tl.constexpr,
    PRECISION: tl.constexpr,
) -> None:
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    part = tl.program_id(1)
    out = tl.program_id(2) * OUT + tl.arange(0, OUT)
    row_inside, out_inside = rows < R, out < K
    sums = tl.zeros([ROWS], tl.float32)
    slope_sums = tl.zeros([ROWS], tl.float32)
    by_row = tl.zeros([ROWS, OUT], tl.float32)
    for start in range(part * LENGTH, tl.minimum((part + 1) * LENGTH, C), COLUMNS):
        columns = (start + tl.arange(0, COLUMNS)).to(tl.int64)
        column_inside = columns < C
        inside = row_inside[:, None] & column_inside[None, :]
        score = score_tile(
            left, right, left_bias, right_bias, rows, columns, row_inside, column_inside, K, alpha,
            left_bias is not None, right_bias is not None, ROWS, COLUMNS, INNER, PRECISION,
        )  # fmt: skip
        if SWAPPED:
            bit = bit_at(bits, WIDTH, columns[None, :], rows[:, None], inside)
            sure = tl.load(certain + columns, mask=column_inside, other=0.0)[None, :]
        else:
            bit = bit_at(bits, WIDTH, rows[:, None], columns[None, :], inside)
            sure = tl.load(certain + rows, mask=row_inside, other=0.0)[:, None]
        target = uniform + sure * bit
        if KIND == "bce":
            tail = tl.exp(-tl.abs(score))  # in 0..1, so that nothing overflows
            slope = tl.where(score >= 0, 1.0, tail) / (1.0 + tail) - target
            if not SWAPPED:
                cost = tl.maximum(score, 0.0) + _log1p(tail) - target * score
                sums += tl.sum(tl.where(inside, cost, 0.0), 1)
        else:
            if SWAPPED:
                base = tl.load(level + columns, mask=column_inside, other=0.0)[None, :]
            else:
                base = tl.load(level + rows, mask=row_inside, other=0.0)[:, None]
                sums -= tl.sum(tl.where(inside, target * score, 0.0), 1)
            slope = tl.exp(score - base) - target
        if WITH_GRADIENT:
            slope = tl.where(inside, slope, 0.0)
            slope_sums += tl.sum(slope, 1)
            factor = tl.load(
                right + columns[:, None] * K + out[None, :],
                mask=column_inside[:, None] & out_inside[None, :],
                other=0.0,
            )
            by_row = tl.dot(slope.to(factor.dtype), factor, by_row, input_precision=PRECISION)
    at = part.to(tl.int64) * R + rows
    if tl.program_id(2) == 0:
        tl.store(value + at, sums, mask=row_inside)
        if WITH_GRADIENT:
            tl.store(slopes + at, slope_sums, mask=row_inside)
    if WITH_GRADIENT:
        tl.store(
            gradient + at[:, None] * K + out[None, :], by_row * alpha, mask=row_inside[:, None] & out_inside[None, :]
        )


@kernel
def _log1p(x: tl.tensor) -> tl.tensor:
    """``log(1 + x)`` for x in 0..1 to the last bits, ``2 artanh(x / (2 + x))`` as a series: ``1 + x`` would lose x."""
    z = x / (2.0 + x)
    w = z * z
    series = 1 / 11 + w * (1 / 13 + w * (1 / 15))
    series = 1 / 5 + w * (1 / 7 + w * (1 / 9 + w * series))
    return 2.0 * z * (1.0 + w * (1 / 3 + w * series))
