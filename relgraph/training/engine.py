"""The training loop's door: what a job is, and the call that trains it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from relgraph.errors import BackendError, ProtocolError
from relgraph.training.group import Divisible, Group, join
from relgraph.training.history import History
from relgraph.training.loggers import LoggerLike, as_boards
from relgraph.training.loop import Loop
from relgraph.training.settings import Options

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["Job", "KeepsFiles", "fit", "require_seed"]


class Job(Protocol):
    """What is trained: a model, its batches, its loss and its validation."""

    @property
    def model(self) -> nn.Module:
        """The model; :func:`fit` moves it to the device, so read the device from its parameters."""
        ...

    def num_batches(self) -> int:
        """Batches per epoch, the same in every epoch."""
        ...

    def batches(self, epoch: int, start: int = 0) -> Iterable[Any]:
        """The batches of an epoch (from 0), from batch ``start`` on; the same for the same arguments."""
        ...

    def loss(self, batch: Any) -> Tensor:
        """The loss of a batch, a scalar; the model is in training mode.

        A batch of tensors, lists, dicts or things with a ``to`` is on the device of the model; other batches, data
        classes among them, are as :meth:`batches` gave them.
        """
        ...

    def validate(self) -> dict[str, float]:
        """Validation metrics, ``{}`` if there is nothing to validate on; evaluation mode, no gradients."""
        ...


@runtime_checkable
class KeepsFiles(Protocol):
    """A job that also changes files of its own, beside the parameters of its model."""

    def stage(self) -> dict[str, Any]:
        """Flush the files and say what names this moment, JSON; a checkpoint with that is about to be written."""
        ...

    def commit(self) -> None:
        """The checkpoint is written."""
        ...

    def restore(self, staged: dict[str, Any] | None) -> None:
        """Put the files back to the moment of a checkpoint; ``None`` begins with them as they are."""
        ...


def fit(
    job: Job,
    *,
    epochs: int,
    lr: float = 1e-3,
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] | None = None,
    scheduler: Callable[[Optimizer], LRScheduler] | None = None,
    monitor: str | None = None,
    mode: Literal["max", "min"] = "max",
    patience: int | None = None,
    validate_every: int = 1,
    checkpoint: Path | str | None = None,
    checkpoint_every: int | None = None,
    resume: bool = True,
    clip_norm: float | None = None,
    seed: int = 0,
    max_seconds: float | None = None,
    settings: Mapping[str, Any] | None = None,
    accelerator: str = "auto",
    precision: Any = "32-true",
    tensorboard: Path | str | None = None,
    logger: LoggerLike = None,
    progress: bool = True,
) -> History:
    """Train a job and leave the best parameters in its model, in evaluation mode.

    A training that was stopped or killed at any moment and is called again with the same arguments ends with the same
    parameters, bit by bit, as one that was not (on the same device and versions). torch's global random state is seeded
    inside and put back afterwards. Ctrl-C ends the running step, writes the checkpoint and raises.

    Started by ``torchrun --nproc-per-node N``, ``N`` processes train one model: each takes every N-th row of every
    batch, and gradients are averaged over the rows, so that without dropout and batch normalisation (whose statistics
    are those of a process's own rows) the result is that of one process up to the order of summation. The first one
    reports and writes the checkpoint, which the others must be able to read.

    Args:
        job: What is trained.
        epochs: How many epochs in all, those of a resumed checkpoint included; may be raised on resume.
        lr: Learning rate of the default optimizer, Adam.
        optimizer: Makes another optimizer of the parameters; ``lr`` is then not used.
        scheduler: Makes a learning rate scheduler, stepped after every epoch (``ReduceLROnPlateau`` after every
            validation on the monitored value, or on the loss if nothing is monitored).
        monitor: The validation metric that decides which parameters are best; ``None`` keeps the last.
        mode: Whether a larger or a smaller monitored value is better.
        patience: Stop after this many validations in a row without a better value.
        validate_every: Epochs between validations; the last epoch is always validated.
        checkpoint: Folder of the checkpoint, written at the end of every epoch.
        checkpoint_every: Write it also after every so many batches of an epoch.
        resume: Whether to go on from the checkpoint, if there is one.
        clip_norm: Largest 2-norm of the gradient of all parameters together.
        seed: Seed of the global random state, from 0 on.
        max_seconds: Stop after the first batch that ends later than this after the call, without a validation of its
            own; the checkpoint stays resumable.
        settings: Whatever else must be equal on resume (JSON), such as the batch size.
        accelerator: ``"auto"``, ``"cpu"``, ``"cuda"`` and so on, as in lightning.fabric.
        precision: ``"32-true"``, ``"bf16-mixed"`` and so on, as in lightning.fabric.
        tensorboard: Log folder for TensorBoard, which gets what the history has (``relgraph[tensorboard]``).
        logger: Who else is told of every epoch: a logger of lightning.fabric, ``"csv:FOLDER"``,
            ``"mlflow:EXPERIMENT"``, ``"wandb:PROJECT"``, or several in a list.
        progress: Whether to report on stderr.

    Returns:
        What happened.

    Raises:
        ProtocolError: If there is nothing to train, an argument makes no sense, the loss or the monitored value is
            not finite, the job breaks its contract, or the checkpoint belongs to another training.
        AdapterError: If the checkpoint cannot be read or written.
        BackendError: If the accelerator or the precision is unknown, or not available here, or a logger cannot be had.
        KeyboardInterrupt: After Ctrl-C.
    """
    options = Options(
        epochs=epochs,
        monitor=monitor,
        mode=mode,
        patience=patience,
        validate_every=validate_every,
        folder=None if checkpoint is None else Path(checkpoint),
        checkpoint_every=checkpoint_every,
        clip_norm=clip_norm,
        seed=seed,
        max_seconds=max_seconds,
        settings=dict(settings or {}),
        precision=precision,
    )
    _check(options, lr)
    fabric = _fabric(accelerator, precision)
    devices = [fabric.device] if fabric.device.type == "cuda" else []
    group = join(fabric.device)
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        if group.size > 1:
            _divide(job, group)
        boards = as_boards(logger, tensorboard) if group.first else []
        make = optimizer if optimizer is not None else lambda parameters: Adam(parameters, lr=lr)
        files = job if isinstance(job, KeepsFiles) else None
        loop = Loop(job, fabric, make, scheduler, options, files, boards, group)
        return loop.run(resume=resume, progress=progress and group.first)


def require_seed(seed: int) -> None:
    """Check that a seed is one for torch and NumPy alike.

    Raises:
        ProtocolError: If it is no whole number from 0 to ``2**63 - 1``.
    """
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**63:
        raise ProtocolError(f"seed: expected a whole number from 0 to 2**63 - 1, got {seed!r}")


def _divide(job: Job, group: Group) -> None:
    if not isinstance(job, Divisible):
        raise BackendError(f"{type(job).__name__} trains in one process: start it with python instead of torchrun")
    job.divide(group.rank, group.size)


def _fabric(accelerator: str, precision: Any) -> Fabric:
    from lightning_fabric import Fabric
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    try:
        # of the processes that torchrun starts on a machine, each has a GPU of its own
        on_gpu = "LOCAL_RANK" in os.environ and torch.cuda.is_available() and accelerator in ("auto", "cuda", "gpu")
        devices: Any = [int(os.environ["LOCAL_RANK"])] if on_gpu else 1
        return Fabric(accelerator=accelerator, devices=devices, precision=precision)
    except (ValueError, TypeError, RuntimeError, ImportError, MisconfigurationException) as error:
        raise BackendError(f"cannot train with accelerator={accelerator!r}, precision={precision!r}: {error}") from None


def _check(options: Options, lr: float) -> None:
    """Refuse arguments that make no sense."""
    require_seed(options.seed)
    positive = {
        "epochs": options.epochs,
        "validate_every": options.validate_every,
        "lr": lr,
        "patience": options.patience,
        "checkpoint_every": options.checkpoint_every,
        "clip_norm": options.clip_norm,
        "max_seconds": options.max_seconds,
    }
    for name, value in positive.items():
        if value is not None and not value > 0:
            raise ProtocolError(f"{name} must be greater than 0, got {value}")
    if options.mode not in ("max", "min"):
        raise ProtocolError(f"mode must be 'max' or 'min', got {options.mode!r}")
    if options.patience is not None and options.monitor is None:
        raise ProtocolError("patience needs monitor, the name of a validation metric to watch")
    if options.checkpoint_every is not None and options.folder is None:
        raise ProtocolError("checkpoint_every needs checkpoint, the folder to write to")
