"""Message passing in one operation: gather neighbours, scale them by relation and weight, reduce them per target."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from relgraph.errors import ShapeError
from relgraph.ops.backends import choose
from relgraph.ops.tiles import check_numbers

__all__ = ["Reduce", "gather_scale_scatter"]

Reduce = Literal["sum", "mean", "max"]


def gather_scale_scatter(
    x: Tensor,
    edge_index: Tensor,
    num_targets: int,
    *,
    relation: Tensor | None = None,
    edge_type: Tensor | None = None,
    edge_weight: Tensor | None = None,
    reduce: Reduce = "sum",
) -> Tensor:
    r"""Reduce the scaled neighbours of every target, without the ``[E, d]`` messages.

    .. math:: y_v = \bigoplus_{e:\, t(e) = v} w_e\; x_{s(e)} \odot r_{\tau(e)}

    with :math:`\oplus` the sum, the mean or the maximum; a target without edges is 0. That is GraphSAGE's aggregation
    (Hamilton et al. 2017), with ``relation`` DistMult's message (CompGCN, Vashishth et al. 2020), with weights a
    convolution or, with a weight per head, attention. Edges come in any order, repeated or not; sorted by target is
    fastest. Several edge types go in one call with their node tables one below the other and edges counted so.

    The compiled loops on the CPU take the edges of a target one after the other, which is deterministic; Triton adds in
    any order unless ``torch.use_deterministic_algorithms`` is on. Where several edges share a maximum, its gradient
    goes to the first of them there, and is shared out by PyTorch. The compiled forms are differentiable once.

    Args:
        x: Source rows, floating ``[N, d]``.
        edge_index: int64 ``[2, E]``: source in ``0..N-1`` and target in ``0..num_targets-1`` of every edge.
        num_targets: Rows of the result, ``M``.
        relation: Scale of each relation, ``[R, d]`` in the dtype of ``x``.
        edge_type: The relation of every edge, int64 ``[E]``; given if and only if ``relation`` is.
        edge_weight: ``[E]``, or ``[E, H]`` for ``H`` heads of ``d / H`` columns each, in the dtype of ``x``.
        reduce: ``"sum"``, ``"mean"`` or ``"max"``.

    Returns:
        ``[M, d]``.

    Raises:
        ShapeError: If the shapes above do not hold, or there is no such way to reduce.

    Example:
        >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        >>> gather_scale_scatter(x, torch.tensor([[0, 1, 1], [0, 0, 2]]), 3)
        tensor([[4., 6.],
                [0., 0.],
                [3., 4.]])
    """
    _check(x, edge_index, num_targets, relation, edge_type, edge_weight, reduce)
    floats, halves = (torch.float32, torch.float64), (torch.float32, torch.float16, torch.bfloat16)
    # Triton's kernels sum; a maximum is PyTorch's there
    triton = halves if reduce != "max" else ()
    backend = choose("gather_scale_scatter", x.device, x.dtype, numba=floats, triton=triton, torch_scatter=floats)
    if backend in ("torch", "torch_scatter"):
        message = _messages(x, edge_index[0], relation, edge_type, edge_weight)
        if backend == "torch_scatter":
            return _by_torch_scatter(message, edge_index[1], num_targets, reduce)
        return _reduced(message, edge_index[1], num_targets, reduce)
    out: Tensor = _Fused.apply(  # type: ignore[no-untyped-call]
        x, relation, edge_weight, edge_index, edge_type, num_targets, reduce == "max", backend
    )
    if reduce == "mean":
        count = torch.bincount(edge_index[1], minlength=num_targets).clamp_(min=1)
        return out / count[:, None].to(x.dtype)
    return out


class _Fused(torch.autograd.Function):
    """The sum or the maximum, by compiled loops or kernels.

    A sum and two of its gradients are one operation of the backends, ``sums``: rows of two tables, gathered per edge
    and multiplied, are added up by group. Messages by target are a sum of ``x`` times ``relation``; the gradient by
    ``x`` is that of the slopes along the edges turned round; by ``relation``, one of ``x`` times slopes by relation.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        relation: Tensor | None,
        edge_weight: Tensor | None,
        edge_index: Tensor,
        edge_type: Tensor | None,
        num_targets: int,
        largest: bool,
        backend: str,
    ) -> Tensor:
        run, edge = _implementation(backend), None
        source, target = edge_index
        if largest:
            out, edge = run.largest(x, edge_index, num_targets, relation, edge_type, edge_weight)
        else:
            out = run.sums(x, source, relation, edge_type, edge_weight, target, num_targets)
        ctx.save_for_backward(x, relation, edge_weight, edge_index, edge_type, edge)
        ctx.backend = backend
        return out  # type: ignore[no-any-return]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, relation, weight, edge_index, edge_type, edge = ctx.saved_tensors
        run, grad, (source, target) = _implementation(ctx.backend), grad.contiguous(), edge_index
        needed = ctx.needs_input_grad[:3]
        if edge is not None:
            found = run.largest_backward(grad, edge, x, edge_index, relation, edge_type, weight, needed)
            return (*found, None, None, None, None, None)
        by_x = by_relation = by_weight = None
        if needed[0]:
            by_x = run.sums(grad, target, relation, edge_type, weight, source, len(x))
        if needed[1]:
            by_relation = run.sums(x, source, grad, target, weight, edge_type, len(relation), crowded=True)
        if needed[2]:
            by_weight = run.dots(x, source, grad, target, relation, edge_type, weight)
        return by_x, by_relation, by_weight, None, None, None, None, None


