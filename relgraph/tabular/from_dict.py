"""Columns for seeds made again from what they said about themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from relgraph.data.graph import HeteroGraph
from relgraph.errors import ProtocolError, SchemaError
from relgraph.tabular.aggregates import Aggregates
from relgraph.tabular.block import SeedFeatures
from relgraph.tabular.past_labels import PastLabels
from relgraph.tabular.row import RowFeatures

if TYPE_CHECKING:
    from relgraph.data.database import Database

__all__ = ["seed_features_from_dict"]


def seed_features_from_dict(
    values: Mapping[str, Any], graph: HeteroGraph, db: Database | None = None, task: Any = None
) -> SeedFeatures:
    """The inverse of ``describe()``.

    Args:
        values: What ``describe()`` gave.
        graph: The graph, with the tables and columns it had.
        db: The database; past labels need it.
        task: For past labels the task; see :func:`relgraph.tasks.task_from_dict`.

    Raises:
        SchemaError: If the values name no known source of columns, or do not fit the graph.
        ProtocolError: If past labels are described and no database or task is given, or another task.
    """
    settings = dict(values)
    source = settings.pop("source", None)
    made: dict[str, Callable[[], SeedFeatures]] = {
        "row": lambda: RowFeatures(graph, **settings),
        "aggregates": lambda: Aggregates(graph, **settings),
        "past_labels": lambda: _past_labels(settings, db, task),
    }
    if source not in made:
        raise SchemaError(f"source: expected one of {', '.join(made)}, got {source!r}")
    return made[source]()


def _past_labels(settings: dict[str, Any], db: Database | None, task: Any) -> PastLabels:
    if db is None or task is None:
        raise ProtocolError("past labels come from a database and a task: give db= and task=")
    given = settings.pop("task", None)
    if given != task.to_dict():
        raise ProtocolError(f"these past labels are those of another task: expected {given}, got {task.to_dict()}")
    return PastLabels(task, db, **settings)
