"""Foreign keys as edges: whole numbers are looked up, everything else is joined inside DuckDB."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relgraph.data.arrays import PIECE, Arrays
from relgraph.data.graph import EdgeStore
from relgraph.data.key_rows import Column, is_whole
from relgraph.data.schema import ForeignKey, TableSchema
from relgraph.data.sql import quote
from relgraph.data.stream import numbers, stream

if TYPE_CHECKING:
    import duckdb

    from relgraph.data.database import Database

__all__ = ["Link", "NumberIndex", "read_links"]


@dataclass(frozen=True)
class Link:
    """A foreign key as edges, and how many of its rows have none because it is NULL."""

    edges: EdgeStore
    null: int


@dataclass(frozen=True)
class NumberIndex:
    """In which row of a column a whole number stands.

    Args:
        low: The smallest number.
        size: How many numbers there are from the smallest to the largest, counting those that are not there.
        row: The row of each of them, -1 for those, or ``None`` when number ``low + i`` stands in row ``i``.
    """

    low: int
    size: int
    row: NDArray[np.signedinteger[Any]] | None

    @classmethod
    def of(cls, column: Column) -> NumberIndex | None:
        """The index of a column.

        Returns:
            The index, or ``None`` where a number stands twice or the numbers lie too far apart.
        """
        values = column.values.numpy()
        given = np.ones(0, dtype=np.bool_) if column.given is None else column.given
        if not len(values) or (column.given is not None and not given.any()):
            return cls(0, 0, None)
        some = values if column.given is None else values[given]
        low, high = int(some.min()), int(some.max())
        size = high - low + 1
        pieces = [slice(start, start + PIECE) for start in range(0, len(values), PIECE)]
        steady = all(
            np.array_equal(values[piece], np.arange(low + piece.start, low + min(piece.stop, len(values))))
            for piece in (pieces if size == len(values) else ())
        )
        if size == len(values) and column.given is None and steady:
            return cls(low, size, None)
        if size > 4 * len(values) + (1 << 16):
            return None
        row: NDArray[np.signedinteger[Any]] = np.full(size, -1, np.int32 if len(values) < 2**31 else np.int64)
        for piece in pieces:
            places = np.arange(piece.start, min(piece.stop, len(values)), dtype=row.dtype)
            known = slice(None) if column.given is None else given[piece]
            row[values[piece][known] - low] = places[known]
        # the later of two equal numbers has taken the place of the earlier
        if int(np.count_nonzero(row >= 0)) != len(some):
            return None
        return cls(low, size, row)

    def find(self, values: NDArray[np.int64]) -> NDArray[np.signedinteger[Any]]:
        """The row of each number, -1 where there is none."""
        offset = values - np.int64(self.low)  # where this overflows, it is outside as an unsigned number
        inside = offset.view(np.uint64) < np.uint64(self.size)
        everything = bool(inside.all())
        if self.row is None:
            return offset if everything else np.where(inside, offset, -1)
        if everything:
            return np.take(self.row, offset)
        return np.where(inside, np.take(self.row, np.where(inside, offset, 0)), -1)


def read_links(
    db: Database,
    cursor: duckdb.DuckDBPyConnection,
    table: TableSchema,
    indexes: Mapping[tuple[str, str], NumberIndex],
    arrays: Arrays,
) -> list[Link]:
    """The edges of every foreign key of a table, in the order of the keys.

    Args:
        db: The database; what keys refer to stands there once.
        cursor: A connection to it.
        table: Which table.
        indexes: Where numbers stand, by table and column.
        arrays: Where the results lie.
    """
    num_rows = db.num_rows(table.name)
    known: dict[int, NumberIndex] = {}
    for number, key in enumerate(table.foreign_keys):
        index = indexes.get((key.table, db.schema.target_columns(key)[0])) if len(key.columns) == 1 else None
        if index is not None and is_whole(table, key.columns[0]):
            known[number] = index
    # row numbers in the first half, what they refer to in the second
    pairs = [arrays.empty((2 * num_rows,), torch.int64) for _ in table.foreign_keys]
    nulls = [0] * len(pairs)
    if known:
        terms = ", ".join(f"CAST({quote(table.foreign_keys[i].columns[0])} AS BIGINT)" for i in known)
        for places, columns in stream(cursor, f'SELECT "__row", {terms} FROM ({db.numbered(table.name)})'):
            for (i, index), column in zip(known.items(), columns, strict=True):
                target = pairs[i].numpy()[num_rows:]
                if not column.null_count:
                    target[places] = index.find(numbers(column))
                    continue
                nulls[i] += column.null_count
                found = index.find(numbers(column.fill_null(0)))
                target[places] = np.where(np.asarray(column.is_valid()), found, -1)
    for i, key in enumerate(table.foreign_keys):
        if i not in known:
            nulls[i] = _join(db, cursor, table, key, pairs[i].numpy()[num_rows:])
    return [Link(EdgeStore(_compact(pair, num_rows)), null) for pair, null in zip(pairs, nulls, strict=True)]


def _join(
    db: Database, cursor: duckdb.DuckDBPyConnection, table: TableSchema, key: ForeignKey, target: NDArray[np.int64]
) -> int:
    child, parent = f"({db.numbered(table.name)})", f"({db.numbered(key.table)})"
    given = " AND ".join(f"{quote(name)} IS NOT NULL" for name in key.columns)
    # loading made the types comparable
    pairs = " AND ".join(
        f"c.{quote(name)} = p.{quote(other)}"
        for name, other in zip(key.columns, db.schema.target_columns(key), strict=True)
    )
    target.fill(-1)
    sql = f'SELECT c."__row", p."__row" FROM {child} c JOIN {parent} p ON {pairs}'
    for places, (found,) in stream(cursor, sql):
        target[places] = numbers(found)
    present = cursor.execute(f"SELECT count(*) FROM {child} WHERE {given}").fetchall()[0][0]
    return len(target) - int(present)


def _compact(pairs: Tensor, num_rows: int) -> Tensor:
    """Edges ``[2, E]`` out of the targets in the second half, in place; -1 gives none."""
    values = pairs.numpy()
    targets = values[num_rows:]
    pieces = [slice(start, min(start + PIECE, num_rows)) for start in range(0, num_rows, PIECE)]
    edges = sum(int(np.count_nonzero(targets[piece] >= 0)) for piece in pieces)
    end = 0
    for piece in pieces:
        if edges == num_rows:
            values[piece] = np.arange(piece.start, piece.stop)
            continue
        found = targets[piece]
        rows = np.flatnonzero(found >= 0)
        # never behind what is still to be read: there are at most as many edges as rows
        values[edges + end : edges + end + len(rows)] = found[rows]
        values[end : end + len(rows)] = rows + piece.start
        end += len(rows)
    out = pairs[: 2 * edges].view(2, edges)
    return out.clone() if 2 * edges < num_rows else out
