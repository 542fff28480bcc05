"""What every network here shares: rounds of message passing that go only as far as the seeds still need."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch_geometric.nn import LayerNorm

from relgraph.data.graph import EdgeType, NodeType
from relgraph.errors import ShapeError
from relgraph.ops.dropout import dropout

__all__ = ["HeteroRounds", "Nearby", "Norm", "check_heads"]

Norm = Literal["layer", "none"]


class Nearby:
    """The vectors and edges of a batch, up to a distance from the seeds.

    Args:
        x: Vectors ``[N, channels]`` per node type.
        edges: Edges per type, int64 ``[2, E]``: source, target.
        num_nodes: Nodes per type found by each hop, the seeds first; ``None`` for a whole graph.
        num_edges: Edges per type followed by each hop; ``None`` for a whole graph.
    """

    def __init__(
        self,
        x: Mapping[NodeType, Tensor],
        edges: Mapping[EdgeType, Tensor],
        num_nodes: Mapping[NodeType, Sequence[int]] | None,
        num_edges: Mapping[EdgeType, Sequence[int]] | None,
    ) -> None:
        self.x = x
        self._edges = edges
        self._sampled = None if num_nodes is None or num_edges is None else (num_nodes, num_edges)

    def nodes(self, hops: int) -> dict[NodeType, Tensor]:
        """The vectors of nodes at most so many hops from a seed; of all in a whole graph."""
        if self._sampled is None:
            return dict(self.x)
        count = self._sampled[0]
        return {name: h[: sum(count[name][: hops + 1])] for name, h in self.x.items()}

    def edges(self, hops: int) -> dict[EdgeType, Tensor]:
        """The edges whose target is at most so many hops from a seed, of the types whose both ends have vectors."""
        kept = {k: index for k, index in self._edges.items() if k[0] in self.x and k[2] in self.x}
        if self._sampled is None:
            return kept
        count = self._sampled[1]
        return {kind: index[:, : sum(count.get(kind, ())[: hops + 1])] for kind, index in kept.items()}


class HeteroRounds(nn.Module):
    r"""Rounds of message passing on a graph of several node and edge types.

    A round makes :math:`h' = \mathrm{dropout}(\mathrm{ReLU}(\mathrm{LayerNorm}(m)))` of what :meth:`_round` gives for
    each node type; a node type that it gives nothing for keeps its vectors in place of :math:`m`.

    Args:
        node_types: The node types.
        edge_types: The edge types that messages flow along, with their ``rev_`` directions.
        channels: Width of all vectors.
        num_layers: Rounds.
        norm: ``"layer"``, per node, or ``"none"``.
        dropout: After each round but the last.

    Raises:
        ShapeError: If ``norm`` is unknown.
    """

    hops_per_round: ClassVar[int] = 1
    activation: ClassVar[bool] = True

    def __init__(
        self,
        node_types: Sequence[NodeType],
        edge_types: Sequence[EdgeType],
        channels: int,
        num_layers: int,
        norm: Norm = "layer",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if norm not in get_args(Norm):
            raise ShapeError(f"norm: expected one of {', '.join(get_args(Norm))}, got {norm!r}")
        self.node_types, self.edge_types = list(node_types), list(edge_types)
        self.channels, self.dropout = channels, dropout
        self.layers = nn.ModuleList()
        for _ in range(num_layers):
            parts = self._parts()
            if norm == "layer":
                parts["norms"] = nn.ModuleList(LayerNorm(channels, mode="node") for _ in self.node_types)
            self.layers.append(nn.ModuleDict(parts))

    @abstractmethod
    def _parts(self) -> dict[str, nn.Module]:
        """The modules of a round."""

    @abstractmethod
    def _round(self, layer: Any, near: Nearby, reach: int) -> dict[NodeType, Tensor]:
        """New vectors of the nodes at most ``reach`` hops from the seeds, before the norm; may leave types out."""

    def forward(
        self,
        x_dict: Mapping[NodeType, Tensor],
        edge_index_dict: Mapping[EdgeType, Tensor],
        num_sampled_nodes: Mapping[NodeType, Sequence[int]] | None = None,
        num_sampled_edges: Mapping[EdgeType, Sequence[int]] | None = None,
    ) -> dict[NodeType, Tensor]:
        """Pass messages.

        Args:
            x_dict: Vectors ``[N, channels]`` per node type.
            edge_index_dict: Edges per type, int64 ``[2, E]``: source, target.
            num_sampled_nodes: Nodes per type found by each hop, the seeds first, as a sampler gives them. With both of
                these a layer computes only what the seeds still need; the vectors of the seeds are the same.
            num_sampled_edges: Edges per type followed by each hop.

        Returns:
            Vectors per node type: of all nodes, or of the seeds when the sampled numbers are given.
        """
        x = dict(x_dict)
        for number, layer in enumerate(self.layers):
            left = len(self.layers) - 1 - number
            near = Nearby(x, edge_index_dict, num_sampled_nodes, num_sampled_edges)
            reach = left * self.hops_per_round
            found = {**near.nodes(reach), **self._round(layer, near, reach)}
            x = {name: self._finish(layer, name, found[name], left > 0) for name in self.node_types if name in found}
        return x

    def _finish(self, layer: Any, name: NodeType, h: Tensor, more: bool) -> Tensor:
        if "norms" in layer:
            h = layer["norms"][self.node_types.index(name)](h)
        if self.activation:
            h = torch.relu(h)
        return dropout(h, self.dropout, self.training and more)


def check_heads(channels: int, heads: int) -> int:
    """The width of one head.

    Raises:
        ShapeError: If ``channels`` cannot be divided among the heads.
    """
    if heads < 1 or channels % heads:
        raise ShapeError(f"heads: expected a divisor of channels = {channels}, got {heads}")
    return channels // heads
