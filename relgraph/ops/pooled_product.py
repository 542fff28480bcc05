"""Sums over neighbouring products of two factors: the pooling of low-rank bilinear scorers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from relgraph.errors import ShapeError
from relgraph.ops.backends import choose
from relgraph.ops.dropout import dropout
from relgraph.ops.tiles import check_numbers

__all__ = ["pooled_product"]


def pooled_product(left: Tensor, right: Tensor, place: Tensor, rank: int, *, p: float = 0.0) -> Tensor:
    r"""Multiply rows with rows of a table, drop some products and add up every ``rank`` neighbours.

    .. math:: z_{bj} = \sum_{i=0}^{k-1} m_{b, jk+i}\; l_{b, jk+i}\; r_{\pi(b), jk+i}

    with :math:`m` 0 with probability :math:`p`, else :math:`1 / (1 - p)`: sum pooling of Yu et al. 2017 (multi-modal
    factorised bilinear pooling, arXiv 1708.01471). On the CPU with Numba the products never exist as a tensor, and
    what was dropped is drawn again in the backward pass from a number of PyTorch's generator. Differentiable once
    there.

    Args:
        left: Floating ``[B, d * rank]``.
        right: Floating ``[M, d * rank]`` on the same device.
        place: The row of ``right`` for each of ``left``, int64 ``[B]``.
        rank: How many neighbours make a sum, ``k``.
        p: Share of the products to drop, in ``[0, 1)``; 0 outside training.

    Returns:
        ``[B, d]``.

    Raises:
        ShapeError: If the shapes above do not hold.
    """
    _check(left, right, place, rank, p)
    dtype = torch.promote_types(left.dtype, right.dtype)  # under autocast one may be half and the other not
    left, right = left.to(dtype), right.to(dtype)
    if choose("pooled_product", left.device, left.dtype, numba=(torch.float32,)) == "numba":
        seed = int(torch.randint(2**31, ())) if p else 0
        pooled: Tensor = _Pooled.apply(left, right, place, rank, p, seed)  # type: ignore[no-untyped-call]
        return pooled
    product = dropout(left * right[place], p)
    return product.reshape(len(left), left.shape[1] // rank, rank).sum(2)


class _Pooled(torch.autograd.Function):
    """The compiled passes there and back."""

    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor, place: Tensor, rank: int, p: float, seed: int) -> Tensor:
        from relgraph.ops.pooled_product_numba import pool  # loads Numba

        left, right, place = (x.contiguous() for x in (left, right, place))
        ctx.save_for_backward(left, right, place)
        ctx.drawn = (rank, p, seed)
        return pool(left, right, place, *ctx.drawn)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        from relgraph.ops.pooled_product_numba import pool_backward

        by_left, by_right = pool_backward(grad.contiguous(), *ctx.saved_tensors, *ctx.drawn)
        return by_left, by_right, None, None, None, None


def _check(left: Tensor, right: Tensor, place: Tensor, rank: int, p: float) -> None:
    if left.dim() != 2 or right.dim() != 2 or left.shape[1] != right.shape[1]:
        raise ShapeError(
            f"expected left [B, d * rank] and right [M, d * rank], got {list(left.shape)} and {list(right.shape)}"
        )
    if rank < 1 or left.shape[1] % rank:
        raise ShapeError(f"rank: expected a divisor of the {left.shape[1]} columns, got {rank}")
    if place.dtype != torch.int64 or place.shape != left.shape[:1]:
        raise ShapeError(f"place: expected int64 [{len(left)}], got {place.dtype} {list(place.shape)}")
    check_numbers("place", place, len(right), "rows")
    if not 0 <= p < 1:
        raise ShapeError(f"p: expected a share in [0, 1), got {p}")
