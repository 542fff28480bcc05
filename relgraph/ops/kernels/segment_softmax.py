"""Kernels of :mod:`relgraph.ops.segment_softmax`: a program per segment walks over its entries twice."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from relgraph.ops.kernels.jit import kernel
from relgraph.ops.kernels.runs import WHOLE, runs_of

__all__ = ["slopes", "weights"]

_NUMBERS = 1024  # of a block: entries times heads


def weights(score: Tensor, index: Tensor, num_segments: int) -> Tensor:
    """The softmax of ``[E, H]`` scores within segments."""
    return _walk(_weights, (score,), index, num_segments)


def slopes(weight: Tensor, grad: Tensor, index: Tensor, num_segments: int) -> Tensor:
    """The gradient by the scores, given the weights and the gradient by them, ``[E, H]`` each."""
    return _walk(_slopes, (weight, grad), index, num_segments)


def _walk(kernel: object, given: tuple[Tensor, ...], index: Tensor, num_segments: int) -> Tensor:
    out = torch.empty_like(given[0], memory_format=torch.contiguous_format)
    if not out.numel():
        return out
    order, _, starts, ends = runs_of(index.contiguous(), num_segments, WHOLE)
    heads = given[0].shape[1]
    block = max(int(triton.next_power_of_2(heads)), 1)
    kernel[(len(starts),)](  # type: ignore[index]
        *(x.contiguous() for x in given), order, starts, ends, out, heads,
        HEADS=block, ENTRIES=max(_NUMBERS // block, 1),
    )  # fmt: skip
    return out


@kernel
def _weights(
    score: tl.tensor,  # [E, heads]
    order: tl.tensor,  # int64 [E]: the entries, segment by segment
    starts: tl.tensor,  # int64 [segments that have entries]: the first place of each in order
    ends: tl.tensor,
    out: tl.tensor,  # [E, heads], written
    heads: tl.tensor,
    HEADS: tl.constexpr,
    ENTRIES: tl.constexpr,
) -> None:
    first, last = tl.load(starts + tl.program_id(0)), tl.load(ends + tl.program_id(0))
    head = tl.arange(0, HEADS)
    highest = tl.full([HEADS], -float("inf"), tl.float32)
    total = tl.zeros([HEADS], tl.float32)
    shift = tl.zeros([HEADS], tl.float32)
    for start in range(first, last, ENTRIES):
        place = start + tl.arange(0, ENTRIES)
        inside = (place < last)[:, None] & (head < heads)[None, :]
        entry = tl.load(order + place, place < last, other=0)
        at = entry[:, None] * heads + head[None, :]
        value = tl.load(score + at, inside, other=-float("inf")).to(tl.float32)
        before = highest
        highest = tl.maximum(highest, tl.max(value, 0))
        shift = tl.where(highest == -float("inf"), 0.0, highest)
        total = total * tl.exp(before - shift) + tl.sum(tl.exp(value - shift[None, :]), 0)
    scale = 1 / tl.where(total > 0, total, 1.0)
    for start in range(first, last, ENTRIES):
        place = start + tl.arange(0, ENTRIES)
        inside = (place < last)[:, None] & (head < heads)[None, :]
        entry = tl.load(order + place, place < last, other=0)
        at = entry[:, None] * heads + head[None, :]
        value = tl.load(score + at, inside, other=-float("inf")).to(tl.float32)
        share = tl.exp(value - shift[None, :]) * scale[None, :]
        tl.store(out + at, share.to(out.dtype.element_ty), inside)


@kernel
def _slopes(
    weight: tl.tensor,  # [E, heads]
    grad: tl.tensor,  # [E, heads]
    order: tl.tensor,  # as in _weights from here on
    starts: tl.tensor,
    ends: tl.tensor,
    out: tl.tensor,
    heads: tl.tensor,
    HEADS: tl.constexpr,
    ENTRIES: tl.constexpr,
) -> None:
    first, last = tl.load(starts + tl.program_id(0)), tl.load(ends + tl.program_id(0))
    head = tl.arange(0, HEADS)
    mean = tl.zeros([HEADS], tl.float32)
    for start in range(first, last, ENTRIES):
        place = start + tl.arange(0, ENTRIES)
        inside = (place < last)[:, None] & (head < heads)[None, :]
        at = tl.load(order + place, place < last, other=0)[:, None] * heads + head[None, :]
        share = tl.load(weight + at, inside, other=0.0).to(tl.float32)
        mean += tl.sum(share * tl.load(grad + at, inside, other=0.0).to(tl.float32), 0)
    for start in range(first, last, ENTRIES):
        place = start + tl.arange(0, ENTRIES)
        inside = (place < last)[:, None] & (head < heads)[None, :]
        at = tl.load(order + place, place < last, other=0)[:, None] * heads + head[None, :]
        share = tl.load(weight + at, inside, other=0.0).to(tl.float32)
        slope = share * (tl.load(grad + at, inside, other=0.0).to(tl.float32) - mean[None, :])
        tl.store(out + at, slope.to(out.dtype.element_ty), inside)
