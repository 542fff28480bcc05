"""Whether two graphs are the same in everything that is stored."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor

from relgraph.data.graph import HeteroGraph


def require_same(first: HeteroGraph, second: HeteroGraph) -> None:
    """Nodes, keys, times, features, statistics, edges and report, each with the same values in the same order."""
    assert first.node_types == second.node_types
    assert first.edge_types == second.edge_types
    assert (first.schema, first.fit_until) == (second.schema, second.fit_until)
    assert json.dumps(dict(first.report)) == json.dumps(dict(second.report))
    for name, store in first.nodes.items():
        other = second.nodes[name]
        assert store.num_nodes == other.num_nodes, name
        keys = [None if found.keys is None else (found.keys.names, found.keys.tolist()) for found in (store, other)]
        assert keys[0] == keys[1], name
        _same(store.time, other.time, name)
        assert (store.features is None) == (other.features is None), name
        if store.features is not None and other.features is not None:
            assert dict(store.features.names) == dict(other.features.names), name
            assert json.dumps(dict(store.features.stats)) == json.dumps(dict(other.features.stats)), name
            for kind, value in store.features.values.items():
                _same(value, other.features.values[kind], f"{name}.{kind}")
    for edge_type, edges in first.edges.items():
        _same(edges.edge_index, second.edges[edge_type].edge_index, str(edge_type))


def _same(first: Any, second: Any, what: str) -> None:
    if not isinstance(first, Tensor):
        assert type(first) is type(second), what
        if first is not None:  # a matrix of lists
            _same(first.values, second.values, what)
            _same(first.offsets, second.offsets, what)
        return
    assert isinstance(second, Tensor), what
    assert first.dtype == second.dtype, what
    equal = torch.equal(first.nan_to_num(7e7), second.nan_to_num(7e7)) if first.is_floating_point() else None
    assert equal if equal is not None else torch.equal(first, second), what
