"""The 1-N loss in Triton: see :mod:`relgraph.ops.kernels.score_loss`."""

from __future__ import annotations

import torch
from torch import Tensor

from relgraph.ops.kernels.score_loss import score_loss
from relgraph.ops.tiles import Csr, Scores

__all__ = ["one_to_n_sum"]


def one_to_n_sum(
    positives: Csr, certain: float, uniform: float, scores: Scores, with_gradient: bool
) -> tuple[Tensor, list[Tensor]]:
    """The sum of :func:`relgraph.ops.one_to_n_loss` and its gradients, as ``loss_of_scores`` takes them."""
    each = torch.full((scores.num_queries,), certain, device=scores.device)
    return score_loss("bce", scores, positives, each, uniform, None, with_gradient)
