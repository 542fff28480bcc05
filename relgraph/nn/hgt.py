"""Attention that knows relations: the heterogeneous graph transformer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from relgraph.data.graph import EdgeType, NodeType
from relgraph.nn.attend import attend
from relgraph.nn.rounds import HeteroRounds, Nearby, Norm, check_heads

__all__ = ["HeteroAttention"]


class HeteroAttention(HeteroRounds):
    r"""The heterogeneous graph transformer (Hu et al. 2020, arXiv 2003.01332, equations 3 to 5).

    Keys, queries and values have weights per node type :math:`\tau`, edge types :math:`r` a matrix each for keys and
    for values and a prior :math:`\mu_r`, for every head of width :math:`d`:

    .. math::
        s_{uv} = \frac{\mu_r}{\sqrt{d}}\, (K_{\tau(u)} h_u)^\top A_r\, (Q_{\tau(v)} h_v), \qquad
        o_v = \sum_{u \in N(v)} \mathrm{softmax}_{u \in N(v)}(s_{uv})\; M_r^\top V_{\tau(u)} h_u

    .. math:: m_v = \sigma(\beta_{\tau(v)})\, (O_{\tau(v)}\, \mathrm{GELU}(o_v)) + (1 - \sigma(\beta_{\tau(v)}))\, h_v

    The softmax runs over the neighbours of all edge types together; :math:`K, Q, V, O` have biases. This is PyG's
    ``HGTConv``; as in the authors' code a layer norm follows each round. A node without edges gets :math:`o_v = 0`; a
    node type that no edge type points to keeps its vectors. :math:`A_r` and :math:`M_r` are multiplied with
    :math:`K` and :math:`V` before they are applied.

    Args:
        node_types: The node types.
        edge_types: The edge types that messages flow along, with their ``rev_`` directions.
        channels: Width of all vectors.
        num_layers: Rounds of message passing.
        heads: Attention heads, among which the channels are divided.
        norm: ``"layer"`` or ``"none"``.
        dropout: After each round but the last.

    Raises:
        ShapeError: If ``norm`` is none of these, or the heads do not divide the channels.
    """

    activation: ClassVar[bool] = False

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
        c = self.channels
        parts: dict[str, nn.Module] = {
            name: nn.ModuleList(nn.Linear(c, c) for _ in self.node_types)
            for name in ("key", "query", "value", "output")
        }
        parts["skips"] = nn.ParameterList(nn.Parameter(torch.ones(())) for _ in self.node_types)
        parts["relations"] = nn.ModuleList(_Relation(self.heads, self.width) for _ in self.edge_types)
        return parts

    def _round(self, layer: Any, near: Nearby, reach: int) -> dict[NodeType, Tensor]:
        kept, edges = near.nodes(reach), near.edges(reach)
        out = {}
        for place, name in enumerate(self.node_types):
            kinds = [i for i, kind in enumerate(self.edge_types) if kind[2] == name and kind in edges]
            if not kinds:
                continue
            h = kept[name]
            seen = [i for i in kinds if edges[self.edge_types[i]].size(1)]
            o = self._attended(layer, near, h, layer["query"][place], seen, edges) if seen else torch.zeros_like(h)
            share = torch.sigmoid(layer["skips"][place])
            out[name] = share * layer["output"][place](F.gelu(o)) + (1 - share) * h
        return out

    def _attended(
        self, layer: Any, near: Nearby, h: Tensor, to_query: Any, kinds: list[int], edges: dict[EdgeType, Tensor]
    ) -> Tensor:
        query = to_query(h)
        scores, values = [], []
        for i in kinds:
            source = self.edge_types[i][0]
            x, place, relation = near.x[source], self.node_types.index(source), layer["relations"][i]
            row, col = edges[self.edge_types[i]]
            key = self._mapped(x, layer["key"][place], relation.key)
            dots = (key.index_select(0, row) * query.index_select(0, col)).view(-1, self.heads, self.width).sum(-1)
            scores.append(dots * relation.prior / math.sqrt(self.width))
            values.append(self._mapped(x, layer["value"][place], relation.value))
        return attend(scores, values, [edges[self.edge_types[i]] for i in kinds], h.size(0))

    def _mapped(self, x: Tensor, linear: nn.Linear, relation: Tensor) -> Tensor:
        """A linear layer of a node type, and a matrix per head of an edge type after it, ``[N, channels]``."""
        weight = linear.weight.view(self.heads, self.width, -1)
        weight = torch.einsum("hdc,hde->hec", weight, relation).flatten(0, 1)
        bias = torch.einsum("hd,hde->he", linear.bias.view(self.heads, self.width), relation).flatten()
        return F.linear(x, weight, bias)


class _Relation(nn.Module):
    """The matrices of one edge type for keys and values, ``[heads, width, width]``, and its prior, ``[heads]``."""

    def __init__(self, heads: int, width: int) -> None:
        super().__init__()
        self.key = nn.Parameter(torch.empty(heads, width, width))
        self.value = nn.Parameter(torch.empty(heads, width, width))
        self.prior = nn.Parameter(torch.ones(heads))
        bound = math.sqrt(3.0 / width)  # Glorot and Bengio 2010, per head
        for weight in (self.key, self.value):
            nn.init.uniform_(weight, -bound, bound)
