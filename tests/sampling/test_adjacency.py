"""One sort on a packed number gives the same order as two stable sorts, whatever the times are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from relgraph.data.graph import EdgeStore, HeteroGraph, NodeStore
from relgraph.data.time import STATIC, UNKNOWN
from relgraph.sampling.adjacency import Adjacency, _count_from_zero, _order, _sort_packed

SECOND, DAY = 1_000_000, 86_400_000_000


def draw(low: int, high: int, number: int, seed: int) -> Tensor:
    return torch.randint(low, high, (number,), generator=torch.Generator().manual_seed(seed))


def some_times(kind: str, number: int) -> Tensor | None:
    if kind == "none":
        return None
    if kind in ("seconds", "ends"):
        times = draw(-(10**9), 10**9, number, 1) * SECOND
        if kind == "ends":
            times[draw(0, 9, number, 2) == 0] = STATIC
            times[draw(0, 9, number, 3) == 0] = UNKNOWN
        return times
    if kind == "only ends":
        return torch.where(draw(0, 2, number, 4) == 1, STATIC, UNKNOWN)
    return {
        "microseconds": draw(-(10**15), 10**15, number, 5),
        "days": draw(0, 7000, number, 6) * DAY,
        "any": draw(-(2**62), 2**62, number, 7),
        "few": draw(0, 3, number, 8),
    }[kind]


@pytest.mark.parametrize("targets", [1, 3, 1000, 2**40])
@pytest.mark.parametrize("kind", ["none", "microseconds", "seconds", "days", "any", "ends", "only ends", "few"])
@pytest.mark.parametrize("number", [0, 1, 2, 70, 5000, 40_000])
def test_the_order_is_that_of_two_stable_sorts(targets: int, kind: str, number: int) -> None:
    target, time = draw(0, targets, number, 0), some_times(kind, number)
    expected = torch.arange(number) if time is None else torch.argsort(time, stable=True)
    expected = expected[torch.argsort(target[expected], stable=True)]
    for given, wanted in ((target, expected), (target.sort().values, None)):
        order, sorted_time = _order(given, time)
        if wanted is None:
            wanted = torch.arange(number) if time is None else torch.argsort(time, stable=True)
            wanted = wanted[torch.argsort(given[wanted], stable=True)]
        assert torch.equal(torch.arange(number) if order is None else order, wanted)
        if time is not None:
            assert sorted_time is not None
            assert torch.equal(sorted_time, time[wanted])


def test_times_count_from_zero() -> None:
    for times, expected in (
        ([5, STATIC, 2, UNKNOWN, 3], [4, 0, 1, 5, 2]),
        ([-7, 3, -7], [0, 10, 0]),
        ([STATIC, UNKNOWN, STATIC], [0, 2, 0]),
        ([-(2**62), 2**62], None),
    ):
        found = _count_from_zero(torch.tensor(times))
        assert (None if found is None else found.tolist()) == expected


def test_edges_that_only_the_last_bits_of_their_times_tell_apart_are_sorted_again() -> None:
    number = 5000
    target = draw(0, 2**40, 100, 9)[draw(0, 100, number, 10)]
    time = draw(0, 10**15, 3000, 11)[draw(0, 3000, number, 12)] + draw(-2, 3, number, 13)
    found = _sort_packed(target, time)
    assert found is not None
    expected = torch.argsort(time, stable=True)
    expected = expected[torch.argsort(target[expected], stable=True)]
    assert torch.equal(found[0], expected)
    assert found[1] is not None
    assert torch.equal(found[1], time[expected])


def test_both_directions_of_a_key() -> None:
    time = torch.tensor([50, STATIC, 30, UNKNOWN, 30])
    nodes = {"sale": NodeStore(5, time=time), "shop": NodeStore(3)}
    edges = EdgeStore(torch.tensor([[0, 1, 2, 3, 4], [2, 0, 2, 0, 2]]))
    graph = HeteroGraph(nodes, {("sale", "at", "shop"): edges})
    sales = Adjacency.from_graph(graph, ("sale", "at", "shop"))
    assert sales.ptr.tolist() == [0, 2, 2, 5]
    assert sales.source.tolist() == [1, 3, 2, 4, 0]
    assert sales.edge.tolist() == [1, 3, 2, 4, 0]
    assert sales.time is not None
    assert sales.time.tolist() == [STATIC, UNKNOWN, 30, 30, 50]
    shops = Adjacency.from_graph(graph, ("sale", "at", "shop"), reverse=True)
    assert (shops.source.tolist(), shops.edge.tolist()) == ([2, 0, 2, 0, 2], [0, 1, 2, 3, 4])
    assert shops.ptr.tolist() == [0, 1, 2, 3, 4, 5]
    assert shops.time is not None
    assert shops.time.tolist() == time.tolist()


@pytest.mark.parametrize("late", [None, "edge", "other end", "unknown"])
def test_settled_where_no_edge_is_later_than_its_target(late: str | None) -> None:
    """So is a key that points to static rows, or to rows that were there before, from the side of the later rows."""
    row, edge, other = torch.tensor([5, 9, STATIC, UNKNOWN]), torch.tensor([5, 1, STATIC, 0]), torch.tensor([STATIC, 4])
    if late == "edge":
        edge[1] = 10
    if late == "other end":
        other[1] = 6
    if late == "unknown":
        other[0] = UNKNOWN
    ends = torch.tensor([[0, 1, 2, 3], [1, 1, 0, 0]])
    nodes = {"row": NodeStore(4, time=row), "other": NodeStore(2, time=other)}
    graph = HeteroGraph(nodes, {("other", "r", "row"): EdgeStore(ends.flip(0), time=edge)})
    assert Adjacency.from_graph(graph, ("other", "r", "row")).settled is (late is None)
    assert not Adjacency.from_graph(graph, ("other", "r", "row"), reverse=True).settled
    static = HeteroGraph(
        {"row": NodeStore(4), "other": NodeStore(2)}, {("other", "r", "row"): EdgeStore(ends.flip(0), time=edge)}
    )
    assert not Adjacency.from_graph(static, ("other", "r", "row")).settled  # its rows are seen before their edges
