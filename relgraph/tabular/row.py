"""The columns of the entity's own row, and its age."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from relgraph.data.features import Features
from relgraph.data.graph import HeteroGraph
from relgraph.data.ragged import Ragged
from relgraph.data.schema import SemanticType
from relgraph.data.time import STATIC, UNKNOWN
from relgraph.errors import SchemaError
from relgraph.tabular.block import Matrix
from relgraph.tabular.series import DAY, days_of

__all__ = ["RowFeatures"]

_MOST_PARTS = 32


class RowFeatures:
    """The entity's own row as columns: numbers, codes of categories, days since its timestamps, vectors, and its age.

    Of lists of categories the commonest 32 become a column each that tells whether the row has it.

    Args:
        graph: Where the rows are.
        table: The entity table.
        hide: Columns to leave out, as ``"table.column"``.

    Raises:
        SchemaError: If there is no such table.
    """

    def __init__(self, graph: HeteroGraph, table: str, hide: Sequence[str] = ()) -> None:
        if table not in graph.nodes:
            raise SchemaError(f"there is no table {table!r} in the graph; tables: {', '.join(graph.nodes)}")
        self.graph, self.table, self.hide = graph, table, tuple(hide)
        store = graph.nodes[table]
        self._columns = [] if store.features is None else list(_columns(store.features, table, frozenset(hide)))
        names: list[str] = []
        codes: list[int] = []
        for kind, name in self._columns:
            if kind is SemanticType.CATEGORICAL:
                codes.append(len(names))
            names += _names(store.features, kind, name)
        self._names = (*names, *(["days since the row"] if store.time is not None else []))
        self._codes = tuple(codes)

    @property
    def names(self) -> tuple[str, ...]:
        """The table's own names; what a column became of several."""
        return self._names

    @property
    def categorical(self) -> tuple[int, ...]:
        """The columns of codes."""
        return self._codes

    def matrix(self, node: Tensor, time: Tensor | None) -> Matrix:
        """The columns of seeds; see :class:`~relgraph.tabular.block.SeedFeatures`.

        Without a time, timestamps are days before 1970 and the age is missing.
        """
        store = self.graph.nodes[self.table]
        days = np.zeros(node.numel()) if time is None else time.numpy() / DAY
        columns: list[Matrix] = []
        if store.features is not None:
            chosen = store.features.select(node)
            for kind, name in self._columns:
                columns += _values(chosen, kind, name, days)
        if store.time is not None:
            born = store.time[node]
            known = ((born != STATIC) & (born != UNKNOWN)).numpy() & (time is not None)
            columns.append(np.where(known, days - born.numpy() / DAY, np.nan))
        return np.stack(columns, axis=1) if columns else np.zeros((node.numel(), 0))

    def describe(self) -> dict[str, Any]:
        """Plain JSON values; :func:`relgraph.tabular.seed_features_from_dict` makes the same columns from them."""
        return {"source": "row", "table": self.table, "hide": list(self.hide)}

    def __repr__(self) -> str:
        return f"RowFeatures({self.table!r}, {len(self.names)} columns)"


def _columns(features: Features, table: str, hide: frozenset[str]) -> Iterator[tuple[SemanticType, str]]:
    for kind, names in features.names.items():
        yield from ((kind, name) for name in names if f"{table}.{name}" not in hide)


def _names(features: Features | None, kind: SemanticType, name: str) -> list[str]:
    stats = {} if features is None else features.stats[name]
    if kind is SemanticType.MULTICATEGORICAL:
        return [f"{name} has {part}" for part in stats["categories"][:_MOST_PARTS]]
    if kind in (SemanticType.EMBEDDING, SemanticType.TEXT):
        return [f"{name} {i}" for i in range(int(stats["emb_dim"]))]
    return [f"days since {name}"] if kind is SemanticType.TIMESTAMP else [name]


def _values(rows: Features, kind: SemanticType, name: str, days: Matrix) -> list[Matrix]:
    column = rows.column(name)
    if isinstance(column, Ragged):
        return _holds(column, min(_MOST_PARTS, len(rows.stats[name]["categories"])))
    if kind is SemanticType.TIMESTAMP:
        return [days - days_of(column)]
    value = column.double().numpy()
    if kind in (SemanticType.EMBEDDING, SemanticType.TEXT):
        return list(value.T)
    return [np.where(value < 0, np.nan, value)] if kind is SemanticType.CATEGORICAL else [value]


def _holds(lists: Ragged, parts: int) -> list[Matrix]:
    """For each of the commonest categories whether a row has it."""
    row = torch.repeat_interleave(torch.arange(lists.num_rows), lists.lengths)
    out = np.zeros((lists.num_rows, parts))
    common = lists.values < parts
    out[row[common].numpy(), lists.values[common].numpy()] = 1.0
    return list(out.T)
