"""The history of a training as TensorBoard scalars."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relgraph.errors import BackendError

__all__ = ["TensorBoard"]


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

    def start(self, epoch: int) -> None:
        """Begin after ``epoch`` finished ones; what an earlier run wrote about later ones is hidden."""
        self._writer = self._make(self._folder, purge_step=epoch + 1)

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Write a row of the history."""
        for name in ("loss", "lr", "seconds"):
            self._writer.add_scalar(f"train/{name}", row[name], row["epoch"])
        for name, value in row["metrics"].items():
            self._writer.add_scalar(f"valid/{name}", value, row["epoch"])
        self._writer.flush()

    def close(self) -> None:
        """End the file."""
        if self._writer is not None:
            self._writer.close()
