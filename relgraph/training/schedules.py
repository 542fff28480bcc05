"""Learning rate schedules by name, stepped once an epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    ExponentialLR,
    LinearLR,
    LRScheduler,
    ReduceLROnPlateau,
    SequentialLR,
)

from relgraph.errors import ProtocolError

__all__ = ["Schedule", "scheduler_maker"]

Schedule = Literal["exponential", "cosine", "plateau"]

_PLATEAU_PATIENCE = 1  # the second one in a row lowers the rate


def scheduler_maker(
    schedule: Schedule | None, *, epochs: int, decay: float = 1.0, warmup: int = 0, mode: Literal["max", "min"] = "max"
) -> Callable[[Optimizer], LRScheduler] | None:
    """What makes a scheduler of an optimizer.

    Args:
        schedule: ``"exponential"``: times ``decay`` after every epoch, the meaning of ``decay`` without a schedule;
            ``"cosine"``: down to zero at the last epoch along half a cosine (Loshchilov and Hutter 2017, Eq. 5, without
            restarts); ``"plateau"``: times ``decay`` when two validations in a row were not better.
        epochs: Epochs of the training.
        decay: Factor, in (0, 1].
        warmup: Epochs of a linear rise before it: epoch ``i`` of them has ``(i + 1) / (warmup + 1)`` of the rate.
        mode: Whether ``"plateau"`` waits for larger or for smaller values.

    Returns:
        ``None`` where the rate is constant.

    Raises:
        ProtocolError: If there is no such schedule, or the arguments do not go together.
    """
    if not 0 < decay <= 1:
        raise ProtocolError(f"decay: expected a factor in (0, 1], got {decay}")
    if schedule not in (None, "exponential", "cosine", "plateau"):
        raise ProtocolError(
            f"schedule: expected 'exponential', 'cosine', 'plateau' or a callable that takes an optimizer, "
            f"got {schedule!r}"
        )
    if (schedule in ("exponential", "plateau")) == (decay == 1) and schedule is not None:
        wanted = "no decay" if schedule == "cosine" else "a decay below 1"
        raise ProtocolError(f"decay: schedule={schedule!r} takes {wanted}, got {decay}")
    if not isinstance(warmup, int) or isinstance(warmup, bool) or not 0 <= warmup < max(epochs, 1):
        raise ProtocolError(f"warmup: expected whole epochs from 0 to below {epochs}, got {warmup!r}")
    if warmup and schedule == "plateau":
        raise ProtocolError(
            "warmup: 'plateau' cannot have one, since it does not count epochs; make a scheduler of your own"
        )
    if schedule == "plateau":
        return lambda made: cast(LRScheduler, ReduceLROnPlateau(made, mode, decay, _PLATEAU_PATIENCE))

    def after_warmup(made: Optimizer) -> LRScheduler:
        if schedule == "cosine":
            return CosineAnnealingLR(made, epochs - warmup)
        return ExponentialLR(made, decay)

    if not warmup:
        return after_warmup if schedule == "cosine" or decay != 1 else None
    return lambda made: SequentialLR(
        made, [LinearLR(made, 1 / (warmup + 1), 1.0, warmup), after_warmup(made)], [warmup]
    )
