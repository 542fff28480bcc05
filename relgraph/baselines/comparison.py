"""The table of a comparison, as text, HTML and JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from relgraph.data.html import table_html

__all__ = ["Comparison", "ModelResult"]


@dataclass(frozen=True)
class ModelResult:
    """One model.

    Args:
        name: The model.
        seeds: What it was trained with.
        val: All metrics on validation, one mapping per seed; empty where the model did not run.
        test: The same on the test split.
        seconds: Of training and predicting, all seeds; what models share counts for the first that needs it.
        note: Why it did not run.
    """

    name: str
    seeds: tuple[int, ...]
    val: Sequence[Mapping[str, float]]
    test: Sequence[Mapping[str, float]]
    seconds: float
    note: str = ""

    def mean(self, split: Literal["val", "test"], metric: str) -> float | None:
        """The mean of a metric over seeds, ``None`` where the model did not run."""
        found = [values[metric] for values in getattr(self, split)]
        return statistics.fmean(found) if found else None

    def deviation(self, split: Literal["val", "test"], metric: str) -> float | None:
        """The standard deviation (n - 1) over seeds, ``None`` with fewer than two."""
        found = [values[metric] for values in getattr(self, split)]
        return statistics.stdev(found) if len(found) > 1 else None


@dataclass(frozen=True)
class Comparison:
    """What :func:`relgraph.compare` found; ``str`` and notebooks draw it as a table.

    Args:
        task: The task as JSON values.
        metric: What models are compared by.
        mode: Whether less (``"min"``) or more (``"max"``) is better.
        regime: What test rows may see.
        rows: Seeds of each split.
        results: A model each, in the order they were asked for.
    """

    task: Mapping[str, Any]
    metric: str
    mode: str
    regime: str
    rows: Mapping[str, int]
    results: tuple[ModelResult, ...]

    @property
    def best(self) -> ModelResult | None:
        """The model with the best validation; the test has no say. ``None`` if none ran."""
        ran = [(result.mean("val", self.metric), result) for result in self.results]
        sign = 1 if self.mode == "max" else -1
        scored = [(sign * value, result) for value, result in ran if value is not None]
        return max(scored, key=lambda pair: pair[0])[1] if scored else None

    def __getitem__(self, name: str) -> ModelResult:
        for result in self.results:
            if result.name == name:
                return result
        raise KeyError(f"{name!r}; models: {', '.join(result.name for result in self.results)}")

    @property
    def columns(self) -> tuple[str, ...]:
        """The heads of the table."""
        several = any(len(result.val) > 1 for result in self.results)
        spread = ("±",) if several else ()
        return ("model", "regime", f"val {self.metric}", *spread, f"test {self.metric}", *spread, "seconds", "")

    def table(self) -> list[list[Any]]:
        """A row per model; ``None`` where there is no value."""
        best = self.best
        several = "±" in self.columns
        out = []
        for result in self.results:
            row: list[Any] = [result.name, self.regime]
            for split in ("val", "test"):
                row.append(result.mean(split, self.metric))
                if several:
                    row.append(result.deviation(split, self.metric))
            row += [f"{result.seconds:.1f}", result.note or ("best on validation" if result is best else "")]
            out.append(row)
        return out

    @property
    def title(self) -> str:
        """What the table is about."""
        counted = " / ".join(f"{self.rows[split]:,}" for split in ("train", "val", "test"))
        way = "more" if self.mode == "max" else "less"
        about = f"{self.task['entity_table']}, {self.metric} ({way} is better), {self.regime}"
        return f"{about}, {counted} rows to train / val / test"

    def __str__(self) -> str:
        cells = [list(self.columns), *([_cell(value) for value in row] for row in self.table())]
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        numbers = range(2, len(widths) - 1)
        lines = [
            "  ".join(
                t.rjust(w) if i in numbers else t.ljust(w) for i, (t, w) in enumerate(zip(row, widths, strict=True))
            )
            for row in cells
        ]
        return "\n".join([self.title, *(line.rstrip() for line in lines)])

    __repr__ = __str__

    def to_html(self) -> str:
        """The table as one HTML element, everything in it escaped."""
        return table_html(self.columns, self.table(), self.title)

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values with all metrics of all seeds."""
        best = self.best
        return {
            "task": dict(self.task),
            "metric": self.metric,
            "mode": self.mode,
            "regime": self.regime,
            "rows": dict(self.rows),
            "best": None if best is None else best.name,
            "models": [
                {
                    "model": result.name,
                    "regime": self.regime,
                    "seeds": list(result.seeds),
                    "val": [dict(values) for values in result.val],
                    "test": [dict(values) for values in result.test],
                    "seconds": round(result.seconds, 3),
                    "note": result.note,
                }
                for result in self.results
            ],
        }

    def to_json(self) -> str:
        """The same as text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=2)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) and abs(value) < 1000 else str(value)
