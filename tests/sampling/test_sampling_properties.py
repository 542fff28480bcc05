"""What the sampler must never do, on generated graphs, against brute force."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.sampler import HeteroSamplerOutput, NodeSamplerInput

from relgraph.data.graph import EdgeStore, EdgeType, HeteroGraph, NodeStore, reverse_type
from relgraph.data.time import STATIC, UNKNOWN
from relgraph.sampling import TemporalSampler

TIMES = st.one_of(st.integers(-4, 8), st.sampled_from([STATIC, UNKNOWN]))
FAN_OUTS = st.integers(-1, 4)


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


@st.composite
def graphs(draw: Any) -> HeteroGraph:
    nodes = {}
    for i in range(draw(st.integers(1, 3))):
        size = draw(st.integers(1 if i == 0 else 0, 6))
        time = draw(st.none() | st.lists(TIMES, min_size=size, max_size=size))
        nodes[f"t{i}"] = NodeStore(size, time=None if time is None else torch.tensor(time, dtype=torch.int64))
    edges = {}
    for i in range(draw(st.integers(0, 4))):
        source, target = draw(st.sampled_from(sorted(nodes))), draw(st.sampled_from(sorted(nodes)))
        sizes = nodes[source].num_nodes, nodes[target].num_nodes
        pairs = st.tuples(*(st.integers(0, max(size - 1, 0)) for size in sizes))
        ends = draw(st.lists(pairs, max_size=12)) if min(sizes) else []
        time = draw(st.none() | st.lists(TIMES, min_size=len(ends), max_size=len(ends)))
        edges[source, f"r{i}", target] = EdgeStore(
            torch.tensor(ends, dtype=torch.int64).reshape(-1, 2).t().contiguous(),
            None if time is None else torch.tensor(time, dtype=torch.int64),
        )
    return HeteroGraph(nodes, edges)


@st.composite
def cases(draw: Any, fan_out: st.SearchStrategy[int] = FAN_OUTS) -> Case:
    graph = draw(graphs())
    node_type = draw(st.sampled_from([name for name, store in graph.nodes.items() if store.num_nodes]))
    node = draw(st.lists(st.integers(0, graph.nodes[node_type].num_nodes - 1), min_size=1, max_size=4))
    moment = st.integers(-5, 9) | st.just(STATIC)
    time = draw(st.none() | st.lists(moment, min_size=len(node), max_size=len(node)))
    fan_outs = draw(st.lists(fan_out, min_size=1, max_size=3))
    return Case(graph, node_type, node, time, fan_outs, draw(st.none() | st.integers(-5, 9)), draw(st.integers(0, 3)))


def directions(graph: HeteroGraph) -> dict[EdgeType, list[tuple[int, int, int, int]]]:
    """Per direction of each edge type every (source, target, stored edge, time)."""
    out = {}
    for edge_type, store in graph.edges.items():
        time = graph.edge_time(edge_type)
        moments = [STATIC] * store.num_edges if time is None else time.tolist()
        ends = store.edge_index.t().tolist()
        out[edge_type] = [(s, t, i, moments[i]) for i, (s, t) in enumerate(ends)]
        out[reverse_type(edge_type)] = [(t, s, i, moments[i]) for i, (s, t) in enumerate(ends)]
    return out


def run(case: Case, strategy: str = "uniform", order: list[int] | None = None) -> HeteroSamplerOutput:
    order = list(range(len(case.node))) if order is None else order
    sampler = TemporalSampler(case.graph, case.fan_outs, strategy=strategy, seed=5, until=case.until)
    sampler.set_epoch(case.epoch)
    time = None if case.time is None else torch.tensor([case.time[i] for i in order])
    node = torch.tensor([case.node[i] for i in order])
    return sampler.sample_from_nodes(NodeSamplerInput(torch.tensor(order), node, time, case.node_type))


def moments(case: Case) -> list[int]:
    """What each seed may see, brute force."""
    last = UNKNOWN - 1 if case.until is None else case.until
    return [last if case.time is None else min(case.time[i], last) for i in range(len(case.node))]


Local = tuple[set[tuple[str, int, int]], set[tuple[EdgeType, int, int, int, int]]]


def subgraphs(case: Case, out: HeteroSamplerOutput) -> list[Local]:
    """Per seed the nodes (type, node, hop) and edges (type, hop, source, target, stored edge) that were sampled."""
    found: list[Local] = [(set(), set()) for _ in case.node]
    for name in case.graph.nodes:
        hops = torch.repeat_interleave(torch.tensor(out.num_sampled_nodes[name])).tolist()
        for node, batch, hop in zip(out.node[name].tolist(), out.batch[name].tolist(), hops, strict=True):
            assert (name, node, hop) not in found[batch][0]
            found[batch][0].add((name, node, hop))
    for edge_type in out.row:
        hops = torch.repeat_interleave(torch.tensor(out.num_sampled_edges[edge_type])).tolist()
        source, target = out.node[edge_type[0]], out.node[edge_type[2]]
        row, col = out.row[edge_type], out.col[edge_type]
        batch = out.batch[edge_type[2]][col]
        assert torch.equal(out.batch[edge_type[0]][row], batch)  # no edge between two seeds' subgraphs
        columns = (batch, source[row], target[col], out.edge[edge_type])
        for b, s, t, e, hop in zip(*(c.tolist() for c in columns), hops, strict=True):
            assert (edge_type, hop, s, t, e) not in found[b][1]
            found[b][1].add((edge_type, hop, s, t, e))
    return found


@given(cases(), st.sampled_from(["uniform", "last"]))
def test_nothing_sampled_is_later_than_its_seed(case: Case, strategy: str) -> None:
    out = run(case, strategy)
    stored = directions(case.graph)
    for (nodes, edges), node, moment in zip(subgraphs(case, out), case.node, moments(case), strict=True):
        for name, number, _ in nodes - {(case.node_type, node, 0)}:
            time = case.graph.nodes[name].time
            assert time is None or int(time[number]) <= moment < UNKNOWN
        for edge_type, _, source, target, edge in edges:
            s, t, _, time_of_edge = stored[edge_type][edge]
            assert (s, t) == (source, target)
            assert time_of_edge <= moment < UNKNOWN


@given(cases(fan_out=st.just(-1)), st.sampled_from(["uniform", "last"]))
def test_without_fan_out_it_is_breadth_first_search(case: Case, strategy: str) -> None:
    stored = directions(case.graph)
    for found, node, moment in zip(subgraphs(case, run(case, strategy)), case.node, moments(case), strict=True):
        hop_of, edges = {(case.node_type, node): 0}, set()
        for hop in range(len(case.fan_outs)):
            frontier = {place for place, reached in hop_of.items() if reached == hop}
            for edge_type, listed in stored.items():
                for source, target, edge, time in listed:
                    if (edge_type[2], target) in frontier and time <= moment:
                        edges.add((edge_type, hop, source, target, edge))
                        hop_of.setdefault((edge_type[0], source), hop + 1)
        assert found == ({(name, number, hop) for (name, number), hop in hop_of.items()}, edges)


@given(cases(), st.sampled_from(["uniform", "last"]))
def test_every_node_takes_as_many_neighbours_as_it_may(case: Case, strategy: str) -> None:
    stored = directions(case.graph)
    for (nodes, edges), moment in zip(subgraphs(case, run(case, strategy)), moments(case), strict=True):
        taken = Counter((edge_type, hop, target) for edge_type, hop, _, target, _ in edges)
        for name, number, hop in nodes:
            for edge_type, listed in stored.items():
                if edge_type[2] != name or hop == len(case.fan_outs):
                    continue
                visible = sum(t == number and time <= moment for _, t, _, time in listed)
                k = case.fan_outs[hop]
                assert taken.pop((edge_type, hop, number), 0) == (visible if k < 0 else min(k, visible))
        assert not taken  # nothing but a node's first hop expands it


@given(cases(fan_out=st.integers(1, 3)))
def test_last_takes_the_latest(case: Case) -> None:
    stored = directions(case.graph)
    for (_, edges), moment in zip(subgraphs(case, run(case, "last")), moments(case), strict=True):
        rows: dict[Any, set[int]] = {}
        for edge_type, hop, _, target, edge in edges:
            rows.setdefault((edge_type, hop, target), set()).add(edge)
        for (edge_type, hop, target), chosen in rows.items():
            row = sorted((time, e) for _, t, e, time in stored[edge_type] if t == target and time <= moment)
            assert chosen == {e for _, e in row[-case.fan_outs[hop] :]}


@given(cases(), st.sampled_from(["uniform", "last"]), st.randoms(use_true_random=False))
def test_a_sample_does_not_depend_on_its_batch(case: Case, strategy: str, random: Any) -> None:
    together = subgraphs(case, run(case, strategy))
    order = random.sample(range(len(case.node)), len(case.node))
    shuffled = subgraphs(case, run(case, strategy, order))
    assert [together[i] for i in order] == shuffled
    for i in range(len(case.node)):
        assert subgraphs(case, run(case, strategy, [i]))[0] == together[i]


@given(cases(), st.sampled_from(["uniform", "last"]))
def test_numbering_is_by_hop_seed_and_node(case: Case, strategy: str) -> None:
    out = run(case, strategy)
    seeds = out.num_sampled_nodes[case.node_type][0]
    assert out.node[case.node_type][:seeds].tolist() == case.node
    assert out.batch[case.node_type][:seeds].tolist() == list(range(len(case.node)))
    for name in case.graph.nodes:
        assert sum(out.num_sampled_nodes[name]) == out.node[name].numel()
        hops = torch.repeat_interleave(torch.tensor(out.num_sampled_nodes[name])).tolist()
        places = list(zip(hops, out.batch[name].tolist(), out.node[name].tolist(), strict=True))
        assert places == sorted(places)
    for edge_type, col in out.col.items():
        assert sum(out.num_sampled_edges[edge_type]) == col.numel()
        assert col.tolist() == sorted(col.tolist())


def test_inclusion_is_uniform_without_replacement() -> None:
    """1,000 seeds draw 3 of 10: each neighbour 300 times (standard deviation 14.5), pairs by systematic sampling."""
    n, k, draws = 10, 3, 1000
    ends = torch.stack([torch.arange(n * draws), torch.arange(draws).repeat_interleave(n)])
    time = torch.arange(n).repeat(draws)
    graph = HeteroGraph({"s": NodeStore(n * draws), "t": NodeStore(draws)}, {("s", "r", "t"): EdgeStore(ends, time)})
    sampler = TemporalSampler(graph, {("s", "r", "t"): [k]}, seed=3)
    totals = []
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        index = NodeSamplerInput(None, torch.arange(draws), torch.full((draws,), 100), "t")
        out = sampler.sample_from_nodes(index)
        position: Tensor = out.node["s"] % n
        assert out.row["s", "r", "t"].numel() == k * draws
        totals.append(position)
        counts = torch.bincount(position, minlength=n).float()
        assert float(((counts - 300) ** 2 / (draws * 0.3 * 0.7)).sum()) < 27.9  # chi-square, p = 0.001
    assert not torch.equal(totals[0], totals[1])