def _implementation(backend: str) -> Any:
    """The module that has ``sums`` and ``dots``, and on the CPU ``largest``."""
    if backend == "triton":
        return import_module("relgraph.ops.kernels.gather_scale_scatter")
    return import_module("relgraph.ops.gather_scale_scatter_numba")


def _messages(
    x: Tensor, source: Tensor, relation: Tensor | None, edge_type: Tensor | None, edge_weight: Tensor | None
) -> Tensor:
    """``[E, d]``."""
    message = x.index_select(0, source)
    if relation is not None and edge_type is not None:
        message = message * relation.index_select(0, edge_type)
    if edge_weight is None:
        return message
    heads = 1 if edge_weight.dim() == 1 else edge_weight.shape[1]
    by_head = message.reshape(len(message), heads, x.shape[1] // heads) * edge_weight.reshape(-1, heads, 1)
    return by_head.reshape(message.shape)


def _reduced(message: Tensor, target: Tensor, num_targets: int, reduce: Reduce) -> Tensor:
    out = message.new_zeros(num_targets, message.shape[1])
    if reduce == "sum":
        return out.index_add(0, target, message)
    where = target[:, None].expand_as(message)
    return out.scatter_reduce(0, where, message, {"mean": "mean", "max": "amax"}[reduce], include_self=False)


def _by_torch_scatter(message: Tensor, target: Tensor, num_targets: int, reduce: Reduce) -> Tensor:
    from torch_scatter import scatter

    out: Tensor = scatter(message, target, dim=0, dim_size=num_targets, reduce=reduce)
    return out


def _check(
    x: Tensor,
    edge_index: Tensor,
    num_targets: int,
    relation: Tensor | None,
    edge_type: Tensor | None,
    edge_weight: Tensor | None,
    reduce: str,
) -> None:
    if reduce not in ("sum", "mean", "max"):
        raise ShapeError(f"reduce: expected 'sum', 'mean' or 'max', got {reduce!r}")
    if x.dim() != 2 or not x.is_floating_point():
        raise ShapeError(f"x: expected a floating [N, d], got {x.dtype} {list(x.shape)}")
    if edge_index.dtype != torch.int64 or edge_index.dim() != 2 or edge_index.shape[0] != 2:
        raise ShapeError(f"edge_index: expected int64 [2, E], got {edge_index.dtype} {list(edge_index.shape)}")
    for name, ends, size in (("source", edge_index[0], len(x)), ("target", edge_index[1], num_targets)):
        _check_numbers(f"edge_index, {name}", ends, size)
    num_edges = edge_index.shape[1]
    if (relation is None) != (edge_type is None):
        raise ShapeError("relation and edge_type: expected both or neither")
    if relation is not None and edge_type is not None:
        if relation.dim() != 2 or relation.shape[1] != x.shape[1] or relation.dtype != x.dtype:
            raise ShapeError(
                f"relation: expected {x.dtype} [R, {x.shape[1]}], got {relation.dtype} {list(relation.shape)}"
            )
        if edge_type.dtype != torch.int64 or edge_type.shape != (num_edges,):
            raise ShapeError(f"edge_type: expected int64 [{num_edges}], got {edge_type.dtype} {list(edge_type.shape)}")
        _check_numbers("edge_type", edge_type, len(relation))
    if edge_weight is not None:
        heads = edge_weight.shape[1] if edge_weight.dim() == 2 else 1
        if edge_weight.dim() not in (1, 2) or len(edge_weight) != num_edges or edge_weight.dtype != x.dtype:
            raise ShapeError(
                f"edge_weight: expected {x.dtype} [{num_edges}] or [{num_edges}, H], got {edge_weight.dtype} "
                f"{list(edge_weight.shape)}"
            )
        if heads < 1 or x.shape[1] % heads:
            raise ShapeError(f"edge_weight: expected heads that divide the {x.shape[1]} columns, got {heads}")


def _check_numbers(name: str, numbers: Tensor, size: int) -> None:
    # looking would make an accelerator wait for the CPU; PyTorch's kernels check there themselves
    if numbers.device.type == "cpu":
        check_numbers(name, numbers, size)
