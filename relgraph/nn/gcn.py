"""Networks for plain graphs: Kipf and Welling's graph convolution, personalised PageRank, random propagation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from relgraph.data.graph import EdgeType, NodeType
from relgraph.errors import ShapeError
from relgraph.ops.gather_scale_scatter import gather_scale_scatter

__all__ = ["HeteroGCN", "PersonalizedPageRank", "RandomPropagation", "normalised_sum"]


def normalised_sum(
    x: Mapping[NodeType, Tensor],
    edges: Mapping[EdgeType, Tensor],
    degree: Mapping[NodeType, Tensor],
    edge_weight: float = 1.0,
) -> dict[NodeType, Tensor]:
    r"""Neighbours and the node itself, each divided by the square roots of both degrees.

    .. math:: y_v = \frac{x_v}{d_v} + \sum_{(u, v)} \frac{x_u}{\sqrt{d_u d_v}}, \qquad d_v = 1 + |\{(u, v)\}|

    Kipf and Welling 2017 (arXiv 1609.02907), eq. 2, over the edges of all types alike.

    Args:
        x: Vectors ``[N, channels]`` per node type.
        edges: Int64 ``[2, E]`` per edge type: source, target.
        degree: :math:`d` per node type, ``[N]``.
        edge_weight: Of every edge; the node itself weighs 1.

    Returns:
        ``[N, channels]`` per node type.
    """
    scale = {name: degree[name].rsqrt().unsqueeze(1) for name in x}
    scaled = {name: h * scale[name] for name, h in x.items()}
    out = dict(scaled)
    for (source, _, target), edge_index in edges.items():
        if edge_index.numel():
            total = gather_scale_scatter(scaled[source], edge_index, out[target].size(0))
            out[target] = torch.add(out[target], total, alpha=edge_weight)
    return {name: h * scale[name] for name, h in out.items()}


def _between(x: Mapping[NodeType, Tensor], edges: Mapping[EdgeType, Tensor]) -> dict[EdgeType, Tensor]:
    """The edges whose both ends have vectors."""
    return {kind: index for kind, index in edges.items() if kind[0] in x and kind[2] in x}


def _degrees(x: Mapping[NodeType, Tensor], edges: Mapping[EdgeType, Tensor]) -> dict[NodeType, Tensor]:
    out = {name: h.new_ones(h.size(0)) for name, h in x.items()}
    for (_, _, target), index in edges.items():
        out[target] = out[target] + torch.bincount(index[1], minlength=out[target].size(0))
    return out


class HeteroGCN(nn.Module):
    r"""The graph convolutional network of Kipf and Welling 2017 (arXiv 1609.02907).

    .. math:: h^{(l+1)} = \mathrm{ReLU}\big(\hat{A}\, h^{(l)} W_{\tau}^{(l)}\big), \qquad z = \hat{A}\, h^{(L)}

    with :math:`\hat{A}` of :func:`normalised_sum`. Of the matrices of the published network the first is the encoder's
    last and the last is the head's, since :math:`\hat{A} (h W) = (\hat{A} h) W`; between them is one per node type
    :math:`\tau` and layer. On a graph of one node type, with a linear encoder, it is the published network; edge types
    are not told apart. Degrees are those within the batch: exact on a whole graph, and for a sampled one as far as its
    neighbours were taken.

    Args:
        node_types: The node types.
        edge_types: The edge types that messages flow along.
        channels: Width of all vectors.
        num_layers: Rounds of message passing.
        dropout: Before each layer but the first, which is the encoder's.

    Raises:
        ShapeError: If ``dropout`` is no probability.
    """

    hops_per_round: ClassVar[int] = 1

    def __init__(
        self,
        node_types: Sequence[NodeType],
        edge_types: Sequence[EdgeType],
        channels: int = 128,
        num_layers: int = 2,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        _check_share("dropout", dropout)
        inner = range(1, num_layers - 1)
        self.layers = nn.ModuleList(
            _Before(node_types if place in inner else (), channels, dropout if place else None)
            for place in range(num_layers)
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
            num_sampled_nodes: Taken for the sake of the other networks; every node is computed.
            num_sampled_edges: The same.

        Returns:
            Vectors of all nodes per node type.
        """
        x, edges = dict(x_dict), _between(x_dict, edge_index_dict)
        degree = _degrees(x_dict, edges)
        for layer in self.layers:
            x = normalised_sum(layer(x), edges, degree)
        return x


class _Before(nn.Module):
    """What vectors go through before they are spread: ReLU and dropout but before the first time, maybe a matrix."""

    def __init__(self, node_types: Sequence[NodeType], channels: int, dropout: float | None) -> None:
        super().__init__()
        self.dropout = dropout
        self._place = {name: i for i, name in enumerate(node_types)}
        self.matrices = nn.ModuleList(nn.Linear(channels, channels, bias=False) for _ in node_types)

    def forward(self, x: Mapping[NodeType, Tensor]) -> dict[NodeType, Tensor]:
        out = dict(x)
        if self.dropout is not None:
            out = {name: F.dropout(torch.relu(h), self.dropout, self.training) for name, h in out.items()}
        return {name: self.matrices[self._place[name]](h) if name in self._place else h for name, h in out.items()}


