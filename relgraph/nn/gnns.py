"""The message passing networks by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from relgraph.data.graph import EdgeType, NodeType
from relgraph.errors import ShapeError
from relgraph.nn.gat import HeteroGAT
from relgraph.nn.gcn import HeteroGCN, PersonalizedPageRank, RandomPropagation
from relgraph.nn.hgt import HeteroAttention
from relgraph.nn.relgnn import RelGNN
from relgraph.nn.rounds import HeteroRounds
from relgraph.nn.sage import HeteroGraphSAGE

__all__ = ["GNNS", "make_gnn"]

GNNS: dict[str, type[HeteroRounds] | type[HeteroGCN] | type[PersonalizedPageRank] | type[RandomPropagation]] = {
    "sage": HeteroGraphSAGE,
    "gat": HeteroGAT,
    "hgt": HeteroAttention,
    "relgnn": RelGNN,
    "gcn": HeteroGCN,
    "ppr": PersonalizedPageRank,
    "grand": RandomPropagation,
}
"""All are made with ``(node_types, edge_types, channels, num_layers, **options)`` and called alike."""


def make_gnn(
    name: str,
    node_types: Sequence[NodeType],
    edge_types: Sequence[EdgeType],
    channels: int,
    num_layers: int,
    options: Mapping[str, Any],
) -> nn.Module:
    """Build a network of :data:`GNNS` by its name.

    Raises:
        ShapeError: If there is no such network, or it has no such option.
    """
    if name not in GNNS:
        raise ShapeError(f"gnn: expected one of {', '.join(GNNS)}, got {name!r}")
    known = list(inspect.signature(GNNS[name]).parameters)[4:]
    unknown = [option for option in options if option not in known]
    if unknown:
        raise ShapeError(f"gnn_options: {name!r} has no option {unknown[0]!r}; its options: {', '.join(known)}")
    made: nn.Module = GNNS[name](node_types, edge_types, channels, num_layers, **options)
    return made
