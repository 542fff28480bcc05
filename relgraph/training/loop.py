"""The training loop itself: deterministic, interruptible between two steps, resumable to the last bit."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from relgraph.errors import ProtocolError
from relgraph.training.checkpoint import has_checkpoint, read_checkpoint, require_same, write_checkpoint
from relgraph.training.history import History
from relgraph.training.interrupt import Interrupt
from relgraph.training.optimizers import clip_sparse, has_sparse_gradients
from relgraph.training.progress import Reporter
from relgraph.training.settings import Options, require_learnable, settings_of
from relgraph.training.state import (
    copy_state,
    isolated_rng,
    load_module_state,
    load_rng_state,
    module_state,
    rng_state,
)

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.wrappers import _FabricOptimizer

    from relgraph.training.engine import Job, KeepsFiles
    from relgraph.training.group import Divisible, Group
    from relgraph.training.loggers import Board

__all__ = ["Loop"]

# on an accelerator, reading every loss would make it wait for the CPU
_LOSSES_AT_ONCE = 16
_END = object()

Stop = Literal["epochs", "patience", "seconds"]


@dataclass
class _Cursor:
    """Where a training stands; all of it is in a checkpoint."""

    epoch: int = 0  # finished epochs
    step: int = 0  # finished batches of the running epoch
    loss_sum: float = 0.0  # of the running epoch
    seconds: float = 0.0  # of the running epoch
    worse: int = 0  # validations since the best one
    best: float | None = None
    best_epoch: int | None = None
    epochs: list[dict[str, Any]] = field(default_factory=list)


class Loop:
    """One training: a job on a device, with its optimizer, its place and its best parameters."""

    def __init__(
        self,
        job: Job,
        fabric: Fabric,
        make_optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        make_scheduler: Callable[[Optimizer], LRScheduler] | None,
        options: Options,
        files: KeepsFiles | None,
        boards: Sequence[Board],
        group: Group,
    ) -> None:
        self.job = job
        self.fabric = fabric
        self.options = options
        self.num_batches = job.num_batches()
        if self.num_batches < 1:
            raise ProtocolError("there is nothing to train on: the job has no batches; is its training set empty?")
        require_learnable(job.model)
        self.module = fabric.setup_module(job.model)
        self.group = group
        group.share_state(job.model)
        # made after the move, since some optimizers lay down their state at once
        self.optimizer = make_optimizer(job.model.parameters())
        groups = [{k: v for k, v in g.items() if k != "params"} for g in self.optimizer.param_groups]
        self.stepper = cast("_FabricOptimizer", fabric.setup_optimizers(self.optimizer))
        self.scheduler = None if make_scheduler is None else make_scheduler(self.optimizer)
        self.settings = settings_of(job.model, self.num_batches, self.optimizer, groups, self.scheduler, options)
        self.cursor = _Cursor()
        self.best_state: dict[str, Any] | None = None
        self.pending: list[Tensor] = []
        self.saved_at: tuple[int, int] | None = None
        self.files, self.boards = files, boards
        self.interrupt = Interrupt()
        self._is_late = False  # in one process at least
        self.reporter = Reporter(False, options.epochs, self.num_batches)

    def run(self, resume: bool, progress: bool) -> History:
        """Train to the end, a stop or an error; see :func:`relgraph.training.fit`."""
        start = time.monotonic()
        budget = self.options.max_seconds
        deadline = math.inf if budget is None else start + budget
        self.reporter = Reporter(progress, self.options.epochs, self.num_batches)
        with self.interrupt, self.reporter, ExitStack() as stack:
            if not (resume and self._resume()) and self.files is not None:
                self.files.restore(None)
            for board in self.boards:
                stack.callback(board.close)
                board.start(self.cursor.epoch, {**self.options.settings, **self.settings["optimizer"]})
            stopped: Stop | None = self._stop()
            while stopped is None:
                if self._epoch(deadline):
                    self._finish_epoch()
                    stopped = self._stop()
                self._must_pause(deadline)
                if self.interrupt.requested:
                    self._interrupted()
                if stopped is None and self._is_late:
                    stopped = "seconds"
                    self._save()
        if self.best_state is not None:
            load_module_state(self.job.model, self.best_state)
        self.group.share_state(self.job.model)
        self.job.model.eval()
        return History(list(self.cursor.epochs), self.cursor.best_epoch, self.cursor.best, stopped)

    def _stop(self) -> Stop | None:
        patience = self.options.patience
        if patience is not None and self.cursor.worse >= patience:
            return "patience"
        return "epochs" if self.cursor.epoch >= self.options.epochs else None

    def _must_pause(self, deadline: float) -> bool:
        """Whether one process was interrupted, or has come to the end of its time."""
        late = self._is_late or time.monotonic() >= deadline
        self.interrupt.requested, self._is_late = self.group.any(self.interrupt.requested, late)
        return self.interrupt.requested or self._is_late

    def _epoch(self, deadline: float) -> bool:
        """Go on with the running epoch; whether all its batches are done."""
        cursor, every = self.cursor, self.options.checkpoint_every
        before, start = cursor.seconds, time.monotonic()
        self.job.model.train()
        for batch in self._batches():
            self._step(batch)
            cursor.step += 1
            cursor.seconds = before + time.monotonic() - start
            if len(self.pending) >= (1 if self.fabric.device.type == "cpu" else _LOSSES_AT_ONCE):
                self._settle()
                self.reporter.step(cursor.epoch + 1, cursor.step, cursor.loss_sum / cursor.step)
            if cursor.step < self.num_batches:
                if every is not None and cursor.step % every == 0:
                    self._save()
                if self._must_pause(deadline):
                    return False
        if cursor.step < self.num_batches:
            if self.interrupt.requested:
                return False
            raise ProtocolError(
                f"the job announced {self.num_batches} batches per epoch, epoch {cursor.epoch + 1} gave {cursor.step}"
            )
        self._settle()
        (self.interrupt.requested,) = self.group.any(self.interrupt.requested)
        return not self.interrupt.requested

    def _batches(self) -> Iterator[Any]:
        """The rest of the epoch's batches, each made with random numbers of its own."""
        epoch, step, seed, device = self.cursor.epoch, self.cursor.step, self.options.seed, self.fabric.device
        if step == self.num_batches:
            return
        try:
            with isolated_rng(device, seed, epoch):
                iterator = iter(self.job.batches(epoch, start=step))
            while True:
                with isolated_rng(device, seed, epoch, step):
                    batch = next(iterator, _END)
                if batch is _END and self.group.size > 1 and step == self.num_batches - 1:
                    batch = None  # too few rows for everybody
                if batch is _END:
                    return
                if step == self.num_batches:
                    raise ProtocolError(
                        f"the job announced {self.num_batches} batches per epoch, epoch {epoch + 1} gives more"
                    )
                yield batch
                step += 1
        except RuntimeError:
            # Ctrl-C also reaches the workers of a loader, which then fails here
            if not self.interrupt.requested:
                raise

    def _step(self, batch: Any) -> None:
        if self.fabric.device.type != "cpu" and not is_dataclass(batch):
            batch = self.fabric.to_device(batch)
        self.stepper.zero_grad()
        loss = self._backward(batch) if self.group.size == 1 else self._backward_together(batch)
        if self.options.clip_norm is not None and has_sparse_gradients(self.optimizer):
            self.fabric.strategy.precision.unscale_gradients(self.optimizer)
            clip_sparse(self.optimizer, self.options.clip_norm)
        elif self.options.clip_norm is not None:
            # with a loss scaler, infinite gradients are normal: the step is skipped and the scale shrinks
            self.fabric.clip_gradients(
                self.module, self.stepper, max_norm=self.options.clip_norm, error_if_nonfinite=False
            )
        self.stepper.step()
        self.pending.append(loss)

    def _backward(self, batch: Any) -> Tensor:
        """The loss of a batch; its gradients are in the parameters."""
        with self.fabric.autocast():
            loss = self.job.loss(batch)
        if loss.dim() != 0 or not loss.requires_grad:
            raise ProtocolError(
                f"the loss must be a scalar with a gradient, got shape {list(loss.shape)}, "
                f"requires_grad={loss.requires_grad}"
            )
        self.fabric.backward(loss)
        return loss.detach()

    def _backward_together(self, batch: Any) -> Tensor:
        """The same for all processes, each with its share; random numbers differ between them and not on resume."""
        cursor, loss, num_rows = self.cursor, None, 0
        if batch is not None:
            num_rows = cast("Divisible", self.job).num_rows(batch)
            with isolated_rng(self.fabric.device, self.options.seed, cursor.epoch, cursor.step, self.group.rank):
                loss = self._backward(batch)
        return self.group.mean(list(self.job.model.parameters()), loss, num_rows)

    def _settle(self) -> None:
        """Add up the losses that were not looked at yet, and refuse one that is not finite."""
        if not self.pending:
            return
        losses = torch.stack(self.pending).double().tolist()
        self.pending = []
        for number, loss in enumerate(losses, self.cursor.step - len(losses) + 1):
            if not math.isfinite(loss):
                raise ProtocolError(
                    f"the loss is {loss} in epoch {self.cursor.epoch + 1}, step {number}; {self._kept()}. "
                    "Try a smaller learning rate, clip_norm, or look for NaN in the features"
                )
            self.cursor.loss_sum += loss

    def _finish_epoch(self) -> None:
        """Validate, step the scheduler, write the history and the checkpoint."""
        cursor = self.cursor
        start = time.monotonic()
        done = cursor.epoch + 1
        loss = cursor.loss_sum / cursor.step
        metrics: dict[str, float] = {}
        due = done % self.options.validate_every == 0 or done >= self.options.epochs
        if due:
            self.reporter.validating(done)
            generators = rng_state(self.fabric.device)
            self.group.share_state(self.job.model)  # batch statistics differ
            with self.interrupt.breakable():
                metrics = self._validate()
            (self.interrupt.requested,) = self.group.any(self.interrupt.requested)
            if self.interrupt.requested:
                load_rng_state(generators, self.fabric.device)
                return
            metrics = self.group.share_numbers(metrics)
            self._judge(metrics)
        lr = float(self.optimizer.param_groups[0]["lr"])
        self._schedule(metrics, loss, due)
        seconds = cursor.seconds + time.monotonic() - start
        row = {"epoch": done, "loss": loss, "lr": lr, "seconds": seconds, "metrics": metrics}
        cursor.epochs.append(row)
        cursor.epoch, cursor.step, cursor.loss_sum, cursor.seconds = done, 0, 0.0, 0.0
        self._save()
        self.reporter.epoch(row)
        for board in self.boards:
            board.epoch(row)

    def _validate(self) -> dict[str, float]:
        self.job.model.eval()
        with (
            isolated_rng(self.fabric.device, self.options.seed, self.cursor.epoch, -1),
            torch.no_grad(),
            self.fabric.autocast(),
        ):
            return {name: float(value) for name, value in self.job.validate().items()}

    def _judge(self, metrics: dict[str, float]) -> None:
        """Compare a validation with the best one before."""
        cursor, monitor = self.cursor, self.options.monitor
        if monitor is None:
            return
        if monitor not in metrics:
            names = ", ".join(metrics) or "no metrics"
            raise ProtocolError(f"monitor is {monitor!r}, but the validation gives {names}")
        value = metrics[monitor]
        if math.isnan(value):
            raise ProtocolError(f"{monitor} is NaN in epoch {cursor.epoch + 1}; {self._kept()}")
        sign = 1 if self.options.mode == "max" else -1
        if cursor.best is None or sign * value > sign * cursor.best:
            cursor.best, cursor.best_epoch, cursor.worse = value, cursor.epoch + 1, 0
            self.best_state = copy_state(module_state(self.job.model))
        else:
            cursor.worse += 1

    def _schedule(self, metrics: dict[str, float], loss: float, validated: bool) -> None:
        if self.scheduler is None:
            return
        with warnings.catch_warnings():
            # right after a resume no optimizer step came before, which is as it should be
            warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step", UserWarning)
            if not isinstance(self.scheduler, ReduceLROnPlateau):
                self.scheduler.step()
            elif self.options.monitor is None:
                self.scheduler.step(loss)
            elif validated:
                self.scheduler.step(metrics[self.options.monitor])

    def _interrupted(self) -> None:
        self._save()
        place = f"training interrupted in epoch {self.cursor.epoch + 1} after {self.cursor.step} batches"
        folder = self.options.folder
        how = "nothing was saved" if folder is None else f"call fit again with checkpoint={str(folder)!r} to go on"
        self.reporter.note(f"{place}; {how}")
        raise KeyboardInterrupt(f"{place}; {how}")

    def _save(self) -> None:
        cursor, folder = self.cursor, self.options.folder
        self._settle()
        if folder is None or self.saved_at == (cursor.epoch, cursor.step):
            return
        broken = [name for name, value in self.job.model.named_parameters() if not bool(value.isfinite().all())]
        if broken:
            raise ProtocolError(
                f"parameter {broken[0]} is no longer finite in epoch {cursor.epoch + 1} after {cursor.step} batches; "
                f"{self._kept()}. Try a smaller learning rate or clip_norm"
            )
        state = {
            "settings": self.settings,
            "cursor": asdict(cursor),
            "model": module_state(self.job.model),
            "best": self.best_state,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "rng": rng_state(self.fabric.device),
            "torch": torch.__version__,
            "files": None if self.files is None else self.files.stage(),
        }
        if self.group.first:
            write_checkpoint(folder, state)
        self.group.wait()
        if self.files is not None:
            self.files.commit()
        self.saved_at = (cursor.epoch, cursor.step)

    def _resume(self) -> bool:
        """Go on from the checkpoint; whether there is one."""
        folder = self.options.folder
        if folder is None or not has_checkpoint(folder):
            return False
        state = read_checkpoint(folder)
        require_same(folder, state["settings"], self.settings)
        self.cursor = _Cursor(**state["cursor"])
        self.saved_at = (self.cursor.epoch, self.cursor.step)
        load_module_state(self.job.model, state["model"])
        if state["best"] is not None:
            self.best_state = copy_state(state["best"], self.fabric.device)
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        load_rng_state(state["rng"], self.fabric.device)
        if self.files is not None:
            self.files.restore(state["files"])
        self.reporter.note(f"going on in epoch {self.cursor.epoch + 1} after {self.cursor.step} batches, from {folder}")
        return True

    def _kept(self) -> str:
        if self.options.folder is None or self.saved_at is None:
            return "no checkpoint was written"
        epoch, step = self.saved_at
        return f"the checkpoint of epoch {epoch + 1} after {step} batches is kept in {self.options.folder}"
