"""Optimizers by name, and two that step only the touched rows of large tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer

from relgraph.errors import ProtocolError
from relgraph.ops import embedding_update

__all__ = ["RowAdagrad", "RowAdam", "clip_sparse", "has_sparse_gradients", "optimizer_maker"]


class RowAdam(Adam):
    """Adam, whose parameters with sparse gradients take lazy steps on the touched rows only.

    The moments of a row decay when the row is touched, so a row that rests stands still, where dense Adam would move
    it on (see :func:`relgraph.ops.embedding_update`). Parameters with dense gradients are stepped as by
    :class:`torch.optim.Adam`, with all its options.
    """

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step on every parameter that has a gradient."""
        loss = _called(closure)
        with _sparse_apart(self) as sparse:
            super().step()
        for group, parameter, gradient in sparse:
            _refuse(group, "weight_decay", "amsgrad", "maximize")
            state = self.state[parameter]
            if not state:
                state["step"] = torch.tensor(0.0)
                state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
            state["step"] += 1
            embedding_update(
                parameter.detach(),
                gradient._indices()[0],
                gradient._values(),
                rule="adam",
                lr=float(group["lr"]),
                state=(state["exp_avg"], state["exp_avg_sq"]),
                eps=group["eps"],
                betas=group["betas"],
                step=int(state["step"]),
            )
        return loss


class RowAdagrad(Adagrad):
    """Adagrad, whose parameters with sparse gradients are stepped on the touched rows only.

    The result is that of the dense rule, since a row without a gradient stands still there too.
    """

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step on every parameter that has a gradient."""
        loss = _called(closure)
        with _sparse_apart(self) as sparse:
            super().step()
        for group, parameter, gradient in sparse:
            _refuse(group, "weight_decay", "maximize")
            state = self.state[parameter]
            state["step"] += 1
            embedding_update(
                parameter.detach(),
                gradient._indices()[0],
                gradient._values(),
                rule="adagrad",
                lr=float(group["lr"]) / (1 + (float(state["step"]) - 1) * group["lr_decay"]),
                state=(state["sum"],),
                eps=group["eps"],
            )
        return loss


_DENSE: dict[str, type[Optimizer]] = {"adam": Adam, "adamw": AdamW, "adagrad": Adagrad, "sgd": SGD}
_ROWS: dict[str, type[Optimizer]] = {"adam": RowAdam, "adagrad": RowAdagrad, "sgd": SGD}


def optimizer_maker(
    name: str, *, lr: float, weight_decay: float | None = None, sparse: bool = False
) -> Callable[[Iterable[nn.Parameter]], Optimizer]:
    """What makes an optimizer of parameters.

    Args:
        name: ``"adam"``, ``"adamw"``, ``"adagrad"`` or ``"sgd"``.
        lr: Learning rate.
        weight_decay: As in torch; its default for that optimizer if ``None``.
        sparse: Whether some gradients are sparse; ``"adamw"`` has no such form.

    Raises:
        ProtocolError: If there is no such optimizer, or it cannot do that.
    """
    if name not in _DENSE:
        raise ProtocolError(
            f"optimizer: expected {', '.join(map(repr, _DENSE))} or a callable that takes parameters, got {name!r}"
        )
    if sparse and name not in _ROWS:
        raise ProtocolError(
            f"optimizer: {name!r} has no form that steps touched rows only; with sparse tables take one of "
            f"{', '.join(map(repr, _ROWS))}"
        )
    if sparse and weight_decay:
        raise ProtocolError(
            f"weight_decay: expected none with sparse tables, got {weight_decay}; it would have to touch every row. "
            "Take regularizer=N3(...), which acts on the rows of a batch"
        )
    if weight_decay is not None and not weight_decay >= 0:
        raise ProtocolError(f"weight_decay: expected at least 0, got {weight_decay}")
    kind: Any = (_ROWS if sparse else _DENSE)[name]
    options: dict[str, Any] = {} if weight_decay is None else {"weight_decay": weight_decay}

    def make(parameters: Iterable[nn.Parameter]) -> Optimizer:
        listed = list(parameters)
        # one pass over a parameter and its moments; on a GPU torch chooses, and clipping of float16 needs its own way
        fused = not sparse and all(p.device.type == "cpu" and p.is_floating_point() for p in listed)
        made: Optimizer = kind(listed, lr=lr, **options, **({"fused": True} if fused else {}))
        return made

    return make


def has_sparse_gradients(optimizer: Optimizer) -> bool:
    """Whether some gradients are sparse now."""
    return any(p.grad is not None and p.grad.is_sparse for group in optimizer.param_groups for p in group["params"])


def clip_sparse(optimizer: Optimizer, max_norm: float) -> None:
    """:func:`torch.nn.utils.clip_grad_norm_`, which refuses sparse gradients, for gradients of both kinds."""
    parts = []
    for parameter in (p for group in optimizer.param_groups for p in group["params"] if p.grad is not None):
        if parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()  # the norm of a row is that of its sum
            parts.append(parameter.grad._values())
        else:
            parts.append(parameter.grad)
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(part).float() for part in parts]))
    factor = (max_norm / (norm + 1e-6)).clamp(max=1.0)
    for part in parts:
        part.mul_(factor.to(part.device, part.dtype))


@contextmanager
def _sparse_apart(optimizer: Optimizer) -> Iterator[list[tuple[dict[str, Any], nn.Parameter, Tensor]]]:
    """Take the sparse gradients away, so that the dense rule does not see them, and put them back."""
    found = [
        (group, parameter, parameter.grad)
        for group in optimizer.param_groups
        for parameter in group["params"]
        if parameter.grad is not None and parameter.grad.is_sparse
    ]
    for _, parameter, _ in found:
        parameter.grad = None
    try:
        yield found
    finally:
        for _, parameter, gradient in found:
            parameter.grad = gradient


def _called(closure: Callable[[], Any] | None) -> Any:
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def _refuse(group: dict[str, Any], *options: str) -> None:
    for name in options:
        if group.get(name):
            raise ProtocolError(f"{name}={group[name]} does not go with sparse gradients: it would touch every row")
