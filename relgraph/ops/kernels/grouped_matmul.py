"""Grouped products in Triton: a tile of rows never crosses a group, so nothing is padded in memory."""

from __future__ import annotations

from typing import Any

import torch
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from relgraph.ops.kernels.jit import kernel

__all__ = ["grouped_product"]

_ROWS, _CHUNK = 64, 4096  # rows of a tile of the output, rows that one program of the weight's gradient adds up


def grouped_product(x: Tensor, ptr: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """:func:`relgraph.ops.grouped_matmul`, of float32, float16 or bfloat16."""
    return _GroupedProduct.apply(x, ptr, weight, bias)  # type: ignore[no-any-return, no-untyped-call]


class _GroupedProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, ptr: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, ptr, weight)
        return _product(x, ptr, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, ptr, weight = ctx.saved_tensors
        by_x = _product(grad, ptr, weight.transpose(1, 2), None) if ctx.needs_input_grad[0] else None
        if not (ctx.needs_input_grad[2] or ctx.needs_input_grad[3]):
            return by_x, None, None, None
        by_weight, by_bias = _weight_gradient(x, grad, ptr)
        return by_x, None, by_weight, by_bias if ctx.needs_input_grad[3] else None


def _tiles(ptr: Tensor, rows: int, total: int) -> tuple[Tensor, Tensor]:
    """The group of every tile, -1 past the last one, and the tile that each group begins with.

    There are no more than ``total / rows + groups`` tiles, which is known without asking the device.
    """
    first = torch.zeros_like(ptr)
    torch.cumsum(torch.div(ptr.diff() + rows - 1, rows, rounding_mode="floor"), 0, out=first[1:])
    groups = len(ptr) - 1
    number = torch.arange(total // rows + min(groups, total), device=ptr.device)
    group = torch.searchsorted(first, number, right=True) - 1  # the last group that begins there: it has rows
    return group.masked_fill_(group >= groups, -1), first


def _product(x: Tensor, ptr: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    (t, k), out = x.shape, weight.shape[2]
    x = x.contiguous()
    y = x.new_empty(t, out)
    if not y.numel():
        return y
    group, first = _tiles(ptr, _ROWS, t)
    columns, inner, precision, warps = _cut(x.dtype, out)
    _product_tiles[len(group), -(-out // columns)](
        x, ptr, group, first, weight, None if bias is None else bias.contiguous(), y, *weight.stride(),
        K=k, OUT=out, ROWS=_ROWS, COLUMNS=columns, INNER=inner, PRECISION=precision, num_warps=warps, num_stages=3,
    )  # fmt: skip
    return y


def _weight_gradient(x: Tensor, grad: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
    """By weight ``[G, in, out]`` and by bias ``[G, out]``, added up in float32."""
    (t, k), out, groups = x.shape, grad.shape[1], len(ptr) - 1
    by_weight = torch.zeros(groups, k, out, device=x.device)
    by_bias = torch.zeros(groups, out, device=x.device)
    if t and by_weight.numel():
        group, first = _tiles(ptr, _CHUNK, t)
        columns, inner, precision, warps = _cut(x.dtype, out)
        _gradient_tiles[len(group), -(-k // 64), -(-out // columns)](
            x.contiguous(), grad.contiguous(), ptr, group, first, by_weight, by_bias,
            K=k, OUT=out, CHUNK=_CHUNK, ROWS=64, COLUMNS=columns, INNER=inner, PRECISION=precision,
            num_warps=warps, num_stages=3,
        )  # fmt: skip
    return by_weight.to(x.dtype), by_bias.to(x.dtype)


def _cut(dtype: torch.dtype, out: int) -> tuple[int, int, str, int]:
    """Columns of a tile, how much of the inner dimension at a time, precision of float32, warps."""
    columns = 128 if out > 64 else 64
    if dtype != torch.float32:
        return columns, 64, "ieee", 4
    return (64, 16, "ieee", 4) if torch.get_float32_matmul_precision() == "highest" else (columns, 32, "tf32", 4)


@kernel
def _product_tiles(
    x: tl.tensor,  # [T, K]
    ptr: tl.tensor,
    group: tl.tensor,  # [tiles]
    first: tl.tensor,  # [G + 1]
    weight: tl.tensor,  # [G, K, OUT] with any strides
    bias: tl.tensor,  # [G, OUT]
    y: tl.tensor,  # [T, OUT], written
    stride_group: tl.tensor,
    stride_in: tl.tensor,
    stride_out: tl.tensor,
    K: tl.constexpr,
    OUT: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    INNER: tl.constexpr,
    PRECISION: tl.constexpr,
) -> None:
    tile = tl.program_id(0)
    g = tl.load(group + tile)
    if g >= 0:
        rows = tl.load(ptr + g) + (tile - tl.load(first + g)) * ROWS + tl.arange(0, ROWS)
        row_inside = rows < tl.load(ptr + g + 1)
        columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
        column_inside = columns < OUT
        total = tl.zeros([ROWS, COLUMNS], tl.float32)
        for start in range(0, K, INNER):
            k = start + tl.arange(0, INNER)
            left = tl.load(x + rows[:, None] * K + k[None, :], mask=row_inside[:, None] & (k < K)[None, :], other=0.0)
            right = tl.load(
                weight + g * stride_group + k[:, None] * stride_in + columns[None, :] * stride_out,
                mask=(k < K)[:, None] & column_inside[None, :],
                other=0.0,
            )
            total = tl.dot(left, right, total, input_precision=PRECISION)
        if bias is not None:
            total += tl.load(bias + g * OUT + columns, mask=column_inside, other=0.0).to(tl.float32)[None, :]
        at = y + rows[:, None] * OUT + columns[None, :]
        tl.store(at, total.to(y.dtype.element_ty), mask=row_inside[:, None] & column_inside[None, :])


@kernel
def _gradient_tiles(
    x: tl.tensor,  # [T, K]
    grad: tl.tensor,  # [T, OUT]
    ptr: tl.tensor,
    group: tl.tensor,  # [chunks]
    first: tl.tensor,  # [G + 1]
    by_weight: tl.tensor,  # float32 [G, K, OUT], added to
    by_bias: tl.tensor,  # float32 [G, OUT], added to
    K: tl.constexpr,
    OUT: tl.constexpr,
    CHUNK: tl.constexpr,
    ROWS: tl.constexpr,  # of the weight
    COLUMNS: tl.constexpr,
    INNER: tl.constexpr,
    PRECISION: tl.constexpr,
) -> None:
    chunk = tl.program_id(0)
    g = tl.load(group + chunk)
    if g >= 0:
        begin = tl.load(ptr + g) + (chunk - tl.load(first + g)) * CHUNK
        end = tl.minimum(begin + CHUNK, tl.load(ptr + g + 1))
        k = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
        columns = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)
        k_inside, column_inside = k < K, columns < OUT
        total = tl.zeros([ROWS, COLUMNS], tl.float32)
        sums = tl.zeros([COLUMNS], tl.float32)
        for start in range(begin, end, INNER):
            rows = start + tl.arange(0, INNER)
            inside = rows < end
            left = tl.load(x + rows[None, :] * K + k[:, None], mask=k_inside[:, None] & inside[None, :], other=0.0)
            right = tl.load(
                grad + rows[:, None] * OUT + columns[None, :], mask=inside[:, None] & column_inside[None, :], other=0.0
            )
            total = tl.dot(left, right, total, input_precision=PRECISION)
            sums += tl.sum(right.to(tl.float32), 0)
        at = by_weight + (g * K + k[:, None]) * OUT + columns[None, :]
        tl.atomic_add(at, total, mask=k_inside[:, None] & column_inside[None, :])
        if tl.program_id(1) == 0:
            tl.atomic_add(by_bias + g * OUT + columns, sums, mask=column_inside)
