"""Kernels of :mod:`relgraph.ops.gather_scale_scatter`: sums of products of gathered rows.

Everything here is one sum, ``out[g(e)] += w_e a[i(e)] b[j(e)]`` over the edges: messages are source rows times relation
rows, summed by target; the gradient by source rows is the same along the edges turned round; that by relation rows sums
source rows times slopes by relation. Two kernels take it. ``_scattered`` adds every edge to its row by atomics and
needs no order. ``_grouped`` sums runs of edges that share a row in registers first: short runs, added by atomics, where
few rows get many edges; the whole run, stored once, where the result must not depend on the order of events.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["scale_gradients", "total"]

_EDGES, _COLUMNS, _RUN = 32, 128, 64


def total(
    x: Tensor,
    edge_index: Tensor,
    num_targets: int,
    relation: Tensor | None,
    edge_type: Tensor | None,
    edge_weight: Tensor | None,
) -> Tensor:
    """The sum per target, ``[M, d]``, added up in float32."""
    source, target = edge_index
    exact = torch.are_deterministic_algorithms_enabled()
    run = _whole if exact else None
    return _sums(x, source, relation, edge_type, edge_weight, target, num_targets, run).to(x.dtype)


def scale_gradients(
    grad: Tensor,
    x: Tensor,
    edge_index: Tensor,
    relation: Tensor | None,
    edge_type: Tensor | None,
    edge_weight: Tensor | None,
    needed: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of the sum by ``relation`` and ``edge_weight``; ``None`` where it is not needed."""
    source, target = edge_index
    by_relation = by_weight = None
    if relation is not None and edge_type is not None and needed[0]:
        run = _whole if torch.are_deterministic_algorithms_enabled() else _RUN
        sums = _sums(x, source, grad, target, edge_weight, edge_type, len(relation), run)
        by_relation = sums.to(relation.dtype)
    if edge_weight is not None and needed[1]:
        by_weight = torch.empty_like(edge_weight, memory_format=torch.contiguous_format)
        heads = 1 if edge_weight.dim() == 1 else edge_weight.shape[1]
        width = x.shape[1] // heads
        if by_weight.numel():
            grid = (triton.cdiv(len(source), _EDGES), heads)
            _dots[grid](
                x.contiguous(), source.contiguous(), grad, target.contiguous(),
                *_or(relation, edge_type, x, source), by_weight, len(source), width, heads,
                HAS_SCALE=relation is not None, EDGES=_EDGES, COLUMNS=_block(width),
            )  # fmt: skip
    return by_relation, by_weight


_whole = 2**62  # a run has no largest length


def _sums(
    a: Tensor,
    at_a: Tensor,
    b: Tensor | None,
    at_b: Tensor | None,
    weight: Tensor | None,
    group: Tensor,
    num_groups: int,
    run: int | None,
) -> Tensor:
    """``out[group] += weight a[at_a] b[at_b]``, float32; ``run`` is the longest run, ``None`` takes no order."""
    out = torch.zeros(num_groups, a.shape[1], dtype=torch.float32, device=a.device)
    if not len(group) or not out.numel():
        return out
    heads = 1 if weight is None or weight.dim() == 1 else weight.shape[1]
    a, at_a, group = a.contiguous(), at_a.contiguous(), group.contiguous()
    weight_or_a = a if weight is None else weight.contiguous()
    columns = a.shape[1]
    shared = {"HAS_SCALE": b is not None, "HAS_WEIGHT": weight is not None, "COLUMNS": _block(columns)}
    if run is None:
        grid = (triton.cdiv(len(group), _EDGES), triton.cdiv(columns, _block(columns)))
        _scattered[grid](
            a, at_a, *_or(b, at_b, a, at_a), weight_or_a, group, out, len(group), columns, heads, columns // heads,
            EDGES=_EDGES, **shared,
        )  # fmt: skip
        return out
    order, rows, starts, ends = _runs(group, num_groups, run)
    grid = (len(rows), triton.cdiv(columns, _block(columns)))
    _grouped[grid](
        a, at_a, *_or(b, at_b, a, at_a), weight_or_a, order, rows, starts, ends, out, columns, heads,
        columns // heads, STORED=run >= _whole, **shared,
    )  # fmt: skip
    return out


def _runs(group: Tensor, num_groups: int, longest: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The edges ordered by group, and runs of at most ``longest`` of them: the group, the first and the last + 1."""
    order = torch.argsort(group, stable=True)
    counts = torch.bincount(group, minlength=num_groups)
    ends = counts.cumsum(0)
    number = (counts + longest - 1) // longest
    rows = torch.repeat_interleave(torch.arange(num_groups, device=group.device), number)
    before = number.cumsum(0) - number
    nth = torch.arange(len(rows), device=group.device) - before[rows]
    starts = (ends - counts)[rows] + nth * min(longest, len(group))
    return order, rows, starts, torch.minimum(starts + min(longest, len(group)), ends[rows])


def _or(b: Tensor | None, at_b: Tensor | None, a: Tensor, at_a: Tensor) -> tuple[Tensor, Tensor]:
    """The second factor; another tensor stands in its place where there is none, and is not read."""
    return (a, at_a) if b is None or at_b is None else (b.contiguous(), at_b.contiguous())


def _block(columns: int) -> int:
    return min(_COLUMNS, max(16, int(triton.next_power_of_2(columns))))


@triton.jit  # type: ignore[untyped-decorator]
def _scattered(  # type: ignore[no-untyped-def]
    a, at_a, b, at_b, weight, group, out, num_edges, columns, heads,
    width, HAS_SCALE: tl.constexpr, HAS_WEIGHT: tl.constexpr, EDGES: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
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


@triton.jit  # type: ignore[untyped-decorator]
def _grouped(  # type: ignore[no-untyped-def]
    a, at_a, b, at_b, weight, order, rows, starts, ends, out,
    columns, heads, width, HAS_SCALE: tl.constexpr, HAS_WEIGHT: tl.constexpr, STORED: tl.constexpr,
    COLUMNS: tl.constexpr,
):  # fmt: skip
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


@triton.jit  # type: ignore[untyped-decorator]
def _dots(  # type: ignore[no-untyped-def]
    x, source, grad, target, relation, kind, out, num_edges, width,
    heads, HAS_SCALE: tl.constexpr, EDGES: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
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
