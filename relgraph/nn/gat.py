"""Graph attention on a graph of several node and edge types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from relgraph.data.graph import EdgeType, NodeType
from relgraph.nn.attend import attend
from relgraph.nn.rounds import HeteroRounds, Nearby, Norm, check_heads

__all__ = ["HeteroGAT"]


class HeteroGAT(HeteroRounds):
    r"""Graph attention (Veličković et al. 2018, arXiv 1710.10903) with weights per edge type, summed over edge types.

    .. math::
        m_v = \sum_{r = (s, \cdot, t(v))} \Big( \sum_{u \in N_r(v)} \alpha_{ruv} W_r h_u + b_r + V_r h_v \Big), \qquad
        \alpha_{ruv} = \mathrm{softmax}_{u \in N_r(v)}\, \mathrm{LeakyReLU}_{0.2}(a_r^\top W_r h_u + c_r^\top U_r h_v)

    for each head, heads side by side: PyG's ``GATConv`` with ``residual=True`` and without self-loops per edge type in
    a ``HeteroConv``, then as in :class:`~relgraph.nn.rounds.HeteroRounds`. The :math:`V_r` of one node type are added,
    and :math:`a_r^\top W_r` and :math:`c_r^\top U_r` multiplied, before they are applied.

    Args:
        node_types: The node types.
        edge_types: The edge types that messages flow along, with their ``rev_`` directions.
        channels: Width of all vectors.
        num_layers: Rounds of message passing.
        heads: Attention heads, among which the channels are divided.
        norm: ``"layer"`` or ``"none"``.
        dropout: After each round but the last, and of attention weights.

    Raises:
        ShapeError: If ``norm`` is none of these, or the heads do not divide the channels.
    """

    def __init__(
        self,
        node_types: Sequence[NodeType],
        edge_types: Sequence[EdgeType],
        channels: int = 128,
        num_layers: int = 2,
        heads: int = 4,
        norm: Norm = "layer",
        dropout: float = 0.0,
    ) -> None:
        self.heads, self.width = heads, check_heads(channels, heads)
        super().__init__(node_types, edge_types, channels, num_layers, norm, dropout)

    def _parts(self) -> dict[str, nn.Module]:
        return {"convs": nn.ModuleList(_Weights(self.channels, self.heads) for _ in self.edge_types)}

    def _round(self, layer: Any, near: Nearby, reach: int) -> dict[NodeType, Tensor]:
        kept, edges = near.nodes(reach), near.edges(reach)
        out = {}
        for name, target in kept.items():
            kinds = [i for i, kind in enumerate(self.edge_types) if kind[2] == name and kind in edges]
            if not kinds:
                continue
            convs = [layer["convs"][i] for i in kinds]
            h = F.linear(target, sum(conv.root for conv in convs), sum(conv.bias for conv in convs))
            for i, conv in zip(kinds, convs, strict=True):
                kind = self.edge_types[i]
                if edges[kind].size(1):
                    h = h + self._messages(conv, near.x[kind[0]], target, edges[kind])
            out[name] = h
        return out

    def _messages(self, conv: Any, x: Tensor, target: Tensor, edge_index: Tensor) -> Tensor:
        from_source = x @ conv.folded(conv.source, conv.source_attention)  # [N, heads]
        from_target = target @ conv.folded(conv.target, conv.target_attention)
        row, col = edge_index
        score = F.leaky_relu(from_source.index_select(0, row) + from_target.index_select(0, col), 0.2)
        value = F.linear(x, conv.source)
        return attend([score], [value], [edge_index], target.size(0), self.dropout, self.training)


class _Weights(nn.Module):
    """The parameters of one edge type, named as in the formula's order: W, U, a, c, V, b."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        width = channels // heads
        self.source = nn.Parameter(torch.empty(channels, channels))
        self.target = nn.Parameter(torch.empty(channels, channels))
        self.source_attention = nn.Parameter(torch.empty(heads, width))
        self.target_attention = nn.Parameter(torch.empty(heads, width))
        self.root = nn.Parameter(torch.empty(channels, channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        for name, weight in self.named_parameters():
            if name != "bias":
                nn.init.xavier_uniform_(weight)

    @staticmethod
    def folded(weight: Tensor, attention: Tensor) -> Tensor:
        """A linear map and the attention vectors that read it, as one ``[channels, heads]``."""
        heads, width = attention.shape
        return torch.einsum("hwc,hw->ch", weight.view(heads, width, -1), attention)
