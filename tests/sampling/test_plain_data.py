"""PyG's own Data and HeteroData: one node type, several relations, times of nodes and of edges."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch_geometric.data import Data, HeteroData
from torch_geometric.loader import LinkLoader, NodeLoader

from relgraph.data.graph import EdgeStore, HeteroGraph, NodeStore
from relgraph.errors import SchemaError, ShapeError
from relgraph.sampling import TemporalSampler


@pytest.fixture(scope="module")
def graph() -> HeteroGraph:
    """Twelve entities with times, two relations, one with times of its own."""
    a, b = torch.arange(24), torch.arange(12)
    edges = {
        ("entity", "likes", "entity"): EdgeStore(torch.stack([a % 12, (5 * a + 1) % 12]), 20 + a),
        ("entity", "knows", "entity"): EdgeStore(torch.stack([b, (b + 3) % 12])),
    }
    return HeteroGraph({"entity": NodeStore(12, time=torch.arange(12))}, edges)


def check(batch: Data, graph: HeteroGraph, moment: torch.Tensor) -> None:
    """Every edge of the batch is the edge of the data that ``e_id`` names, of the same type, and none is later."""
    data = graph.to_data()
    assert torch.equal(batch.n_id[batch.edge_index], data.edge_index[:, batch.e_id])
    assert torch.equal(batch.edge_type, data.edge_type[batch.e_id])
    assert (data.edge_time[batch.e_id] <= moment[batch.batch[batch.edge_index[1]]]).all()
    assert sum(batch.num_sampled_nodes) == batch.num_nodes
    assert sum(batch.num_sampled_edges) == batch.num_edges > 0


@pytest.mark.parametrize("workers", [0, 2])
def test_rows_and_links_of_a_graph_of_one_node_type(graph: HeteroGraph, workers: int) -> None:
    sampler = TemporalSampler(graph, [3, 2], homogeneous=True)
    rows = NodeLoader(
        graph.to_data(), node_sampler=sampler, input_nodes=torch.tensor([3, 7, 9]), num_workers=workers,
        input_time=torch.tensor([30, 40, 50]), batch_size=3,
    )  # fmt: skip
    (batch,) = rows
    assert isinstance(batch, Data)
    assert batch.batch_size == 3
    assert batch.n_id[:3].tolist() == [3, 7, 9]
    check(batch, graph, torch.tensor([30, 40, 50]))
    counts = torch.bincount(batch.edge_index[1], minlength=batch.num_nodes)
    assert int(counts[:3].max()) <= 3  # over both relations together
    links = LinkLoader(
        graph.to_data(), link_sampler=sampler, neg_sampling="binary", batch_size=8, num_workers=workers,
        edge_label_index=torch.tensor([[0, 1], [2, 3]]), edge_label_time=torch.tensor([35, 45]),
    )  # fmt: skip
    (batch,) = links
    assert batch.n_id[batch.edge_label_index][:, :2].tolist() == [[0, 1], [2, 3]]
    assert batch.edge_label.tolist() == [1, 1, 0, 0]
    assert batch.batch[batch.edge_label_index].tolist() == [[0, 1, 0, 1]] * 2
    check(batch, graph, torch.tensor([34, 44]))


def test_triplets_of_plain_data(graph: HeteroGraph) -> None:
    sampler = TemporalSampler(graph, [2], homogeneous=True)
    links = LinkLoader(
        graph.to_data(), link_sampler=sampler, neg_sampling={"mode": "triplet", "amount": 2}, batch_size=4,
        edge_label_index=torch.tensor([[0, 1, 2], [2, 3, 4]]), edge_label_time=torch.tensor([35, 45, 5]),
    )  # fmt: skip
    (batch,) = links
    assert batch.n_id[batch.src_index].tolist() == [0, 1, 2]
    assert batch.n_id[batch.dst_pos_index].tolist() == [2, 3, 4]
    assert batch.dst_neg_index.shape == (3, 2)
    assert (batch.n_id[batch.dst_neg_index[2]] <= 5).all()
    assert batch.batch[batch.dst_neg_index].tolist() == [[0, 0], [1, 1], [2, 2]]


def test_links_of_plain_data_without_time_do_not_see_themselves() -> None:
    both = torch.tensor([[0, 1, 1, 2, 2, 0], [1, 0, 2, 1, 0, 2]])  # a triangle, each edge in both directions
    data = Data(edge_index=both, num_nodes=3)
    loader = LinkLoader(
        data, link_sampler=TemporalSampler.from_data(data, [-1, -1]), edge_label_index=torch.tensor([[0], [1]])
    )
    (batch,) = loader
    assert sorted(set(batch.e_id.tolist())) == [2, 3, 4, 5]


def test_a_sampler_of_plain_data(graph: HeteroGraph) -> None:
    data = graph.to_data()
    same = TemporalSampler(graph, [3, 2], homogeneous=True)
    other = TemporalSampler.from_data(data, [3, 2], time_attr="time", edge_time_attr="edge_time")
    settings: dict[str, Any] = {"input_nodes": torch.arange(12), "input_time": 30 + torch.arange(12), "batch_size": 12}
    (first,), (second,) = (NodeLoader(data, node_sampler=sampler, **settings) for sampler in (same, other))
    assert torch.equal(first.n_id, second.n_id)
    assert torch.equal(first.e_id, second.e_id)
    (timeless,) = NodeLoader(data, node_sampler=TemporalSampler.from_data(data, [-1]), **settings)
    assert timeless.num_edges == data.num_edges


def test_a_sampler_of_plain_hetero_data() -> None:
    data = HeteroData()
    data["user"].num_nodes, data["item"].num_nodes = 3, 4
    data["item"].when = torch.tensor([1, 2, 3, 4], dtype=torch.int32)
    ends = torch.tensor([[0, 0, 1, 2], [0, 1, 2, 3]])
    data["user", "buys", "item"].edge_index = ends
    data["item", "rev_buys", "user"].edge_index = ends.flip(0).flip(1)  # in another order than its opposite
    data["user", "buys", "item"].at = torch.tensor([9, 2, 3, 4])
    sampler = TemporalSampler.from_data(data, [-1, -1], time_attr="when", edge_time_attr="at")
    (batch,) = NodeLoader(
        data, node_sampler=sampler, input_nodes=("user", torch.tensor([0])), input_time=torch.tensor([2])
    )
    for kind in data.edge_types:
        ids = torch.stack(
            [batch[kind[0]].n_id[batch[kind].edge_index[0]], batch[kind[2]].n_id[batch[kind].edge_index[1]]]
        )
        assert torch.equal(ids, data[kind].edge_index[:, batch[kind].e_id])
    # items 0 and 1 are there by time 2; user 0 buys the first of them only at 9
    assert sorted(batch["item"].n_id.tolist()) == [0, 1]
    assert batch["user", "buys", "item"].e_id.tolist() == [1]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda data: None, {"time_attr": "x"}, "Data or HeteroData, got NoneType"),
        (lambda data: data, {"time_attr": "nope"}, "time_attr='nope' is at no node type"),
        (lambda data: data, {"edge_time_attr": "nope"}, "edge_time_attr='nope' is at no edge type"),
        (lambda data: data.update({"time": torch.rand(12)}), {"time_attr": "time"}, "whole numbers, got torch.float32"),
        (lambda data: data.update({"time": torch.ones(12, 1).long()}), {"time_attr": "time"}, "expected one time each"),
        (lambda data: Data(num_nodes=2), {}, "has no edge_index"),
    ],
)  # fmt: skip
def test_bad_data(graph: HeteroGraph, change: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        TemporalSampler.from_data(change(graph.to_data()), [2], **options)


def test_samplers_and_data_of_different_forms_are_refused(graph: HeteroGraph) -> None:
    index = torch.tensor([0])
    plain = NodeLoader(graph.to_data(), node_sampler=TemporalSampler(graph, [2]), input_nodes=index)
    with pytest.raises(SchemaError, match="PyG's Data needs homogeneous=True"):
        next(iter(plain))
    typed = NodeLoader(
        graph.to_hetero_data(),
        node_sampler=TemporalSampler(graph, [2], homogeneous=True),
        input_nodes=("entity", index),
    )
    with pytest.raises(SchemaError, match="homogeneous=True is for PyG's Data"):
        next(iter(typed))
    two = HeteroGraph({"a": NodeStore(1), "b": NodeStore(1)}, {})
    with pytest.raises(SchemaError, match="one node type, this graph has 2: a, b"):
        TemporalSampler(two, [2], homogeneous=True)
    with pytest.raises(ShapeError, match="homogeneous=True has no edge types"):
        TemporalSampler(graph, {("entity", "likes", "entity"): [1]}, homogeneous=True)
    with pytest.raises(ShapeError, match="reverse follows from the data"):
        TemporalSampler.from_data(graph.to_data(), [1], reverse=False)
