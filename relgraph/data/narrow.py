"""Queries that name only the columns they need: planning takes DuckDB time for every column it is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["Source", "narrowed"]

Source = str | Callable[[Sequence[str]], str]
"""SQL of some rows, to stand after FROM; or what gives it for the columns that are needed of a wide table."""


def narrowed(source: Source, columns: Sequence[str]) -> str:
    """SQL of a source with at least these columns, to stand after FROM.

    Args:
        source: The rows.
        columns: Names of the columns that the query uses, besides ``"__row"``.
    """
    return source if isinstance(source, str) else source(columns)
