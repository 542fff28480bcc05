"""The integrity report of a database: numbers about keys and times, as text, JSON values or HTML."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["ForeignKeyReport", "Report", "TableReport"]

_Cells = tuple[list[str], list[list[str]]]
_NUMBERS = ("rows", "duplicate", "NULL", "no time", "dangling", "to the future")


@dataclass(frozen=True)
class TableReport:
    """One table.

    Args:
        table: Its name.
        rows: Number of rows.
        primary_key: Its columns, possibly none.
        duplicate_keys: Key values without NULL that stand more than once.
        null_keys: Rows with a NULL in the key.
        time_column: The declared time, or None.
        without_time: Rows whose time is NULL; 0 where the table has no time column.
        time_range: First and last time as text, or None.
        time_problem: Why the declared column cannot be read as a time, or empty.
        time_candidates: Columns that could be declared as time, where none is.
        loose: Whether no foreign key starts or ends here.
    """

    table: str
    rows: int
    primary_key: tuple[str, ...]
    duplicate_keys: int
    null_keys: int
    time_column: str | None
    without_time: int
    time_range: tuple[str, str] | None
    time_problem: str
    time_candidates: tuple[str, ...]
    loose: bool


@dataclass(frozen=True)
class ForeignKeyReport:
    """One foreign key.

    Args:
        table: Where it starts.
        key: Its columns joined by ``+``.
        target: The table referred to.
        rows: Rows of ``table``.
        null: Rows with a NULL in the key.
        dangling: Rows without NULL whose value the target does not have.
        future: Rows that are earlier than the row they refer to, where both tables have times; None where not.
    """

    table: str
    key: str
    target: str
    rows: int
    null: int
    dangling: int
    future: int | None

    @property
    def null_share(self) -> float:
        """NULL rows in 0..1; 0 for an empty table."""
        return self.null / self.rows if self.rows else 0.0

    @property
    def dangling_share(self) -> float:
        """Dangling rows in 0..1; 0 for an empty table."""
        return self.dangling / self.rows if self.rows else 0.0


@dataclass(frozen=True)
class Report:
    """The integrity of a database; ``print`` it, or take :meth:`to_dict`.

    Args:
        name: The database.
        tables: In the order of the schema.
        foreign_keys: In the order of the schema.
        notes: What was changed or left out when it was read.
    """

    name: str
    tables: tuple[TableReport, ...]
    foreign_keys: tuple[ForeignKeyReport, ...]
    notes: tuple[str, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """A sentence for everything a person should look at; empty if all is sound."""
        return tuple(_problems(self))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with the shares and the problems."""
        out = asdict(self)
        for entry, key in zip(out["foreign_keys"], self.foreign_keys, strict=True):
            entry |= {"null_share": key.null_share, "dangling_share": key.dangling_share}
        plain: dict[str, Any] = _lists({**out, "problems": self.problems})
        return plain

    def __str__(self) -> str:
        rows = sum(table.rows for table in self.tables)
        lines = [f"{self.name}: {len(self.tables)} tables, {rows:,} rows, {len(self.foreign_keys)} foreign keys", ""]
        head, cells = _table_cells(self.tables)
        lines += _aligned(head, cells)
        if self.foreign_keys:
            head, cells = _key_cells(self.foreign_keys)
            lines += ["", *_aligned(head, cells)]
        for title, sentences in (("to look at", self.problems), ("notes", self.notes)):
            if sentences:
                lines += ["", f"{title}:", *(f"  - {sentence}" for sentence in sentences)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = [f"<h4>{html.escape(self.name)}</h4>", _html_table(*_table_cells(self.tables))]
        if self.foreign_keys:
            parts.append(_html_table(*_key_cells(self.foreign_keys)))
        for title, sentences in (("to look at", self.problems), ("notes", self.notes)):
            if sentences:
                items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
                parts.append(f"<b>{title}</b><ul>{items}</ul>")
        return "".join(parts)


def _problems(report: Report) -> Iterator[str]:
    for table in report.tables:
        if table.duplicate_keys:
            key = ", ".join(table.primary_key)
            yield f"{table.table}: {table.duplicate_keys:,} values of the primary key ({key}) stand more than once"
        if table.null_keys:
            yield f"{table.table}: {table.null_keys:,} rows have no primary key"
        if table.time_problem:
            yield table.time_problem
        if table.without_time:
            yield f"{table.table}: {table.without_time:,} rows have no {table.time_column}"
        if table.time_candidates:
            yield f"{table.table}: no time is declared; candidates: {', '.join(table.time_candidates)}"
        if table.loose:
            yield f"{table.table}: hangs loose, no foreign key starts or ends here"
    timed = {table.table for table in report.tables if table.time_column}
    for link in report.foreign_keys:
        name = f"{link.table}.{link.key} -> {link.target}"
        if link.target in timed and link.table not in timed and link.null < link.rows:
            yield (
                f"{name}: {link.table} has no time of its own, so a graph gives its rows that of the {link.target} "
                "they refer to"
            )
        if link.dangling:
            yield f"{name}: {link.dangling:,} rows ({link.dangling_share:.1%}) refer to a row that does not exist"
        if link.future:
            yield f"{name}: {link.future:,} rows are earlier than the row they refer to"


def _table_cells(tables: Sequence[TableReport]) -> _Cells:
    cells = []
    for table in tables:
        key = ", ".join(table.primary_key) or "-"
        if table.time_column is None:
            time = "-"
        else:
            time = f"{table.time_column}: {' to '.join(table.time_range) if table.time_range else 'none'}"
        counts = (table.duplicate_keys, table.null_keys, table.without_time)
        cells.append([table.table, f"{table.rows:,}", key, *(f"{count:,}" for count in counts), time])
    return ["table", "rows", "primary key", "duplicate", "NULL", "no time", "time"], cells


def _key_cells(keys: Sequence[ForeignKeyReport]) -> _Cells:
    cells = []
    for key in keys:
        shares = (f"{key.null:,} ({key.null_share:.1%})", f"{key.dangling:,} ({key.dangling_share:.1%})")
        future = "-" if key.future is None else f"{key.future:,}"
        cells.append([f"{key.table}.{key.key}", key.target, f"{key.rows:,}", *shares, future])
    return ["foreign key", "refers to", "rows", "NULL", "dangling", "to the future"], cells


def _aligned(head: list[str], cells: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in [head, *cells]) for i in range(len(head))]
    lines = []
    for row in [head, *cells]:
        padded = [
            text.rjust(width) if name in _NUMBERS else text.ljust(width)
            for text, width, name in zip(row, widths, head, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return lines


def _html_table(head: list[str], cells: list[list[str]]) -> str:
    names = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    rows = "".join("<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>" for row in cells)
    return f"<table><thead><tr>{names}</tr></thead><tbody>{rows}</tbody></table>"


def _lists(value: Any) -> Any:
    """Tuples as lists, as JSON would give them back."""
    if isinstance(value, dict):
        return {name: _lists(entry) for name, entry in value.items()}
    return [_lists(entry) for entry in value] if isinstance(value, list | tuple) else value
