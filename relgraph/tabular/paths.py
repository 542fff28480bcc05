"""Ways over foreign keys that lead from a row to the rows that say something about it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from relgraph.data.graph import EdgeType, HeteroGraph
from relgraph.data.schema import SemanticType
from relgraph.data.time import STATIC, UNKNOWN
from relgraph.data.value_names import is_code_name, is_id_name
from relgraph.errors import SchemaError

__all__ = ["Path", "Step", "ValueColumn", "find_paths", "value_columns"]


@dataclass(frozen=True)
class Step:
    """One edge type, walked from the row that is referred to (``back``) or from the row that refers.

    Args:
        edge_type: ``(table, key, target)`` as stored in the graph.
        back: Whether it leads from the target to the rows that refer to it: to many, not to one.
    """

    edge_type: EdgeType
    back: bool

    @property
    def start(self) -> str:
        """The table it leads from."""
        return self.edge_type[2 if self.back else 0]

    @property
    def end(self) -> str:
        """The table it leads to."""
        return self.edge_type[0 if self.back else 2]

    def __str__(self) -> str:
        table, key, target = self.edge_type
        return f"<- {table}[{key}]" if self.back else f"-> {target}[{key}]"


@dataclass(frozen=True)
class Path:
    """Steps from the entity; those before ``anchor`` lead to one row, the rest from that row to many.

    Args:
        steps: At least one.
        anchor: How many of the first steps lead to the row whose history is looked at. Where one of them goes back to
            many rows, the last of these counts.
    """

    steps: tuple[Step, ...]
    anchor: int = 0

    @property
    def end(self) -> str:
        """The table whose columns are looked at."""
        return self.steps[-1].end

    @property
    def tail(self) -> tuple[Step, ...]:
        """The steps from the anchor."""
        return self.steps[self.anchor :]

    def __str__(self) -> str:
        words = [str(step) for step in self.steps]
        if any(step.back for step in self.steps[: self.anchor]):
            words[0] = words[0].replace("<- ", "<- last ", 1)
        return " ".join(words)


@dataclass(frozen=True)
class ValueColumn:
    """A column of a table that is looked at.

    Args:
        name: The column.
        kind: ``"number"``, ``"category"`` or ``"time"``.
        categories: What a category's codes stand for, the commonest first.
        numbers: Where the categories are numbers (ratings, levels), what each code is worth.
    """

    name: str
    kind: str
    categories: tuple[str, ...] = ()
    numbers: tuple[float, ...] | None = None


def find_paths(graph: HeteroGraph, table: str, hops: int) -> list[Path]:
    """The ways from a table, the most telling first.

    With one hop: rows that refer to the entity, and rows it refers to. With two: what those rows refer to, what refers
    to them, and the history of the rows that the entity, or the last row about it, refers to (a driver's constructor).

    Args:
        graph: Whose edge types are walked.
        table: The entity table.
        hops: 1 or 2.

    Raises:
        SchemaError: If there is no such table.
    """
    if table not in graph.nodes:
        raise SchemaError(f"there is no table {table!r} in the graph; tables: {', '.join(graph.nodes)}")
    back = [Step(edge, True) for edge in graph.edges if edge[2] == table]
    there = [Step(edge, False) for edge in graph.edges if edge[0] == table]
    paths = [Path((step,)) for step in (*back, *there)]
    if hops == 1:
        return paths
    for step in back:
        paths += [Path((step, other)) for other in _away(graph, step, back=False)]
    for step in back:
        paths += [Path((step, other)) for other in _away(graph, step, back=True)]
    for step in there:
        paths += [Path((step, other)) for other in _away(graph, step, back=False)]
        paths += [Path((step, other), anchor=1) for other in _away(graph, step, back=True, same=True)]
    for step in back:
        for other in _away(graph, step, back=False):
            onward = _away(graph, other, back=True, same=True)
            paths += [Path((step, other, last), anchor=2) for last in onward if _has_history(graph, last)]
    return paths


def _has_history(graph: HeteroGraph, step: Step) -> bool:
    """Whether what refers to a row mostly comes at several moments, unlike the results of a race.

    Looked at are the rows up to the time that the graph's statistics were fitted to.
    """
    time = graph.edge_time(step.edge_type)
    if time is None:
        return False
    limit = UNKNOWN - 1 if graph.fit_until is None else graph.fit_until
    seen = (time <= limit) & (time != STATIC)
    row = graph.edges[step.edge_type].edge_index[1][seen]
    moments = torch.unique(torch.stack([row, time[seen]]), dim=1).size(1)
    return bool(moments > 1.5 * torch.unique(row).numel())


def _away(graph: HeteroGraph, step: Step, back: bool, same: bool = False) -> list[Step]:
    """Steps onward; without ``same`` not the one back to where the walk came from."""
    found = [Step(edge, back) for edge in graph.edges if edge[2 if back else 0] == step.end]
    return [other for other in found if same or other.edge_type != step.edge_type]


def value_columns(graph: HeteroGraph, table: str, hide: frozenset[str]) -> list[ValueColumn]:
    """The feature columns of a table that can be added up or counted, in the graph's order.

    Text, vectors and lists are left out, and so are columns named in ``hide`` as ``"table.column"``.
    """
    features = graph.nodes[table].features
    if features is None:
        return []
    time_column = None if graph.schema is None or table not in graph.schema else graph.schema[table].time_column
    found = []
    for kind, names in features.names.items():
        for name in names:
            if f"{table}.{name}" in hide or name == time_column:
                continue
            if kind is SemanticType.NUMERICAL:
                found.append(ValueColumn(name, "number"))
            elif kind is SemanticType.TIMESTAMP:
                found.append(ValueColumn(name, "time"))
            elif kind is SemanticType.CATEGORICAL:
                found.append(_category(name, features.stats[name]))
    return found


def _category(name: str, stats: Mapping[str, Any]) -> ValueColumn:
    texts = tuple(str(category) for category in stats["categories"])
    numbers = None
    if len(texts) > 2 and not is_id_name(name) and not is_code_name(name):
        try:
            numbers = tuple(float(text) for text in texts)
            numbers = numbers if all(map(math.isfinite, numbers)) else None
        except ValueError:
            numbers = None
    return ValueColumn(name, "category", texts, numbers)
