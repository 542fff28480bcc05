"""Graphs on disk: safetensors and JSON in a folder, memory-mapped when read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from relgraph.data.features import Features
from relgraph.data.folder import read_folder, write_folder
from relgraph.data.graph import EdgeStore, HeteroGraph, NodeStore
from relgraph.data.keys import Keys, TextColumn
from relgraph.data.ragged import Ragged
from relgraph.data.schema import Schema, SemanticType
from relgraph.data.statements import Qualifiers
from relgraph.errors import AdapterError

__all__ = ["load_graph", "pack_graph", "save_graph", "unpack_graph"]

_KIND = "graph"


def save_graph(graph: HeteroGraph, path: Path) -> Path:
    """Write a graph into a folder; what was there before stays whole until the new content is."""
    return write_folder(path, _KIND, *pack_graph(graph))


def pack_graph(graph: HeteroGraph) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A graph as JSON values and named tensors, as :func:`~relgraph.data.folder.write_folder` takes them."""
    tensors: dict[str, Tensor] = {}
    meta = {
        "nodes": [_pack_node(f"n{i}", n, s, tensors) for i, (n, s) in enumerate(graph.nodes.items())],
        "edges": [_pack_edge(f"e{i}", list(t), s, tensors) for i, (t, s) in enumerate(graph.edges.items())],
        "relations": list(graph.relations),
        "schema": None if graph.schema is None else graph.schema.to_dict(),
        "fit_until": graph.fit_until,
        "num_main_entities": graph.num_main_entities,
        "report": dict(graph.report),
    }
    return meta, tensors


def load_graph(path: Path) -> HeteroGraph:
    """Read a graph that :func:`save_graph` wrote.

    Raises:
        AdapterError: If the folder is not a saved graph, of a newer version, or damaged.
    """
    meta, tensors = read_folder(path, _KIND)
    try:
        return unpack_graph(meta, tensors)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise AdapterError(f"{path} is damaged: graph.json does not fit ({error!r}); save the graph again") from error


def unpack_graph(meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> HeteroGraph:
    """The inverse of :func:`pack_graph`."""
    nodes = {entry["name"]: _unpack_node(f"n{i}", entry, tensors) for i, entry in enumerate(meta["nodes"])}
    edges = {tuple(entry["name"]): _unpack_edge(f"e{i}", tensors) for i, entry in enumerate(meta["edges"])}
    return HeteroGraph(
        nodes,
        edges,
        relations=tuple(meta["relations"]),
        schema=None if meta["schema"] is None else Schema.from_dict(meta["schema"]),
        fit_until=meta["fit_until"],
        num_main_entities=meta["num_main_entities"],
        report=meta["report"],
    )


def _pack_node(prefix: str, name: str, store: NodeStore, tensors: dict[str, Tensor]) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "num_nodes": store.num_nodes, "key_names": None, "features": None}
    if store.time is not None:
        tensors[f"{prefix}.time"] = store.time
    if store.keys is not None:
        entry["key_names"] = list(store.keys.names)
        for i, column in enumerate(store.keys.columns):
            if isinstance(column, TextColumn):
                tensors[f"{prefix}.key{i}.offsets"], tensors[f"{prefix}.key{i}.data"] = column.offsets, column.data
            else:
                tensors[f"{prefix}.key{i}"] = column
    if store.features is not None:
        entry["features"] = {"names": {k.value: v for k, v in store.features.names.items()}}
        entry["features"]["stats"] = store.features.stats
        for kind, value in store.features.values.items():
            if isinstance(value, Ragged):
                tensors[f"{prefix}.{kind.value}"] = value.values
                tensors[f"{prefix}.{kind.value}.offsets"] = value.offsets
            else:
                tensors[f"{prefix}.{kind.value}"] = value
    return entry


def _unpack_node(prefix: str, entry: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> NodeStore:
    keys = features = None
    if entry["key_names"] is not None:
        columns: list[Tensor | TextColumn] = []
        for i in range(len(entry["key_names"])):
            name = f"{prefix}.key{i}"
            whole = tensors.get(name)
            columns.append(TextColumn(tensors[f"{name}.offsets"], tensors[f"{name}.data"]) if whole is None else whole)
        keys = Keys(tuple(entry["key_names"]), tuple(columns))
    if entry["features"] is not None:
        names = {SemanticType(kind): tuple(columns) for kind, columns in entry["features"]["names"].items()}
        values: dict[SemanticType, Tensor | Ragged] = {}
        for kind, chosen in names.items():
            value, offsets = tensors[f"{prefix}.{kind.value}"], tensors.get(f"{prefix}.{kind.value}.offsets")
            values[kind] = value if offsets is None else Ragged(entry["num_nodes"], len(chosen), value, offsets)
        features = Features(entry["num_nodes"], values, names, entry["features"]["stats"])
    return NodeStore(entry["num_nodes"], keys, tensors.get(f"{prefix}.time"), features)


def _pack_edge(prefix: str, name: list[str], store: EdgeStore, tensors: dict[str, Tensor]) -> dict[str, Any]:
    tensors[f"{prefix}.index"] = store.edge_index
    if store.time is not None:
        tensors[f"{prefix}.time"] = store.time
    if store.qualifiers is not None:
        for part in ("ptr", "relation", "entity"):
            tensors[f"{prefix}.qualifiers.{part}"] = getattr(store.qualifiers, part)
    return {"name": name}


def _unpack_edge(prefix: str, tensors: Mapping[str, Tensor]) -> EdgeStore:
    qualifiers = None
    if f"{prefix}.qualifiers.ptr" in tensors:
        qualifiers = Qualifiers(*(tensors[f"{prefix}.qualifiers.{part}"] for part in ("ptr", "relation", "entity")))
    return EdgeStore(tensors[f"{prefix}.index"], tensors.get(f"{prefix}.time"), qualifiers)
