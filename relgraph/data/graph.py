"""The one data model: typed nodes and edges with keys, times, features and qualifiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Integral
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from relgraph.data.features import Features
from relgraph.data.keys import Key, Keys
from relgraph.data.schema import Schema
from relgraph.data.statements import Qualifiers, Statements
from relgraph.data.time import STATIC, UNKNOWN
from relgraph.errors import SchemaError, ShapeError

if TYPE_CHECKING:
    import networkx
    from torch_geometric.data import Data, HeteroData

__all__ = ["EdgeStore", "EdgeType", "HeteroGraph", "NodeStore", "NodeType", "reverse_type"]

NodeType = str
EdgeType = tuple[str, str, str]


def reverse_type(edge_type: EdgeType) -> EdgeType:
    """The opposite direction of a stored edge type: ``(target, "rev_" + relation, source)``."""
    source, relation, target = edge_type
    return target, f"rev_{relation}", source


@dataclass(frozen=True, eq=False)
class NodeStore:
    """The nodes of one type: the rows of a table, or the entities of a knowledge graph.

    Args:
        num_nodes: How many there are; they are numbered ``0..num_nodes - 1`` in source order.
        keys: The source's own key of each, or ``None`` when the source has none (the number is the key then).
        time: int64 ``[num_nodes]`` microseconds since 1970-01-01 UTC: ``STATIC`` is always visible, ``UNKNOWN`` never;
            ``None`` for a table without time (all static).
        features: Encoded columns and their statistics, or ``None``.
    """

    num_nodes: int
    keys: Keys | None = None
    time: Tensor | None = None
    features: Features | None = None

    @property
    def tf(self) -> Any:
        """The features as a PyTorch Frame ``TensorFrame`` (not copied), or ``None``."""
        return None if self.features is None else self.features.to_tensor_frame()

    @property
    def col_stats(self) -> dict[str, dict[Any, Any]]:
        """Column statistics in PyTorch Frame's form: column name to ``StatType`` to value."""
        return {} if self.features is None else self.features.to_col_stats()


@dataclass(frozen=True, eq=False)
class EdgeStore:
    """The edges of one type.

    Args:
        edge_index: Source and target numbers, int64 ``[2, E]``.
        time: int64 ``[E]`` in microseconds, for edges that have a time of their own, else ``None``.
        qualifiers: CSR pairs of each edge; ``relation`` counts in ``HeteroGraph.relations``, ``entity`` is a global
            entity number (the nodes of all types one after the other, in the order of ``HeteroGraph.nodes``).
    """

    edge_index: Tensor
    time: Tensor | None = None
    qualifiers: Qualifiers | None = None

    @property
    def num_edges(self) -> int:
        """How many edges there are."""
        return self.edge_index.size(1)


