"""Predictors on disk: parameters, settings, and what is needed to build the graph of another state of the database."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from relgraph.data.build import build_graph
from relgraph.data.folder import read_folder, write_folder
from relgraph.data.graph import HeteroGraph, NodeStore
from relgraph.data.like import without_rows
from relgraph.data.store import pack_graph, unpack_graph
from relgraph.errors import AdapterError, RelGraphError, SchemaError

if TYPE_CHECKING:
    from relgraph.data.database import Database

__all__ = ["SavedPredictor", "fingerprints", "read_predictor", "require_alike", "unpacking", "write_predictor"]

_MODEL, _GRAPH = "model.", "graph."


@dataclass(frozen=True)
class SavedPredictor:
    """What :func:`write_predictor` wrote.

    Args:
        path: Its folder.
        kind: Of predictor.
        meta: Settings as JSON values.
        state: The model's parameters and buffers.
        shape: The graph it was trained on, without its rows.
    """

    path: Path
    kind: str
    meta: dict[str, Any]
    state: dict[str, Tensor]
    shape: HeteroGraph

    def graph(self, given: HeteroGraph | None, db: Database | None, progress: bool = False) -> HeteroGraph:
        """The graph to predict on: the one given, the one of a database, or the trained one's without rows.

        Raises:
            SchemaError: If tables, columns, keys, edge types or statistics are others than in training.
        """
        if given is None and db is not None:
            given = build_graph(db, like=self.shape, progress=progress)
        if given is None:
            return self.shape
        require_alike(self.shape, given, str(self.path))
        return given


def write_predictor(path: str | Path, kind: str, meta: Mapping[str, Any], model: nn.Module, graph: HeteroGraph) -> Path:
    """Write a model with its settings and the graph without rows, all in one atomic step.

    Args:
        path: The folder.
        kind: Of predictor, such as ``"entity_predictor"``.
        meta: Settings as JSON values.
        model: What was trained.
        graph: What it was trained on.
    """
    shape, tensors = pack_graph(without_rows(graph))
    state = {f"{_MODEL}{name}": value for name, value in model.state_dict().items()}
    return write_folder(
        path, kind, {**meta, "graph": shape}, state | {f"{_GRAPH}{name}": value for name, value in tensors.items()}
    )


def read_predictor(path: str | Path, kind: str) -> SavedPredictor:
    """Read what :func:`write_predictor` wrote.

    Raises:
        AdapterError: If the folder holds no whole predictor of this kind.
    """
    meta, tensors = read_folder(path, kind)
    parts: dict[str, dict[str, Tensor]] = {_MODEL: {}, _GRAPH: {}}
    for name, value in tensors.items():
        for prefix, part in parts.items():
            if name.startswith(prefix):
                part[name.removeprefix(prefix)] = value
    with unpacking(path, kind):
        shape = unpack_graph(meta["graph"], parts[_GRAPH])
    return SavedPredictor(Path(path), kind, meta, parts[_MODEL], shape)


@contextmanager
def unpacking(path: str | Path, kind: str) -> Iterator[None]:
    """A block that makes something of what a folder holds; what does not fit there is damage.

    Raises:
        AdapterError: Instead of whatever odd content runs into.
    """
    try:
        yield
    except RelGraphError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise AdapterError(
            f"{path} is damaged: {kind}.json or its data does not fit ({error!r}); save the predictor again"
        ) from None


def require_alike(trained: HeteroGraph, graph: HeteroGraph, where: str) -> None:
    """Check that a graph has all that a model's parameters were made for.

    Args:
        trained: The graph trained on, with or without rows.
        graph: The graph to predict on.
        where: Stands before the message.

    Raises:
        SchemaError: If tables, edge types, columns or their statistics differ; the message names each.
    """
    faults = [f"table {name!r} is missing" for name in trained.nodes if name not in graph.nodes]
    faults += [f"table {name!r} is new" for name in graph.nodes if name not in trained.nodes]
    for name, store in trained.nodes.items():
        if name in graph.nodes:
            faults += _store_faults(name, store, graph.nodes[name])
    faults += [f"edge type {'/'.join(t)} is missing" for t in trained.edges if t not in graph.edges]
    faults += [f"edge type {'/'.join(t)} is new" for t in graph.edges if t not in trained.edges]
    if not faults and (trained.node_types, trained.edge_types) != (graph.node_types, graph.edge_types):
        faults = ["its tables or edge types stand in another order"]
    if faults:
        raise SchemaError(
            f"{where}: the graph is not like the one trained on:\n"
            + "\n".join(f"  {fault}" for fault in faults)
            + "\nBuild it with build_graph(db, like=...) from the graph trained on, or load the predictor without a "
            "graph and use predictor.on(db)."
        )


def _store_faults(name: str, old: NodeStore, new: NodeStore) -> Iterator[str]:
    if (old.time is None) != (new.time is None):
        yield f"table {name!r} had {_has(old.time)}, has {_has(new.time)}"
    was, now = _columns(old), _columns(new)
    yield from (f"column {name}.{c} ({kind}) is missing" for c, (kind, _) in was.items() if c not in now)
    yield from (f"column {name}.{c} ({kind}) is new" for c, (kind, _) in now.items() if c not in was)
    for column in (column for column in was if column in now):
        (kind, before), (other, after) = was[column], now[column]
        if kind != other:
            yield f"column {name}.{column} was {kind}, is {other}"
        elif _text(before) != _text(after):
            odd = [key for key in {**before, **after} if _text(before.get(key)) != _text(after.get(key))]
            yield f"column {name}.{column} has other statistics ({', '.join(odd)})"
    if list(was) != list(now) and set(was) == set(now):
        yield f"the columns of {name!r} stand in another order"


def _columns(store: NodeStore) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """The type and the statistics of each feature column."""
    found = store.features
    return {} if found is None else {c: (found.kind(c).value, found.stats[c]) for c in found.column_names}


def _has(time: Tensor | None) -> str:
    return "no time" if time is None else "a time"


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=dict)


def fingerprints(graph: HeteroGraph) -> dict[str, str]:
    """Per table a hash of its columns with their statistics, and the edge types: what parameters depend on."""
    out = {"/".join(edge_type): "edge type" for edge_type in graph.edges}
    for name, store in graph.nodes.items():
        content: list[Any] = [store.time is not None]
        if store.features is not None:
            content += [{kind.value: names for kind, names in store.features.names.items()}, dict(store.features.stats)]
        out[name] = hashlib.sha256(_text(content).encode()).hexdigest()
    return out
