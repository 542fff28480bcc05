"""Small random graphs, seeds and options, and what a seed may see, worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.sampler import HeteroSamplerOutput, NodeSamplerInput

from relgraph.data.graph import EdgeStore, EdgeType, HeteroGraph, NodeStore, reverse_type
from relgraph.data.time import STATIC, UNKNOWN
from relgraph.sampling import TemporalSampler

# few moments, so that times meet seed times often
TIMES = st.sampled_from([*range(-1, 5), *range(4), STATIC, UNKNOWN])
MOMENTS = st.sampled_from([*range(-2, 7), *range(5), STATIC])
FAN_OUTS = st.integers(-1, 4)
MOSTLY = st.sampled_from([True, True, True, False])
STRATEGIES = st.sampled_from(["uniform", "last", "decayed"])

Place = tuple[str, int, int]  # node type, node, hop
Step = tuple[EdgeType, int, int, int, int]  # direction, hop, source, target, stored edge


@dataclass
class Case:
    """A graph, a batch of seeds of one type, and how to sample."""

    graph: HeteroGraph
    node_type: str
    node: list[int]
    time: list[int] | None
    fan_outs: list[int]
    until: int | None
    epoch: int
    options: dict[str, Any] = field(default_factory=dict)

    def sampler(self, **changes: Any) -> TemporalSampler:
        options = {"seed": 5, "until": self.until, "engine": "tensor", **self.options, **changes}
        sampler = TemporalSampler(self.graph, self.fan_outs, **options)
        sampler.set_epoch(self.epoch)
        return sampler


@st.composite
def graphs(draw: Any) -> HeteroGraph:
    nodes = {}
    for i in range(draw(st.sampled_from([1, 2, 2, 3]))):
        size = draw(st.sampled_from([1, 2, 3, 4, 5, 6] if i == 0 else [0, 1, 2, 3, 4, 5]))
        time = draw(st.lists(TIMES, min_size=size, max_size=size)) if draw(MOSTLY) else None
        nodes[f"t{i}"] = NodeStore(size, time=None if time is None else torch.tensor(time, dtype=torch.int64))
    edges = {}
    for i in range(draw(st.sampled_from([0, 1, 2, 3, 4]))):
        source, target = draw(st.sampled_from(sorted(nodes))), draw(st.sampled_from(sorted(nodes)))
        sizes = nodes[source].num_nodes, nodes[target].num_nodes
        pairs = st.tuples(*(st.integers(0, max(size - 1, 0)) for size in sizes))
        number = draw(st.sampled_from([0, 4, 8, 12])) if min(sizes) else 0
        ends = draw(st.lists(pairs, min_size=number, max_size=number))
        time = draw(st.lists(TIMES, min_size=number, max_size=number)) if draw(MOSTLY) else None
        edges[source, f"r{i}", target] = EdgeStore(
            torch.tensor(ends, dtype=torch.int64).reshape(-1, 2).t().contiguous(),
            None if time is None else torch.tensor(time, dtype=torch.int64),
        )
    return HeteroGraph(nodes, edges)


@st.composite
def options(draw: Any) -> dict[str, Any]:
    """Strategy, cut-off and half-life."""
    return {
        "strategy": draw(STRATEGIES),
        "cutoff": draw(st.sampled_from(["strict", "inclusive", None])),
        "half_life": draw(st.none() | st.integers(1, 5)),
    }


@st.composite
def cases(draw: Any, fan_out: st.SearchStrategy[int] = FAN_OUTS) -> Case:
    graph = draw(graphs())
    followed = [kind[end] for kind, edges in graph.edges.items() if edges.num_edges for end in (0, 2)]
    filled = [name for name, store in graph.nodes.items() if store.num_nodes]
    node_type = draw(st.sampled_from([*followed, *filled]))
    node = draw(st.lists(st.integers(0, graph.nodes[node_type].num_nodes - 1), min_size=1, max_size=4))
    time = draw(st.lists(MOMENTS, min_size=len(node), max_size=len(node))) if draw(MOSTLY) else None
    hops = draw(st.lists(fan_out, min_size=1, max_size=3))
    until, epoch = draw(st.sampled_from([None, None, 0, 2, 3, 4])), draw(st.integers(0, 3))
    return Case(graph, node_type, node, time, hops, until, epoch, draw(options()))


def directions(graph: HeteroGraph) -> dict[EdgeType, list[tuple[int, int, int, int]]]:
    """Per direction of each edge type every (source, target, stored edge, time)."""
    out = {}
    for edge_type, store in graph.edges.items():
        own = [STATIC] * store.num_edges if store.time is None else store.time.tolist()
        ends = store.edge_index.t().tolist()
        source, target = time_of(graph, edge_type[0]), time_of(graph, edge_type[2])
        moments = [max(own[i], source[s], target[t]) for i, (s, t) in enumerate(ends)]
        out[edge_type] = [(s, t, i, moments[i]) for i, (s, t) in enumerate(ends)]
        out[reverse_type(edge_type)] = [(t, s, i, moments[i]) for i, (s, t) in enumerate(ends)]
    return out


def time_of(graph: HeteroGraph, name: str) -> list[int]:
    store = graph.nodes[name]
    return [STATIC] * store.num_nodes if store.time is None else store.time.tolist()


def visible(time: int, moment: int | None, cutoff: str, until: int | None) -> bool:
    """Whether something of a time may be seen from a moment."""
    if time in (STATIC, UNKNOWN):
        return time == STATIC
    if until is not None and time > until:
        return False
    return moment is None or (time < moment if cutoff == "strict" else time <= moment)


def run(case: Case, order: list[int] | None = None, **changes: Any) -> HeteroSamplerOutput:
    order = list(range(len(case.node))) if order is None else order
    time = None if case.time is None else torch.tensor([case.time[i] for i in order])
    node = torch.tensor([case.node[i] for i in order])
    index = NodeSamplerInput(torch.tensor(order), node, time, case.node_type)
    return case.sampler(**changes).sample_from_nodes(index)


def seeing(case: Case, i: int, time: int) -> bool:
    """Whether seed ``i`` of a case may see something of a time."""
    moment = None if case.time is None else case.time[i]
    return visible(time, moment, case.options["cutoff"] or "inclusive", case.until)


def subgraphs(
    graph: HeteroGraph, out: HeteroSamplerOutput, batch: dict[str, Tensor], seeds: int
) -> list[tuple[set[Place], set[Step]]]:
    """Per seed the nodes and edges that were sampled; fails where two subgraphs touch or something is in twice."""
    found: list[tuple[set[Place], set[Step]]] = [(set(), set()) for _ in range(seeds)]
    for name in graph.nodes:
        hops = hops_of(out.num_sampled_nodes[name])
        for node, seed, hop in zip(out.node[name].tolist(), batch[name].tolist(), hops, strict=True):
            assert (name, node, hop) not in found[seed][0]
            found[seed][0].add((name, node, hop))
    for edge_type in out.row:
        hops = hops_of(out.num_sampled_edges[edge_type])
        source, target = out.node[edge_type[0]], out.node[edge_type[2]]
        row, col = out.row[edge_type], out.col[edge_type]
        owner = batch[edge_type[2]][col]
        assert torch.equal(batch[edge_type[0]][row], owner)  # no edge between two seeds' subgraphs
        columns = (owner, source[row], target[col], out.edge[edge_type])
        for b, s, t, e, hop in zip(*(c.tolist() for c in columns), hops, strict=True):
            assert (edge_type, hop, s, t, e) not in found[b][1]
            found[b][1].add((edge_type, hop, s, t, e))
    return found


def hops_of(counts: Sequence[int]) -> list[int]:
    return [hop for hop, count in enumerate(counts) for _ in range(count)]


def node_subgraphs(case: Case, out: HeteroSamplerOutput) -> list[tuple[set[Place], set[Step]]]:
    return subgraphs(case.graph, out, out.batch, len(case.node))
