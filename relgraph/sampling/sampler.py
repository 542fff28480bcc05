"""The temporal sampler as PyG's loaders drive it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch_geometric.sampler import BaseSampler, EdgeSamplerInput, HeteroSamplerOutput, NodeSamplerInput

from relgraph.data.graph import EdgeType, HeteroGraph, reverse_type
from relgraph.data.time import UNKNOWN
from relgraph.errors import ProtocolError, SchemaError, ShapeError
from relgraph.sampling.adjacency import Adjacency
from relgraph.sampling.engine_tensor import sample
from relgraph.sampling.hashing import seed_state

__all__ = ["TemporalSampler"]

_STRATEGIES = ("uniform", "last")


class TemporalSampler(BaseSampler):  # type: ignore[misc]
    """Samples what each seed may know, one subgraph per seed.

    Nothing later than a seed's time enters its subgraph: an edge is seen when its own time and those of both its ends
    are at most the seed time. ``STATIC`` is always seen, ``UNKNOWN`` never. The seed itself is always in, whatever its
    time. Without ``input_time`` everything with a known time is seen.

    Hand it to PyG's own loader::

        sampler = TemporalSampler(graph, num_neighbors=[128, 64])
        loader = NodeLoader(graph.to_hetero_data(), node_sampler=sampler, input_nodes=("customer", index),
                            input_time=time, batch_size=512)

    A sample depends on ``seed``, the epoch and the seed row (type, node, time) alone: not on its batch, nor on workers.

    Args:
        graph: The graph.
        num_neighbors: Fan-out per hop, for every edge type and its ``rev_`` direction; or a mapping from edge type
            (``("order", "customer_id", "customer")`` or ``("customer", "rev_customer_id", "order")``) to its fan-outs,
            in which types left out are not followed. -1 takes every visible neighbour.
        strategy: ``"uniform"`` without replacement, or ``"last"`` for the latest neighbours.
        seed: Of the random numbers.
        until: Also see nothing later than this moment (int64 microseconds, inclusive): the database as it stood then.
            Seed times themselves stay as they are, and so do the random numbers.
        device: Where the graph's edges are held and sampled.

    Raises:
        ShapeError: If a fan-out is below -1 or no integer, the lists differ in length, or the strategy is unknown.
        SchemaError: If ``num_neighbors`` names an edge type that does not exist.
    """

    def __init__(
        self,
        graph: HeteroGraph,
        num_neighbors: Sequence[int] | Mapping[EdgeType, Sequence[int]] = (128, 64),
        strategy: Literal["uniform", "last"] = "uniform",
        seed: int = 0,
        until: int | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        if strategy not in _STRATEGIES:
            raise ShapeError(f"strategy: expected one of {', '.join(_STRATEGIES)}, got {strategy!r}")
        self.num_neighbors = _fan_outs(graph, num_neighbors)
        self.strategy = strategy
        self.seed = seed
        self.until = until
        self.device = torch.device(device)
        self.num_nodes = {name: store.num_nodes for name, store in graph.nodes.items()}
        self.adjacencies = [
            Adjacency.from_graph(graph, edge_type, reverse, self.device)
            for edge_type in graph.edges
            for reverse in (False, True)
            if any(self.num_neighbors.get(reverse_type(edge_type) if reverse else edge_type, ()))
        ]
        # shared memory: a loader's workers that live on into the next epoch see the change
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    @property
    def epoch(self) -> int:
        """The epoch that samples are drawn for."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Draw other samples from here on; the same epoch gives the same samples again."""
        self._epoch.fill_(epoch)

    def sample_from_nodes(self, index: NodeSamplerInput, **kwargs: Any) -> HeteroSamplerOutput:
        """Sample the subgraphs of a batch of seeds; called by PyG's ``NodeLoader``.

        Raises:
            SchemaError: If the seeds' node type does not exist.
            ShapeError: If a seed is out of range, times and seeds differ in number, or a seed time is ``UNKNOWN``.
        """
        node, time = index.node.to(self.device, torch.int64), index.time
        self._check(index.input_type, node, time)
        moment = torch.full_like(node, UNKNOWN) if time is None else time.to(self.device)
        state = seed_state(
            self.seed, self._epoch.to(self.device), list(self.num_nodes).index(index.input_type), node, moment
        )
        last = UNKNOWN - 1 if self.until is None else min(self.until, UNKNOWN - 1)
        out = sample(
            self.adjacencies,
            self.num_nodes,
            index.input_type,
            node,
            moment.clamp(max=last),
            state,
            self.num_neighbors,
            self.strategy,
        )
        input_id = torch.arange(node.numel()) if index.input_id is None else index.input_id
        return HeteroSamplerOutput(
            node=out.node,
            row=out.row,
            col=out.col,
            edge=out.edge,
            batch=out.batch,
            num_sampled_nodes=out.num_nodes,
            num_sampled_edges=out.num_edges,
            metadata=(input_id, time),
        )

    def sample_from_edges(self, index: EdgeSamplerInput, neg_sampling: Any = None) -> HeteroSamplerOutput:
        """Refused: this sampler predicts rows.

        Raises:
            ProtocolError: Always.
        """
        raise ProtocolError(
            "TemporalSampler samples around rows (NodeLoader); sampling around links (LinkLoader) is not offered: "
            "give the two ends of the links as input_nodes"
        )

    def _check(self, node_type: str | None, node: Tensor, time: Tensor | None) -> None:
        if node_type is None or node_type not in self.num_nodes:
            raise SchemaError(
                f"input_nodes: expected (node type, index) with one of {', '.join(self.num_nodes)}, got {node_type!r}"
            )
        size = self.num_nodes[node_type]
        if node.numel() and (int(node.min()) < 0 or int(node.max()) >= size):
            raise ShapeError(
                f"input_nodes: expected numbers in 0..{size - 1} for {node_type!r}, "
                f"got {int(node.min())}..{int(node.max())}"
            )
        if time is None:
            return
        if time.dtype != torch.int64 or time.shape != node.shape:
            raise ShapeError(
                f"input_time: expected int64 {list(node.shape)} in microseconds, got {time.dtype} {list(time.shape)}"
            )
        if bool((time == UNKNOWN).any()):
            raise ShapeError("input_time: a seed has an UNKNOWN time; leave such rows out")

    def __repr__(self) -> str:
        fan_outs = {tuple(value) for value in self.num_neighbors.values()}
        shown = list(fan_outs.pop()) if len(fan_outs) == 1 else dict(self.num_neighbors)
        until = "" if self.until is None else f", until={self.until}"
        return f"TemporalSampler(num_neighbors={shown}, strategy={self.strategy!r}, seed={self.seed}{until})"


def _fan_outs(
    graph: HeteroGraph, num_neighbors: Sequence[int] | Mapping[EdgeType, Sequence[int]]
) -> dict[EdgeType, tuple[int, ...]]:
    """The fan-outs of each direction of each edge type, checked."""
    known = [direction for edge_type in graph.edges for direction in (edge_type, reverse_type(edge_type))]
    if isinstance(num_neighbors, Mapping):
        given = {edge_type: tuple(value) for edge_type, value in num_neighbors.items()}
    else:
        given = dict.fromkeys(known, tuple(num_neighbors))
    for edge_type, value in given.items():
        if edge_type not in known:
            raise SchemaError(
                f"num_neighbors: there is no edge type {edge_type!r}; edge types: {', '.join(map(str, known))}"
            )
        if any(not isinstance(k, int) or k < -1 for k in value):
            raise ShapeError(f"num_neighbors: expected integers of at least -1 for {edge_type!r}, got {list(value)}")
    if len({len(value) for value in given.values()}) > 1:
        raise ShapeError(
            f"num_neighbors: expected as many hops for every edge type, got "
            f"{ {edge_type: len(value) for edge_type, value in given.items()} }"
        )
    return given
