"""Kernels of :mod:`relgraph.ops.gather_scale_scatter`: sums of products of gathered rows.

Two kernels take a sum. ``_scattered`` adds every edge to its row by atomics and needs no order. ``_grouped`` sums runs
of edges that share a row in registers first: short runs, added by atomics, where few rows get many edges; the whole
run, stored once, where the result must not depend on the order of events.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from relgraph.ops.kernels.jit import kernel
from relgraph.ops.kernels.runs import WHOLE, runs_of

__all__ = ["dots", "sums"]

_EDGES, _COLUMNS = 32, 128
_RUN = 64  # the longest run of a crowded row


def sums(
    a: Tensor,
    at_a: Tensor,
    b: Tensor | None,
    at_b: Tensor | None,
    weight: Tensor | None,
    group: Tensor,
    num_groups: int,
    *,
    crowded: bool = False,
) -> Tensor:
    """``out[group] += weight a[at_a] b[at_b]``, ``[num_groups, d]``, added up in float32.

    Args:
        a: ``[N, d]``.
        at_a: The row of ``a`` for every edge.
        b: ``[M, d]`` or ``None``.
        at_b: The row of ``b`` for every edge, or ``None``.
        weight: ``[E]`` or ``[E, H]`` or ``None``.
        group: The row of the result for every edge.
        num_groups: Rows of the result.
        crowded: Whether few rows get many edges each.
    """
    out = torch.zeros(num_groups, a.shape[1], dtype=torch.float32, device=a.device)
    if not len(group) or not out.numel():
        return out.to(a.dtype)
    heads = 1 if weight is None or weight.dim() == 1 else weight.shape[1]
    a, at_a, group = a.contiguous(), at_a.contiguous(), group.contiguous()
    columns, block = a.shape[1], _block(a.shape[1])
    factors = (a, at_a, *_or(b, at_b, a, at_a), a if weight is None else weight.contiguous())
    sizes = (columns, heads, columns // heads)
    known = {"HAS_SCALE": b is not None, "HAS_WEIGHT": weight is not None, "COLUMNS": block}
    exact = torch.are_deterministic_algorithms_enabled()
    if exact or crowded:
        runs = runs_of(group, num_groups, WHOLE if exact else _RUN)
        grid = (len(runs[1]), triton.cdiv(columns, block))
        _grouped[grid](*factors, *runs, out, *sizes, STORED=exact, **known)
    else:
        grid = (triton.cdiv(len(group), _EDGES), triton.cdiv(columns, block))
        _scattered[grid](*factors, group, out, len(group), *sizes, EDGES=_EDGES, **known)
    return out.to(a.dtype)


def dots(
    x: Tensor,
    source: Tensor,
    grad: Tensor,
    target: Tensor,
    relation: Tensor | None,
    edge_type: Tensor | None,
    edge_weight: Tensor,
) -> Tensor:
    """The gradient of the sum by ``edge_weight``."""
    by_weight = torch.empty_like(edge_weight, memory_format=torch.contiguous_format)
    if by_weight.numel():
        heads = 1 if edge_weight.dim() == 1 else edge_weight.shape[1]
        width = x.shape[1] // heads
        _dots[triton.cdiv(len(source), _EDGES), heads](
            x.contiguous(), source.contiguous(), grad, target.contiguous(), *_or(relation, edge_type, x, source),
            by_weight, len(source), width, heads,
            HAS_SCALE=relation is not None, EDGES=_EDGES, COLUMNS=_block(width),
        )  # fmt: skip
    return by_weight


def _or(b: Tensor | None, at_b: Tensor | None, a: Tensor, at_a: Tensor) -> tuple[Tensor, Tensor]:
    """The second factor; another tensor stands in its place where there is none, and is not read."""
    return (a, at_a) if b is None or at_b is None else (b.contiguous(), at_b.contiguous())


def _block(columns: int) -> int:
    return min(_COLUMNS, max(16, int(triton.next_power_of_2(columns))))


@kernel
def _scattered(
    a: tl.tensor,  # [N, d]
    at_a: tl.tensor,  # int64 [E]
    b: tl.tensor,  # [M, d], read if HAS_SCALE
    at_b: tl.tensor,
    weight: tl.tensor,  # [E, heads], read if HAS_WEIGHT
    group: tl.tensor,  # int64 [E]
    out: tl.tensor,  # float32 [groups, d], added to
    num_edges: tl.tensor,
    columns: tl.tensor,
    heads: tl.tensor,
    width: tl.tensor,
    HAS_SCALE: tl.constexpr,
    HAS_WEIGHT: tl.constexpr,
    EDGES: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    edge = tl.program_id(0).to(tl.int64) * EDGES + tl.arange(0, EDGES)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    there = edge < num_edges
    both = there[:, None] & (column < columns)[None, :]
    row = tl.load(at_a + edge, there, other=0)
    value = tl.load(a + row[:, None] * columns + column[None, :], both, other=0.0).to(tl.float32)
    if HAS_SCALE:
        row = tl.load(at_b + edge, there, other=0)
        value *= tl.load(b + row[:, None] * columns + column[None, :], both, other=0.0).to(tl.float32)
    if HAS_WEIGHT:
        value *= tl.load(weight + edge[:, None] * heads + (column // width)[None, :], both, other=0.0).to(tl.float32)
    row = tl.load(group + edge, there, other=0)
    tl.atomic_add(out + row[:, None] * columns + column[None, :], value, both)


@kernel
def _grouped(
    a: tl.tensor,  # as in _scattered, as far as weight
    at_a: tl.tensor,
    b: tl.tensor,
    at_b: tl.tensor,
    weight: tl.tensor,
    order: tl.tensor,  # int64 [E]: the edges, group by group
    rows: tl.tensor,  # int64 [runs]: the group of a run
    starts: tl.tensor,  # int64 [runs]: its first place in order
    ends: tl.tensor,
    out: tl.tensor,  # float32 [groups, d], stored to or added to
    columns: tl.tensor,
    heads: tl.tensor,
    width: tl.tensor,
    HAS_SCALE: tl.constexpr,
    HAS_WEIGHT: tl.constexpr,
    STORED: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    number = tl.program_id(0)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < columns
    total = tl.zeros([COLUMNS], tl.float32)
    for place in range(tl.load(starts + number), tl.load(ends + number)):
        edge = tl.load(order + place)
        value = tl.load(a + tl.load(at_a + edge) * columns + column, inside, other=0.0).to(tl.float32)
        if HAS_SCALE:
            value *= tl.load(b + tl.load(at_b + edge) * columns + column, inside, other=0.0).to(tl.float32)
        if HAS_WEIGHT:
            value *= tl.load(weight + edge * heads + column // width, inside, other=0.0).to(tl.float32)
        total += value
    where = out + tl.load(rows + number) * columns + column
    if STORED:
        tl.store(where, total, inside)
    else:
        tl.atomic_add(where, total, inside)


@kernel
def _dots(
    x: tl.tensor,  # [N, heads * width]
    source: tl.tensor,  # int64 [E]
    grad: tl.tensor,  # [M, heads * width]
    target: tl.tensor,
    relation: tl.tensor,  # [R, heads * width], read if HAS_SCALE
    kind: tl.tensor,
    out: tl.tensor,  # [E, heads], written
    num_edges: tl.tensor,
    width: tl.tensor,
    heads: tl.tensor,
    HAS_SCALE: tl.constexpr,
    EDGES: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    edge = tl.program_id(0).to(tl.int64) * EDGES + tl.arange(0, EDGES)
    there = edge < num_edges
    columns = width * heads
    from_row = tl.load(source + edge, there, other=0) * columns + tl.program_id(1) * width
    to_row = tl.load(target + edge, there, other=0) * columns + tl.program_id(1) * width
    total = tl.zeros([EDGES], tl.float32)
    for first in range(0, width, COLUMNS):
        column = first + tl.arange(0, COLUMNS)
        both = there[:, None] & (column < width)[None, :]
        value = tl.load(x + from_row[:, None] + column[None, :], both, other=0.0).to(tl.float32)
        value *= tl.load(grad + to_row[:, None] + column[None, :], both, other=0.0).to(tl.float32)
        if HAS_SCALE:
            scale_row = tl.load(kind + edge, there, other=0) * columns + tl.program_id(1) * width
            value *= tl.load(relation + scale_row[:, None] + column[None, :], both, other=0.0).to(tl.float32)
        total += tl.sum(value, 1)
    tl.store(out + edge * heads + tl.program_id(1), total.to(out.dtype.element_ty), there)
