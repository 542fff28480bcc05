"""The compiled part of :mod:`relgraph.ops.gather_scale_scatter`.

Edges are taken target by target (:mod:`relgraph.ops.groups_numba`): each target's row is written by one thread, edge
after edge. There are no races, and sums do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from relgraph.ops.compiled import compiled, over_rows
from relgraph.ops.groups_numba import FEWEST_EDGES, by_group

__all__ = ["dots", "largest", "largest_backward", "sums"]

_LEAST_COLUMNS = 32


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
    """``out[group] += weight a[at_a] b[at_b]``, ``[num_groups, d]``; ``crowded`` makes no difference here."""
    out = a.new_empty(num_groups, a.shape[1])
    given = (*_values(a, b, weight), _numbers(at_a), _numbers(at_b))
    by_group(_numbers(group), num_groups, lambda *groups: _sums(*given, out.numpy(), *groups))
    return out


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
    ends = (_numbers(source), _numbers(target), _numbers(edge_type))
    given = (*_values(x, relation, edge_weight), *ends, grad.numpy(), _by_head(by_weight).numpy())
    over_rows(lambda first, end: _dots(*given, first, end), len(by_weight), FEWEST_EDGES)
    return by_weight


def largest(
    x: Tensor,
    edge_index: Tensor,
    num_targets: int,
    relation: Tensor | None,
    edge_type: Tensor | None,
    edge_weight: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """The maximum per target and column, ``[M, d]``, and the edge it comes from, -1 without one."""
    out = x.new_zeros(num_targets, x.shape[1])
    # as wide as the values where they are float32, so that both are chosen by one vector instruction
    edge = torch.full((num_targets, x.shape[1]), -1, dtype=torch.int32 if edge_index.shape[1] < 2**31 else torch.int64)
    given = (*_values(x, relation, edge_weight), _numbers(edge_index[0]), _numbers(edge_type))
    by_group(_numbers(edge_index[1]), num_targets, lambda *group: _largest(*given, out.numpy(), edge.numpy(), *group))
    return out, edge


def largest_backward(
    grad: Tensor,
    edge: Tensor,
    x: Tensor,
    edge_index: Tensor,
    relation: Tensor | None,
    edge_type: Tensor | None,
    edge_weight: Tensor | None,
    needed: Sequence[bool],
) -> tuple[Tensor | None, ...]:
    """The gradients of the maximum by ``x``, ``relation`` and ``edge_weight``; threads share the columns."""
    ends = (_numbers(edge_index[0]), _numbers(edge_type))
    given = (*_values(x, relation, edge_weight), *ends, grad.numpy(), edge.numpy())
    found = [None if part is None else torch.zeros(part.shape, dtype=x.dtype) for part in (x, relation, edge_weight)]
    none = torch.zeros(0, 0, dtype=x.dtype)
    by_x, by_relation, by_weight = (none if part is None else part for part in found)
    out = (by_x.numpy(), by_relation.numpy(), _by_head(by_weight).numpy())
    least = _LEAST_COLUMNS if edge_weight is None else x.shape[1]  # the columns of a head share a weight
    over_rows(lambda first, end: _largest_backward(*given, *out, first, end), x.shape[1], least)
    return tuple(part if need else None for part, need in zip(found, needed, strict=True))


def _values(x: Tensor, relation: Tensor | None, edge_weight: Tensor | None) -> tuple[Any, ...]:
    """Contiguous arrays; what is absent is empty."""
    none = x.new_empty(0, 0)
    weight = none if edge_weight is None else _by_head(edge_weight)
    tensors = (x, none if relation is None else relation, weight)
    return tuple(tensor.detach().contiguous().numpy() for tensor in tensors)


def _by_head(edge_weight: Tensor) -> Tensor:
    return edge_weight if edge_weight.dim() == 2 else edge_weight[:, None]


def _numbers(of_edges: Tensor | None) -> Any:
    return np.empty(0, np.int64) if of_edges is None else of_edges.contiguous().numpy()


@compiled(any_order=True)  # type: ignore[untyped-decorator]
def _sums(
    a: Any, b: Any, weight: Any, at_a: Any, at_b: Any, out: Any, ptr: Any, order: Any, first: int, end: int
) -> None:
    heads = max(weight.shape[1], 1)
    width = a.shape[1] // heads
    for g in range(first, end):
        out[g] = 0
        for p in range(ptr[g], ptr[g + 1]):
            e = order[p] if order.size else p
            for h in range(heads):
                part = slice(h * width, (h + 1) * width)
                read, write = a[at_a[e], part], out[g, part]
                if weight.size and at_b.size:
                    scale, by = b[at_b[e], part], weight[e, h]
                    for i in range(width):
                        write[i] += read[i] * scale[i] * by
                elif weight.size:
                    by = weight[e, h]
                    for i in range(width):
                        write[i] += read[i] * by
                elif at_b.size:
                    scale = b[at_b[e], part]
                    for i in range(width):
                        write[i] += read[i] * scale[i]
                else:
                    for i in range(width):
                        write[i] += read[i]


@compiled(any_order=True)  # type: ignore[untyped-decorator]
def _dots(
    x: Any, relation: Any, weight: Any, source: Any, target: Any, kind: Any, grad: Any, out: Any, first: int, end: int
) -> None:
    width = x.shape[1] // weight.shape[1]
    for e in range(first, end):
        for h in range(weight.shape[1]):
            part = slice(h * width, (h + 1) * width)
            read, slope = x[source[e], part], grad[target[e], part]
            total = read[0] * 0
            if kind.size:
                scale = relation[kind[e], part]
                for i in range(width):
                    total += read[i] * slope[i] * scale[i]
            else:
                for i in range(width):
                    total += read[i] * slope[i]
            out[e, h] = total


@compiled(any_order=True)  # type: ignore[untyped-decorator]
def _largest(
    x: Any, relation: Any, weight: Any, source: Any, kind: Any, out: Any, edge: Any, ptr: Any, order: Any,
    first: int, end: int,
) -> None:  # fmt: skip
    d = x.shape[1]
    width = d // max(weight.shape[1], 1)
    message = np.empty(d, x.dtype)
    for v in range(first, end):
        best, at = out[v], edge[v]
        for p in range(ptr[v], ptr[v + 1]):
            e = order[p] if order.size else p
            message[:] = x[source[e]]
            if kind.size:
                message *= relation[kind[e]]
            if weight.size:
                for h in range(weight.shape[1]):
                    message[h * width : (h + 1) * width] *= weight[e, h]
            if p == ptr[v]:
                best[:] = message
                at[:] = e
                continue
            for i in range(d):
                value, before = message[i], best[i]
                # a NaN stays: nothing is greater than it, and it is not itself
                better = (value > before) | ((value != value) & (before == before))
                best[i] = value if better else before
                at[i] = e if better else at[i]


@compiled
def _largest_backward(
    x: Any, relation: Any, weight: Any, source: Any, kind: Any, grad: Any, edge: Any, by_x: Any, by_relation: Any,
    by_weight: Any, first: int, end: int,
) -> None:  # fmt: skip
    width, one = max(x.shape[1] // max(weight.shape[1], 1), 1), np.ones(1, x.dtype)[0]
    for v in range(edge.shape[0]):
        for i in range(first, end):
            e = edge[v, i]
            if e < 0:
                continue
            slope, value = grad[v, i], x[source[e], i]
            by = weight[e, i // width] if weight.size else one
            scale = relation[kind[e], i] if kind.size else one
            by_x[source[e], i] += slope * scale * by
            if kind.size:
                by_relation[kind[e], i] += slope * value * by
            if weight.size:
                by_weight[e, i // width] += slope * value * scale
