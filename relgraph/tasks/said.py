"""What a task's query says at a moment of a database that ends at some moment: who is asked about, and what is said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from relgraph.data.labels import label_rows, link_rows
from relgraph.data.sql import quote
from relgraph.tasks.entity import EntityTask
from relgraph.tasks.link import LinkTask

if TYPE_CHECKING:
    import pyarrow

    from relgraph.data.database import Database

__all__ = ["Said", "has_rows_at", "what_is_said"]

_ODD = np.uint64(0x9E3779B97F4A7C15)

Words = NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Said:
    """The answer about each row.

    Args:
        node: Row numbers, ascending and distinct, int64 ``[n]``.
        word: A number per row that differs where labels or links differ, ``[n]``.
        early: How many of the query's rows ask about a row before it exists.
    """

    node: NDArray[np.int64]
    word: Words
    early: int = 0

    def without(self, other: Said) -> NDArray[np.int64]:
        """The rows that only this one has something to say about."""
        return np.setdiff1d(self.node, other.node, assume_unique=True)

    def of(self, node: NDArray[np.int64]) -> tuple[NDArray[np.bool_], Words]:
        """Whether something is said about rows, and what; 0 where nothing is."""
        if not self.node.size:
            return np.zeros(node.size, dtype=bool), np.zeros(node.size, dtype=np.uint64)
        place = np.minimum(np.searchsorted(self.node, node), self.node.size - 1)
        there = self.node[place] == node
        return there, np.where(there, self.word[place], np.uint64(0))


def what_is_said(db: Database, task: EntityTask | LinkTask, until: int | None, moment: int) -> Said:
    """What the query says at a moment.

    Args:
        db: The database, whose row numbers are given.
        task: With its times.
        until: Where the database that the query sees ends, int64 microseconds; ``None`` for all of it.
        moment: The seed time.

    Raises:
        SchemaError: If the query cannot run there.
    """
    import pyarrow.compute

    visible = db if until is None else db.upto(until)
    if isinstance(task, LinkTask):
        rows = link_rows(db, visible, task._query(), [moment], task.target_table, task.target_columns)
        named = pyarrow.compute.and_(rows["__asked"], rows["__target"].is_valid())
    else:
        rows = label_rows(db, visible, task._query(), [moment], task.label_columns)
        named = rows["__node"].is_valid()
    early = pyarrow.compute.sum(pyarrow.compute.cast(rows["__early"], "int64")).as_py() or 0
    rows = rows.filter(pyarrow.compute.and_(named, rows["__node"].is_valid()))
    node = rows["__node"].to_numpy().astype(np.int64)
    words = _mixed(rows["__target"].to_numpy()) if isinstance(task, LinkTask) else _label_words(rows["__label"])
    found, place = np.unique(node, return_inverse=True)
    total = np.zeros(found.size, dtype=np.uint64)
    np.add.at(total, place.reshape(-1), words)  # the order of several rows of one entity says nothing
    return Said(found, total, int(early))


def has_rows_at(db: Database, moment: int) -> bool:
    """Whether any row's own time is a moment."""
    for table in db.schema:
        if table.time_column is not None:
            query = f"SELECT 1 FROM {quote(table.name)} WHERE {db.time_sql(table.name)} = {moment} LIMIT 1"
            if db.cursor().execute(query).fetchall():
                return True
    return False


def _label_words(label: pyarrow.ChunkedArray) -> Words:
    import pyarrow

    if not pyarrow.types.is_list(label.type):
        return _mixed(label.to_numpy())
    words = np.zeros(len(label), dtype=np.uint64)
    for row, values in enumerate(label.to_pylist()):
        parts = _mixed(np.array([np.nan if v is None else v for v in values or []], dtype=np.float64))
        words[row] = np.sum(parts * np.arange(1, 2 * len(parts), 2, dtype=np.uint64), dtype=np.uint64)
    return words


def _mixed(values: NDArray[np.generic]) -> Words:
    """Numbers as well spread words, the same for the same number."""
    words = (np.asarray(values, dtype=np.float64) + 0.0).view(np.uint64) + _ODD
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # splitmix64, Steele et al. 2014
        words = (words ^ (words >> np.uint64(shift))) * np.uint64(factor)
    out: Words = words ^ (words >> np.uint64(31))
    return out
