"""A tile of a score matrix, the part that every kernel on factored scores shares."""

from __future__ import annotations

from typing import Any

import triton.language as tl

from relgraph.ops.kernels.jit import kernel

__all__ = ["score_tile"]


@kernel
def score_tile(
    left: Any,  # [R, K]
    right: Any,  # [C, K]
    left_bias: Any,  # [R], read if HAS_LEFT_BIAS
    right_bias: Any,  # [C]
    rows: Any,  # int64 [ROWS]
    columns: Any,  # int64 [COLUMNS]
    row_inside: Any,  # bool [ROWS]: which of them there are; the others are zero
    column_inside: Any,
    K: Any,  # noqa: N803
    alpha: Any,
    HAS_LEFT_BIAS: tl.constexpr,  # noqa: N803
    HAS_RIGHT_BIAS: tl.constexpr,  # noqa: N803
    ROWS: tl.constexpr,  # noqa: N803
    COLUMNS: tl.constexpr,  # noqa: N803
    INNER: tl.constexpr,  # noqa: N803
    PRECISION: tl.constexpr,  # noqa: N803
) -> Any:
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
