"""The sampler under PyG's own NodeLoader, and bad input."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch_geometric.data import HeteroData
from torch_geometric.loader import NodeLoader
from torch_geometric.nn import HeteroConv, HGTConv, SAGEConv
from torch_geometric.sampler import BaseSampler, NodeSamplerInput

from relgraph.data.graph import EdgeStore, HeteroGraph, NodeStore
from relgraph.data.time import STATIC, UNKNOWN
from relgraph.errors import BackendError, SchemaError, ShapeError
from relgraph.sampling import TemporalSampler


@pytest.fixture(scope="module")
def graph() -> HeteroGraph:
    """Ten customers with a hundred orders at times 0..99, five shops, customers recommended by customers."""
    order = torch.arange(100)
    nodes = {"customer": NodeStore(10), "order": NodeStore(100, time=order.clone()), "shop": NodeStore(5)}
    edges = {
        ("order", "customer_id", "customer"): EdgeStore(torch.stack([order, order % 10])),
        ("order", "shop_id", "shop"): EdgeStore(torch.stack([order, order % 5])),
        ("customer", "friend_id", "customer"): EdgeStore(torch.tensor([[1, 2, 3], [0, 0, 0]])),
    }
    return HeteroGraph(nodes, edges)


def loader(graph: HeteroGraph, sampler: TemporalSampler, **changes: Any) -> NodeLoader:
    settings = {
        "input_nodes": ("customer", torch.tensor([0, 3, 3, 9])),
        "input_time": torch.tensor([50, 20, 90, 5]),
        "batch_size": 2,
    }
    return NodeLoader(graph.to_hetero_data(), node_sampler=sampler, **{**settings, **changes})


def content(batch: HeteroData) -> dict[str, Any]:
    out: dict[str, Any] = {name: batch[name].n_id.tolist() for name in batch.node_types}
    out |= {str(kind): batch[kind].e_id.tolist() for kind in batch.edge_types}
    return out


def test_a_loader_gives_whole_batches(graph: HeteroGraph) -> None:
    sampler = TemporalSampler(graph, num_neighbors=[3, 2], strategy="last")
    assert isinstance(sampler, BaseSampler)
    batches = list(loader(graph, sampler))
    assert [batch["customer"].batch_size for batch in batches] == [2, 2]
    first = batches[0]
    assert first["customer"].seed_time.tolist() == [50, 20]
    assert first["customer"].input_id.tolist() == [0, 1]
    assert batches[1]["customer"].input_id.tolist() == [2, 3]
    assert first["customer"].n_id[:2].tolist() == [0, 3]
    assert first.validate()
    # customer 0 at 50 has orders 0, 10, .., 50; customer 3 at 20 has 3, 13
    order = first["order"]
    ours = order.n_id[: order.num_sampled_nodes[1]]
    assert ours.tolist() == [30, 40, 50, 3, 13]
    assert (order.time <= first["customer"].seed_time[order.batch]).all()
    stored = graph.edges["order", "customer_id", "customer"].edge_index
    for kind, flip in ((("order", "customer_id", "customer"), False), (("customer", "rev_customer_id", "order"), True)):
        edge = first[kind]
        ends = torch.stack([first[kind[0]].n_id[edge.edge_index[0]], first[kind[2]].n_id[edge.edge_index[1]]])
        assert torch.equal(ends.flip(0) if flip else ends, stored[:, edge.e_id])


def test_workers_and_epochs(graph: HeteroGraph) -> None:
    sampler = TemporalSampler(graph, num_neighbors=[3, 2], seed=1)
    here = [content(batch) for batch in loader(graph, sampler)]
    assert [content(batch) for batch in loader(graph, sampler, num_workers=2)] == here
    lasting = loader(graph, sampler, num_workers=2, persistent_workers=True)
    assert [content(batch) for batch in lasting] == here
    sampler.set_epoch(1)
    assert sampler.epoch == 1
    later = [content(batch) for batch in loader(graph, sampler)]
    assert later != here
    assert [content(batch) for batch in lasting] == later  # workers that live on see the new epoch
    sampler.set_epoch(0)
    assert [content(batch) for batch in loader(graph, sampler)] == here
    assert [content(batch) for batch in loader(graph, TemporalSampler(graph, [3, 2], seed=2))] != here


@pytest.mark.slow
def test_pyg_convolutions_run_unchanged(graph: HeteroGraph) -> None:
    batch = next(iter(loader(graph, TemporalSampler(graph, num_neighbors=[3, 2]))))
    x = {name: torch.randn(batch[name].num_nodes, 8) for name in batch.node_types}
    hgt = HGTConv(8, 8, batch.metadata(), heads=2)
    assert hgt(x, batch.edge_index_dict)["customer"].shape == (batch["customer"].num_nodes, 8)
    hetero = HeteroConv({kind: SAGEConv((8, 8), 4) for kind in batch.edge_types})
    assert hetero(x, batch.edge_index_dict)["order"].shape == (batch["order"].num_nodes, 4)


def test_without_time_everything_known_is_seen(graph: HeteroGraph) -> None:
    times = torch.arange(100)
    times[[0, 10]] = torch.tensor([STATIC, UNKNOWN])
    nodes = {**graph.nodes, "order": NodeStore(100, time=times)}
    sampler = TemporalSampler(graph.replace(nodes=nodes), num_neighbors=[-1])
    index = NodeSamplerInput(None, torch.tensor([0]), None, "customer")
    out = sampler.sample_from_nodes(index)
    assert out.node["order"].tolist() == [0, 20, 30, 40, 50, 60, 70, 80, 90]
    assert out.metadata[1] is None
    assert out.metadata[0].tolist() == [0]


def test_until_cuts_what_is_seen_but_not_the_seed_time(graph: HeteroGraph) -> None:
    sampler = TemporalSampler(graph, num_neighbors=[-1], until=25)
    out = sampler.sample_from_nodes(NodeSamplerInput(None, torch.tensor([0, 0]), torch.tensor([50, 10]), "customer"))
    assert out.node["order"].tolist() == [0, 10, 20, 0, 10]
    assert out.metadata[1].tolist() == [50, 10]


def test_a_seed_later_than_its_time_is_still_there(graph: HeteroGraph) -> None:
    sampler = TemporalSampler(graph, num_neighbors=[-1])
    out = sampler.sample_from_nodes(NodeSamplerInput(None, torch.tensor([70]), torch.tensor([10]), "order"))
    assert out.node["order"].tolist() == [70]
    assert sum(edge.numel() for edge in out.edge.values()) == 0


def test_fan_outs_by_edge_type(graph: HeteroGraph) -> None:
    kind = ("order", "customer_id", "customer")
    sampler = TemporalSampler(graph, {kind: [2, 2]})
    batch = next(iter(loader(graph, sampler)))
    assert batch["shop"].n_id.numel() == 0
    assert batch[kind].e_id.numel() == 4
    assert batch["customer", "rev_customer_id", "order"].e_id.numel() == 0


def test_one_node_type() -> None:
    graph = HeteroGraph(
        {"entity": NodeStore(3)}, {("entity", "r", "entity"): EdgeStore(torch.tensor([[1, 2], [0, 0]]))}
    )
    sampler = TemporalSampler(graph, num_neighbors=[-1])
    batch = next(iter(NodeLoader(graph.to_hetero_data(), node_sampler=sampler, input_nodes=("entity", [0]))))
    assert batch["entity"].n_id.tolist() == [0, 1, 2]
    assert batch["entity", "r", "entity"].edge_index.tolist() == [[1, 2], [0, 0]]


def test_repr(graph: HeteroGraph) -> None:
    assert repr(TemporalSampler(graph, [3, 2], until=7)) == (
        "TemporalSampler(num_neighbors=[3, 2], strategy='uniform', seed=0, until=7)"
    )
    assert repr(TemporalSampler(graph, [3], "decayed", cutoff="strict", half_life="1 hour")) == (
        "TemporalSampler(num_neighbors=[3], strategy='decayed', seed=0, cutoff='strict', half_life=3600000000)"
    )


def test_strict_leaves_out_what_happens_at_the_seed_time(graph: HeteroGraph) -> None:
    times = torch.arange(100)
    times[0] = STATIC
    graph = graph.replace(nodes={**graph.nodes, "order": NodeStore(100, time=times)})
    index = NodeSamplerInput(None, torch.tensor([0, 0, 0]), torch.tensor([30, 31, STATIC]), "customer")
    for cutoff, expected in (
        ("inclusive", [0, 10, 20, 30, 0, 10, 20, 30, 0]),
        ("strict", [0, 10, 20, 0, 10, 20, 30, 0]),
    ):
        sampler = TemporalSampler(graph, {("order", "customer_id", "customer"): [-1]}, cutoff=cutoff)
        assert sampler.sample_from_nodes(index).node["order"].tolist() == expected
    sampler = TemporalSampler(graph, [-1], cutoff="strict", until=20)  # until stays inclusive
    assert sampler.sample_from_nodes(index).node["order"].tolist() == [0, 10, 20, 0, 10, 20, 0]


def test_the_time_of_an_edge_hides_the_edge_and_not_what_is_reached_otherwise() -> None:
    nodes = {"a": NodeStore(2, time=torch.tensor([1, 2])), "b": NodeStore(1)}
    edges = {
        ("a", "late", "b"): EdgeStore(torch.tensor([[0, 1], [0, 0]]), torch.tensor([9, 9])),
        ("a", "early", "b"): EdgeStore(torch.tensor([[0], [0]])),
    }
    sampler = TemporalSampler(HeteroGraph(nodes, edges), [-1, -1])
    out = sampler.sample_from_nodes(NodeSamplerInput(None, torch.tensor([0]), torch.tensor([5]), "b"))
    assert out.node["a"].tolist() == [0]
    assert out.edge["a", "late", "b"].tolist() == []
    assert out.edge["a", "early", "b"].tolist() == [0]
    out = sampler.sample_from_nodes(NodeSamplerInput(None, torch.tensor([0]), torch.tensor([9]), "b"))
    assert out.node["a"].tolist() == [0, 1]


def test_stored_directions_only(graph: HeteroGraph) -> None:
    sampler = TemporalSampler(graph, [-1, -1], reverse=False)
    data = graph.to_hetero_data(reverse=False)
    batch = next(iter(NodeLoader(data, node_sampler=sampler, input_nodes=("customer", torch.tensor([0])))))
    assert batch["shop"].num_nodes == 0  # orders point at shops, and nothing leads back
    assert batch["order"].num_nodes == 40  # of customer 0 and of the friends 1, 2 and 3
    assert not any(relation.startswith("rev_") for _, relation, _ in batch.edge_types)
    both = {**graph.edges, ("shop", "rev_shop_id", "order"): EdgeStore(torch.tensor([[0], [1]]))}
    with pytest.raises(SchemaError, match=r"both stored.*use reverse=False"):
        TemporalSampler(graph.replace(edges=both), [2])
    sampler = TemporalSampler(graph.replace(edges=both), [-1], reverse=False)
    out = sampler.sample_from_nodes(NodeSamplerInput(None, torch.tensor([1]), None, "order"))
    assert out.node["shop"].tolist() == [0]


def test_engines(graph: HeteroGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    assert TemporalSampler(graph, [2]).engine == "numba"
    assert TemporalSampler(graph, [2], engine="tensor").engine == "tensor"
    monkeypatch.setattr("relgraph.sampling.options.find_spec", lambda name: None)
    assert TemporalSampler(graph, [2]).engine == "tensor"
    with pytest.raises(BackendError, match="needs Numba, which is not installed"):
        TemporalSampler(graph, [2], engine="numba")


@pytest.mark.parametrize("strategy", ["uniform", "last", "decayed"])
def test_both_engines_give_the_loader_the_same(graph: HeteroGraph, strategy: Any) -> None:
    first, second = (
        [content(batch) for batch in loader(graph, TemporalSampler(graph, [3, 2], strategy, engine=engine))]
        for engine in ("tensor", "numba")
    )
    assert first == second


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_neighbors": [3, -2]}, ShapeError, r"integers of at least -1 for .*, got \[3, -2\]"),
        ({"num_neighbors": [1.5]}, ShapeError, r"integers of at least -1"),
        ({"num_neighbors": {("order", "x", "shop"): [1]}}, SchemaError, r"no edge type \('order', 'x', 'shop'\)"),
        (
            {"num_neighbors": {("order", "shop_id", "shop"): [1], ("shop", "rev_shop_id", "order"): [1, 2]}},
            ShapeError,
            "as many hops for every edge type",
        ),
        ({"num_neighbors": 5}, ShapeError, r"integers of at least -1 .* got 5"),
        ({"num_neighbors": [True]}, ShapeError, r"integers of at least -1"),
        ({"strategy": "latest"}, ShapeError, "one of uniform, last, decayed, got 'latest'"),
        ({"cutoff": "before"}, ShapeError, "cutoff: expected one of inclusive, strict, None, got 'before'"),
        ({"engine": "rust"}, ShapeError, "engine: expected one of auto, tensor, numba, got 'rust'"),
        ({"seed": 1.5}, ShapeError, "seed: expected a whole number"),
        ({"until": "2020-01-01"}, ShapeError, "until: expected a whole number"),
        ({"device": "nowhere"}, BackendError, "device: expected one that torch can use here, got 'nowhere'"),
        ({"device": "meta", "engine": "numba"}, BackendError, "engine='numba' samples on the CPU only"),
    ],
)
def test_bad_settings(graph: HeteroGraph, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        TemporalSampler(graph, **arguments)


@pytest.mark.parametrize(
    ("node", "time", "node_type", "error", "message"),
    [
        ([10], [0], "customer", ShapeError, r"numbers in 0\.\.9 for 'customer', got 10\.\.10"),
        ([-1], [0], "customer", ShapeError, r"got -1\.\.-1"),
        ([0], [0], "custmer", SchemaError, "one of customer, order, shop, got 'custmer'"),
        ([0, 1], [0], "customer", ShapeError, r"expected int64 \[2\] in microseconds, got torch.int64 \[1\]"),
        ([0], [0.5], "customer", ShapeError, "got torch.float32"),
        ([0], [UNKNOWN], "customer", ShapeError, "UNKNOWN time; leave such rows out"),
    ],
)
def test_bad_seeds(
    graph: HeteroGraph, node: list[int], time: list[Any], node_type: str, error: type[Exception], message: str
) -> None:
    sampler = TemporalSampler(graph, [2])
    with pytest.raises(error, match=message):
        sampler.sample_from_nodes(NodeSamplerInput(None, torch.tensor(node), torch.tensor(time), node_type))


@pytest.mark.slow
def test_the_engine_needs_torch_only() -> None:
    program = """
import sys, relgraph.sampling.adjacency, relgraph.sampling.engine_tensor, relgraph.sampling.hashing
heavy = {"torch_geometric", "torch_frame", "duckdb", "pandas"} & sys.modules.keys()
sys.exit(f"imported {heavy}" if heavy else 0)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
