"""PyTorch Geometric's ``HeteroData`` and ``Data`` as views of a graph, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from relgraph.data.features import Features
from relgraph.data.graph import EdgeStore, EdgeType, HeteroGraph, NodeStore, reverse_type
from relgraph.data.keys import Keys
from relgraph.data.schema import SemanticType
from relgraph.data.statements import Qualifiers
from relgraph.errors import SchemaError

__all__ = ["from_data", "from_hetero_data", "to_data", "to_hetero_data"]

_REVERSE = "rev_"


def to_hetero_data(graph: HeteroGraph, features: bool = True, reverse: bool = True, times: bool = True) -> HeteroData:
    """A ``HeteroData`` over the graph's own tensors.

    Each node type has ``num_nodes``, ``time``, ``tf`` and ``col_stats`` (PyTorch Frame) and ``key``; each edge type
    ``edge_index``, ``time`` and ``qualifiers``. What PyG has no place for is in ``data.relgraph``.

    Args:
        graph: The graph.
        features: Give each node type its ``tf`` and ``col_stats``.
        reverse: Add a reverse, ``rev_...``, of every edge type.
        times: Give nodes and edges their ``time``.

    Raises:
        SchemaError: If the graph stores what would be the reverse of another edge type.
    """
    data = HeteroData()
    for name, node in graph.nodes.items():
        data[name].num_nodes = node.num_nodes
        if times and node.time is not None:
            data[name].time = node.time
        if node.keys is not None:
            data[name].key = node.keys
        if features and node.features is not None:
            data[name].tf = node.tf
            data[name].col_stats = node.col_stats
    for edge_type, edge in graph.edges.items():
        if reverse and reverse_type(edge_type) in graph.edges:
            raise SchemaError(
                f"edge types {edge_type} and {reverse_type(edge_type)} are both stored, so the second cannot also name "
                "the reverse of the first; rename one, or use reverse=False"
            )
        _fill(data[edge_type], edge.edge_index, edge, times)
        if reverse:
            _fill(data[reverse_type(edge_type)], edge.edge_index.flip(0), edge, times)
    data.relgraph = {
        "edge_types": list(graph.edges),
        "relations": graph.relations,
        "schema": graph.schema,
        "fit_until": graph.fit_until,
        "num_main_entities": graph.num_main_entities,
        "report": dict(graph.report),
        # a TensorFrame says neither which embeddings are text nor all of our statistics
        "texts": {n: s.features.names.get(SemanticType.TEXT, ()) for n, s in graph.nodes.items() if s.features},
        "stats": {n: s.features.stats for n, s in graph.nodes.items() if s.features},
    }
    return data


def _fill(store: Any, edge_index: Tensor, edge: EdgeStore, times: bool = True) -> None:
    store.edge_index = edge_index
    if times and edge.time is not None:
        store.time = edge.time
    if edge.qualifiers is not None:
        store.qualifiers = edge.qualifiers


def from_hetero_data(data: HeteroData) -> HeteroGraph:
    """A graph from a ``HeteroData``, ours or somebody else's.

    Of another's data ``x`` becomes numerical columns ``x_0, x_1, ...``; other attributes are left out and named in
    ``graph.report["left_out"]``. ``rev_`` edge types whose forward direction is there are views and not stored.

    Raises:
        SchemaError: If a node type has no number of nodes, or times are not int64.
    """
    ours: Mapping[str, Any] = getattr(data, "relgraph", {})
    left_out: dict[str, list[str]] = {}
    nodes = {name: _node_store(data, name, left_out, ours) for name in data.node_types}
    given = list(data.edge_types)
    stored = [t for t in ours.get("edge_types", ()) if t in given] or [t for t in given if not _is_reverse(t, given)]
    edges: dict[EdgeType, EdgeStore] = {}
    for edge_type in stored:
        store = data[edge_type]
        if "edge_index" not in store:
            raise SchemaError(f"edge type {edge_type} has no edge_index; convert SparseTensors to edge_index first")
        _note_left_out(left_out, "/".join(edge_type), store, {"edge_index", "time", "qualifiers"})
        edges[edge_type] = EdgeStore(store.edge_index, store.get("time"), store.get("qualifiers"))
    report = ours["report"] if ours else {"left_out": left_out}
    return HeteroGraph(
        nodes,
        edges,
        relations=ours.get("relations", ()),
        schema=ours.get("schema"),
        fit_until=ours.get("fit_until"),
        num_main_entities=ours.get("num_main_entities"),
        report=report,
    )


def _is_reverse(edge_type: EdgeType, given: Sequence[EdgeType]) -> bool:
    source, name, target = edge_type
    return name.startswith(_REVERSE) and (target, name.removeprefix(_REVERSE), source) in given


def _node_store(data: HeteroData, name: str, left_out: dict[str, list[str]], ours: Mapping[str, Any]) -> NodeStore:
    store = data[name]
    count = store.num_nodes
    if count is None:
        raise SchemaError(f"node type {name!r} has no num_nodes; set data[{name!r}].num_nodes")
    time = store.get("time")
    if time is not None and time.dtype != torch.int64:
        raise SchemaError(f"{name}.time: expected int64 microseconds, got {time.dtype}")
    features = None
    if store.get("tf") is not None:
        texts, stats = ours.get("texts", {}).get(name, ()), ours.get("stats", {}).get(name)
        features = Features.from_tensor_frame(store.tf, store.get("col_stats"), texts, stats)
    elif isinstance(store.get("x"), Tensor):
        features = _dense_features(store.x)
    _note_left_out(left_out, name, store, {"num_nodes", "time", "key", "tf", "col_stats", "x"})
    key = store.get("key")
    return NodeStore(count, key if isinstance(key, Keys) else None, time, features)


def _dense_features(x: Tensor) -> Features:
    x = x.reshape(x.size(0), -1).to(torch.float32)
    names = tuple(f"x_{i}" for i in range(x.size(1)))
    stats = {name: Features.numerical_stats(x[:, i]) for i, name in enumerate(names)}
    return Features(x.size(0), {SemanticType.NUMERICAL: x}, {SemanticType.NUMERICAL: names}, stats)


def _note_left_out(left_out: dict[str, list[str]], where: str, store: Any, known: set[str]) -> None:
    rest = sorted(set(store.keys()) - known)
    if rest:
        left_out[where] = rest


def from_data(data: Data) -> HeteroGraph:
    """A graph of one node type, ``node``, from a homogeneous ``Data``, ours or somebody else's.

    ``x`` becomes one vector per node, the column ``x``; ``edge_type`` (numbers, named by ``edge_types`` where that is
    there) one edge type per number, else there is one, ``edge``. Of two edges that are each other's reverse, as
    undirected graphs hold them, both stay. Other attributes are left out and named in ``graph.report["left_out"]``.

    Raises:
        SchemaError: If there are no edges, no number of nodes, or times are not int64.
    """
    if not isinstance(data, Data):
        raise SchemaError(f"expected a torch_geometric.data.Data, got a {type(data).__name__}")
    if data.num_nodes is None or data.get("edge_index") is None:
        raise SchemaError("the graph needs an edge_index and num_nodes (or x)")
    for name in ("time", "edge_time"):
        if data.get(name) is not None and data[name].dtype != torch.int64:
            raise SchemaError(f"{name}: expected int64 microseconds, got {data[name].dtype}")
    features = None
    if data.get("tf") is not None:
        features = Features.from_tensor_frame(data.tf, data.get("col_stats"))
    elif isinstance(data.get("x"), Tensor):
        features = _vector_features(data.x)
    key = data.get("key")
    node = NodeStore(int(data.num_nodes), key if isinstance(key, Keys) else None, data.get("time"), features)
    kinds, edges = data.get("edge_type"), {}
    count = 1 if kinds is None else int(kinds.max()) + 1 if kinds.numel() else 0
    names = list(data.get("edge_types") or (["edge"] if kinds is None else [f"edge_{i}" for i in range(count)]))
    if len(names) < count:
        raise SchemaError(f"edge_types: expected {count} names, one per number in edge_type, got {len(names)}")
    time, qualifiers = data.get("edge_time"), data.get("qualifiers")
    for number, name in enumerate(names):
        chosen = slice(None) if kinds is None else torch.nonzero(kinds == number).squeeze(1)
        pairs = None
        if isinstance(qualifiers, Qualifiers):
            pairs = qualifiers if isinstance(chosen, slice) else qualifiers.select(chosen)
        edges[("node", name, "node")] = EdgeStore(
            data.edge_index[:, chosen], None if time is None else time[chosen], pairs
        )
    left_out: dict[str, list[str]] = {}
    taken = {"num_nodes", "x", "tf", "col_stats", "time", "key", "edge_index", "edge_type", "edge_types", "edge_time"}
    _note_left_out(left_out, "node", data, taken | {"qualifiers"})
    return HeteroGraph({"node": node}, edges, report={"left_out": left_out})


def _vector_features(x: Tensor) -> Features:
    x = x.reshape(x.size(0), -1).to(torch.float32)
    scale = float(x.square().mean().sqrt()) if x.numel() else 0.0
    names, stats = {SemanticType.EMBEDDING: ("x",)}, {"x": {"emb_dim": x.size(1), "scale": scale}}
    return Features(x.size(0), {SemanticType.EMBEDDING: x}, names, stats)


def to_data(graph: HeteroGraph) -> Data:
    """A ``Data`` with ``edge_index`` and ``edge_type`` (the position in ``data.edge_types``), edges by type.

    Raises:
        SchemaError: If the graph has several node types.
    """
    if len(graph.nodes) != 1:
        raise SchemaError(
            f"to_data() is for one node type, this graph has {len(graph.nodes)}: {', '.join(graph.nodes)}; "
            "use to_hetero_data()"
        )
    ((_, node),) = graph.nodes.items()
    data = Data(num_nodes=node.num_nodes)
    stores = list(graph.edges.values())
    empty = torch.empty(2, 0, dtype=torch.int64)
    data.edge_index = torch.cat([empty, *(store.edge_index for store in stores)], dim=1)
    counts = torch.tensor([store.num_edges for store in stores], dtype=torch.int64)
    data.edge_type = torch.repeat_interleave(torch.arange(len(stores)), counts)
    data.edge_types = [edge_type[1] for edge_type in graph.edges]
    if node.time is not None:
        data.time = node.time
    if node.keys is not None:
        data.key = node.keys
    if node.features is not None:
        data.tf = node.tf
        data.col_stats = node.col_stats
    times = [graph.edge_time(edge_type) for edge_type in graph.edges]
    if stores and all(time is not None for time in times):
        data.edge_time = torch.cat([time for time in times if time is not None])
    if any(store.qualifiers is not None for store in stores):
        data.qualifiers = Qualifiers.cat([s.qualifiers or Qualifiers.empty(s.num_edges) for s in stores])
    return data
