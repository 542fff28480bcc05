"""GraphSAGE on a graph of several node and edge types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from relgraph.data.graph import EdgeType, NodeType
from relgraph.errors import ShapeError
from relgraph.nn.rounds import HeteroRounds, Nearby, Norm
from relgraph.ops.gather_scale_scatter import gather_scale_scatter

__all__ = ["HeteroGraphSAGE"]

Aggregation = Literal["sum", "mean", "max"]


class HeteroGraphSAGE(HeteroRounds):
    r"""GraphSAGE (Hamilton et al. 2017, arXiv 1706.02216) with weights per edge type, summed over edge types.

    .. math::
        h_v^{(l+1)} = \mathrm{ReLU}\Big(\mathrm{LayerNorm}\Big(\sum_{r = (s, \cdot, t(v))} W_r \sum_{u \in N_r(v)}
        h_u^{(l)} + b_r + V_r h_v^{(l)}\Big)\Big)

    the message passing of RelBench (Robinson et al. 2024, arXiv 2407.20060): PyG's ``SAGEConv`` per edge type in a
    ``HeteroConv``, with two rearrangements that change nothing but the time. The :math:`V_r` of one node type are added
    before they are applied, and :math:`W_r` is applied to the sources unless they are many more than targets. A
    node type that no edge type points to keeps its vectors, normalised.

    Args:
        node_types: The node types.
        edge_types: The edge types that messages flow along, with their ``rev_`` directions.
        channels: Width of all vectors.
        num_layers: Rounds of message passing.
        aggr: How the messages of one edge type meet: ``"sum"``, ``"mean"`` or ``"max"``.
        norm: ``"layer"`` or ``"none"``.
        dropout: After each round but the last.

    Raises:
        ShapeError: If ``aggr`` or ``norm`` is none of these.
    """

    def __init__(
        self,
        node_types: Sequence[NodeType],
        edge_types: Sequence[EdgeType],
        channels: int = 128,
        num_layers: int = 2,
        aggr: Aggregation = "sum",
        norm: Norm = "layer",
        dropout: float = 0.0,
    ) -> None:
        if aggr not in get_args(Aggregation):
            raise ShapeError(f"aggr: expected one of {', '.join(get_args(Aggregation))}, got {aggr!r}")
        super().__init__(node_types, edge_types, channels, num_layers, norm, dropout)
        self.aggr = aggr

    def _parts(self) -> dict[str, nn.Module]:
        c = self.channels
        return {
            "neighbours": nn.ModuleList(nn.Linear(c, c) for _ in self.edge_types),
            "roots": nn.ModuleList(nn.Linear(c, c, bias=False) for _ in self.edge_types),
        }

    def _round(self, layer: Any, near: Nearby, reach: int) -> dict[NodeType, Tensor]:
        kept, edges = near.nodes(reach), near.edges(reach)
        out = {}
        for name, target in kept.items():
            kinds = [i for i, kind in enumerate(self.edge_types) if kind[2] == name and kind in edges]
            if not kinds:
                continue
            root = torch.stack([layer["roots"][i].weight for i in kinds]).sum(0)
            h = F.linear(target, root, torch.stack([layer["neighbours"][i].bias for i in kinds]).sum(0))
            for i in kinds:
                kind = self.edge_types[i]
                h = self._add_messages(h, near.x[kind[0]], layer["neighbours"][i].weight, edges[kind])
            out[name] = h
        return out

    def _add_messages(self, h: Tensor, x: Tensor, weight: Tensor, edge_index: Tensor) -> Tensor:
        """``h`` and what the targets get along one edge type, ``[num_targets, channels]``."""
        if not edge_index.numel():
            return h
        if self.aggr == "sum" and x.size(0) <= 1.5 * h.size(0):
            return h + gather_scale_scatter(F.linear(x, weight), edge_index, h.size(0))
        return torch.addmm(h, gather_scale_scatter(x, edge_index, h.size(0), reduce=self.aggr), weight.t())
