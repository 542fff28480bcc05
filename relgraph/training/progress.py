"""What a person sees while a training runs: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["Reporter"]

_LINE_SECONDS = 2.0


class Reporter:
    """Progress of a training on stderr.

    Args:
        enabled: Whether anything is shown.
        epochs: How many epochs the training has.
        batches: How many batches an epoch has.
    """

    def __init__(self, enabled: bool, epochs: int, batches: int) -> None:
        self._epochs = epochs
        self._batches = batches
        self._enabled = enabled
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._last_line = -_LINE_SECONDS

    def __enter__(self) -> Reporter:
        if not self._enabled:
            return self
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._console = Console(stderr=True)
        if self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task("training", total=self._batches)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, epoch: int, step: int, mean_loss: float) -> None:
        """Show that ``step`` batches of ``epoch`` (from 1) are done."""
        if self._bar is not None and self._task is not None:
            text = f"epoch {epoch}/{self._epochs}  loss {mean_loss:.4f}"
            self._bar.update(self._task, completed=step, description=text)

    def validating(self, epoch: int) -> None:
        """Show that the validation of ``epoch`` (from 1) runs."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=f"epoch {epoch}/{self._epochs}  validation")

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Leave a line about a finished epoch, one every few seconds and always for the last."""
        if not self._enabled:
            return
        now = time.monotonic()
        if now - self._last_line < _LINE_SECONDS and row["epoch"] < self._epochs:
            return
        self._last_line = now
        metrics = "".join(f"  {name} {value:.4f}" for name, value in row["metrics"].items())
        line = f"epoch {row['epoch']}/{self._epochs}  loss {row['loss']:.4f}{metrics}  {row['seconds']:.1f} s"
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """Leave a line of text."""
        if self._enabled:
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)
