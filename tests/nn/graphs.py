"""A small graph for tests of networks: a bridge table, a table with one key, a self-reference, a table alone."""

from __future__ import annotations

import torch
from torch import Tensor

from relgraph.data.graph import EdgeStore, EdgeType, HeteroGraph, NodeStore, reverse_type

SIZES = {"person": 6, "sale": 40, "shop": 3, "alone": 2}


def ends(n: int, m: int, count: int, generator: torch.Generator) -> Tensor:
    return torch.stack([torch.randint(n, (count,), generator=generator) for n in (n, m)])


def shop_graph() -> HeteroGraph:
    """Sales have a buyer and a place, some persons a boss; times are small numbers."""
    generator = torch.Generator().manual_seed(1)
    time = torch.randint(0, 100, (40,), generator=generator)
    nodes = {"person": NodeStore(6), "sale": NodeStore(40, time=time), "shop": NodeStore(3), "alone": NodeStore(2)}
    sale = torch.arange(40)
    edges = {
        ("sale", "buyer", "person"): EdgeStore(torch.stack([sale, torch.randint(6, (40,), generator=generator)])),
        ("sale", "place", "shop"): EdgeStore(
            torch.stack([sale[:30], torch.randint(3, (30,), generator=generator)])  # ten sales without a place
        ),
        ("person", "boss", "person"): EdgeStore(ends(6, 6, 5, generator)),
    }
    return HeteroGraph(nodes, edges)


def both_directions(graph: HeteroGraph) -> dict[EdgeType, Tensor]:
    """All edges with their ``rev_`` directions."""
    edges = {}
    for kind, store in graph.edges.items():
        edges[kind] = store.edge_index
        edges[reverse_type(kind)] = store.edge_index.flip(0)
    return edges


def vectors(channels: int, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(n, channels, generator=generator, dtype=torch.float64).requires_grad_()
        for name, n in SIZES.items()
    }
