"""What moved a prediction, in the words of the database: tables, columns, and rows by their own keys."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from relgraph.data.html import table_html
from relgraph.data.keys import Key
from relgraph.pictures import Branch, Svg, tree

__all__ = ["CellScore", "PredictionExplanation", "RowScore", "Step", "TableScore"]

_SHOWN = 8


@dataclass(frozen=True)
class Step:
    """One foreign key on the way from the predicted row to another.

    Args:
        via: The key, as ``table.column``.
        table: The table it leads to.
        key: The row it leads to.
        forward: Whether the row before refers to this one; else this one refers to the row before.
    """

    via: str
    table: str
    key: Key
    forward: bool


@dataclass(frozen=True)
class TableScore:
    """A table.

    Args:
        table: Its name.
        score: What its rows and their values added to the prediction.
        presence: The part of ``score`` that its rows add by being there, whatever their values.
        share: Its part of all that moved the prediction, up or down.
    """

    table: str
    score: float
    presence: float
    share: float


@dataclass(frozen=True)
class CellScore:
    """One value of a row: ``value`` is it as text where it can be shown, ``score`` what it added."""

    table: str
    key: Key
    column: str
    value: str | None
    score: float


@dataclass(frozen=True)
class RowScore:
    """A row with what it added, itself and by its values; ``path`` leads to it from the predicted row."""

    table: str
    key: Key
    score: float
    path: tuple[Step, ...]


@dataclass(frozen=True)
class PredictionExplanation:
    """What moved one prediction from the baseline to what it is.

    Every part is sorted by how much it moved, the most first. Scores are in the unit of the prediction (a probability,
    the value, or the score of a recommendation) and signed. If they come from integrated gradients, those of tables,
    those of rows, and those of columns with the tables' ``presence`` each add up to ``prediction - baseline - gap``.
    ``table.(age)`` stands for how long ago rows happened.

    Args:
        table: The entity table.
        key: The predicted row.
        time: The moment as text, or ``None``.
        output: Which class or label is explained, or ``None``.
        target: Of a recommendation the table and the key of the row that was scored, else ``None``.
        prediction: What the model predicts.
        baseline: What it predicts for the same row with NULL in every column and no row referring to it or referred to.
        tables: Scores per table.
        columns: Scores per ``table.column``.
        rows: Scores per row.
        cells: Scores per value, the largest.
        paths: Scores per way of foreign keys, such as ``customer <- orders.customer_id``.
        gap: ``prediction - baseline`` minus the sum of all scores.
        algorithm: What computed the scores.
    """

    table: str
    key: Key
    time: str | None
    output: int | None
    target: tuple[str, Key] | None
    prediction: float
    baseline: float
    tables: tuple[TableScore, ...]
    columns: Mapping[str, float]
    rows: tuple[RowScore, ...]
    cells: tuple[CellScore, ...]
    paths: Mapping[str, float]
    gap: float
    algorithm: str

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return asdict(self)

    def to_json(self) -> str:
        """Everything as a JSON document."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=2)

    @property
    def title(self) -> str:
        """The prediction in a line."""
        moment = "" if self.time is None else f" at {self.time}"
        what = "" if self.output is None else f", output {self.output}"
        if self.target is not None:
            what = f", {self.target[0]} {self.target[1]}"
        return (
            f"{self.table} {self.key}{moment}{what}: {self.prediction:.4g}, and {self.baseline:.4g} without any value "
            f"or related row ({self.prediction - self.baseline:+.4g})"
        )

    def parts(self, shown: int = _SHOWN) -> list[tuple[str, Sequence[str], list[list[Any]]]]:
        """The tables of :meth:`__repr__`: title, heads and rows of each."""
        tables = [[t.table, f"{t.share:.0%}", f"{t.score:+.4f}", f"{t.presence:+.4f}"] for t in self.tables[:shown]]
        columns = [[name, f"{score:+.4f}"] for name, score in list(self.columns.items())[:shown]]
        rows = [[r.table, str(r.key), f"{r.score:+.4f}", self._way(r)] for r in self.rows[:shown]]
        cells = [[f"{c.table} {c.key}", c.column, c.value or "", f"{c.score:+.4f}"] for c in self.cells[:shown]]
        return [
            ("tables", ("table", "share", "score", "by being there"), tables),
            ("columns", ("column", "score"), columns),
            ("rows", ("table", "key", "score", "path"), rows),
            ("values", ("row", "column", "value", "score"), cells),
        ]

    def _way(self, row: RowScore) -> str:
        steps = [f"{'->' if s.forward else '<-'} {s.table} {s.key} ({s.via.rpartition('.')[2]})" for s in row.path]
        return " ".join([f"{self.table} {self.key}", *steps]) if steps else "the predicted row"

    def __repr__(self) -> str:
        lines = [self.title]
        for title, heads, rows in self.parts():
            lines.append(title)
            cells = [list(heads), *rows]
            widths = [max(len(str(row[i])) for row in cells) for i in range(len(heads))]
            for row in cells:
                padded = (str(value).ljust(width) for value, width in zip(row, widths, strict=True))
                lines.append(f"  {'  '.join(padded)}".rstrip())
        return "\n".join(lines)

    def picture(self, most: int = 12) -> Svg:
        """The neighbourhood of the predicted row: the ``most`` rows that moved it most, and the keys that lead to them.

        A row carries what it added with its values; the values that moved most are seen when it is pointed at.
        """
        found: dict[tuple[Step, ...], RowScore | None] = {(): None}
        for row in self.rows[:most]:
            for depth in range(len(row.path)):
                found.setdefault(row.path[:depth], None)
            found[row.path] = row
        return tree(self.title, self._branch((), found))

    def _branch(self, path: tuple[Step, ...], found: Mapping[tuple[Step, ...], RowScore | None]) -> Branch:
        row = found[path]
        table, key = (path[-1].table, path[-1].key) if path else (self.table, self.key)
        cells = [c for c in self.cells if (c.table, c.key) == (table, key)]
        under = [other for other in found if other[:-1] == path and len(other) == len(path) + 1]
        step = path[-1] if path else None
        return Branch(
            f"{table} {key}",
            None if row is None else row.score,
            "" if step is None else f"{'→' if step.forward else '←'} {step.via.rpartition('.')[2]}",
            [f"{c.column} {c.value or ''}: {c.score:+.4f}" for c in cells],
            [self._branch(other, found) for other in under],
        )

    def _repr_html_(self) -> str:
        return self.picture() + "".join(table_html(heads, rows, title) for title, heads, rows in self._captioned())

    def _captioned(self) -> list[tuple[str, Sequence[str], list[list[Any]]]]:
        first, *rest = self.parts()
        return [(f"{self.title}; {first[0]}", *first[1:]), *rest]
