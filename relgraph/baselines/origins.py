"""Seeds of a task as they looked at a moment: what was known to train on, what was asked, and the columns of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relgraph.data.time import format_time
from relgraph.errors import ProtocolError
from relgraph.tabular.block import Matrix, SeedFeatures
from relgraph.tasks.entity import EntityTask

if TYPE_CHECKING:
    from relgraph.data.database import Database

__all__ = ["CLOCK", "YEAR", "Columns", "History", "Known", "known_rows"]

DAY = 86_400_000_000
YEAR = 365.2425 * DAY

CLOCK = (
    "days since what is seen",
    "season, sine",
    "season, cosine",
    "year",
    "mean label of the last year",
    "mean label of the season",
)
"""The columns that :class:`History` adds."""


@dataclass(frozen=True, eq=False)
class Known:
    """Seeds with their labels, float64 ``[n]``."""

    node: Tensor
    time: Tensor
    label: Tensor

    def __getitem__(self, rows: Tensor) -> Known:
        return Known(self.node[rows], self.time[rows], self.label[rows])


class Columns:
    """Sources of columns side by side; equal seeds are computed once.

    Args:
        sources: At least one.
    """

    def __init__(self, sources: Sequence[SeedFeatures]) -> None:
        self.sources = tuple(sources)
        self._done: dict[tuple[bytes, bytes], Matrix] = {}

    def matrix(self, node: Tensor, seen: Tensor) -> Matrix:
        """The columns of rows as of what each sees, float64 ``[n, F]``."""
        key = (node.numpy().tobytes(), seen.numpy().tobytes())
        if key not in self._done:
            self._done[key] = np.concatenate([source.matrix(node, seen) for source in self.sources], axis=1)
        return self._done[key]

    @property
    def categorical(self) -> list[int]:
        """Which columns hold codes."""
        found, start = [], 0
        for source in self.sources:
            found += [start + i for i in source.categorical]
            start += len(source.names)
        return found


def known_rows(db: Database, task: EntityTask) -> Known:
    """The seeds of train and val."""
    parts = [task.seeds(db, "train"), task.seeds(db, "val")]
    return Known(
        torch.cat([seeds.node for seeds in parts]),
        torch.cat([seeds.moments for seeds in parts]),
        torch.cat([seeds.label for seeds in parts]).double(),
    )


class History:
    """The labels of a task before its test, and training rows that lag as the test's rows do.

    Args:
        db: Where labels come from.
        task: Binary or a regression, with its times.
        columns: What is known of rows.
        copies: Of each row; 1 outside the frozen regime.
        seed: Of the lags.
    """

    def __init__(self, db: Database, task: EntityTask, columns: Columns, copies: int, seed: int) -> None:
        self.task, self.columns = task, columns
        self.rows = known_rows(db, task)
        self.copies = copies if task.regime == "frozen" else 1
        self.seed = seed
        times = task.times(db, "test")
        self.span = int(times[-1] - times[0])
        ended = (self.rows.time + task.horizon).numpy()
        order = np.argsort(ended, kind="stable")
        self._ended = ended[order]
        by_time = torch.argsort(self.rows.time, stable=True)
        self._moments = self.rows.time[by_time].numpy()
        self._by_moment = np.concatenate([[0.0], np.cumsum(self.rows.label[by_time].numpy())])
        self._sums = np.concatenate([[0.0], np.cumsum(self.rows.label.numpy()[order])])

    def train(self, origin: int, reach: float | None) -> tuple[Matrix, Known]:
        """What can be learned from at an origin: columns, and rows as often as there are copies.

        Raises:
            ProtocolError: If no label is known by then.
        """
        time = self.rows.time
        known = time + self.task.horizon <= origin
        if reach is not None:
            known &= time >= origin - round(reach * YEAR)
        if not bool(known.any()):
            raise ProtocolError(f"no training row of the task is known at the origin {format_time(origin)}")
        rows, x = self.rows[known], []
        for number in range(self.copies):
            seen = time - self._lag(number)
            # of all rows, so that every origin reads the same columns
            matrix = self.columns.matrix(self.rows.node, seen)[known.numpy()]
            x.append(np.concatenate([matrix, self.clock(rows.time, seen[known])], axis=1))
        every = [rows] * self.copies
        return np.concatenate(x), Known(
            torch.cat([part.node for part in every]),
            torch.cat([part.time for part in every]),
            torch.cat([part.label for part in every]),
        )

    def clock(self, time: Tensor, seen: Tensor) -> Matrix:
        """The columns :data:`CLOCK` of seeds that see what was known at ``seen``, float64 ``[n, 6]``."""
        turn = 2 * np.pi * time.numpy() / YEAR
        stop = np.searchsorted(self._ended, seen.numpy(), side="right")
        start = np.searchsorted(self._ended, seen.numpy() - round(YEAR), side="right")
        level = np.where(stop > start, (self._sums[stop] - self._sums[start]) / np.maximum(stop - start, 1), np.nan)
        lag = (time - seen).numpy() / DAY
        season = self._season(time.numpy(), seen.numpy())
        return np.stack([lag, np.sin(turn), np.cos(turn), time.numpy() / YEAR, level, season], axis=1)

    def _season(self, time: NDArray[np.int64], seen: NDArray[np.int64]) -> NDArray[np.float64]:
        """Mean label about whole years before, in the last three years whose labels had ended when seen."""
        horizon, total, count = self.task.horizon, np.zeros(len(time)), np.zeros(len(time))
        years = np.maximum(np.ceil((time + 1.5 * horizon - seen) / YEAR), 1)
        for more in range(3):
            middle = time - (years + more) * YEAR
            start = np.searchsorted(self._moments, middle - horizon / 2)
            stop = np.searchsorted(self._moments, middle + horizon / 2, side="right")
            total += self._by_moment[stop] - self._by_moment[start]
            count += stop - start
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def _lag(self, number: int) -> Tensor:
        """How long before its own time each row of a copy stops to see; copy i of k has the i-th k-th of the span."""
        if self.task.regime != "frozen":
            return torch.zeros_like(self.rows.time)
        steps = self.span // self.task.horizon + 1
        drawn: NDArray[np.float64] = np.random.default_rng([self.seed, number]).random(len(self.rows.time))
        lag = np.floor((number + drawn) / self.copies * steps).astype(np.int64) * self.task.horizon
        return torch.from_numpy(lag)
