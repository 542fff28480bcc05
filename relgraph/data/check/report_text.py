"""The integrity report as lines of text, and its tables as cells for every other form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relgraph.data.check.proposals import Proposals, TimeProposal
    from relgraph.data.check.report import ForeignKeyReport, Report, TableReport

__all__ = ["Cells", "as_text", "headline", "sections"]

Cells = tuple[list[str], list[list[str]]]
"""Column heads, and rows of text."""

NUMBERS = frozenset(
    ("rows", "duplicate", "NULL", "no time", "dangling", "to the future", "score", "values", "found", "without")
)
"""Heads of columns that stand right."""


def sections(report: Report) -> list[tuple[str, Cells]]:
    """The tables of a report, each with its title; those without rows are left out."""
    found = [("", _table_cells(report.tables)), ("", _key_cells(report.foreign_keys))]
    if report.proposals is not None:
        found += [
            ("proposed primary keys", _primary_cells(report.proposals)),
            ("proposed foreign keys", _foreign_cells(report.proposals)),
            ("times, where none is declared", _time_cells(report.proposals.times)),
        ]
    return [(title, cells) for i, (title, cells) in enumerate(found) if cells[1] or i == 0]


def headline(report: Report) -> str:
    """The database in one line."""
    rows = sum(table.rows for table in report.tables)
    return f"{report.name}: {len(report.tables)} tables, {rows:,} rows, {len(report.foreign_keys)} foreign keys"


def as_text(report: Report) -> str:
    """The whole report as text."""
    lines = [headline(report)]
    for title, (head, cells) in sections(report):
        lines += ["", *([f"{title}:"] if title else []), *_aligned(head, cells)]
    for title, sentences in (("to look at", report.problems), ("notes", report.notes)):
        if sentences:
            lines += ["", f"{title}:", *(f"  - {sentence}" for sentence in sentences)]
    return "\n".join(lines)


def _table_cells(tables: Sequence[TableReport]) -> Cells:
    cells = []
    for table in tables:
        key = ", ".join(table.primary_key) or "-"
        if table.time_column is None:
            time = "-"
        else:
            names = table.time_column if table.end_column is None else f"{table.time_column} until {table.end_column}"
            time = f"{names}: {' to '.join(table.time_range) if table.time_range else 'none'}"
        counts = (table.duplicate_keys, table.null_keys, table.without_time)
        cells.append([table.table, f"{table.rows:,}", key, *(f"{count:,}" for count in counts), time])
    return ["table", "rows", "primary key", "duplicate", "NULL", "no time", "time"], cells


def _key_cells(keys: Sequence[ForeignKeyReport]) -> Cells:
    cells = []
    for key in keys:
        shares = (f"{key.null:,} ({key.null_share:.1%})", f"{key.dangling:,} ({key.dangling_share:.1%})")
        future = "-" if key.future is None else f"{key.future:,}"
        cells.append([f"{key.table}.{key.key}", key.target, f"{key.rows:,}", *shares, future])
    return ["foreign key", "refers to", "rows", "NULL", "dangling", "to the future"], cells


def _primary_cells(proposals: Proposals) -> Cells:
    cells = [
        [key.table, ", ".join(key.columns), f"{key.score:.2f}", f"{key.rows:,}", "; ".join(key.reasons)]
        for key in proposals.primary_keys
    ]
    return ["table", "primary key", "score", "rows", "because"], cells


def _foreign_cells(proposals: Proposals) -> Cells:
    cells = [
        [
            f"{key.table}.{key.name}",
            f"{key.target}.{'+'.join(key.target_columns)}",
            *(f"{key.score:.2f}", f"{key.distinct:,}", f"{key.matched:,}", f"{key.dangling:,}", f"{key.null:,}"),
            "; ".join(key.reasons),
        ]
        for key in proposals.foreign_keys
    ]
    return ["foreign key", "refers to", "score", "values", "found", "dangling", "NULL", "because"], cells


def _time_cells(times: Sequence[TimeProposal]) -> Cells:
    cells = []
    for time in times:
        name = time.column if time.end_column is None else f"{time.column} until {time.end_column}"
        verdict = "no" if not time.chosen else "proposed" if time.conversion is None else "after conversion"
        span = " to ".join(time.span) if time.span else "-"
        row = [time.table, name, verdict, f"{time.score:.2f}", f"{time.null:,}", span, "; ".join(time.reasons)]
        cells.append(row)
    return ["table", "column", "verdict", "score", "without", "time", "because"], cells


def _aligned(head: list[str], cells: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in [head, *cells]) for i in range(len(head))]
    lines = []
    for row in [head, *cells]:
        padded = [
            text.rjust(width) if name in NUMBERS else text.ljust(width)
            for text, width, name in zip(row, widths, head, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return lines
