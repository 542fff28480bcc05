"""Results of DuckDB in batches, each with the places of its rows: nothing is held twice at full length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import duckdb
    import pyarrow

__all__ = ["Places", "numbers", "stream", "tables"]

_BATCH = 1 << 17  # rows; a multiple of DuckDB's vectors

Places = slice | NDArray[np.int64]
"""The rows that a batch belongs to: a slice where they follow each other, else their numbers."""


def stream(cursor: duckdb.DuckDBPyConnection, sql: str) -> Iterator[tuple[Places, list[pyarrow.Array]]]:
    """Run a query whose first column is the row number.

    Args:
        cursor: Used for nothing else until the last batch.
        sql: A SELECT; the first column is BIGINT without NULLs.

    Yields:
        Where the rows belong, and the other columns as Arrow arrays of the same length.
    """
    for batch in tables(cursor, sql):
        yield _places(batch.column(0).to_numpy()), batch.columns[1:]


def tables(cursor: duckdb.DuckDBPyConnection, sql: str) -> Iterator[pyarrow.RecordBatch]:
    """The batches of a query that are not empty.

    Args:
        cursor: Used for nothing else until the last batch.
        sql: A SELECT.
    """
    for batch in cursor.sql(sql).to_arrow_reader(_BATCH):
        if batch.num_rows:
            yield batch


def numbers(column: pyarrow.Array) -> NDArray[Any]:
    """A numeric Arrow array without NULLs as NumPy's, over the same memory."""
    values: NDArray[Any] = column.to_numpy()
    return values


def _places(rows: NDArray[np.int64]) -> Places:
    first, count = int(rows[0]), len(rows)
    # a scan mostly keeps the order, a join does not
    if int(rows[-1]) - first == count - 1 and bool((np.diff(rows) == 1).all()):
        return slice(first, first + count)
    return rows
