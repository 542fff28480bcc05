"""Neighbours in order of time: what a moment may see is a prefix of each row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from relgraph.data.graph import EdgeType, HeteroGraph, reverse_type

__all__ = ["Adjacency"]


@dataclass(frozen=True, eq=False)
class Adjacency:
    """One direction of one edge type as CSR by target; the neighbours of a row are sorted by time.

    Edges of equal time keep the order in which they are stored.

    Args:
        edge_type: ``(source type, relation, target type)``; messages flow from source to target.
        number: What the edge type is called in :mod:`relgraph.sampling.hashing`.
        ptr: Where the neighbours of each target start, int64 ``[targets + 1]``.
        source: Source nodes, int64 ``[E]``.
        edge: Number of the stored edge, int64 ``[E]``; the ``rev_`` direction refers to the same numbers.
        time: When each became known, int64 ``[E]`` microseconds, or ``None`` when all are static.
    """

    edge_type: EdgeType
    number: int
    ptr: Tensor
    source: Tensor
    edge: Tensor
    time: Tensor | None

    @classmethod
    def from_graph(
        cls, graph: HeteroGraph, edge_type: EdgeType, reverse: bool = False, device: torch.device | str = "cpu"
    ) -> Adjacency:
        """Sort the edges of a stored type, or of its opposite direction, by target and time."""
        store = graph.edges[edge_type]
        source, target = store.edge_index.flip(0) if reverse else store.edge_index
        time = graph.edge_time(edge_type)
        # two stable sorts: by time first, then by target
        order = torch.arange(store.num_edges) if time is None else torch.argsort(time, stable=True)
        order = order[torch.argsort(target[order], stable=True)]
        ptr = torch.zeros(graph.nodes[edge_type[0] if reverse else edge_type[2]].num_nodes + 1, dtype=torch.int64)
        ptr[1:] = torch.bincount(target, minlength=ptr.numel() - 1).cumsum(0)
        return cls(
            edge_type=reverse_type(edge_type) if reverse else edge_type,
            number=2 * list(graph.edges).index(edge_type) + int(reverse),
            ptr=ptr.to(device),
            source=source[order].to(device),
            edge=order.to(device),
            time=None if time is None else time[order].to(device),
        )

    @cached_property
    def max_degree(self) -> int:
        """The longest row."""
        return int((self.ptr[1:] - self.ptr[:-1]).max()) if self.ptr.numel() > 1 else 0

    def visible(self, node: Tensor, time: Tensor) -> Tensor:
        """How many neighbours of each target are known at a moment: the length of the visible prefix of its row.

        A binary search in all rows at once.

        Args:
            node: Targets, int64 ``[F]``.
            time: The moment of each, inclusive, int64 ``[F]`` microseconds.

        Returns:
            int64 ``[F]``.
        """
        start, low, high = self.ptr[node], self.ptr[node], self.ptr[node + 1]
        if self.time is None or self.time.numel() == 0:
            return high - start
        for _ in range(self.max_degree.bit_length()):
            middle = (low + high) >> 1
            searching = low < high
            known = self.time[middle.clamp(max=self.time.numel() - 1)] <= time
            low = torch.where(searching & known, middle + 1, low)
            high = torch.where(searching & ~known, middle, high)
        return low - start
