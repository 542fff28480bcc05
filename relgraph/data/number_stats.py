"""Mean, standard deviation and quantiles of whole columns of numbers, the same in whatever order the rows come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from relgraph.data.stream import numbers, tables

if TYPE_CHECKING:
    import duckdb

__all__ = ["number_stats"]

_PIECE = 1 << 16
_LARGE = 1e150  # squares of larger numbers overflow


def number_stats(
    connection: duckdb.DuckDBPyConnection, fitted: str, columns: Sequence[str], num_rows: int
) -> list[dict[str, Any]]:
    """Statistics of columns, held in memory together: 8 bytes per row and column.

    Args:
        connection: Where they are.
        fitted: SQL of the rows that statistics may see, to stand after FROM.
        columns: SQL of each as DOUBLE; NaN, infinities and NULL are left out.
        num_rows: How many rows there are at most.

    Returns:
        For each ``mean``, ``std`` (population) and ``quantiles`` (least, quarters, largest; between two values in
        proportion), rounded to twelve digits; zeros where there is no number.
    """
    held = [np.empty(num_rows) for _ in columns]
    end = 0
    terms = ", ".join(f"coalesce({column}, CAST('nan' AS DOUBLE))" for column in columns)
    for batch in tables(connection, f"SELECT {terms} FROM {fitted}"):
        for values, column in zip(held, batch.columns, strict=True):
            values[end : end + batch.num_rows] = numbers(column)
        end += batch.num_rows
    return [_stats(values[:end]) for values in held]


def _stats(values: NDArray[np.float64]) -> dict[str, Any]:
    """Of all finite ones; they are sorted in place, so that sums do not depend on where they stood."""
    values.sort()  # NaN comes last
    values = values[np.searchsorted(values, -np.inf, side="right") : np.searchsorted(values, np.inf)]
    if not len(values):
        return {"mean": 0.0, "std": 0.0, "quantiles": [0.0] * 5}
    largest = max(abs(float(values[0])), abs(float(values[-1])))
    scale = largest if largest > _LARGE else 1.0
    pieces = [slice(start, start + _PIECE) for start in range(0, len(values), _PIECE)]
    mean = sum(float((values[piece] / scale).sum()) for piece in pieces) / len(values)
    squares = 0.0
    for piece in pieces:
        away = values[piece] / scale - mean
        squares += float(np.square(away).sum())
    places = np.linspace(0, 1, 5) * (len(values) - 1)
    low, share = np.floor(places).astype(np.int64), places % 1
    quantiles = values[low] * (1 - share) + values[np.ceil(places).astype(np.int64)] * share
    return {
        "mean": _digits(mean * scale),
        "std": _digits(float(np.sqrt(squares / len(values))) * scale),
        "quantiles": [_digits(float(value)) for value in quantiles],
    }


def _digits(value: float) -> float:
    """Twelve digits; the last ones depend on the machine. No negative zero."""
    return float(f"{value:.12g}") + 0.0
