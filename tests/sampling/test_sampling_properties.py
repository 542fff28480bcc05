"""What the sampler must never do, on generated graphs, against brute force."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.sampler import NodeSamplerInput

from relgraph.data.graph import EdgeStore, HeteroGraph, NodeStore
from relgraph.sampling import TemporalSampler
from tests.sampling.cases import Case, cases, directions, hops_of, node_subgraphs, run, seeing

# the cases are slow to make, and test_leaks.py and test_engine_numba.py sample as many more
FEWER = settings(max_examples=max(settings.default.max_examples // 4, 10))


@FEWER
@given(cases(fan_out=st.just(-1)))
def test_without_fan_out_it_is_breadth_first_search(case: Case) -> None:
    stored = directions(case.graph)
    for i, (found, node) in enumerate(zip(node_subgraphs(case, run(case)), case.node, strict=True)):
        hop_of, edges = {(case.node_type, node): 0}, set()
        for hop in range(len(case.fan_outs)):
            frontier = {place for place, reached in hop_of.items() if reached == hop}
            for edge_type, listed in stored.items():
                for source, target, edge, time in listed:
                    if (edge_type[2], target) in frontier and seeing(case, i, time):
                        edges.add((edge_type, hop, source, target, edge))
                        hop_of.setdefault((edge_type[0], source), hop + 1)
        assert found == ({(name, number, hop) for (name, number), hop in hop_of.items()}, edges)


@FEWER
@given(cases())
def test_every_node_takes_as_many_neighbours_as_it_may(case: Case) -> None:
    stored = directions(case.graph)
    for i, (nodes, edges) in enumerate(node_subgraphs(case, run(case))):
        taken = Counter((edge_type, hop, target) for edge_type, hop, _, target, _ in edges)
        for name, number, hop in nodes:
            for edge_type, listed in stored.items():
                if edge_type[2] != name or hop == len(case.fan_outs):
                    continue
                known = sum(t == number and seeing(case, i, time) for _, t, _, time in listed)
                k = case.fan_outs[hop]
                assert taken.pop((edge_type, hop, number), 0) == (known if k < 0 else min(k, known))
        assert not taken  # nothing but a node's first hop expands it


@FEWER
@given(cases(fan_out=st.integers(1, 3)))
def test_last_takes_the_latest(case: Case) -> None:
    stored = directions(case.graph)
    for i, (_, edges) in enumerate(node_subgraphs(case, run(case, strategy="last"))):
        rows: dict[Any, set[int]] = {}
        for edge_type, hop, _, target, edge in edges:
            rows.setdefault((edge_type, hop, target), set()).add(edge)
        for (edge_type, hop, target), chosen in rows.items():
            row = sorted((time, e) for _, t, e, time in stored[edge_type] if t == target and seeing(case, i, time))
            assert chosen == {e for _, e in row[-case.fan_outs[hop] :]}


@pytest.mark.slow
@FEWER
@given(cases(), st.randoms(use_true_random=False))
def test_a_sample_does_not_depend_on_its_batch(case: Case, random: Any) -> None:
    together = node_subgraphs(case, run(case))
    order = random.sample(range(len(case.node)), len(case.node))
    assert [together[i] for i in order] == node_subgraphs(case, run(case, order))
    for i in range(len(case.node)):
        assert node_subgraphs(case, run(case, [i]))[0] == together[i]


@FEWER
@given(cases())
def test_numbering_is_by_hop_seed_and_node(case: Case) -> None:
    out = run(case)
    seeds = out.num_sampled_nodes[case.node_type][0]
    assert out.node[case.node_type][:seeds].tolist() == case.node
    assert out.batch[case.node_type][:seeds].tolist() == list(range(len(case.node)))
    for name in case.graph.nodes:
        assert sum(out.num_sampled_nodes[name]) == out.node[name].numel()
        hops = hops_of(out.num_sampled_nodes[name])
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
    sampler = TemporalSampler(graph, {("s", "r", "t"): [k]}, seed=3, engine="tensor")
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
