"""Nothing later than the cut-off, whatever the options: rows, links and negatives as seeds."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.sampler import EdgeSamplerInput, HeteroSamplerOutput, NegativeSampling

from relgraph.data.graph import EdgeType, HeteroGraph, reverse_type
from relgraph.errors import ProtocolError
from tests.sampling.cases import Case, cases, directions, run, time_of, visible

ENGINES = st.sampled_from(["tensor", "numba"])
MANY = settings(max_examples=int(os.environ.get("RELGRAPH_HYPOTHESIS", "200")))  # what must never happen is tried more


def assert_nothing_later(case: Case, out: HeteroSamplerOutput, times: list[int] | None, cutoff: str) -> None:
    """Every node but the seeds, and every edge, may be seen by the seed whose number it has."""
    for name, batch in out.batch.items():
        first = out.num_sampled_nodes[name][0]
        assert sum(out.num_sampled_nodes[name]) == batch.numel() == out.node[name].numel()
        for node, seed in zip(out.node[name][first:].tolist(), batch[first:].tolist(), strict=True):
            moment = None if times is None else times[seed]
            assert visible(time_of(case.graph, name)[node], moment, cutoff, case.until)
    stored = directions(case.graph)
    for kind in out.row:
        seeds = out.batch[kind[2]][out.col[kind]]
        assert torch.equal(seeds, out.batch[kind[0]][out.row[kind]])
        columns = (seeds, out.node[kind[0]][out.row[kind]], out.node[kind[2]][out.col[kind]], out.edge[kind])
        for seed, source, target, edge in zip(*(column.tolist() for column in columns), strict=True):
            s, t, _, time = stored[kind][edge]
            assert (s, t) == (source, target)
            assert visible(time, None if times is None else times[seed], cutoff, case.until)


@pytest.mark.slow
@MANY
@given(cases(), ENGINES)
def test_of_rows(case: Case, engine: str) -> None:
    out = run(case, engine=engine)
    assert out.node[case.node_type][: len(case.node)].tolist() == case.node
    assert out.num_sampled_nodes[case.node_type][0] == len(case.node)
    assert_nothing_later(case, out, case.time, case.options["cutoff"] or "inclusive")


@st.composite
def negatives(draw: Any) -> NegativeSampling | None:
    mode = draw(st.sampled_from([None, "binary", "triplet"]))
    if mode is None:
        return None
    return NegativeSampling(mode, draw(st.sampled_from([1, 2, 0.5, 1.5] if mode == "binary" else [1, 3])))


@pytest.mark.slow
@MANY
@given(cases(), negatives(), ENGINES, st.data())
def test_of_links(case: Case, neg_sampling: NegativeSampling | None, engine: str, data: Any) -> None:
    number = len(case.node)
    filled = [kind for kind in directions(case.graph) if all(kind_sizes(case.graph, kind))]
    kind = data.draw(st.sampled_from([*filled, (case.node_type, "new", case.node_type)]))
    ends = [
        data.draw(st.lists(st.integers(0, size - 1), min_size=number, max_size=number))
        for size in kind_sizes(case.graph, kind)
    ]
    time = None if case.time is None else torch.tensor(case.time)
    index = EdgeSamplerInput(None, torch.tensor(ends[0]), torch.tensor(ends[1]), time=time, input_type=kind)
    known = [[candidates(case, name, i) for i in range(number)] for name in (kind[0], kind[2])]
    drawn = {"binary": (0, 1), "triplet": (1,)}[neg_sampling.mode.value] if neg_sampling else ()
    try:
        out = case.sampler(engine=engine).sample_from_edges(index, neg_sampling)
    except ProtocolError:
        assert any(not some for end in drawn for some in known[end])
        return
    for end, seeds in enumerate(seeds_of(out, kind, number, neg_sampling)):
        assert seeds[:number] == ends[end]
        assert (len(seeds) > number) == (end in drawn)
        assert all(node in known[end][i % number] for i, node in enumerate(seeds[number:]))
    assert_nothing_later(case, out, case.time, case.options["cutoff"] or "strict")
    if time is None and neg_sampling is None:
        assert_own_edges_are_out(out, kind, ends)


def kind_sizes(graph: HeteroGraph, kind: EdgeType) -> tuple[int, int]:
    return graph.nodes[kind[0]].num_nodes, graph.nodes[kind[2]].num_nodes


def candidates(case: Case, name: str, link: int) -> set[int]:
    """The nodes that may be a negative of a link."""
    moment = None if case.time is None else case.time[link]
    times = enumerate(time_of(case.graph, name))
    return {node for node, time in times if visible(time, moment, "inclusive", case.until)}


def seeds_of(
    out: HeteroSamplerOutput, kind: EdgeType, number: int, neg_sampling: NegativeSampling | None
) -> tuple[list[int], list[int]]:
    """Sources and targets in order, negatives after positives, by what the metadata points at."""
    if neg_sampling is None or neg_sampling.is_binary():
        source, target = out.metadata[1]
    else:
        source, positive, negative = out.metadata[1:4]
        target = torch.cat([positive, negative.reshape(number, -1).t().flatten()])
    places = torch.cat([source, target]) if kind[0] == kind[2] else torch.arange(source.numel())
    assert torch.equal(places.sort().values, torch.arange(places.numel()))
    for name, end in ((kind[0], source), (kind[2], target)):
        assert torch.equal(out.batch[name][end], torch.arange(end.numel()) % number)
    return out.node[kind[0]][source].tolist(), out.node[kind[2]][target].tolist()


def assert_own_edges_are_out(out: HeteroSamplerOutput, kind: EdgeType, ends: list[list[int]]) -> None:
    own = set(zip(range(len(ends[0])), *ends, strict=True))
    for way in (kind, reverse_type(kind)):
        if way in out.row:
            seeds = out.batch[way[2]][out.col[way]].tolist()
            pair = [out.node[way[0]][out.row[way]].tolist(), out.node[way[2]][out.col[way]].tolist()]
            source, target = pair if way == kind else pair[::-1]
            assert not own & set(zip(seeds, source, target, strict=True))
            if kind[0] == kind[2]:
                assert not own & set(zip(seeds, target, source, strict=True))
