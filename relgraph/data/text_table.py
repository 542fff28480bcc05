"""Tables as plain text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["table_text", "value_text"]


def table_text(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None = None) -> str:
    """Aligned text: numbers stand right, floats are shown with four digits, ``None`` as a dash.

    Args:
        columns: Column heads.
        rows: One sequence of values per row.
        title: A line above the table.

    >>> print(table_text(("name", "value"), [("a", 0.5), ("bc", None)]))
    name   value
    a     0.5000
    bc         -
    """
    right = [
        all(value is None or isinstance(value, int | float) for value in column) for column in zip(*rows, strict=True)
    ]
    right = right or [False] * len(columns)
    cells = [list(columns), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = [
        "  ".join(t.rjust(w) if r else t.ljust(w) for t, w, r in zip(row, widths, right, strict=True)).rstrip()
        for row in cells
    ]
    return "\n".join(lines if title is None else [title, *lines])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def value_text(value: Any) -> str:
    """A value for people: four digits of a float whatever its size, thousands apart, yes and no, ``None`` as a dash."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.4g}"
    return str(value)
