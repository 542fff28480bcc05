"""What can be declared for a database that does not say it itself: keys, references, times, each with its reasons."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relgraph.data.schema import Schema
from relgraph.data.sql import quote

__all__ = [
    "ForeignKeyProposal",
    "KeyProposal",
    "Proposals",
    "SpoiledKey",
    "TimeProposal",
    "conversion_query",
    "declared_keys",
    "declared_times",
    "to_toml",
]


@dataclass(frozen=True)
class KeyProposal:
    """A primary key.

    Args:
        table: Its table.
        columns: Unique together, and without NULL.
        score: 0..1; how plain it is.
        rows: Rows of the table, which is the number of values.
        reasons: In words.
    """

    table: str
    columns: tuple[str, ...]
    score: float
    rows: int
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class ForeignKeyProposal:
    """A reference from columns of one table to columns of another, or of the same.

    Args:
        table: Where it starts.
        columns: The referring columns.
        target: The table referred to.
        target_columns: The columns referred to, unique there.
        score: 0..1; how plain it is.
        rows: Rows of ``table``.
        distinct: Different values without NULL.
        matched: How many of them the target has.
        dangling: Rows without NULL whose value the target does not have.
        null: Rows with a NULL.
        reasons: In words.
    """

    table: str
    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]
    score: float
    rows: int
    distinct: int
    matched: int
    dangling: int
    null: int
    reasons: tuple[str, ...]

    @property
    def name(self) -> str:
        """The referring columns, joined by ``+``."""
        return "+".join(self.columns)


@dataclass(frozen=True)
class TimeProposal:
    """A column that can say when a row happened, or two that say from when and until when it holds.

    Args:
        table: Its table.
        column: The time.
        end_column: The end of the interval, or None.
        score: 0..1; how plain it is.
        chosen: Whether it is the one proposed for its table; the others stand here with what speaks against them.
        span: First and last time as text, or None where the column has to be converted first.
        null: Rows without this time.
        conversion: SQL of the time over the table's columns, where the column cannot be read as it is; else None.
        reasons: In words.
    """

    table: str
    column: str
    end_column: str | None
    score: float
    chosen: bool
    span: tuple[str, str] | None
    null: int
    conversion: str | None
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class SpoiledKey:
    """A column that would be a key if a few of its rows were corrected.

    Args:
        table: Its table.
        column: Named like a key, or referred to.
        distinct: Different values.
        repeated: How many of them stand more than once.
        null: Rows without a value.
        referring: ``table.column`` of everything that seems to refer to it.
    """

    table: str
    column: str
    distinct: int
    repeated: int
    null: int
    referring: tuple[str, ...]


@dataclass(frozen=True)
class Proposals:
    """Everything proposed for a database.

    Args:
        primary_keys: One per table at most, in the order of the schema.
        foreign_keys: In the order of the schema and of the columns.
        times: Per table the best first; a table may have none that is ``chosen``.
        notes: What was not looked at, and why.
        spoiled: Keys but for a few rows; they are not proposed.
    """

    primary_keys: tuple[KeyProposal, ...] = ()
    foreign_keys: tuple[ForeignKeyProposal, ...] = ()
    times: tuple[TimeProposal, ...] = ()
    notes: tuple[str, ...] = ()
    spoiled: tuple[SpoiledKey, ...] = ()


def declared_keys(proposals: Proposals, schema: Schema) -> dict[str, Any]:
    """Proposed keys in the form that ``connect(keys=...)`` takes.

    Args:
        proposals: What was found.
        schema: The tables as declared; their own primary keys are what a bare table name means.
    """
    primary = {table.name: table.primary_key for table in schema}
    primary |= {key.table: key.columns for key in proposals.primary_keys}
    found: dict[str, Any] = {}
    for name in schema.names:
        entry: dict[str, Any] = {}
        for key in proposals.primary_keys:
            if key.table == name:
                entry["primary_key"] = _bare(key.columns)
        references = {
            _bare(link.columns): link.target
            if link.target_columns == primary[link.target]
            else (link.target, link.target_columns)
            for link in proposals.foreign_keys
            if link.table == name
        }
        if references:
            entry["foreign_keys"] = references
        if entry:
            found[name] = entry if references else entry["primary_key"]
    return found


def conversion_query(time: TimeProposal) -> str:
    """SQL of the time's table with the column as a date or timestamp; the proposal has a conversion."""
    return f"SELECT * REPLACE ({time.conversion} AS {quote(time.column)}) FROM {quote(time.table)}"


def declared_times(proposals: Proposals) -> dict[str, str | tuple[str, str]]:
    """Proposed times in the form that ``connect(times=...)`` takes; none that would have to be converted first."""
    return {
        time.table: time.column if time.end_column is None else (time.column, time.end_column)
        for time in proposals.times
        if time.chosen and time.conversion is None
    }


def to_toml(keys: Mapping[str, Any], times: Mapping[str, Any]) -> str:
    """Declarations as the TOML file that the shell's ``--keys`` takes.

    Example:
        >>> print(to_toml({"line": {"foreign_keys": {("a", "b"): "order"}}}, {"order": "at"}))
        [keys]
        "line" = {foreign_keys = {"a+b" = "order"}}
        <BLANKLINE>
        [times]
        "order" = "at"
        <BLANKLINE>
    """
    lines = []
    for section, entries in (("keys", keys), ("times", times)):
        if entries:
            lines += [f"[{section}]", *(f"{_text(name)} = {_toml(value)}" for name, value in entries.items()), ""]
    return "\n".join(lines)


def _bare(columns: Sequence[str]) -> str | tuple[str, ...]:
    return columns[0] if len(columns) == 1 else tuple(columns)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        entries = ", ".join(f"{_name(name)} = {_toml(entry)}" for name, entry in value.items())
        return f"{{{entries}}}"
    return f"[{', '.join(map(_toml, value))}]"


def _name(name: str | tuple[str, ...]) -> str:
    if name in ("primary_key", "foreign_keys"):
        return str(name)
    return _text(name if isinstance(name, str) else "+".join(name))
