"""The integrity report of a database: numbers about keys and times, as text, JSON values or HTML."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from relgraph.data.check.proposals import Proposals, conversion_query, declared_keys, declared_times, to_toml
from relgraph.data.schema import Schema

__all__ = ["ForeignKeyReport", "LabelReport", "LaterColumn", "Report", "TableReport"]


@dataclass(frozen=True)
class LaterColumn:
    """A column with times that are mostly later than the row itself.

    Args:
        column: Its name.
        share: Rows in which it is later, of those with both times, 0..1.
    """

    column: str
    share: float


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
        time_candidates: Columns that could be declared as time, where none is; the best first.
        loose: Whether no foreign key starts or ends here.
        end_column: The declared end of the interval in which a row holds, or None.
        future_rows: Rows later than the moment of the check.
        endless_rows: Those of them in year 9000 or later, which mostly stands for 'never'.
        backward_rows: Rows whose interval ends before it starts.
        same_time: Whether there are several rows, all with one time.
        duplicate_rows: Rows that another row equals in every column; None where that was not counted.
        candidate_keys: Columns, or several joined by ``+``, that are unique and without NULL, where no key is declared.
        later_columns: Columns with times that are mostly later than the row's own.
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
    end_column: str | None = None
    future_rows: int = 0
    endless_rows: int = 0
    backward_rows: int = 0
    same_time: bool = False
    duplicate_rows: int | None = None
    candidate_keys: tuple[str, ...] = ()
    later_columns: tuple[LaterColumn, ...] = ()


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
        future: Rows that are earlier than the row they refer to, where both tables have times; None where not. Times
            in whole days are earlier only on an earlier day.
        ambiguous: Values that stand more than once in the columns referred to.
        zeros: Dangling rows with the number 0, which mostly means none.
    """

    table: str
    key: str
    target: str
    rows: int
    null: int
    dangling: int
    future: int | None
    ambiguous: int = 0
    zeros: int = 0

    @property
    def null_share(self) -> float:
        """NULL rows in 0..1; 0 for an empty table."""
        return self.null / self.rows if self.rows else 0.0

    @property
    def dangling_share(self) -> float:
        """Dangling rows in 0..1; 0 for an empty table."""
        return self.dangling / self.rows if self.rows else 0.0


@dataclass(frozen=True)
class LabelReport:
    """A column that gives a task's label away.

    Args:
        table: Its table: the entity table, or one that refers to it.
        column: Its name, or SQL such as ``sum(amount)`` over the rows that refer to an entity.
        how: ``"equal"``, ``"one to one"`` or ``"correlated"``.
        rows: Seed rows compared.
    """

    table: str
    column: str
    how: str
    rows: int


@dataclass(frozen=True)
class Report:
    """The integrity of a database; ``print`` it, or take :meth:`to_dict`.

    Args:
        name: The database.
        tables: In the order of the schema.
        foreign_keys: In the order of the schema.
        notes: What was changed or left out when it was read.
        schema: What is declared.
        proposals: Keys and times that are not declared; None if they were not looked for.
        labels: Columns that give the task's label away; empty without a task.
        moment: What rows in the future were compared with, as text.
    """

    name: str
    tables: tuple[TableReport, ...]
    foreign_keys: tuple[ForeignKeyReport, ...]
    notes: tuple[str, ...]
    schema: Schema = field(default_factory=Schema)
    proposals: Proposals | None = None
    labels: tuple[LabelReport, ...] = ()
    moment: str = ""

    @property
    def problems(self) -> tuple[str, ...]:
        """A sentence for everything a person should look at, and what to do; empty if all is sound."""
        from relgraph.data.check.report_problems import problems

        return tuple(problems(self))

    @property
    def proposed_keys(self) -> dict[str, Any]:
        """Keys that are not declared, in the form that ``connect(keys=...)`` takes."""
        return {} if self.proposals is None else declared_keys(self.proposals, self.schema)

    @property
    def proposed_times(self) -> dict[str, str | tuple[str, str]]:
        """Times that are not declared, in the form that ``connect(times=...)`` takes.

        A column that has to be converted first is not among them; :attr:`proposed_tables` does that.
        """
        return {} if self.proposals is None else declared_times(self.proposals)

    @property
    def proposed_tables(self) -> dict[str, str | None] | None:
        """SQL that makes times readable, in the form that ``connect(tables=...)`` takes for files and frames.

        None if no time needs it. Every other table is read as it is; a new check then proposes these times, too.
        """
        times = () if self.proposals is None else self.proposals.times
        found = {time.table: conversion_query(time) for time in times if time.chosen and time.conversion is not None}
        return {"*": None, **found} if found else None

    def declarations(self) -> str:
        """The proposed keys and times as TOML, the file that ``relgraph inspect --keys`` and its like take."""
        return to_toml(self.proposed_keys, self.proposed_times)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with the shares, the problems and the proposals."""
        out = {
            "name": self.name,
            "moment": self.moment,
            "tables": [asdict(table) for table in self.tables],
            "foreign_keys": [
                {**asdict(key), "null_share": key.null_share, "dangling_share": key.dangling_share}
                for key in self.foreign_keys
            ],
            "labels": [asdict(label) for label in self.labels],
            "proposals": None if self.proposals is None else asdict(self.proposals),
            "problems": self.problems,
            "notes": self.notes,
        }
        plain: dict[str, Any] = _lists(out)
        return plain

    def to_json(self) -> str:
        """:meth:`to_dict` as JSON text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=2)

    def to_html(self) -> str:
        """A page that needs nothing else, with the schema as a picture."""
        from relgraph.data.check.report_page import page

        return page(self)

    def __str__(self) -> str:
        from relgraph.data.check.report_text import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from relgraph.data.check.report_page import body

        return body(self)


def _lists(value: Any) -> Any:
    """Tuples as lists, as JSON would give them back."""
    if isinstance(value, dict):
        return {name: _lists(entry) for name, entry in value.items()}
    return [_lists(entry) for entry in value] if isinstance(value, list | tuple) else value
