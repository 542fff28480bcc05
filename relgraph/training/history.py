"""What a training did, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from relgraph.pictures import Svg, curves, escape, side_by_side

__all__ = ["History"]


@dataclass(frozen=True)
class History:
    """The record of a training, earlier runs of the same checkpoint included.

    Args:
        epochs: One dict per finished epoch: ``epoch`` (from 1), ``loss`` (mean over its batches), ``lr`` (of the
            first parameter group), ``seconds`` (wall time, validation included) and ``metrics`` (of the validation
            after it, ``{}`` if there was none).
        best_epoch: The epoch whose parameters the model holds, or ``None`` if nothing was monitored.
        best: The monitored value of that epoch.
        stopped: Why the training ended: all epochs done, no better validation for ``patience`` times, or the time
            budget used up.
    """

    epochs: Sequence[dict[str, Any]] = field(default_factory=list)
    best_epoch: int | None = None
    best: float | None = None
    stopped: Literal["epochs", "patience", "seconds"] = "epochs"

    def __len__(self) -> int:
        return len(self.epochs)

    def __repr__(self) -> str:
        parts = [f"{len(self)} epochs", f"stopped by {self.stopped}"]
        if self.epochs:
            parts.insert(1, f"loss {self.epochs[-1]['loss']:.4g}")
        if self.best_epoch is not None:
            parts.append(f"best {self.best:.4g} in epoch {self.best_epoch}")
        return f"History({', '.join(parts)})"

    def curve(self, name: str) -> tuple[list[int], list[float]]:
        """Epoch numbers and values of ``"loss"``, ``"lr"``, ``"seconds"`` or a metric, in the epochs that have it."""
        rows = [{**row["metrics"], **row} for row in self.epochs]
        return [row["epoch"] for row in rows if name in row], [row[name] for row in rows if name in row]

    @property
    def metric(self) -> str | None:
        """The headline of the validations: MRR where there is one, else the first of their metrics."""
        names = next((list(row["metrics"]) for row in self.epochs if row["metrics"]), [])
        return "mrr" if "mrr" in names else next(iter(names), None)

    def picture(self, name: str = "loss") -> Svg:
        """A curve over the epochs: ``"loss"``, ``"lr"``, ``"seconds"``, or a metric of the validations."""
        return curves(name, {name: self.curve(name)})

    def _repr_html_(self) -> str:
        shown = ["loss"] if self.metric is None else ["loss", self.metric]
        return f"<p>{escape(repr(self))}</p>{side_by_side(*map(self.picture, shown))}"
