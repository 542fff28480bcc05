"""GraphSAGE on a graph of several node and edge types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch_geometric.nn import LayerNorm
from torch_geometric.utils import scatter

from relgraph.data.graph import EdgeType, NodeType
from relgraph.errors import ShapeError

__all__ = ["HeteroGraphSAGE"]

Aggregation = Literal["sum", "mean", "max"]


class HeteroGraphSAGE(nn.Module):
    r"""GraphSAGE (Hamilton et al. 2017, arXiv 1706.02216) with weights per edge type, summed over edge types.

    .. math::
        h_v^{(l+1)} = \mathrm{ReLU}\Big(\mathrm{LayerNorm}\Big(\sum_{r = (s, \cdot, t(v))} W_r \sum_{u \in N_r(v)}
        h_u^{(l)} + b_r + V_r h_v^{(l)}\Big)\Big)

    the message passing of RelBench (Robinson et al. 2024, arXiv 2407.20060): PyG's ``SAGEConv`` per edge type in a
    ``HeteroConv``, with two rearrangements that change nothing but the time. The :math:`V_r` of one node type are added
    before they are applied, and :math:`W_r` is applied to the sources where there are fewer of them than targets. A
    node type that no edge type points to keeps its vectors, normalised.

    Args:
        node_types: The node types.
        edge_types: The edge types that messages flow along, with their ``rev_`` directions.
        channels: Width of all vectors.
        num_layers: Rounds of message passing.
        aggr: How the messages of one edge type meet: ``"sum"``, ``"mean"`` or ``"max"``.

    Raises:
        ShapeError: If ``aggr`` is none of these.
    """

    def __init__(
        self,
        node_types: Sequence[NodeType],
        edge_types: Sequence[EdgeType],
        channels: int = 128,
        num_layers: int = 2,
        aggr: Aggregation = "sum",
    ) -> None:
        super().__init__()
        if aggr not in get_args(Aggregation):
            raise ShapeError(f"aggr: expected one of {', '.join(get_args(Aggregation))}, got {aggr!r}")
        self.node_types, self.edge_types, self.aggr = list(node_types), list(edge_types), aggr
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    "neighbours": nn.ModuleList(nn.Linear(channels, channels) for _ in self.edge_types),
                    "roots": nn.ModuleList(nn.Linear(channels, channels, bias=False) for _ in self.edge_types),
                    "norms": nn.ModuleList(LayerNorm(channels, mode="node") for _ in self.node_types),
                }
            )
            for _ in range(num_layers)
        )

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
            reach = len(self.layers) - 1 - number  # targets within so many hops of the seeds still matter
            kept, edges = x, dict(edge_index_dict)
            if num_sampled_nodes is not None and num_sampled_edges is not None:
                kept = {name: h[: sum(num_sampled_nodes[name][: reach + 1])] for name, h in x.items()}
                edges = {
                    kind: index[:, : sum(num_sampled_edges.get(kind, ())[: reach + 1])] for kind, index in edges.items()
                }
            x = self._layer(layer, x, kept, edges)
        return x

    def _layer(
        self,
        layer: Any,
        x: Mapping[NodeType, Tensor],
        kept: Mapping[NodeType, Tensor],
        edges: Mapping[EdgeType, Tensor],
    ) -> dict[NodeType, Tensor]:
        out = {}
        for place, name in enumerate(self.node_types):
            if name not in kept:
                continue
            target = kept[name]
            kinds = [
                i
                for i, (source, _, end) in enumerate(self.edge_types)
                if end == name and self.edge_types[i] in edges and source in x
            ]
            h = target
            if kinds:
                root = torch.stack([layer["roots"][i].weight for i in kinds]).sum(0)
                h = F.linear(target, root, torch.stack([layer["neighbours"][i].bias for i in kinds]).sum(0))
            for i in kinds:
                kind = self.edge_types[i]
                h = h + self._messages(x[kind[0]], layer["neighbours"][i].weight, edges[kind], target.size(0))
            out[name] = torch.relu(layer["norms"][place](h))
        return out

    def _messages(self, x: Tensor, weight: Tensor, edge_index: Tensor, num_targets: int) -> Tensor:
        """What the targets get along one edge type, ``[num_targets, channels]``."""
        row, col = edge_index
        if self.aggr == "max":
            return F.linear(scatter(x[row], col, dim=0, dim_size=num_targets, reduce="max"), weight)
        transform_first = x.size(0) < num_targets
        h = F.linear(x, weight) if transform_first else x
        h = torch.zeros(num_targets, h.size(1), dtype=h.dtype, device=h.device).index_add(
            0, col, h.index_select(0, row)
        )
        if self.aggr == "mean":
            h = h / torch.bincount(col, minlength=num_targets).clamp(min=1).unsqueeze(1)
        return h if transform_first else F.linear(h, weight)
