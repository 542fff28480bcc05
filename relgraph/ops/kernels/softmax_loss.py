"""Softmax cross-entropy in Triton: the sums of exponentials first, then :mod:`relgraph.ops.kernels.score_loss`."""

from __future__ import annotations

import torch
import triton.language as tl
from torch import Tensor

from relgraph.ops.kernels.jit import kernel
from relgraph.ops.kernels.score_loss import score_loss, shares
from relgraph.ops.kernels.score_tile import blocks, score_tile
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
    cut = blocks(left.dtype)
    parts, length = shares(b, n, cut, left.device)
    level = torch.empty(parts, b, device=left.device)
    biases = (None if x is None else x.contiguous() for x in (scores.query_bias, scores.candidate_bias))
    _levels[-(-b // cut.rows), parts](
        left, right, *biases, level, b, n, k, scores.alpha, length,
        ROWS=cut.rows, COLUMNS=cut.columns, INNER=cut.inner, PRECISION=cut.precision,
        num_warps=cut.warps, num_stages=cut.stages,
    )  # fmt: skip
    return level.logsumexp(0)


@kernel
def _levels(
    left: tl.tensor,  # [R, K]
    right: tl.tensor,  # [C, K]
    left_bias: tl.tensor,
    right_bias: tl.tensor,
    level: tl.tensor,  # [parts, R]
    R: tl.tensor,
    C: tl.tensor,
    K: tl.constexpr,
    alpha: tl.tensor,
    LENGTH: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    INNER: tl.constexpr,
    PRECISION: tl.constexpr,
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
