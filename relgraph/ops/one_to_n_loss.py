"""The 1-N loss: every query against every candidate, without the score matrix."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.autograd.function import once_differentiable

from relgraph.errors import ShapeError
from relgraph.ops.tiles import Csr, RowBlock, Scores, check_csr, distinct_csr, spans

__all__ = ["one_to_n_loss"]

_ROWS = 2048
_TILE = 2**20  # scores held at once: 4 MB of float32, which stays in the cache between the passes over it


def one_to_n_loss(
    query: Tensor,
    candidates: Tensor,
    positives: Csr,
    *,
    query_bias: Tensor | None = None,
    candidate_bias: Tensor | None = None,
    alpha: float = 1.0,
    label_smoothing: float = 0.0,
) -> Tensor:
    r"""Binary cross-entropy of all ``B * N`` scores, computed tile by tile.

    With :math:`s_{ij} = \alpha\, q_i \cdot k_j + a_i + b_j`, labels :math:`y^0_{ij} = 1` at the positives, and
    targets :math:`y = (1 - \epsilon) y^0 + 1/N` (the smoothing of ConvE, TuckER and LowFER, which adds :math:`1/N`,
    not :math:`\epsilon/N`), or :math:`y = y^0` exactly where :math:`\epsilon = 0`:

    .. math:: \frac{1}{BN} \Big[\sum_{ij} \mathrm{softplus}(s_{ij}) - [\epsilon > 0] \frac{1}{N} \sum_{ij} s_{ij}
              - (1 - \epsilon) \sum_{ij: y^0_{ij} = 1} s_{ij}\Big]

    The gradients are taken in the same pass, so a training step costs three matrix products and neither the
    ``[B, N]`` scores nor a label matrix ever exist. Differentiable once.

    Args:
        query: ``[B, K]``, a floating dtype.
        candidates: ``[N, K]``, the same dtype and device.
        positives: CSR ``(ptr, index)`` of the true candidates of each query; an entry that stands twice in a row
            counts once.
        query_bias: ``[B]`` or ``None``.
        candidate_bias: ``[N]`` or ``None``.
        alpha: Factor of the product.
        label_smoothing: :math:`\epsilon` in ``[0, 1)``.

    Returns:
        The mean, a scalar in the dtype of ``query``; zero without a query or without a candidate.

    Raises:
        ShapeError: If the shapes above do not hold, or ``label_smoothing`` is outside ``[0, 1)``.
    """
    if not 0.0 <= label_smoothing < 1.0:
        raise ShapeError(f"label_smoothing: expected a number in [0, 1), got {label_smoothing}")
    scores = Scores(query, candidates, query_bias, candidate_bias, alpha)
    check_csr("positives", positives, scores.num_queries, scores.num_candidates)
    ptr, index = distinct_csr(positives, scores.num_candidates)
    with torch.autocast(query.device.type, enabled=False):
        loss: Tensor = _OneToNLoss.apply(  # type: ignore[no-untyped-call]
            query, candidates, query_bias, candidate_bias, ptr, index, alpha, label_smoothing, torch.is_grad_enabled()
        )
    return loss


class _OneToNLoss(torch.autograd.Function):
    """The gradient of the sum is the sum of the tiles' gradients, so the forward pass can take it on its way."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        candidates: Tensor,
        query_bias: Tensor | None,
        candidate_bias: Tensor | None,
        ptr: Tensor,
        index: Tensor,
        alpha: float,
        label_smoothing: float,
        with_gradient: bool,
    ) -> Tensor:
        scores = Scores(query, candidates, query_bias, candidate_bias, alpha)
        wanted = with_gradient and any(ctx.needs_input_grad[:4])
        total, gradients = _sum_and_gradients(scores, (ptr, index), label_smoothing, wanted)
        scale = 1.0 / max(scores.num_queries * scores.num_candidates, 1)
        ctx.scale = scale
        ctx.save_for_backward(*gradients)
        return (total * scale).to(query.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        factor = grad * ctx.scale
        needed = ctx.needs_input_grad[:4]
        gradients = [g * factor if need else None for g, need in zip(ctx.saved_tensors, needed, strict=True)]
        return (*gradients, None, None, None, None, None)


def _sum_and_gradients(
    scores: Scores, positives: Csr, label_smoothing: float, with_gradient: bool
) -> tuple[Tensor, list[Tensor]]:
    """The sum of the cross-entropies, float64, and its gradients by query, candidates and the two biases."""
    query, candidates, alpha = scores.query, scores.candidates, scores.alpha
    total = torch.zeros((), dtype=torch.float64, device=query.device)
    by_query, by_candidate = (torch.zeros_like(x if with_gradient else x[:0]) for x in (query, candidates))
    by_query_bias, by_candidate_bias = by_query.new_zeros(len(by_query)), by_query.new_zeros(len(by_candidate))
    uniform = 1.0 / max(scores.num_candidates, 1) if label_smoothing > 0 else 0.0
    for rows in spans(scores.num_queries, _ROWS):
        width = max(_TILE // (rows.stop - rows.start), 1)
        block = RowBlock(positives, rows, scores.num_candidates, width)
        for number, columns in enumerate(spans(scores.num_candidates, width)):
            score = scores.tile(rows, columns)  # [rows, columns]
            at = block.positions(number, columns)
            total += F.softplus(score).sum() - uniform * score.sum() - (1 - label_smoothing) * score[at].sum()
            if not with_gradient:
                continue
            slope = score.sigmoid_()
            if uniform:
                slope -= uniform
            slope[at] -= 1 - label_smoothing
            by_query[rows].addmm_(slope, candidates[columns], alpha=alpha)
            by_candidate[columns].addmm_(slope.T, query[rows], alpha=alpha)
            if scores.query_bias is not None:
                by_query_bias[rows] += slope.sum(1)
            if scores.candidate_bias is not None:
                by_candidate_bias[columns] += slope.sum(0)
    return total, [by_query, by_candidate, by_query_bias, by_candidate_bias]
