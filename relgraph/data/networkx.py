"""NetworkX graphs in and out: structure, keys, times and qualifiers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import networkx
import torch

from relgraph.data.graph import EdgeStore, EdgeType, HeteroGraph, NodeStore
from relgraph.data.keys import Keys, TextColumn
from relgraph.data.plain_columns import features_of
from relgraph.data.statements import Qualifiers
from relgraph.data.time import to_microseconds
from relgraph.errors import SchemaError

__all__ = ["from_networkx", "to_networkx"]


def to_networkx(graph: HeteroGraph) -> networkx.MultiDiGraph:
    """A multigraph whose nodes are ``(type, key)`` with ``node_type`` and ``time``.

    Edges carry ``relation``, ``time`` (their own, int64 microseconds) and ``qualifiers``, a list of
    ``(relation, (type, key))``. Types without nodes or edges, key names and the schema are in ``graph.graph``.
    """
    out = networkx.MultiDiGraph()
    names: list[tuple[str, Any]] = []
    for node_type, node in graph.nodes.items():
        keys = range(node.num_nodes) if node.keys is None else node.keys.tolist()
        times = None if node.time is None else node.time.tolist()
        for number, key in enumerate(keys):
            name = (node_type, key)
            names.append(name)
            out.add_node(name, node_type=node_type, **({} if times is None else {"time": times[number]}))
    for edge_type, edge in graph.edges.items():
        _add_edges(out, graph, edge_type, edge, names)
    out.graph["relgraph"] = {
        "node_types": {n: None if s.keys is None else s.keys.names for n, s in graph.nodes.items()},
        "edge_types": list(graph.edges),
        "timed": [name for name, node in graph.nodes.items() if node.time is not None]
        + [edge_type for edge_type, edge in graph.edges.items() if edge.time is not None],
        "relations": graph.relations,
        "schema": graph.schema,
        "num_main_entities": graph.num_main_entities,
    }
    return out


def _add_edges(
    out: networkx.MultiDiGraph, graph: HeteroGraph, edge_type: EdgeType, edge: EdgeStore, names: list[tuple[str, Any]]
) -> None:
    source, relation, target = edge_type
    first, second = graph.node_offsets[source], graph.node_offsets[target]
    times = None if edge.time is None else edge.time.tolist()
    pairs = edge.qualifiers
    for number, (a, b) in enumerate(zip(*edge.edge_index.tolist(), strict=True)):
        attributes: dict[str, Any] = {"relation": relation}
        if times is not None:
            attributes["time"] = times[number]
        if pairs is not None:
            start, end = int(pairs.ptr[number]), int(pairs.ptr[number + 1])
            attributes["qualifiers"] = [
                (graph.relations[int(pairs.relation[i])], names[int(pairs.entity[i])]) for i in range(start, end)
            ]
        out.add_edge(names[first + a], names[second + b], **attributes)


def from_networkx(graph: networkx.Graph, columns: Sequence[str] = ()) -> HeteroGraph:
    """A graph from NetworkX, ours or any other.

    Node attributes ``node_type`` (default ``"node"``) and ``time``, edge attributes ``relation`` (default ``"edge"``),
    ``time`` and ``qualifiers`` are read; times may be of any usual kind. An undirected edge is stored once. Node
    names become keys: numbers, text, or tuples of them; anything else by its ``str``.

    Args:
        graph: The NetworkX graph.
        columns: Node attributes that become features, see :func:`relgraph.data.plain_columns.features_of`; a node type
            takes those that some node of it has.

    Raises:
        SchemaError: If it is no graph, a time is no time, a column is in no node or cannot be read, or qualifiers are
            no pairs or name no node.
    """
    if not isinstance(graph, networkx.Graph):
        raise SchemaError(f"expected a NetworkX graph, got a {type(graph).__name__}")
    ours = graph.graph.get("relgraph", {})
    members: dict[str, list[Any]] = {name: [] for name in ours.get("node_types", {})}
    place: dict[Any, tuple[str, int]] = {}
    for name, attributes in graph.nodes(data=True):
        node_type = str(attributes.get("node_type", "node"))
        group = members.setdefault(node_type, [])
        place[name] = (node_type, len(group))
        group.append(name)
    _require_columns(graph, columns)
    nodes = {kind: _node_store(graph, kind, names, ours, columns) for kind, names in members.items()}
    offsets, total = {}, 0
    for kind, names in members.items():
        offsets[kind] = total
        total += len(names)
    rows: dict[EdgeType, list[tuple[int, int, dict[str, Any]]]] = {tuple(t): [] for t in ours.get("edge_types", [])}
    for a, b, attributes in graph.edges(data=True):
        (source, i), (target, j) = place[a], place[b]
        edge_type = (source, str(attributes.get("relation", "edge")), target)
        if not _are_pairs(attributes.get("qualifiers", ())):
            raise SchemaError(
                f"qualifiers of the {edge_type[1]!r} edge {a!r} -> {b!r}: expected a list of (relation, node) pairs, "
                f"got {attributes['qualifiers']!r}"
            )
        rows.setdefault(edge_type, []).append((i, j, attributes))
    relations: dict[str, int] = {name: i for i, name in enumerate(ours.get("relations", ()))}
    timed = ours.get("timed", ())
    edges = {t: _edge_store(t, found, t in timed, relations, place, offsets) for t, found in rows.items()}
    return HeteroGraph(
        nodes,
        edges,
        relations=tuple(relations),
        schema=ours.get("schema"),
        num_main_entities=ours.get("num_main_entities"),
    )


def _are_pairs(value: object) -> bool:
    if not isinstance(value, list | tuple):
        return False
    return all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in value)


def _require_columns(graph: networkx.Graph, columns: Sequence[str]) -> None:
    having = {name for _, attributes in graph.nodes(data=True) for name in attributes}
    missing = [name for name in columns if name not in having]
    if missing:
        raise SchemaError(f"columns: no node has the attribute {missing[0]!r}; attributes: {sorted(map(str, having))}")


def _node_store(
    graph: networkx.Graph, kind: str, names: list[Any], ours: dict[str, Any], columns: Sequence[str]
) -> NodeStore:
    key_names = ours.get("node_types", {}).get(kind, ("key",))
    values = [name[1] for name in names] if ours else names
    times = [graph.nodes[name].get("time") for name in names]
    time = _times(times, kind in ours.get("timed", ()))
    given = {c: [graph.nodes[name].get(c) for name in names] for c in columns}
    features = features_of({c: found for c, found in given.items() if any(v is not None for v in found)})
    if key_names is None:
        return NodeStore(len(names), None, time, features)
    width = len(key_names)
    if width == 1 and values and all(isinstance(v, tuple) and len(v) == len(values[0]) for v in values):
        width = len(values[0])
        key_names = tuple(f"key_{i}" for i in range(width))
    if width == 1 and len(set(map(str, values))) < len(values):
        raise SchemaError(f"two nodes of type {kind!r} have the same key as text, such as 1 and '1'; relabel them")
    parts = [values] if width == 1 else [list(c) for c in zip(*values, strict=True)] or [[] for _ in key_names]
    keys = Keys(tuple(key_names), tuple(_key_column(part) for part in parts))
    return NodeStore(len(names), keys, time, features)


def _key_column(values: list[Any]) -> torch.Tensor | TextColumn:
    if values and all(isinstance(v, int) and not isinstance(v, bool) and -(2**63) <= v < 2**63 for v in values):
        return torch.tensor(values, dtype=torch.int64)
    return TextColumn.from_strings(str(v) for v in values)


def _times(values: list[Any], ours: bool) -> torch.Tensor | None:
    if ours:  # already microseconds, with the reserved values at both ends
        return torch.tensor(values, dtype=torch.int64)
    return None if all(value is None for value in values) else to_microseconds(values)


def _edge_store(
    edge_type: EdgeType,
    rows: list[tuple[int, int, dict[str, Any]]],
    timed: bool,
    relations: dict[str, int],
    place: dict[Any, tuple[str, int]],
    offsets: dict[str, int],
) -> EdgeStore:
    index = torch.tensor([[i for i, _, _ in rows], [j for _, j, _ in rows]], dtype=torch.int64)
    time = _times([attributes.get("time") for _, _, attributes in rows], timed)
    if all("qualifiers" not in attributes for _, _, attributes in rows):
        return EdgeStore(index, time)
    counts, kinds, values = [], [], []
    for _, _, attributes in rows:
        pairs = attributes.get("qualifiers", [])
        counts.append(len(pairs))
        for relation, node in pairs:
            if not isinstance(node, Hashable) or node not in place:
                raise SchemaError(f"a qualifier of a {edge_type[1]!r} edge names {node!r}, which is no node")
            kinds.append(relations.setdefault(str(relation), len(relations)))
            values.append(offsets[place[node][0]] + place[node][1])
    ptr = torch.tensor([0, *counts], dtype=torch.int64).cumsum(0)
    pairs = Qualifiers(ptr, torch.tensor(kinds, dtype=torch.int64), torch.tensor(values, dtype=torch.int64))
    return EdgeStore(index, time, pairs)
