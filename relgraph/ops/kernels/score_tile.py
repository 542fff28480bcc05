"""A tile of a score matrix, the part that every kernel on factored scores shares."""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton.language as tl

from relgraph.ops.kernels.jit import kernel

__all__ = ["Blocks", "blocks", "score_tile"]


class Blocks(NamedTuple):
    """How a kernel on scores is cut, chosen so that no register spills on sm_90 at K = 200 (Triton 3.6)."""

    rows: int  # of a tile
    columns: int
    inner: int  # how much of K at a time
    warps: int
    stages: int
    precision: str  # of products of float32


def blocks(dtype: torch.dtype) -> Blocks:
    """Full float32 has no tensor cores, and its products take their operands in registers: small tiles."""
    if dtype != torch.float32:
        return Blocks(64, 64, 64, 8, 3, "ieee")
    if torch.get_float32_matmul_precision() == "highest":
        return Blocks(32, 16, 16, 8, 2, "ieee")
    return Blocks(64, 64, 32, 8, 3, "tf32")


@kernel
def score_tile(
    left: tl.tensor,  # [R, K]
    right: tl.tensor,  # [C, K]
    left_bias: tl.tensor,  # [R], read if HAS_LEFT_BIAS
    right_bias: tl.tensor,  # [C]
    rows: tl.tensor,  # int64 [ROWS]
    columns: tl.tensor,  # int64 [COLUMNS]
    row_inside: tl.tensor,  # bool [ROWS]: which of them there are; the others are zero
    column_inside: tl.tensor,
    K: tl.constexpr,
    alpha: tl.tensor,
    HAS_LEFT_BIAS: tl.constexpr,
    HAS_RIGHT_BIAS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    INNER: tl.constexpr,
    PRECISION: tl.constexpr,
) -> tl.tensor:
    """``alpha * left[rows] . right[columns] + left_bias[rows] + right_bias[columns]``, float32 ``[ROWS, COLUMNS]``.

    With ``PRECISION="ieee"`` every score is one chain of fused multiply-adds over ``K``, the same wherever it stands
    in a tile; the factor and the first bias are one explicit fused operation, so that no compiler may choose.
    """
    score = tl.zeros([ROWS, COLUMNS], tl.float32)
    for start in range(0, K, INNER):
        k = start + tl.arange(0, INNER)
        in_left = row_inside[:, None] & (k < K)[None, :]
        in_right = column_inside[None, :] & (k < K)[:, None]
        x = tl.load(left + rows[:, None] * K + k[None, :], mask=in_left, other=0.0)
        y = tl.load(right + columns[None, :] * K + k[:, None], mask=in_right, other=0.0)
        score = tl.dot(x, y, score, input_precision=PRECISION)
    bias = tl.zeros([ROWS], tl.float32)
    if HAS_LEFT_BIAS:
        bias = tl.load(left_bias + rows, mask=row_inside, other=0.0).to(tl.float32)
    score = tl.fma(score, tl.zeros([ROWS, COLUMNS], tl.float32) + alpha, tl.broadcast_to(bias[:, None], score.shape))
    if HAS_RIGHT_BIAS:
        score += tl.load(right_bias + columns, mask=column_inside, other=0.0).to(tl.float32)[None, :]
    return score
