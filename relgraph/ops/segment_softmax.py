"""The softmax of scores within segments: attention over the edges of each target."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from relgraph.errors import ShapeError
from relgraph.ops.backends import choose
from relgraph.ops.tiles import check_numbers

__all__ = ["segment_softmax"]


def segment_softmax(score: Tensor, index: Tensor, num_segments: int) -> Tensor:
    r"""Weights that sum to one within each segment, for every head.

    .. math:: w_{eh} = \frac{\exp(s_{eh} - m_{ih})}{\sum_{f:\, i(f) = i(e)} \exp(s_{fh} - m_{ih})}, \qquad
              m_{ih} = \max_{f:\, i(f) = i} s_{fh}

    Entries come in any order; sorted by segment is fastest. An entry of ``-inf`` has weight 0, also where the whole
    segment is ``-inf``. The compiled loops and the Triton kernel walk over a segment twice, keep nothing but the
    weights, and give the same result every time. They are differentiable once, and sum halves in float32.

    Together with :func:`relgraph.ops.gather_scale_scatter`, which takes the weights as ``edge_weight``, that is
    attention without the ``[E, d]`` messages.

    Args:
        score: ``[E]`` or ``[E, H]``, a floating dtype.
        index: The segment of every entry, int64 ``[E]``.
        num_segments: Segments there are; some may be empty.

    Returns:
        The weights, shaped as ``score``.

    Raises:
        ShapeError: If the shapes above do not hold.

    Example:
        >>> segment_softmax(torch.tensor([0.0, 0.0, 5.0]), torch.tensor([1, 1, 0]), 2)
        tensor([0.5000, 0.5000, 1.0000])
    """
    _check(score, index, num_segments)
    floats, halves = (torch.float32, torch.float64), (torch.float32, torch.float16, torch.bfloat16)
    backend = choose("segment_softmax", score.device, score.dtype, numba=floats, triton=halves)
    if backend == "torch":
        return _reference(score, index, num_segments)
    weight: Tensor = _Fused.apply(score, index, num_segments, backend)  # type: ignore[no-untyped-call]
    return weight


class _Fused(torch.autograd.Function):
    """By compiled loops or kernels."""

    @staticmethod
    def forward(ctx: Any, score: Tensor, index: Tensor, num_segments: int, backend: str) -> Tensor:
        columns = _by_head(score)
        weight: Tensor = _implementation(backend).weights(columns, index, num_segments).view(score.shape)
        ctx.save_for_backward(weight, index)
        ctx.num_segments, ctx.backend = num_segments, backend
        return weight

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        weight, index = ctx.saved_tensors
        by_score = _implementation(ctx.backend).slopes(_by_head(weight), _by_head(grad), index, ctx.num_segments)
        return by_score.view(weight.shape), None, None, None


def _by_head(x: Tensor) -> Tensor:
    return x if x.dim() == 2 else x[:, None]


def _implementation(backend: str) -> Any:
    """The module that has ``weights`` and ``slopes``."""
    if backend == "triton":
        return import_module("relgraph.ops.kernels.segment_softmax")
    return import_module("relgraph.ops.segment_softmax_numba")


def _reference(score: Tensor, index: Tensor, num_segments: int) -> Tensor:
    where = index.view(-1, *[1] * (score.dim() - 1)).expand_as(score)
    highest = score.new_full((num_segments, *score.shape[1:]), -torch.inf)
    highest = highest.scatter_reduce(0, where, score.detach(), "amax")
    highest = highest.masked_fill(highest == -torch.inf, 0.0)
    share = (score - highest.index_select(0, index)).exp()
    total = torch.zeros_like(highest).index_add(0, index, share).index_select(0, index)
    return share / total.masked_fill(total == 0, 1.0)


def _check(score: Tensor, index: Tensor, num_segments: int) -> None:
    if score.dim() not in (1, 2) or not score.is_floating_point():
        raise ShapeError(f"score: expected a floating [E] or [E, H], got {score.dtype} {list(score.shape)}")
    if index.dtype != torch.int64 or index.shape != score.shape[:1]:
        raise ShapeError(f"index: expected int64 [{len(score)}], got {index.dtype} {list(index.shape)}")
    if index.device.type == "cpu":  # looking would make an accelerator wait
        check_numbers("index", index, num_segments)
