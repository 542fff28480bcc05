"""What the same question was answered with before: labels of an entity whose windows have closed, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relgraph.data.interval import format_interval, parse_interval
from relgraph.errors import ProtocolError
from relgraph.tabular.block import Matrix

if TYPE_CHECKING:
    from relgraph.data.database import Database
    from relgraph.tasks import EntityTask

__all__ = ["PastLabels"]

_DAY = 86_400_000_000
_CHAINS = 8  # different phases of seed times that get windows of their own
_MOST_WINDOWS = 100_000
_MOST_CLASSES = 16
_PAIRS = 1 << 20


class PastLabels:
    """Labels of the same entity that were known by the seed's moment, as columns.

    For a seed at ``t`` the task's question is asked for the windows that begin at ``t - h``, ``t - h - step``,
    ``t - h - 2 step``, ... back to the database's first row (``h`` is the horizon). These have closed by ``t``, so a
    seed never sees its own label, nor anything of another that was open at its time. In the frozen regime ``t`` is at
    most ``task.until``. Where seeds stand at more than 8 different phases of ``step``, the windows of all begin at
    ``val_time + i step``.

    Columns, per label (per class with several classes, the first 16): the mean and median of all, the mean of the last
    ones and with weights ``2 ** (-age / half_life)``; the standard deviation, the last less the mean, and the mean of
    all entities' labels at that time. And how many windows the entity has an answer in, and how many days since the
    last one closed.

    Args:
        task: An :class:`~relgraph.tasks.EntityTask` with times.
        db: Where labels come from.
        last: Means of so many last labels, few to many.
        step: How far apart windows begin; the horizon by default. A shorter one gives more labels, of windows that
            overlap.
        half_life: After this time a label weighs half; six horizons by default.

    Raises:
        ProtocolError: If the task's labels cannot be asked for at any moment: it has no time, or no query.
    """

    def __init__(
        self,
        task: EntityTask,
        db: Database,
        *,
        last: Sequence[int] = (1, 2, 3, 5, 10),
        step: str | None = None,
        half_life: str | None = None,
    ) -> None:
        if not hasattr(task, "labels_at") or task.regime == "static":
            raise ProtocolError(
                f"past labels need a task whose question can be asked at earlier moments, an EntityTask with a "
                f"horizon; got {task!r}"
            )
        if not last or min(last) < 1:
            raise ProtocolError(f"last: expected numbers of labels from 1, got {tuple(last)!r}")
        self.task, self.db = task, db
        self.until = task.until
        self.last = tuple(sorted(set(last)))
        self.step = task.horizon if step is None else parse_interval(step, "step")
        self.half_life = 6 * task.horizon if half_life is None else parse_interval(half_life, "half_life")
        known = task.seeds(db, "train").label
        self._classes = min(int(known.max()) + 1, _MOST_CLASSES) if task.kind == "multiclass" else 0
        self._width = self._classes or (known.size(1) if known.dim() == 2 else 1)
        self._first = int(task.times(db, "train").min())
        self._chains: dict[tuple[int, int], _Chain] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """A name per column."""
        shared = ("past labels: count", "past labels: days since the last closed")
        what = ["mean, all", "median, all", *(f"mean, last {k}" if k > 1 else "last" for k in self.last)]
        what += ["mean, decayed", "std", "last less mean", "mean of all entities"]
        if self._width == 1:
            return (*shared, *(f"past labels: {name}" for name in what))
        part = "class" if self._classes else "label"
        return (*shared, *(f"past labels: {part} {i}: {name}" for i in range(self._width) for name in what))

    @property
    def categorical(self) -> tuple[int, ...]:
        """None of them."""
        return ()

    def matrix(self, node: Tensor, time: Tensor | None) -> Matrix:
        """The columns of seeds; see :class:`~relgraph.tabular.block.SeedFeatures`.

        Raises:
            ProtocolError: If seeds have no time, or there are too many windows.
        """
        if time is None:
            raise ProtocolError("past labels need seeds with a time")
        moment = time if self.until is None else time.clamp(max=self.until)
        out = np.full((node.numel(), len(self.names)), np.nan)
        if not node.numel():
            return out
        phase = moment % self.step
        if torch.unique(phase).numel() > _CHAINS:
            phase = torch.full_like(moment, self.task.moments[0] % self.step)
        for value in torch.unique(phase).tolist():
            some = (phase == value).nonzero().flatten()
            chain = self._chain(value, int(moment[some].max()))
            rows = some.numpy()
            for start in range(0, len(rows), 50_000):
                part = rows[start : start + 50_000]
                out[part] = self._columns(chain, node.numpy()[part], moment.numpy()[part])
        return out

    def _chain(self, phase: int, until: int) -> _Chain:
        """The labels of windows that begin at ``phase + i step`` and close by ``until``."""
        newest = until - self.task.horizon
        newest -= (newest - phase) % self.step
        if (phase, newest) not in self._chains:
            count = max((newest - self._first) // self.step + 1, 0)
            if count > _MOST_WINDOWS:
                raise ProtocolError(
                    f"a step of {format_interval(self.step)} makes {count:,} windows of past labels, more than "
                    f"{_MOST_WINDOWS:,}; choose a longer step"
                )
            begins = [newest - i * self.step for i in range(count)]
            node, begin, label = self.task.labels_at(self.db, begins)
            self._chains[phase, newest] = _Chain(node, begin + self.task.horizon, self._spread(label))
        return self._chains[phase, newest]

    def _spread(self, label: Tensor) -> Matrix:
        """Labels as ``[n, width]``, classes as 0 and 1."""
        if self._classes:
            return np.asarray(label.numpy()[:, None] == np.arange(self._classes), dtype=np.float64)
        return label.double().numpy().reshape(len(label), self._width)

    def _columns(self, chain: _Chain, node: NDArray[np.int64], moment: NDArray[np.int64]) -> Matrix:
        low, high = chain.between(node, moment)
        count = high - low
        known = count > 0
        newest = np.maximum(high - 1, 0)
        closed = chain.closed[newest] if len(chain.closed) else np.zeros(len(node), dtype=np.int64)
        shared = [count.astype(np.float64), np.where(known, (moment - closed) / _DAY, np.nan)]
        seed, place = _pairs(low, high)
        weight = np.exp2(-(moment[seed] - chain.closed[place]) / self.half_life)
        whole = np.bincount(seed, minlength=len(node))
        columns = list(shared)
        for i in range(self._width):
            label = chain.label[:, i]
            given = label[place]
            mean = _ratio(np.bincount(seed, given, minlength=len(node)), whole)
            columns += [mean, _median(seed, given, count)]
            latest = columns[-1]
            for k in self.last:
                some = place >= high[seed] - k
                total = np.bincount(seed[some], given[some], minlength=len(node))
                columns.append(_ratio(total, np.minimum(count, k)))
                latest = columns[-1] if k == self.last[0] else latest
            heavy = np.bincount(seed, weight, minlength=len(node))
            columns.append(_ratio(np.bincount(seed, given * weight, minlength=len(node)), heavy))
            spread = np.bincount(seed, (given - mean[seed]) ** 2, minlength=len(node))
            columns.append(np.sqrt(_ratio(spread, whole)))
            columns.append(latest - mean)
            columns.append(chain.mean_by(moment, i))
        return np.stack(columns, axis=1)

    def describe(self) -> dict[str, Any]:
        """Plain JSON values; :func:`relgraph.tabular.seed_features_from_dict` makes the same columns from them."""
        return {
            "source": "past_labels",
            "task": self.task.to_dict(),
            "last": list(self.last),
            "step": f"{self.step / 1e6:.6f} s",
            "half_life": f"{self.half_life / 1e6:.6f} s",
        }

    def __repr__(self) -> str:
        return f"PastLabels({self.task!r}, {len(self.names)} columns)"


class _Chain:
    """Labels by entity, then by when their window closed.

    Args:
        node: Row numbers ``[n]``.
        closed: When the window of each closed ``[n]``.
        label: ``[n, width]``.
    """

    def __init__(self, node: Tensor, closed: Tensor, label: Matrix) -> None:
        order = np.lexsort((closed.numpy(), node.numpy()))
        self.node, self.closed, self.label = node.numpy()[order], closed.numpy()[order], label[order]
        self._moments, place = np.unique(self.closed, return_inverse=True)
        self._place = self.node * (len(self._moments) + 1) + place.reshape(-1)
        self._counts = np.cumsum(np.bincount(place.reshape(-1), minlength=len(self._moments)))
        self._sums = np.stack(
            [np.cumsum(np.bincount(place.reshape(-1), c, len(self._moments))) for c in self.label.T], axis=1
        )

    def between(
        self, node: NDArray[np.int64], moment: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the labels of each entity begin, and where those end that have closed by its moment."""
        first = node * (len(self._moments) + 1)
        seen = first + np.searchsorted(self._moments, moment, side="right")
        return np.searchsorted(self._place, first), np.searchsorted(self._place, seen)

    def mean_by(self, moment: NDArray[np.int64], column: int) -> NDArray[np.float64]:
        """The mean label of all entities by each moment."""
        seen = np.searchsorted(self._moments, moment, side="right")
        place = np.maximum(seen - 1, 0)
        if not len(self._moments):
            return np.full(len(moment), np.nan)
        return np.where(seen > 0, self._sums[place, column] / self._counts[place], np.nan)


def _pairs(low: NDArray[np.int64], high: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every place between low and high, with the number of the seed it belongs to."""
    count = high - low
    seed = np.repeat(np.arange(len(low)), count)
    return seed, np.arange(len(seed)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(low, count)


def _median(seed: NDArray[np.int64], given: NDArray[np.float64], count: NDArray[np.int64]) -> NDArray[np.float64]:
    """The median of the labels of each seed; ``count`` says how many each has, in the order of the seeds."""
    ordered = given[np.lexsort((given, seed))]
    first = np.cumsum(count) - count
    low, high = first + np.maximum(count - 1, 0) // 2, first + count // 2
    if not len(ordered):
        return np.full(len(count), np.nan)
    last = len(ordered) - 1
    return np.where(count > 0, (ordered[np.minimum(low, last)] + ordered[np.minimum(high, last)]) / 2, np.nan)


def _ratio(total: NDArray[Any], count: NDArray[Any]) -> NDArray[np.float64]:
    return np.where(count > 0, total / np.where(count > 0, count, 1), np.nan)