@dataclass(frozen=True, eq=False)
class HeteroGraph:
    """Nodes and edges by type; frozen, and checked when built.

    Only the stored direction of an edge is held; ``rev_`` edges are derived by the views that need them.

    Args:
        nodes: Node stores by node type, in order.
        edges: Edge stores by ``(source type, relation, target type)``, in order.
        relations: The relation labels that ``qualifiers.relation`` counts in; for a graph made from statements all
            of them, so that the numbering survives.
        schema: The schema of the source database, when there is one.
        fit_until: No later moment (int64 microseconds) entered the statistics; ``None`` when all rows did.
        num_main_entities: For a graph made from statements, how many leading entities may be a head or a tail.
        report: What the build counted: rows, dropped keys, left-out columns.

    Raises:
        ShapeError: If an index is out of range or a tensor has another length than its store.
        SchemaError: If an edge type names a node type that does not exist.
    """

    nodes: Mapping[NodeType, NodeStore]
    edges: Mapping[EdgeType, EdgeStore]
    relations: tuple[str, ...] = ()
    schema: Schema | None = None
    fit_until: int | None = None
    num_main_entities: int | None = None
    report: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", MappingProxyType(dict(self.nodes)))
        object.__setattr__(self, "edges", MappingProxyType(dict(self.edges)))
        object.__setattr__(self, "relations", tuple(self.relations))
        self.validate()

    @property
    def node_types(self) -> list[NodeType]:
        """The node types in order."""
        return list(self.nodes)

    @property
    def edge_types(self) -> list[EdgeType]:
        """The stored edge types in order, without ``rev_``."""
        return list(self.edges)

    @property
    def num_nodes(self) -> int:
        """Nodes of all types."""
        return sum(store.num_nodes for store in self.nodes.values())

    @property
    def num_edges(self) -> int:
        """Stored edges of all types; the reverse direction is not counted."""
        return sum(store.num_edges for store in self.edges.values())

    @cached_property
    def node_offsets(self) -> dict[NodeType, int]:
        """The global entity number of each type's node 0."""
        offsets, total = {}, 0
        for name, store in self.nodes.items():
            offsets[name] = total
            total += store.num_nodes
        return offsets

    def edge_time(self, edge_type: EdgeType) -> Tensor | None:
        """When each edge became known: the latest of its own time and the times of its two ends, or ``None``."""
        source, _, target = edge_type
        store = self.edges[edge_type]
        times = [] if store.time is None else [store.time]
        for name, row in ((source, 0), (target, 1)):
            time = self.nodes[name].time
            if time is not None:
                times.append(time[store.edge_index[row]])
        if not times:
            return None
        latest = times[0]
        for time in times[1:]:
            latest = torch.maximum(latest, time)
        return latest

    def node_index(self, node_type: NodeType, keys: list[Key]) -> Tensor:
        """Node numbers of source keys, int64.

        Raises:
            SchemaError: If a key or the type is not there.
        """
        store = self._store(node_type)
        if store.keys is None:
            numbers: list[Any] = list(keys)
            for number in numbers:
                if not _is_row(number, store.num_nodes):
                    raise SchemaError(
                        f"{node_type!r} has no key of its own: expected row numbers 0..{store.num_nodes - 1}, "
                        f"got {number!r}"
                    )
            return torch.tensor([int(number) for number in numbers], dtype=torch.int64)
        return store.keys.index(keys)

    def node_keys(self, node_type: NodeType, index: Tensor) -> list[Key]:
        """The source's own keys of node numbers (the numbers themselves where the source has none)."""
        store = self._store(node_type)
        numbers: list[int] = index.tolist()
        if store.keys is None:
            return list(numbers)
        return [store.keys[i] for i in numbers]

    def _store(self, node_type: NodeType) -> NodeStore:
        if node_type not in self.nodes:
            raise SchemaError(f"there is no node type {node_type!r}; node types: {', '.join(self.nodes)}")
        return self.nodes[node_type]

    def validate(self) -> None:
        """Check every length and index range.

        Raises:
            ShapeError: If an index is out of range or a tensor has another length than its store.
            SchemaError: If an edge type names a node type that does not exist.
        """
        for name, node in self.nodes.items():
            _length(f"{name}.time", node.time, node.num_nodes)
            _length(f"{name}.keys", node.keys, node.num_nodes)
            if node.features is not None and node.features.num_rows != node.num_nodes:
                raise ShapeError(f"{name}.features: expected {node.num_nodes} rows, got {node.features.num_rows}")
        for edge_type, edge in self.edges.items():
            self._validate_edges(edge_type, edge)

    def _validate_edges(self, edge_type: EdgeType, edge: EdgeStore) -> None:
        label = "/".join(edge_type)
        index = edge.edge_index
        if index.dtype != torch.int64 or index.dim() != 2 or index.size(0) != 2:
            raise ShapeError(f"{label}.edge_index: expected int64 [2, E], got {index.dtype} {list(index.shape)}")
        for name, row in ((edge_type[0], index[0]), (edge_type[2], index[1])):
            size = self._store(name).num_nodes
            if row.numel() and (int(row.min()) < 0 or int(row.max()) >= size):
                raise ShapeError(
                    f"{label}.edge_index: expected numbers in 0..{size - 1} for {name!r}, "
                    f"got {int(row.min())}..{int(row.max())}"
                )
        _length(f"{label}.time", edge.time, edge.num_edges)
        _length(f"{label}.qualifiers", edge.qualifiers, edge.num_edges)
        if edge.qualifiers is not None and edge.qualifiers.num_pairs:
            if int(edge.qualifiers.relation.max()) >= len(self.relations):
                raise ShapeError(
                    f"{label}.qualifiers: a relation number is outside the {len(self.relations)} relations"
                )
            if int(edge.qualifiers.entity.max()) >= self.num_nodes:
                raise ShapeError(f"{label}.qualifiers: an entity number is outside 0..{self.num_nodes - 1}")

    def __repr__(self) -> str:
        lines = [f"HeteroGraph({self.num_nodes:,} nodes, {self.num_edges:,} edges)"]
        lines += [f"  {name}: {_node_text(store)}" for name, store in self.nodes.items()]
        shown = list(self.edges.items())[:20]
        lines += [f"  {' -> '.join((t[0], t[1], t[2]))}: {store.num_edges:,}" for t, store in shown]
        if len(self.edges) > len(shown):
            lines.append(f"  ... and {len(self.edges) - len(shown)} more edge types")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from relgraph.data.html import graph_html

        return graph_html(self)

    def to_hetero_data(self, features: bool = True, reverse: bool = True, times: bool = True) -> HeteroData:
        """A PyG ``HeteroData`` over the same tensors: ``.tf``, ``.time``, ``.edge_index``, with ``rev_`` edges.

        Args:
            features: Leave the table features out when ``False`` (a loader would gather them per sampled row).
            reverse: Add the opposite direction of every edge type as ``rev_<relation>``.
            times: Leave the times out when ``False``, likewise; a sampler takes them from the graph.
        """
        from relgraph.data.pyg import to_hetero_data

        return to_hetero_data(self, features=features, reverse=reverse, times=times)

    @classmethod
    def from_hetero_data(cls, data: HeteroData) -> HeteroGraph:
        """The inverse of :meth:`to_hetero_data`; also takes a ``HeteroData`` from elsewhere."""
        from relgraph.data.pyg import from_hetero_data

        return from_hetero_data(data)

    def to_data(self) -> Data:
        """A PyG ``Data`` with ``edge_index`` and ``edge_type``, for a graph of one node type.

        Raises:
            SchemaError: If there are several node types.
        """
        from relgraph.data.pyg import to_data

        return to_data(self)

    @classmethod
    def from_data(cls, data: Data) -> HeteroGraph:
        """A graph of one node type, ``node``, from a homogeneous PyG ``Data``."""
        from relgraph.data.pyg import from_data

        return from_data(data)

    def to_networkx(self) -> networkx.MultiDiGraph:
        """A NetworkX multigraph; nodes are ``(type, key)``, edges are keyed by relation."""
        from relgraph.data.networkx import to_networkx

        return to_networkx(self)

    @classmethod
    def from_networkx(cls, graph: networkx.Graph, columns: Sequence[str] = ()) -> HeteroGraph:
        """The inverse of :meth:`to_networkx`; also takes plain NetworkX graphs.

        Args:
            graph: The NetworkX graph.
            columns: Node attributes that become features; not the one to predict.
        """
        from relgraph.data.networkx import from_networkx

        return from_networkx(graph, columns)

    def statements(
        self,
        form: Literal["hyper", "triples"] = "hyper",
        roles: Mapping[str, tuple[str, str]] | None = None,
    ) -> Statements:
        """The graph as facts; built on first use and kept.

        A statement has the time of its row.

        Args:
            form: ``"hyper"`` makes each row of a fact table (two or more foreign keys, nothing refers to it) one
                statement with qualifiers; ``"triples"`` makes every foreign key a triple ``table.column``.
            roles: For a fact table, the foreign keys that give head and tail; by default the first two in table order.

        Raises:
            SchemaError: If a role names a key that does not exist.
        """
        frozen = tuple(sorted((table, tuple(names)) for table, names in (roles or {}).items()))
        cached = self._statements.get((form, frozen))
        if cached is None:
            from relgraph.data.facts import graph_statements

            cached = self._statements[form, frozen] = graph_statements(self, form, dict(frozen))
        return cached

    @cached_property
    def _statements(self) -> dict[Any, Statements]:
        return {}

    @classmethod
    def from_statements(cls, statements: Statements) -> HeteroGraph:
        """A graph of one node type ``entity`` with an edge type per relation."""
        from relgraph.data.facts import graph_from_statements

        return graph_from_statements(statements)

    def save(self, path: str | Path) -> Path:
        """Write the graph as a folder of safetensors and JSON; a crash leaves the old content whole."""
        from relgraph.data.store import save_graph

        return save_graph(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> HeteroGraph:
        """Read a saved graph; tensors are memory-mapped.

        Raises:
            AdapterError: If the folder is not a saved graph or its files are damaged.
        """
        from relgraph.data.store import load_graph

        return load_graph(Path(path))

    def replace(self, **changes: Any) -> HeteroGraph:
        """A copy with some fields changed, checked again."""
        return replace(self, **changes)


def _is_row(number: object, size: int) -> bool:
    return not isinstance(number, bool) and isinstance(number, Integral) and 0 <= int(number) < size


def _length(what: str, value: Any, expected: int) -> None:
    if value is not None and len(value) != expected:
        raise ShapeError(f"{what}: expected length {expected}, got {len(value)}")


def _node_text(store: NodeStore) -> str:
    parts = [f"{store.num_nodes:,}"]
    if store.keys is not None:
        parts.append(f"key {'+'.join(store.keys.names)}")
    if store.time is not None:
        unknown = int((store.time == UNKNOWN).sum())
        static = int((store.time == STATIC).sum())
        parts.append(
            "time" + (f" ({unknown:,} unknown)" if unknown else "") + (f" ({static:,} static)" if static else "")
        )
    if store.features is not None:
        parts.append(f"{store.features.num_columns} columns")
    return ", ".join(parts)
