"""What a SQLite column holds, whatever it was declared as."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relgraph.data.sql import quote

if TYPE_CHECKING:
    import pyarrow

__all__ = ["STORED", "StoredColumn", "count_stored", "read_as"]

STORED = ("integer", "real", "text", "blob")
"""SQLite's storage classes except NULL."""


@dataclass(frozen=True)
class StoredColumn:
    """How a column is read.

    Args:
        name: The column.
        sql: What to select.
        arrow: The type of what that gives.
    """

    name: str
    sql: str
    arrow: pyarrow.DataType


def count_stored(names: Sequence[str]) -> str:
    r"""The select list that counts rows, then per column the values of each class of :data:`STORED`.

    Example:
        >>> count_stored(["a"])[:58]
        'count(*), count(CASE typeof("a") WHEN \'integer\' THEN 1 END'
    """
    counts = [f"count(CASE typeof({quote(name)}) WHEN '{stored}' THEN 1 END)" for name in names for stored in STORED]
    return ", ".join(["count(*)", *counts])


def read_as(name: str, declared: str, counts: Sequence[int]) -> tuple[StoredColumn, str]:
    """Choose how to read a column so that no value is lost.

    Args:
        name: The column.
        declared: Its declared type, possibly empty.
        counts: Values per class of :data:`STORED`.

    Returns:
        The column, and a note if it holds several classes or another one than declared; else an empty note.
    """
    import pyarrow

    integers, reals, texts, blobs = counts
    held = ", ".join(f"{count} {stored}" for stored, count in zip(STORED, counts, strict=True) if count)
    affinity = _affinity(declared)
    column = quote(name)
    if not held:
        return StoredColumn(name, column, _empty(declared, affinity)), ""
    if blobs:
        mixed = integers or reals or texts
        return (
            StoredColumn(name, f"CAST({column} AS BLOB)" if mixed else column, pyarrow.large_binary()),
            f"holds {held} values: all are read as bytes" if mixed else "",
        )
    if texts:
        lies = integers or reals or affinity in ("integer", "real")
        return (
            StoredColumn(name, f"CAST({column} AS TEXT)" if integers or reals else column, pyarrow.large_string()),
            f"is declared {declared or 'without a type'} but holds {held} values: it is read as text" if lies else "",
        )
    if reals or affinity == "real":
        lies = reals and affinity == "integer"
        return (
            StoredColumn(name, f"CAST({column} AS REAL)", pyarrow.float64()),
            f"is declared {declared} but holds {held} values: it is read as real" if lies else "",
        )
    return StoredColumn(name, column, pyarrow.int64()), ""


def _affinity(declared: str) -> str:
    """SQLite's own rules (datatype3, section 3.1), with decimals that have a fraction as real."""
    declared = declared.upper()
    if "INT" in declared or "BOOL" in declared:
        return "integer"
    if any(part in declared for part in ("CHAR", "CLOB", "TEXT")):
        return "text"
    if any(part in declared for part in ("REAL", "FLOA", "DOUB")) or re.search(r"\(\d+, *[1-9]", declared):
        return "real"
    if any(part in declared for part in ("NUMERIC", "DECIMAL")):
        return "numeric"
    return "blob" if "BLOB" in declared else ""


def _empty(declared: str, affinity: str) -> pyarrow.DataType:
    import pyarrow

    types = {"integer": pyarrow.int64(), "real": pyarrow.float64(), "numeric": pyarrow.float64()}
    return {**types, "blob": pyarrow.large_binary()}.get(affinity, pyarrow.large_string())
