"""Graphs as the sampler follows them: of PyG's data as it is, and with all edges as one type."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData

from relgraph.data.graph import EdgeStore, EdgeType, HeteroGraph, NodeStore
from relgraph.data.time import STATIC
from relgraph.errors import SchemaError

__all__ = ["graph_of", "one_edge_type"]


def one_edge_type(graph: HeteroGraph) -> HeteroGraph:
    """The same graph with the edges of all types as one, numbered as in :meth:`HeteroGraph.to_data`.

    Raises:
        SchemaError: If the graph has several node types.
    """
    if len(graph.nodes) != 1:
        raise SchemaError(
            f"homogeneous=True is for one node type, this graph has {len(graph.nodes)}: {', '.join(graph.nodes)}"
        )
    ((name, node),) = graph.nodes.items()
    stores = list(graph.edges.values())
    edge_index = torch.cat([torch.empty(2, 0, dtype=torch.int64), *(store.edge_index for store in stores)], dim=1)
    time = None
    if any(store.time is not None for store in stores):
        time = torch.cat([s.edge_index.new_full((s.num_edges,), STATIC) if s.time is None else s.time for s in stores])
    return HeteroGraph(
        {name: NodeStore(node.num_nodes, time=node.time)}, {(name, "edge", name): EdgeStore(edge_index, time)}
    )


def graph_of(data: Data | HeteroData, time_attr: str | None, edge_time_attr: str | None) -> HeteroGraph:
    """The structure and the times of PyG's data; every edge type is stored, ``rev_`` ones too.

    Raises:
        SchemaError: If it is no such data, a part has no ``edge_index`` or number of nodes, or a time attribute is
            missing or not of whole numbers.
    """
    if isinstance(data, Data):
        node_stores: dict[str, Any] = {"node": data}
        edge_stores: dict[EdgeType, Any] = {("node", "edge", "node"): data}
    elif isinstance(data, HeteroData):
        node_stores = {name: data[name] for name in data.node_types}
        edge_stores = {edge_type: data[edge_type] for edge_type in data.edge_types}
    else:
        raise SchemaError(f"from_data: expected PyG's Data or HeteroData, got {type(data).__name__}")
    nodes, edges = {}, {}
    for name, store in node_stores.items():
        if store.num_nodes is None:
            raise SchemaError(f"from_data: {name!r} has no num_nodes; set it")
        nodes[name] = NodeStore(store.num_nodes, time=_time(store, time_attr, name))
    for edge_type, store in edge_stores.items():
        label = "/".join(edge_type)
        if store.get("edge_index") is None:
            raise SchemaError(f"from_data: {label} has no edge_index; convert SparseTensors to edge_index first")
        edges[edge_type] = EdgeStore(store["edge_index"].cpu(), _time(store, edge_time_attr, label))
    if time_attr is not None and all(node.time is None for node in nodes.values()):
        raise SchemaError(f"from_data: time_attr={time_attr!r} is at no node type; node types: {', '.join(nodes)}")
    if edge_time_attr is not None and all(edge.time is None for edge in edges.values()):
        raise SchemaError(
            f"from_data: edge_time_attr={edge_time_attr!r} is at no edge type; edge types: {', '.join(map(str, edges))}"
        )
    return HeteroGraph(nodes, edges)


def _time(store: Any, name: str | None, label: str) -> Tensor | None:
    time = None if name is None else store.get(name)
    if time is None:
        return None
    if not isinstance(time, Tensor) or time.is_floating_point() or time.is_complex() or time.dtype == torch.bool:
        shown = time.dtype if isinstance(time, Tensor) else type(time).__name__
        raise SchemaError(
            f"from_data: {label}.{name}: expected whole numbers, got {shown}; convert with .to(torch.int64)"
        )
    if time.dim() != 1:
        raise SchemaError(f"from_data: {label}.{name}: expected one time each, got {list(time.shape)}")
    return time.cpu().to(torch.int64)
