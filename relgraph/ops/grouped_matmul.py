"""A matrix product per group of rows: experts, relations, types, without padding groups to one size."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from relgraph.errors import ShapeError
from relgraph.ops.backends import choose
from relgraph.ops.huge_pages import in_huge_pages

__all__ = ["grouped_matmul"]

_KERNEL = (torch.float32, torch.float16, torch.bfloat16)


def grouped_matmul(x: Tensor, ptr: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    r"""The rows of each group times the group's matrix.

    .. math:: y_t = x_t W_g + b_g \quad \text{for} \quad \mathrm{ptr}_g \le t < \mathrm{ptr}_{g + 1}

    In PyTorch, one product per group that has rows, into its part of one output; on CUDA a Triton kernel whose tiles
    end with their groups, float32 in full or as TF32 as :func:`torch.set_float32_matmul_precision` says. There the
    gradients of a matrix whose group has more than 4,096 rows are added up in no fixed order. Differentiable once.
    Under autocast it computes in the dtype of autocast, as PyTorch's own products do.

    Args:
        x: ``[T, in]``, floating, ordered by group.
        ptr: Where each group begins, and the end: int64 ``[G + 1]``, from 0 to ``T`` without a decrease.
        weight: ``[G, in, out]``, in the dtype of ``x``.
        bias: ``[G, out]`` in that dtype, or ``None``.

    Returns:
        ``[T, out]``.

    Raises:
        ShapeError: If the shapes above do not hold.

    Example:
        >>> grouped_matmul(torch.ones(3, 1), torch.tensor([0, 1, 3]), torch.tensor([[[2.0]], [[5.0]]])).flatten()
        tensor([2., 5., 5.])
    """
    kind = x.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    _check(x, ptr, weight, bias)
    with torch.autocast(kind, enabled=False):
        if choose("grouped_matmul", x.device, x.dtype, triton=_KERNEL) == "triton":
            from relgraph.ops.kernels.grouped_matmul import grouped_product  # loads Triton

            return grouped_product(x, ptr, weight, bias)
        return _GroupByGroup.apply(x, ptr, weight, bias)  # type: ignore[no-any-return, no-untyped-call]


class _GroupByGroup(torch.autograd.Function):
    """The specification."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ptr: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.groups = _slices(ptr)
        ctx.save_for_backward(x, weight)
        y = in_huge_pages(x.new_empty(len(x), weight.shape[2]))
        for group, rows in ctx.groups:
            if bias is None:
                torch.mm(x[rows], weight[group], out=y[rows])
            else:
                torch.addmm(bias[group], x[rows], weight[group], out=y[rows])
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        by_x = x.new_empty(x.shape) if ctx.needs_input_grad[0] else None
        by_weight = in_huge_pages(weight.new_empty(weight.shape)) if ctx.needs_input_grad[2] else None
        by_bias = weight.new_empty(len(weight), weight.shape[2]) if ctx.needs_input_grad[3] else None
        for group, rows in ctx.groups:
            if by_x is not None:
                torch.mm(grad[rows], weight[group].T, out=by_x[rows])
            if by_weight is not None:
                torch.mm(x[rows].T, grad[rows], out=by_weight[group])
            if by_bias is not None:
                torch.sum(grad[rows], 0, out=by_bias[group])
        return by_x, None, by_weight, by_bias


def _slices(ptr: Tensor) -> list[tuple[int, slice]]:
    """The groups and their rows."""
    return [(group, slice(first, last)) for group, (first, last) in enumerate(pairwise(ptr.tolist()))]


def _check(x: Tensor, ptr: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    if x.dim() != 2 or weight.dim() != 3 or x.shape[1] != weight.shape[1]:
        raise ShapeError(f"expected x [T, in] and weight [G, in, out], got {list(x.shape)} and {list(weight.shape)}")
    if not x.is_floating_point() or weight.dtype != x.dtype or weight.device != x.device:
        raise ShapeError(
            "expected x and weight of one floating dtype on one device, got "
            f"{x.dtype} on {x.device} and {weight.dtype} on {weight.device}"
        )
    groups, _, out = weight.shape
    if bias is not None and (bias.shape != (groups, out) or bias.dtype != x.dtype):
        raise ShapeError(f"bias: expected {x.dtype} {[groups, out]}, got {bias.dtype} {list(bias.shape)}")
    if ptr.dtype != torch.int64 or ptr.shape != (groups + 1,):
        raise ShapeError(f"ptr: expected int64 [{groups + 1}] for {groups} groups, got {ptr.dtype} {list(ptr.shape)}")
    if int(ptr[0]) != 0 or int(ptr[-1]) != len(x) or bool((ptr.diff() < 0).any()):
        raise ShapeError(f"ptr: expected 0 .. {len(x)} without a decrease, got {ptr[:4].tolist()} .. {int(ptr[-1])}")
