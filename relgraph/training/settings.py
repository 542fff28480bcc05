"""What a training is told, and what must be the same for it to be resumed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from relgraph.errors import ProtocolError
from relgraph.training.state import encode

__all__ = ["Options", "require_learnable", "settings_of"]


@dataclass(frozen=True)
class Options:
    """The arguments of :func:`relgraph.training.fit` that the loop needs."""

    epochs: int
    monitor: str | None
    mode: Literal["max", "min"]
    patience: int | None
    validate_every: int
    folder: Path | None
    checkpoint_every: int | None
    clip_norm: float | None
    seed: int
    max_seconds: float | None
    settings: dict[str, Any]
    precision: Any


def settings_of(
    model: nn.Module,
    num_batches: int,
    optimizer: Optimizer,
    groups: list[dict[str, Any]],
    scheduler: LRScheduler | None,
    options: Options,
) -> dict[str, Any]:
    """All that a resumed training must have in common with the first one, as JSON.

    Args:
        model: What is trained.
        num_batches: Batches of an epoch.
        optimizer: As it was made.
        groups: Its parameter groups before a scheduler changed them.
        scheduler: As it was made, or ``None``.
        options: What the training was told.
    """
    settings = {
        "parameters": {n: f"{v.dtype} {list(v.shape)}" for n, v in model.named_parameters()},
        "buffers": {n: f"{v.dtype} {list(v.shape)}" for n, v in model.named_buffers()},
        "num_batches": num_batches,
        "optimizer": {"name": type(optimizer).__name__, "groups": groups},
        "scheduler": None if scheduler is None else {"name": type(scheduler).__name__, "state": scheduler.state_dict()},
        "seed": options.seed,
        "precision": str(options.precision),
        "clip_norm": options.clip_norm,
        "monitor": options.monitor,
        "mode": options.mode,
        "validate_every": options.validate_every,
        "settings": options.settings,
    }
    tensors: dict[str, Tensor] = {}
    return json.loads(json.dumps(encode(settings, "settings", tensors)))  # type: ignore[no-any-return]


def require_learnable(model: nn.Module) -> None:
    """Check that a model has parameters that learn.

    Raises:
        ProtocolError: If it has none, or lazy ones without a shape.
    """
    parameters = list(model.parameters())
    if any(isinstance(p, nn.parameter.UninitializedParameter) for p in parameters):
        raise ProtocolError("the model has lazy parameters without a shape; call it once on a batch before fit")
    if not any(p.requires_grad for p in parameters):
        raise ProtocolError("the model has no parameter that learns")