class PersonalizedPageRank(nn.Module):
    r"""Vectors spread by personalised PageRank: APPNP of Gasteiger et al. 2019 (arXiv 1810.05997), eq. 4.

    .. math:: z^{(k+1)} = (1 - \alpha) \hat{A}\, z^{(k)} + \alpha\, z^{(0)}

    It has no parameters: :math:`z^{(0)}` is the encoder's result behind a ReLU, and the head reads what was spread (the
    paper's order, head first, is the same as long as the head is linear).

    Args:
        node_types: The node types.
        edge_types: The edge types that messages flow along.
        channels: Not used; every network is made alike.
        num_layers: Steps, 10 in the paper.
        alpha: How much of its own vector a node keeps in each step.
        dropout: Of edges in each step, those kept weighing more, and of the vectors before the first.

    Raises:
        ShapeError: If ``alpha`` or ``dropout`` is no share.
    """

    hops_per_round: ClassVar[int] = 1

    def __init__(
        self,
        node_types: Sequence[NodeType],
        edge_types: Sequence[EdgeType],
        channels: int = 128,
        num_layers: int = 10,
        alpha: float = 0.1,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        _check_share("alpha", alpha)
        _check_share("dropout", dropout)
        self.num_layers, self.alpha, self.dropout = num_layers, alpha, dropout

    def forward(
        self,
        x_dict: Mapping[NodeType, Tensor],
        edge_index_dict: Mapping[EdgeType, Tensor],
        num_sampled_nodes: Mapping[NodeType, Sequence[int]] | None = None,
        num_sampled_edges: Mapping[EdgeType, Sequence[int]] | None = None,
    ) -> dict[NodeType, Tensor]:
        """Spread vectors; arguments and result as in :meth:`HeteroGCN.forward`."""
        first = {name: F.dropout(torch.relu(h), self.dropout, self.training) for name, h in x_dict.items()}
        x, known = first, _between(x_dict, edge_index_dict)
        degree = _degrees(x_dict, known)
        keep = 1 - self.dropout if self.training else 1.0
        for _ in range(self.num_layers):
            edges = known
            if keep < 1:
                edges = {
                    kind: index[:, torch.rand(index.size(1), device=index.device) < keep]
                    for kind, index in known.items()
                }
            h = normalised_sum(x, edges, degree, 1 / keep)
            x = {name: (1 - self.alpha) * h[name] + self.alpha * first[name] for name in h}
        return x


class RandomPropagation(nn.Module):
    r"""Random propagation of Feng et al. 2020, *GRAND* (arXiv 2005.11079), eq. 1 and 2.

    .. math:: z = \mathrm{ReLU}\Big(\frac{1}{K + 1} \sum_{k=0}^{K} \hat{A}^k \, (\epsilon \odot x)\Big)

    with :math:`\epsilon_v` 0 for nodes that are dropped in a pass of the training and :math:`1 / (1 - p)` for others.
    The paper spreads the columns and then has its first layer; with a linear encoder that is the same. It is meant to
    be trained with ``consistency`` (:func:`relgraph.training.entity.fit_rows`).

    Args:
        node_types: The node types.
        edge_types: The edge types that messages flow along.
        channels: Not used; every network is made alike.
        num_layers: Steps :math:`K`.
        drop_nodes: Share :math:`p` of nodes dropped in training.
        dropout: Of the result.

    Raises:
        ShapeError: If ``drop_nodes`` or ``dropout`` is no share.
    """

    hops_per_round: ClassVar[int] = 1

    def __init__(
        self,
        node_types: Sequence[NodeType],
        edge_types: Sequence[EdgeType],
        channels: int = 128,
        num_layers: int = 4,
        drop_nodes: float = 0.5,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        _check_share("drop_nodes", drop_nodes)
        _check_share("dropout", dropout)
        self.num_layers, self.drop_nodes, self.dropout = num_layers, drop_nodes, dropout

    def forward(
        self,
        x_dict: Mapping[NodeType, Tensor],
        edge_index_dict: Mapping[EdgeType, Tensor],
        num_sampled_nodes: Mapping[NodeType, Sequence[int]] | None = None,
        num_sampled_edges: Mapping[EdgeType, Sequence[int]] | None = None,
    ) -> dict[NodeType, Tensor]:
        """Spread vectors; arguments and result as in :meth:`HeteroGCN.forward`."""
        x = {
            name: h * F.dropout(h.new_ones(h.size(0), 1), self.drop_nodes, self.training) for name, h in x_dict.items()
        }
        edges = _between(x_dict, edge_index_dict)
        degree, total = _degrees(x_dict, edges), x
        for _ in range(self.num_layers):
            x = normalised_sum(x, edges, degree)
            total = {name: total[name] + h for name, h in x.items()}
        mean = {name: torch.relu(h / (self.num_layers + 1)) for name, h in total.items()}
        return {name: F.dropout(h, self.dropout, self.training) for name, h in mean.items()}


def _check_share(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ShapeError(f"{name}: expected a share in [0, 1), got {value!r}")
