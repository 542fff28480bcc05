"""One step of an optimizer on the rows of a table that a batch has touched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from relgraph.errors import ShapeError
from relgraph.ops.backends import choose
from relgraph.ops.tiles import check_numbers

__all__ = ["RowRule", "embedding_update"]

RowRule = Literal["sgd", "adagrad", "adam"]

_COMPILED = (torch.float32, torch.float64)
_KERNEL = (torch.float32, torch.float16, torch.bfloat16)
_NUM_STATES = {"sgd": 0, "adagrad": 1, "adam": 2}


@torch.no_grad()
def embedding_update(
    weight: Tensor,
    index: Tensor,
    gradient: Tensor,
    *,
    rule: RowRule,
    lr: float,
    state: Sequence[Tensor] = (),
    eps: float = 1e-10,
    betas: tuple[float, float] = (0.9, 0.999),
    step: int = 1,
) -> None:
    r"""Update the rows ``index`` of a table in place; all other rows, and their state, are neither read nor written.

    Gradients of a row that stands several times are added up first. A compiled loop on the CPU and a Triton kernel on
    CUDA take one pass over the touched rows. With :math:`g` the sum,

    - ``"sgd"``: :math:`w \leftarrow w - \eta g`;
    - ``"adagrad"`` (Duchi et al. 2011): :math:`G \leftarrow G + g^2`,
      :math:`w \leftarrow w - \eta g / (\sqrt{G} + \epsilon)`; the same as the dense rule, since a row without a
      gradient stands still there too;
    - ``"adam"`` (Kingma and Ba 2015, algorithm 1), lazy: :math:`m` and :math:`v` decay only when their row is
      touched, while the bias corrections count all steps. A row that is touched in every step moves as in the dense
      rule; another one does not move on between its steps, as it would there.

    Args:
        weight: The table, floating ``[N, d]``.
        index: int64 ``[n]`` in ``0..N-1``, in any order and with repeats.
        gradient: ``[n, d]`` in the dtype of ``weight``.
        rule: The optimizer.
        lr: Learning rate :math:`\eta`.
        state: Tables like ``weight``: none for ``"sgd"``, :math:`G` for ``"adagrad"``, :math:`m` and :math:`v` for
            ``"adam"``. Updated in place.
        eps: :math:`\epsilon`.
        betas: Decay rates of ``"adam"``.
        step: Number of the step, from 1, for the bias corrections of ``"adam"``.

    Raises:
        ShapeError: If the shapes above do not hold, or there is no such rule.
    """
    _check(weight, index, gradient, rule, state)
    picked = choose("embedding_update", weight.device, weight.dtype, numba=_COMPILED, triton=_KERNEL)
    if picked in ("numba", "triton"):
        # 1 - 0.999 is taken in float64: in float32 it would be off by 1e-5
        corrected = lr / (1 - betas[0] ** step), 1 / (1 - betas[1] ** step)
        numbers = (lr, eps, 1 - betas[0], betas[1], 1 - betas[1], *corrected)
        if picked == "numba":
            from relgraph.ops.embedding_update_numba import update_rows  # loads Numba
        else:
            from relgraph.ops.kernels.embedding_update import update_rows  # loads Triton
        update_rows(weight, index, gradient, rule, state, numbers)
        return
    rows, place = torch.unique(index, return_inverse=True)
    total = gradient if len(rows) == len(index) and bool((rows == index).all()) else None
    if total is None:
        total = gradient.new_zeros(len(rows), gradient.shape[1]).index_add_(0, place, gradient)
    if rule == "sgd":
        weight[rows] = weight[rows] - lr * total
    elif rule == "adagrad":
        squares = state[0][rows] + total * total
        state[0][rows] = squares
        weight[rows] = weight[rows] - lr * total / (squares.sqrt() + eps)
    else:
        first, second = betas
        mean = state[0][rows].lerp(total, 1 - first)
        squares = second * state[1][rows] + (1 - second) * total * total
        state[0][rows], state[1][rows] = mean, squares
        scale = (squares / (1 - second**step)).sqrt() + eps
        weight[rows] = weight[rows] - lr / (1 - first**step) * mean / scale


def _check(weight: Tensor, index: Tensor, gradient: Tensor, rule: str, state: Sequence[Tensor]) -> None:
    if rule not in _NUM_STATES:
        raise ShapeError(f"rule: expected one of {', '.join(map(repr, _NUM_STATES))}, got {rule!r}")
    if weight.dim() != 2 or not weight.is_floating_point():
        raise ShapeError(f"weight: expected a floating [N, d], got {weight.dtype} {list(weight.shape)}")
    if index.dtype != torch.int64 or index.dim() != 1:
        raise ShapeError(f"index: expected int64 [n], got {index.dtype} {list(index.shape)}")
    if gradient.shape != (len(index), weight.shape[1]) or gradient.dtype != weight.dtype:
        raise ShapeError(
            f"gradient: expected {weight.dtype} {[len(index), weight.shape[1]]}, got {gradient.dtype} "
            f"{list(gradient.shape)}"
        )
    check_numbers("index", index, len(weight), "rows")
    if len(state) != _NUM_STATES[rule] or any(x.shape != weight.shape or x.dtype != weight.dtype for x in state):
        listed = ", ".join(f"{x.dtype} {list(x.shape)}" for x in state) or "none"
        raise ShapeError(
            f"state: expected {_NUM_STATES[rule]} tables of {weight.dtype} {list(weight.shape)} for {rule!r}, "
            f"got {listed}"
        )
