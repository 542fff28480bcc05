"""RelGNN: messages along the atomic routes of a database, through its bridge tables in one step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from relgraph.data.graph import EdgeType, NodeType, reverse_type
from relgraph.nn.attend import attend
from relgraph.nn.rounds import HeteroRounds, Nearby, Norm, check_heads
from relgraph.ops.gather_scale_scatter import gather_scale_scatter

__all__ = ["RelGNN", "Route", "atomic_routes"]


_ROUTE_WEIGHTS = ("query", "key", "value", "output", "skip")
_WITH_BIAS = ("query", "value", "skip")  # a bias of the keys would not change the softmax


@dataclass(frozen=True)
class Route:
    """One way that a message takes in a single round.

    Args:
        last: The edge type that reaches the destination.
        first: The edge type from the source to the bridge table, where ``last`` begins; ``None`` without a bridge.
    """

    last: EdgeType
    first: EdgeType | None = None


def atomic_routes(edge_types: Sequence[EdgeType]) -> list[Route]:
    """The atomic routes of a database (Chen et al. 2025, arXiv 2502.06784, section 3.1).

    A table with one foreign key gives the key's edge in both directions. A bridge table, one with two or more, gives
    for each ordered pair of its keys the route from the table of the one through the bridge to the table of the other.

    Args:
        edge_types: Foreign keys as ``(table, key, target)`` and their ``rev_`` directions; a direction that is missing
            takes its routes with it.
    """
    known = set(edge_types)
    reversed_types = {reverse_type(kind) for kind in edge_types}
    keys = [kind for kind in edge_types if kind not in reversed_types]
    routes = []
    for kind in keys:
        others = [other for other in keys if other[0] == kind[0] and other != kind]
        if not others:
            routes += [Route(kind), Route(reverse_type(kind))]
        routes += [Route(kind, reverse_type(other)) for other in others]
    return [route for route in routes if route.last in known and (route.first is None or route.first in known)]


class RelGNN(HeteroRounds):
    r"""Composite message passing (Chen et al. 2025, "RelGNN", arXiv 2502.06784, section 3.2).

    Along a route (:func:`atomic_routes`) from :math:`s` through the bridge row :math:`w` to :math:`v`,

    .. math::
        f_w = W_1 \frac{1}{|N_1(w)|} \sum_{s \in N_1(w)} h_s + W_2 h_w + b, \qquad
        a_v = \sum_{w \in N(v)} \mathrm{softmax}_{w \in N(v)}\Big(\frac{(Q h_v)^\top K f_w}{\sqrt{d}}\Big) V f_w

    with heads of width :math:`d` side by side, and :math:`f_w = h_w` on a route without a bridge. A round gives

    .. math::
        m_v = \sum_{\text{routes to } v} (O a_v + S h_v) + \sum_{\text{routes through } v} f_v

    so bridge rows themselves keep what they have put together, as in the authors' code; :math:`Q, V, S` have
    biases. Deviations from that code: routes that begin with the same edge type share :math:`f`, and heads divide the
    channels instead of multiplying them. Then as in :class:`~relgraph.nn.rounds.HeteroRounds`. A round looks two hops
    far, so a network may have up to twice as many hops of neighbours as layers.

    Args:
        node_types: The node types.
        edge_types: Foreign keys as ``(table, key, target)``, and their ``rev_`` directions.
        channels: Width of all vectors.
        num_layers: Rounds of message passing.
        heads: Attention heads, among which the channels are divided.
        norm: ``"layer"`` or ``"none"``.
        dropout: After each round but the last, and of attention weights.

    Raises:
        ShapeError: If ``norm`` is none of these, or the heads do not divide the channels.
    """

    hops_per_round: ClassVar[int] = 2

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
        self.routes = atomic_routes(edge_types)
        self.firsts = list(dict.fromkeys(route.first for route in self.routes if route.first is not None))
        super().__init__(node_types, edge_types, channels, num_layers, norm, dropout)

    def _parts(self) -> dict[str, nn.Module]:
        c = self.channels
        return {
            "sources": nn.ModuleList(nn.Linear(c, c) for _ in self.firsts),
            "bridges": nn.ModuleList(nn.Linear(c, c, bias=False) for _ in self.firsts),
            "routes": nn.ModuleList(
                nn.ModuleDict(
                    {name: nn.Linear(c, c, bias=name in _WITH_BIAS) for name in _ROUTE_WEIGHTS},
                )
                for _ in self.routes
            ),
        }

    def _round(self, layer: Any, near: Nearby, reach: int) -> dict[NodeType, Tensor]:
        kept, edges = near.nodes(reach), near.edges(reach)
        fused = self._fused(layer, near, reach)
        terms: dict[NodeType, list[Tensor]] = {}
        for first, f in fused.items():
            terms.setdefault(first[2], []).append(f[: kept[first[2]].size(0)])
        for place, route in enumerate(self.routes):
            if route.last not in edges or (route.first is not None and route.first not in fused):
                continue
            target, weights = kept[route.last[2]], layer["routes"][place]
            message = weights["skip"](target)
            if edges[route.last].size(1):
                source = near.x[route.last[0]] if route.first is None else fused[route.first]
                message = message + self._attended(weights, source, target, edges[route.last])
            terms.setdefault(route.last[2], []).append(message)
        return {name: torch.stack(parts).sum(0) for name, parts in terms.items()}

    def _fused(self, layer: Any, near: Nearby, reach: int) -> dict[EdgeType, Tensor]:
        """Per first edge type of a route, what the bridge rows one hop further than the targets put together."""
        bridges, edges = near.nodes(reach + 1), near.edges(reach + 1)
        out = {}
        for place, first in enumerate(self.firsts):
            if first not in edges:
                continue
            bridge = bridges[first[2]]
            mean = gather_scale_scatter(near.x[first[0]], edges[first], bridge.size(0), reduce="mean")
            out[first] = layer["sources"][place](mean) + layer["bridges"][place](bridge)
        return out

    def _attended(self, weights: Any, source: Tensor, target: Tensor, edge_index: Tensor) -> Tensor:
        row, col = edge_index
        query, key = weights["query"](target), weights["key"](source)
        dots = (key.index_select(0, row) * query.index_select(0, col)).view(-1, self.heads, self.width).sum(-1)
        scores = dots / math.sqrt(self.width)
        value = weights["value"](source)
        out = attend([scores], [value], [edge_index], target.size(0), self.dropout, self.training)
        projected: Tensor = weights["output"](out)
        return projected
