"""The compiled part of :mod:`relgraph.ops.segment_softmax`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from relgraph.ops.compiled import compiled
from relgraph.ops.groups_numba import by_group

__all__ = ["slopes", "weights"]


def weights(score: Tensor, index: Tensor, num_segments: int) -> Tensor:
    """The softmax of ``[E, H]`` scores within segments."""
    out = torch.empty_like(score, memory_format=torch.contiguous_format)
    given = score.detach().contiguous().numpy(), out.numpy()
    by_group(index.contiguous().numpy(), num_segments, lambda *group: _weights(*given, *group))
    return out


def slopes(weight: Tensor, grad: Tensor, index: Tensor, num_segments: int) -> Tensor:
    """The gradient by the scores, given the weights and the gradient by them, ``[E, H]`` each."""
    out = torch.empty_like(weight, memory_format=torch.contiguous_format)
    given = weight.contiguous().numpy(), grad.contiguous().numpy(), out.numpy()
    by_group(index.contiguous().numpy(), num_segments, lambda *group: _slopes(*given, *group))
    return out


@compiled
def _weights(score: Any, out: Any, ptr: Any, order: Any, first: int, end: int) -> None:
    for g in range(first, end):
        for h in range(score.shape[1]):
            highest = -np.inf
            for p in range(ptr[g], ptr[g + 1]):
                e = order[p] if order.size else p
                highest = max(highest, score[e, h])
            if highest == -np.inf:
                highest = 0.0
            total = 0.0
            for p in range(ptr[g], ptr[g + 1]):
                e = order[p] if order.size else p
                share = np.exp(score[e, h] - highest)
                out[e, h] = share
                total += share
            scale = 1 / total if total else 0.0
            for p in range(ptr[g], ptr[g + 1]):
                e = order[p] if order.size else p
                out[e, h] *= scale


@compiled
def _slopes(weight: Any, grad: Any, out: Any, ptr: Any, order: Any, first: int, end: int) -> None:
    for g in range(first, end):
        for h in range(weight.shape[1]):
            mean = 0.0
            for p in range(ptr[g], ptr[g + 1]):
                e = order[p] if order.size else p
                mean += weight[e, h] * grad[e, h]
            for p in range(ptr[g], ptr[g + 1]):
                e = order[p] if order.size else p
                out[e, h] = weight[e, h] * (grad[e, h] - mean)
