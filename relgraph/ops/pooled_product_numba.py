"""The compiled part of :mod:`relgraph.ops.pooled_product`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from relgraph.ops.compiled import compiled, over_rows

__all__ = ["pool", "pool_backward"]

_FIRST, _SECOND = np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35)
_16, _13 = np.uint32(16), np.uint32(13)


def pool(left: Tensor, right: Tensor, place: Tensor, rank: int, p: float, seed: int) -> Tensor:
    """See :func:`relgraph.ops.pooled_product`; every tensor contiguous."""
    out = torch.empty(len(left), left.shape[1] // rank)
    arrays = [*(x.detach().numpy() for x in (left, right, place, out)), np.arange(left.shape[1], dtype=np.uint32)]
    over_rows(lambda a, b: _pool(*arrays, rank, *_drawn(p, seed), a, b), out.shape[1], least=32)
    return out


def pool_backward(
    grad: Tensor, left: Tensor, right: Tensor, place: Tensor, rank: int, p: float, seed: int
) -> tuple[Tensor, Tensor]:
    """The gradients by ``left`` and ``right``."""
    by_left, by_right = torch.empty_like(left), torch.zeros_like(right)
    arrays = [x.detach().numpy() for x in (grad, left, right, place, by_left, by_right)]
    arrays.append(np.arange(left.shape[1], dtype=np.uint32))
    over_rows(lambda a, b: _pool_backward(*arrays, rank, *_drawn(p, seed), a, b), grad.shape[1], least=32)
    return by_left, by_right


def _drawn(p: float, seed: int) -> tuple[Any, Any, Any]:
    """A product is kept where its 32 bits are at least the limit; the scale is that of the rounded share."""
    limit = round(p * 2**32)
    return np.uint32(seed), np.uint32(limit), np.float32(2**32 / (2**32 - limit))


@compiled(any_order=True)  # type: ignore[untyped-decorator]
def _pool(
    left: Any, right: Any, place: Any, out: Any, column: Any, rank: int, seed: Any, limit: Any, scale: Any,
    first: int, end: int,
) -> None:  # fmt: skip
    for b in range(left.shape[0]):
        r = place[b]
        row = _mixed(np.uint32(b) ^ seed)
        for j in range(first, end):
            total = np.float32(0)
            for c in range(j * rank, j * rank + rank):
                kept = np.float32(1) if _mixed(column[c] ^ row) >= limit else np.float32(0)
                total += left[b, c] * right[r, c] * kept
            out[b, j] = total * scale


@compiled(any_order=True)  # type: ignore[untyped-decorator]
def _pool_backward(
    grad: Any, left: Any, right: Any, place: Any, by_left: Any, by_right: Any, column: Any,
    rank: int, seed: Any, limit: Any, scale: Any, first: int, end: int,
) -> None:  # fmt: skip
    kept = np.empty(rank, np.float32)
    for b in range(left.shape[0]):
        row = _mixed(np.uint32(b) ^ seed)
        for j in range(first, end):
            slope = grad[b, j] * scale
            part = slice(j * rank, j * rank + rank)
            ours, theirs = left[b, part], right[place[b], part]
            ours_slope, theirs_slope, number = by_left[b, part], by_right[place[b], part], column[part]
            for i in range(rank):
                kept[i] = slope if _mixed(number[i] ^ row) >= limit else np.float32(0)
            for i in range(rank):
                ours_slope[i] = theirs[i] * kept[i]
            for i in range(rank):
                theirs_slope[i] += ours[i] * kept[i]


@compiled
def _mixed(h: Any) -> Any:
    """Every bit of the result depends on every bit of ``h``: the finalizer of MurmurHash3."""
    h = np.uint32((h ^ (h >> _16)) * _FIRST)
    h = np.uint32((h ^ (h >> _13)) * _SECOND)
    return h ^ (h >> _16)
