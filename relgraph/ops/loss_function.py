"""Losses of factored scores whose gradients are taken in the forward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from relgraph.ops.tiles import Scores, full_precision

__all__ = ["SumAndGradients", "loss_of_scores"]

SumAndGradients = Callable[[Scores, bool], tuple[Tensor, list[Tensor]]]
"""Given the factors and whether gradients are wanted: a sum in float64 and its gradients by query, candidates and the
two biases, in their dtype or float32 (empty ones if they are not wanted)."""


def loss_of_scores(scores: Scores, take: SumAndGradients, scale: float) -> Tensor:
    """``scale`` times a sum over scores, differentiable once by queries, candidates and biases.

    Scores with biases are never shortened to TF32: a distance written as a product loses most exactly at true answers.

    Args:
        scores: The factors of the score matrix.
        take: The sum and its gradients.
        scale: Factor of the sum.

    Returns:
        A scalar in the dtype of the queries.
    """
    factors = (scores.query, scores.candidates, scores.query_bias, scores.candidate_bias)
    device = scores.query.device
    biased = scores.query_bias is not None or scores.candidate_bias is not None
    with full_precision(device) if biased else torch.autocast(device.type, enabled=False):
        loss: Tensor = _LossOfScores.apply(  # type: ignore[no-untyped-call]
            *factors, scores.alpha, take, scale, torch.is_grad_enabled()
        )
    return loss


class _LossOfScores(torch.autograd.Function):
    """What is added up has a gradient that can be added up beside it, so nothing of the scores has to be kept."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        candidates: Tensor,
        query_bias: Tensor | None,
        candidate_bias: Tensor | None,
        alpha: float,
        take: SumAndGradients,
        scale: float,
        with_gradient: bool,
    ) -> Tensor:
        scores = Scores(query, candidates, query_bias, candidate_bias, alpha)
        total, gradients = take(scores, with_gradient and any(ctx.needs_input_grad[:4]))
        ctx.scale = scale
        ctx.save_for_backward(*gradients)
        return (total * scale).to(query.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        factor = grad.double() * ctx.scale  # 1 / (B N) is nearly nothing in half precision
        needed = ctx.needs_input_grad[:4]
        gradients = [g * factor if need else None for g, need in zip(ctx.saved_tensors, needed, strict=True)]
        return (*gradients, None, None, None, None)
