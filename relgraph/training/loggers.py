"""The history of a training for those who watch it elsewhere: TensorBoard, CSV, MLflow, Weights & Biases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from relgraph.errors import BackendError, ProtocolError

if TYPE_CHECKING:
    from lightning_fabric.loggers.logger import Logger

__all__ = ["Board", "FabricBoard", "LoggerLike", "TensorBoard", "as_boards"]

LoggerLike: TypeAlias = "str | Logger | Sequence[str | Logger] | None"
"""A logger of lightning.fabric, its name with where it writes, such as ``"csv:logs"``, or several of both."""


class Board(Protocol):
    """Something that is told of every finished epoch."""

    def start(self, epoch: int, settings: Mapping[str, Any]) -> None:
        """Begin after ``epoch`` finished ones; ``settings`` are what was asked for."""

    def epoch(self, row: Mapping[str, Any]) -> None:
        """A row of the history."""

    def close(self) -> None:
        """The training has ended, in whatever way."""


def _values(row: Mapping[str, Any]) -> dict[str, float]:
    return {
        **{f"train/{name}": row[name] for name in ("loss", "lr", "seconds")},
        **{f"valid/{name}": value for name, value in row["metrics"].items()},
    }


class TensorBoard:
    """Writes every finished epoch: loss, learning rate, seconds and the metrics of its validation.

    Args:
        folder: The log folder that TensorBoard is pointed at.

    Raises:
        BackendError: If TensorBoard is not installed.
    """

    def __init__(self, folder: Path | str) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise BackendError(
                f"tensorboard={str(folder)!r} needs TensorBoard, which cannot be imported ({error}): "
                "pip install 'relgraph[tensorboard]'"
            ) from None
        self._make = SummaryWriter
        self._folder = str(folder)
        self._writer: Any = None

    def start(self, epoch: int, settings: Mapping[str, Any]) -> None:
        """Begin after ``epoch`` finished ones; what an earlier run wrote about later ones is hidden."""
        self._writer = self._make(self._folder, purge_step=epoch + 1)

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Write a row of the history."""
        for name, value in _values(row).items():
            self._writer.add_scalar(name, value, row["epoch"])
        self._writer.flush()

    def close(self) -> None:
        """End the file."""
        if self._writer is not None:
            self._writer.close()


class FabricBoard:
    """The same through any logger of lightning.fabric; settings become its hyperparameters where it takes them."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger

    def start(self, epoch: int, settings: Mapping[str, Any]) -> None:
        """Tell what was asked for."""
        with suppress(NotImplementedError):  # not every logger takes them
            self._logger.log_hyperparams(dict(settings))

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Write a row of the history, at once."""
        self._logger.log_metrics(_values(row), step=row["epoch"])
        self._logger.save()

    def close(self) -> None:
        """Tell that it has ended."""
        self._logger.finalize("success")


def as_boards(logger: LoggerLike, tensorboard: Path | str | None = None) -> list[Board]:
    """What is told of every epoch.

    Args:
        logger: See :data:`LoggerLike`. As text ``"csv:FOLDER"``, ``"tensorboard:FOLDER"``, ``"mlflow:EXPERIMENT"`` or
            ``"wandb:PROJECT"``; the last two need ``lightning`` and ``mlflow`` or ``wandb``.
        tensorboard: Another way to say ``"tensorboard:FOLDER"``.

    Raises:
        ProtocolError: If something is no logger.
        BackendError: If what it needs is not installed.
    """
    from lightning_fabric.loggers.logger import Logger

    given = [] if logger is None else [*logger] if isinstance(logger, list | tuple) else [logger]
    boards: list[Board] = [] if tensorboard is None else [TensorBoard(tensorboard)]
    for one in given:
        if isinstance(one, Logger):
            boards.append(FabricBoard(one))
            continue
        kind, colon, where = one.partition(":") if isinstance(one, str) else ("", "", "")
        if kind not in _NAMED or not (colon and where):
            raise ProtocolError(
                f"logger: expected a logger of lightning.fabric, or text such as 'csv:logs' with one of "
                f"{', '.join(_NAMED)}; got {one!r}"
            )
        boards.append(_NAMED[kind](where))
    return boards


def _csv(folder: str) -> Board:
    from lightning_fabric.loggers.csv_logs import CSVLogger

    return FabricBoard(CSVLogger(folder, name=""))


def _of_lightning(kind: str, package: str, argument: str) -> Callable[[str], Board]:
    """A logger that lightning has, whose class is ``kind`` and whose ``argument`` says where it writes."""

    def make(where: str) -> Board:
        for home in ("lightning.pytorch.loggers", "pytorch_lightning.loggers"):
            try:
                return FabricBoard(getattr(import_module(home), kind)(**{argument: where}))
            except ImportError as error:  # ModuleNotFoundError too, when the logger looks for its package
                reason = error
        raise BackendError(f"{kind} cannot be had ({reason}): pip install lightning {package}")

    return make


_NAMED: dict[str, Callable[[str], Board]] = {
    "csv": _csv,
    "tensorboard": TensorBoard,
    "mlflow": _of_lightning("MLFlowLogger", "mlflow", "experiment_name"),
    "wandb": _of_lightning("WandbLogger", "wandb", "project"),
}
