"""Softmax cross-entropy in Triton: the sums of exponentials first, then :mod:`relgraph.ops.kernels.score_loss`."""

from __future__ import annotations

from typing import Any

import torch
import triton.language as tl
from torch import Tensor

from relgraph.ops.kernels.jit import kernel
from relgraph.ops.kernels.score_loss import COLUMNS, INNER, ROWS, STAGES, WARPS, score_loss, shares
from relgraph.ops.kernels.score_tile import score_tile
from relgraph.ops.tiles import Csr, Scores

__all__ = ["softmax_sum"]


def softmax_sum(
    positives: Csr, certain: Tensor, uniform: float, scores: Scores, with_gradient: bool
) -> tuple[Tensor, list[Tensor]]:
    """The sum of :func:`relgraph.ops.softmax_loss` and its gradients, as ``loss_of_scores`` takes them.

    Args:
        positives: CSR of the true candidates.
        certain: What each of them has of its row's target, ``[B]``.
        uniform: What every candidate has.
        scores: The factors.
        with_gradient: Whether gradients are wanted.
    """
    level = _log_sum_exp(scores)
    total, gradients = score_loss("ce", scores, positives, certain.float(), uniform, level, with_gradient)
    return total + level.sum(dtype=torch.float64), gradients


def _log_sum_exp(scores: Scores) -> Tensor:
    """``log(sum(exp(scores)))`` of each query, float32 ``[B]``."""
    left, right = scores.query.contiguous(), scores.candidates.contiguous()
    (b, k), n = left.shape, len(right)
    if not b or not n:
        return torch.full((b,), -torch.inf, device=left.device)
    parts, length = shares(b, n, ROWS, COLUMNS, left.device)
    level = torch.empty(parts, b, device=left.device)
    biases = (None if x is None else x.contiguous() for x in (scores.query_bias, scores.candidate_bias))
    precision = "ieee" if torch.get_float32_matmul_precision() == "highest" else "tf32"
    _levels[-(-b // ROWS), parts](
        left, right, *biases, level, b, n, k, scores.alpha, length,
        ROWS=ROWS, COLUMNS=COLUMNS, INNER=INNER, PRECISION=precision, num_warps=WARPS, num_stages=STAGES,
    )  # fmt: skip
    return level.logsumexp(0)


@kernel
def _levels(
    left: Any,  # [R, K]
    right: Any,  # [C, K]
    left_bias: Any,
    right_bias: Any,
    level: Any,  # [parts, R]
    R: Any,  # noqa: N803
    C: Any,  # noqa: N803
    K: Any,  # noqa: N803
    alpha: Any,
    LENGTH: Any,  # noqa: N803
    ROWS: tl.constexpr,  # noqa: N803
    COLUMNS: tl.constexpr,  # noqa: N803
    INNER: tl.constexpr,  # noqa: N803
    PRECISION: tl.constexpr,  # noqa: N803
) -> None:
    """The online sum: what was added up is rescaled when a higher score comes."""
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    part = tl.program_id(1)
    row_inside = rows < R
    most = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    for start in range(part * LENGTH, tl.minimum((part + 1) * LENGTH, C), COLUMNS):
        columns = (start + tl.arange(0, COLUMNS)).to(tl.int64)
        column_inside = columns < C
        score = score_tile(
            left, right, left_bias, right_bias, rows, columns, row_inside, column_inside, K, alpha,
            left_bias is not None, right_bias is not None, ROWS, COLUMNS, INNER, PRECISION,
        )  # fmt: skip
        score = tl.where(column_inside[None, :], score, float("-inf"))
        new = tl.maximum(most, tl.max(score, 1))
        total = total * tl.exp(most - new) + tl.sum(tl.exp(score - new[:, None]), 1)
        most = new
    tl.store(level + part.to(tl.int64) * R + rows, most + tl.log(total), mask=row_inside)
