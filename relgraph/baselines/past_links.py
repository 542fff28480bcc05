"""Links that were known by a moment."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from relgraph.errors import ProtocolError

__all__ = ["Links", "PastLinks"]

_MOST_WINDOWS = 1_000

Links = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""Sources, targets, and how many horizons ago the window of each closed."""


class PastLinks:
    """The links of windows that had closed by a moment: the task's own question, asked at ``t - h, t - 2 h, ...``.

    Of the windows the latest 1,000 are asked.

    Args:
        task: A :class:`~relgraph.tasks.LinkTask` with times.
        db: Where links come from.

    Raises:
        ProtocolError: If the task has no time, so that there is no past.
    """

    def __init__(self, task: Any, db: Any) -> None:
        if db is None or task.regime == "static":
            raise ProtocolError(f"past links need a task with time and a database; got {task!r}")
        self.task, self.db = task, db
        self._first = int(task.times(db, "train").min())
        self._known: dict[int, Links] = {}

    def upto(self, moment: int) -> Links:
        """What had closed by a moment, int64 microseconds."""
        if moment not in self._known:
            horizon = self.task.horizon
            count = min(max((moment - horizon - self._first) // horizon + 1, 0), _MOST_WINDOWS)
            begins = [moment - horizon * (i + 1) for i in range(count)]
            source, begin, target = (column.numpy() for column in self.task.links_at(self.db, begins))
            self._known[moment] = source, target, (moment - begin) // horizon - 1
        return self._known[moment]
