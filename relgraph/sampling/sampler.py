"""The temporal sampler as PyG's loaders drive it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

import torch
from torch import Tensor
from torch_geometric.data import Data, HeteroData
from torch_geometric.sampler import (
    BaseSampler,
    EdgeSamplerInput,
    HeteroSamplerOutput,
    NegativeSampling,
    NodeSamplerInput,
    SamplerOutput,
)

from relgraph.data.graph import EdgeType, HeteroGraph, NodeType, reverse_type
from relgraph.data.time import STATIC, UNKNOWN
from relgraph.errors import BackendError, ShapeError
from relgraph.sampling import engine_tensor
from relgraph.sampling.adjacency import Adjacency
from relgraph.sampling.checks import check_links, check_seeds, link_type, node_type
from relgraph.sampling.engine_tensor import Sample
from relgraph.sampling.hashing import seed_state
from relgraph.sampling.links import Links, with_negatives, without_own_edges
from relgraph.sampling.negatives import Candidates
from relgraph.sampling.options import (
    CUTOFFS,
    STRATEGIES,
    directions,
    fan_outs,
    one_of,
    pick_device,
    pick_engine,
    pick_half_life,
    whole,
)
from relgraph.sampling.views import graph_of, one_edge_type

__all__ = ["TemporalSampler"]


class TemporalSampler(BaseSampler):  # type: ignore[misc]
    """Samples what each seed may know, one subgraph per seed.

    Nothing later than a seed's time enters its subgraph: an edge is seen when its own time and those of both its ends
    are at most the seed time (``cutoff="inclusive"``) or before it (``"strict"``). ``STATIC`` is always seen,
    ``UNKNOWN`` never. The seed itself is always in, whatever its time. Without times everything with a known time is
    seen.

    Hand it to PyG's own loaders::

        sampler = TemporalSampler(graph, num_neighbors=[128, 64])
        loader = NodeLoader(graph.to_hetero_data(), node_sampler=sampler, input_nodes=("customer", index),
                            input_time=time, batch_size=512)
        loader = LinkLoader(graph.to_hetero_data(), link_sampler=sampler, neg_sampling="binary", batch_size=512,
                            edge_label_index=(("customer", "buys", "product"), pairs), edge_label_time=time)

    Of a link both ends have a subgraph of their own, as of the link's time, and so have the ends of its negatives,
    which this sampler draws from the nodes known by then. A link is an event at its time, and its own row and edges
    carry that time; so links are cut off strictly by default. Links without times hide nothing, except the edges of
    their own type between their own two ends.

    A sample depends on ``seed``, the epoch and the seed row (type, node, time) alone: not on its batch, on workers, the
    engine or the device.

    Args:
        graph: The graph.
        num_neighbors: Fan-out per hop, for every edge type and its ``rev_`` direction; or a mapping from edge type
            (``("order", "customer_id", "customer")`` or ``("customer", "rev_customer_id", "order")``) to its fan-outs,
            in which types left out are not followed. -1 takes every visible neighbour.
        strategy: ``"uniform"`` without replacement, ``"last"`` for the latest neighbours, or ``"decayed"``: without
            replacement with weights that halve with every ``half_life`` of age (a static neighbour counts as old as the
            oldest dated one; :mod:`relgraph.sampling.decay`).
        seed: Of the random numbers.
        until: Also see nothing later than this moment (int64 microseconds, inclusive): the database as it stood then.
            Seed times themselves stay as they are, and so do the random numbers.
        device: Where the graph's edges are held and sampled. On a GPU give PyG data that is there too, and no workers.
        cutoff: ``"inclusive"`` or ``"strict"``; by default inclusive for rows and strict for links. Negatives are rows
            known at the link's time, inclusive, whichever it is.
        half_life: For ``"decayed"``: ``"30 days"``, a ``timedelta`` or microseconds; by default a tenth of the time in
            which the middle 80 % of all dated edges up to ``until``, and the graph's ``fit_until``, lie.
        reverse: Follow the ``rev_`` direction of every edge type too, as ``to_hetero_data(reverse=True)`` has them.
        homogeneous: For a graph of one node type and PyG's ``Data`` (``graph.to_data()``): all edge types are one, the
            stored direction is followed, and a fan-out counts over all of them.
        engine: ``"tensor"`` runs anywhere, ``"numba"`` on the CPU; the sample is the same. ``"auto"`` is Numba on the
            CPU where it is installed.

    Raises:
        ShapeError: If a fan-out is below -1 or no integer, the lists differ in length, or an option is out of range.
        SchemaError: If ``num_neighbors`` names an edge type that does not exist, or ``homogeneous`` does not fit.
        ProtocolError: If ``half_life`` cannot be read.
        BackendError: If the engine or the device cannot run here.
    """

    def __init__(
        self,
        graph: HeteroGraph,
        num_neighbors: Sequence[int] | Mapping[EdgeType, Sequence[int]] = (128, 64),
        strategy: Literal["uniform", "last", "decayed"] = "uniform",
        seed: int = 0,
        until: int | None = None,
        device: torch.device | str = "cpu",
        *,
        cutoff: Literal["inclusive", "strict"] | None = None,
        half_life: str | timedelta | int | None = None,
        reverse: bool = True,
        homogeneous: bool = False,
        engine: Literal["auto", "tensor", "numba"] = "auto",
    ) -> None:
        one_of("strategy", strategy, STRATEGIES)
        one_of("cutoff", cutoff, (*CUTOFFS, None))
        self.homogeneous = homogeneous
        if homogeneous:
            graph, reverse = one_edge_type(graph), False
            if isinstance(num_neighbors, Mapping):
                raise ShapeError("num_neighbors: expected one fan-out per hop, homogeneous=True has no edge types")
        self._kinds = directions(graph, reverse)
        self.num_neighbors = fan_outs(self._kinds, num_neighbors)
        self.strategy = strategy
        self.seed = whole("seed", seed)
        self.until = None if until is None else whole("until", until)
        self.cutoff = cutoff
        self.device = pick_device(device)
        self.engine = pick_engine(engine, self.device)
        if self.engine == "numba":
            from relgraph.sampling.engine_numba import prepare  # loads Numba

            prepare()  # here, so that no worker has to compile
        self.half_life = pick_half_life(half_life, graph, self.until) if strategy == "decayed" else 1
        self.num_nodes = {name: store.num_nodes for name, store in graph.nodes.items()}
        self.adjacencies = [
            Adjacency.from_graph(graph, edge_type, backwards, self.device)
            for edge_type in graph.edges
            for backwards in ((False, True) if reverse else (False,))
            if any(self.num_neighbors.get(reverse_type(edge_type) if backwards else edge_type, ()))
        ]
        self._time = {name: store.time for name, store in graph.nodes.items()}
        self._candidates: dict[NodeType, Candidates] = {}
        # shared memory: a loader's workers that live on into the next epoch see the change
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    @classmethod
    def from_data(
        cls,
        data: Data | HeteroData,
        num_neighbors: Sequence[int] | Mapping[EdgeType, Sequence[int]] = (128, 64),
        *,
        time_attr: str | None = None,
        edge_time_attr: str | None = None,
        **options: Any,
    ) -> TemporalSampler:
        """A sampler for PyG's own data, whose edge types are followed as they are, for loaders over that data.

        Args:
            data: A ``Data`` or ``HeteroData``.
            num_neighbors: Fan-out per hop, or per edge type of ``data`` and hop.
            time_attr: Which attribute of nodes is their time, whole numbers ``[num_nodes]``; types without it are
                static. The unit is the user's, and then also that of seed times, ``until`` and ``half_life``.
            edge_time_attr: Which attribute of edges is their time, whole numbers ``[num_edges]``.
            options: As of the class, but ``reverse`` and ``homogeneous``.

        Raises:
            SchemaError: If a part of the data has no ``edge_index``, or a time attribute is missing or no whole number.
        """
        for name in {"reverse", "homogeneous"} & options.keys():
            raise ShapeError(f"from_data: {name} follows from the data and is not given")
        graph = graph_of(data, time_attr, edge_time_attr)
        return cls(graph, num_neighbors, reverse=False, homogeneous=isinstance(data, Data), **options)

    @property
    def epoch(self) -> int:
        """The epoch that samples are drawn for."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Draw other samples from here on; the same epoch gives the same samples again."""
        self._epoch.fill_(epoch)

    def sample_from_nodes(self, index: NodeSamplerInput, **kwargs: Any) -> HeteroSamplerOutput | SamplerOutput:
        """Sample the subgraphs of a batch of seeds; called by PyG's ``NodeLoader``.

        Raises:
            SchemaError: If the seeds' node type does not exist.
            ShapeError: If a seed is out of range, times and seeds differ in number, or a seed time is ``UNKNOWN``.
            BackendError: If a worker process samples on a GPU.
        """
        name = node_type(index.input_type, self.num_nodes, self.homogeneous)
        check_seeds(name, self.num_nodes[name], index.node, index.time, ("input_nodes", "input_time"))
        node = index.node.to(self.device, torch.int64)
        time = None if index.time is None else index.time.to(self.device)
        moment = torch.full_like(node, UNKNOWN) if time is None else time
        out = self._sample({name: node}, moment, self._state(name, node, moment), self.cutoff or "inclusive")
        return self._output(out, (self._input_id(index.input_id, node), time))

    def sample_from_edges(
        self, index: EdgeSamplerInput, neg_sampling: NegativeSampling | None = None
    ) -> HeteroSamplerOutput | SamplerOutput:
        """Sample the subgraphs of both ends of links and of negatives; called by PyG's ``LinkLoader``.

        In the output a node's ``batch`` is the link it belongs to, a negative's that of the link it was drawn for.

        Raises:
            SchemaError: If a node type of the links does not exist.
            ShapeError: If an end is out of range, ends, times or labels differ in number, a time is ``UNKNOWN``, or
                weights of negatives do not fit.
            ProtocolError: If nothing known at a link's time can be drawn as its negative.
            BackendError: If a worker process samples on a GPU.
        """
        kind = link_type(index.input_type, self.num_nodes, self.homogeneous)
        check_links(kind, self.num_nodes, index, neg_sampling)
        source, target = (end.to(self.device, torch.int64) for end in (index.row, index.col))
        time, label = (None if value is None else value.to(self.device) for value in (index.time, index.label))
        moment = torch.full_like(source, UNKNOWN) if time is None else time
        links = with_negatives(
            Links(kind, source.numel(), source, target, neg_sampling),
            {name: self._candidates_of(name) for name in {kind[0], kind[2]}} if neg_sampling is not None else {},
            self._state(kind[0], source, moment),
            list(self.num_nodes).index(kind[2]),
            self._visible(moment, "inclusive"),
        )
        moments = [links.repeat(moment, end) for end in (links.source, links.target)]
        states = [self._state(kind[0], links.source, moments[0]), self._state(kind[2], links.target, moments[1])]
        out = self._sample(links.seeds, torch.cat(moments), torch.cat(states), self.cutoff or "strict")
        if time is None:
            out = without_own_edges(out, links, self.num_nodes)
        out = replace(out, batch={name: links.link[batch] for name, batch in out.batch.items()})
        return self._output(out, links.metadata(self._input_id(index.input_id, source), label, time))

    def _input_id(self, given: Tensor | None, seeds: Tensor) -> Tensor:
        return torch.arange(seeds.numel(), device=self.device) if given is None else given.to(self.device)

    def _state(self, node_type: NodeType, node: Tensor, moment: Tensor) -> Tensor:
        epoch = self.epoch if self.device.type == "cpu" else self._epoch.to(self.device)
        return seed_state(self.seed, epoch, list(self.num_nodes).index(node_type), node, moment)

    def _visible(self, moment: Tensor, cutoff: str) -> Tensor:
        """The latest moment each seed may see, inclusive."""
        if cutoff == "strict":
            moment = torch.where(moment == STATIC, moment, moment - 1)
        return moment.clamp(max=UNKNOWN - 1 if self.until is None else min(self.until, UNKNOWN - 1))

    def _sample(self, seeds: Mapping[NodeType, Tensor], moment: Tensor, state: Tensor, cutoff: str) -> Sample:
        if self.device.type != "cpu" and torch.utils.data.get_worker_info() is not None:
            raise BackendError(f"a sampler on {self.device} cannot run in worker processes; use num_workers=0")
        sample = engine_tensor.sample
        if self.engine == "numba":
            from relgraph.sampling.engine_numba import sample  # loads Numba
        return sample(
            self.adjacencies,
            self.num_nodes,
            seeds,
            self._visible(moment, cutoff),
            state,
            self.num_neighbors,
            self.strategy,
            self.half_life,
        )

    def _output(self, out: Sample, metadata: tuple[Any, ...]) -> HeteroSamplerOutput | SamplerOutput:
        # directions that are not followed have no edges: PyG's trim_to_layer asks for them all
        empty = metadata[0][:0]
        row, col, edge = (
            {kind: found.get(kind, empty) for kind in self._kinds} for found in (out.row, out.col, out.edge)
        )
        hops = max((len(value) for value in self.num_neighbors.values()), default=0)
        num_edges = {kind: out.num_edges.get(kind, [0] * hops) for kind in self._kinds}
        if not self.homogeneous:
            return HeteroSamplerOutput(out.node, row, col, edge, out.batch, out.num_nodes, num_edges, metadata=metadata)
        (name,), (kind,) = self.num_nodes, self._kinds
        return SamplerOutput(
            out.node[name],
            row[kind],
            col[kind],
            edge[kind],
            out.batch[name],
            out.num_nodes[name],
            num_edges[kind],
            metadata=metadata,
        )

    def _candidates_of(self, name: NodeType) -> Candidates:
        if name not in self._candidates:
            self._candidates[name] = Candidates(name, self.num_nodes[name], self._time[name], self.device)
        return self._candidates[name]

    def __repr__(self) -> str:
        different = {tuple(value) for value in self.num_neighbors.values()}
        shown = list(different.pop()) if len(different) == 1 else dict(self.num_neighbors)
        given = {
            "until": self.until,
            "device": None if self.device.type == "cpu" else str(self.device),
            "cutoff": self.cutoff,
            "half_life": self.half_life if self.strategy == "decayed" else None,
            "homogeneous": self.homogeneous or None,
        }
        rest = "".join(f", {name}={value!r}" for name, value in given.items() if value is not None)
        return f"TemporalSampler(num_neighbors={shown}, strategy={self.strategy!r}, seed={self.seed}{rest})"
