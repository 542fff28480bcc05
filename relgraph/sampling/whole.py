"""The whole graph as one batch, for graphs and tasks without time that are small enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch_geometric.sampler import BaseSampler, EdgeSamplerInput, HeteroSamplerOutput, NodeSamplerInput

from relgraph.data.graph import EdgeType, HeteroGraph, reverse_type
from relgraph.data.time import UNKNOWN
from relgraph.errors import ProtocolError, SchemaError, ShapeError

__all__ = ["WholeGraph"]


class WholeGraph(BaseSampler):  # type: ignore[misc]
    """A sampler that samples nothing: every batch has all nodes and edges once, the seeds first.

    It takes the place of a :class:`~relgraph.sampling.TemporalSampler` in PyG's ``NodeLoader``. All seeds share one
    graph, so they have no moments of their own. Edges that point to seeds come first and count as the first hop, all
    others as the second, so that networks which trim their last layer compute only what seeds need. Of undirected
    edges that are stored in both directions, each is in the batch once per direction. What has an unknown time is not
    seen, as everywhere.

    Args:
        graph: The graph.
    """

    strategy = "whole"
    seed = 0
    until: int | None = None

    def __init__(self, graph: HeteroGraph) -> None:
        self.num_nodes = {name: store.num_nodes for name, store in graph.nodes.items()}
        self.edge_index: dict[EdgeType, Tensor] = {}
        for edge_type, store in graph.edges.items():
            time, index = graph.edge_time(edge_type), store.edge_index
            if time is not None:
                index = index[:, time != UNKNOWN]
            self.edge_index[edge_type] = index
            mirrored = edge_type[0] == edge_type[2] and _is_symmetric(index, self.num_nodes[edge_type[0]])
            self.edge_index[reverse_type(edge_type)] = index[:, :0] if mirrored else index.flip(0)

    @property
    def num_neighbors(self) -> Mapping[EdgeType, tuple[int, ...]]:
        """Every neighbour of every edge type."""
        return dict.fromkeys(self.edge_index, (-1, -1))

    def set_epoch(self, epoch: int) -> None:
        """Nothing is drawn, so that every epoch is the same."""

    def sample_from_nodes(self, index: NodeSamplerInput, **kwargs: Any) -> HeteroSamplerOutput:
        """All nodes and edges, for PyG's ``NodeLoader``.

        Raises:
            ProtocolError: If the seeds have times.
            SchemaError: If the seeds' node type does not exist.
            ShapeError: If a seed is out of range or comes twice.
        """
        if index.time is not None:
            raise ProtocolError("a whole graph shows every seed everything; seeds with times need a TemporalSampler")
        name, seeds = index.input_type, index.node.to(torch.int64)
        if name is None or name not in self.num_nodes:
            raise SchemaError(
                f"input_nodes: expected (node type, index) with one of {', '.join(self.num_nodes)}, got {name!r}"
            )
        node = {kind: torch.arange(size) for kind, size in self.num_nodes.items()}
        node[name], place = _seeds_first(seeds, self.num_nodes[name])
        row, col, edge, num_edges = {}, {}, {}, {}
        for edge_type, (source, target) in self.edge_index.items():
            source = place[source] if edge_type[0] == name else source
            target = place[target] if edge_type[2] == name else target
            order = torch.arange(target.numel())
            first = 0
            if edge_type[2] == name:
                near = target < seeds.numel()
                order = torch.cat([torch.nonzero(near).squeeze(1), torch.nonzero(~near).squeeze(1)])
                first = int(near.sum())
            row[edge_type], col[edge_type], edge[edge_type] = source[order], target[order], order
            num_edges[edge_type] = [first, target.numel() - first]
        rest = {kind: size - (seeds.numel() if kind == name else 0) for kind, size in self.num_nodes.items()}
        input_id = torch.arange(seeds.numel()) if index.input_id is None else index.input_id
        return HeteroSamplerOutput(
            node=node,
            row=row,
            col=col,
            edge=edge,
            batch={kind: torch.zeros_like(numbers) for kind, numbers in node.items()},
            num_sampled_nodes={kind: [seeds.numel() if kind == name else 0, rest[kind], 0] for kind in self.num_nodes},
            num_sampled_edges=num_edges,
            metadata=(input_id, None),
        )

    def sample_from_edges(self, index: EdgeSamplerInput, neg_sampling: Any = None) -> HeteroSamplerOutput:
        """Refused: in a whole graph the links to predict would be seen.

        Raises:
            ProtocolError: Always.
        """
        raise ProtocolError("a whole graph shows the links to predict; for a LinkLoader use a TemporalSampler")

    def __repr__(self) -> str:
        return f"WholeGraph({sum(self.num_nodes.values()):,} nodes)"


def _is_symmetric(index: Tensor, size: int) -> bool:
    """Whether every edge's opposite is stored as often as the edge."""
    keys, opposite = index[0] * size + index[1], index[1] * size + index[0]
    return torch.equal(keys.sort().values, opposite.sort().values)


def _seeds_first(seeds: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """All nodes with the seeds in front, and where each node stands."""
    if seeds.numel() and (int(seeds.min()) < 0 or int(seeds.max()) >= size):
        raise ShapeError(f"input_nodes: expected numbers in 0..{size - 1}, got {int(seeds.min())}..{int(seeds.max())}")
    rest = torch.ones(size, dtype=torch.bool)
    rest[seeds] = False
    node = torch.cat([seeds, torch.nonzero(rest).squeeze(1)])
    if node.numel() != size:
        raise ShapeError("input_nodes: expected every seed once in a batch of the whole graph, got some twice")
    place = torch.empty(size, dtype=torch.int64)
    place[node] = torch.arange(size)
    return node, place
