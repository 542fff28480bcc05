"""The whole graph as one batch."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.loader import NodeLoader

from relgraph.data.graph import EdgeStore, HeteroGraph, NodeStore
from relgraph.errors import ProtocolError, SchemaError, ShapeError
from relgraph.nn import HeteroGraphSAGE
from relgraph.sampling.whole import WholeGraph


def a_graph() -> HeteroGraph:
    return HeteroGraph(
        {"a": NodeStore(4), "b": NodeStore(3)},
        {("a", "to", "b"): EdgeStore(torch.tensor([[0, 1, 2, 3, 3], [0, 0, 1, 2, 0]]))},
    )


def one_batch(graph: HeteroGraph, node_type: str, seeds: torch.Tensor) -> object:
    data = graph.to_hetero_data(features=False)
    loader = NodeLoader(data, node_sampler=WholeGraph(graph), input_nodes=(node_type, seeds), batch_size=100)
    (batch,) = list(loader)
    return batch


def test_every_node_and_edge_is_there_once_with_the_seeds_first() -> None:
    graph, seeds = a_graph(), torch.tensor([2, 0])
    batch = one_batch(graph, "b", seeds)
    assert batch["b"].n_id.tolist() == [2, 0, 1]
    assert batch["a"].n_id.tolist() == [0, 1, 2, 3]
    row, col = batch["a", "to", "b"].edge_index
    pairs = zip(batch["a"].n_id[row].tolist(), batch["b"].n_id[col].tolist(), strict=True)
    assert sorted(pairs) == sorted(zip(*graph.edges["a", "to", "b"].edge_index.tolist(), strict=True))
    assert batch["a", "to", "b"].num_sampled_edges == [4, 1]
    assert bool((col[:4] < 2).all())


def test_a_trimmed_network_gives_the_seeds_what_the_whole_one_does() -> None:
    torch.manual_seed(0)
    graph, seeds = a_graph(), torch.tensor([1, 3])
    batch = one_batch(graph, "a", seeds)
    x = {"a": torch.randn(4, 8), "b": torch.randn(3, 8)}
    network = HeteroGraphSAGE(["a", "b"], batch.edge_types, channels=8).eval()
    edges = {("a", "to", "b"): graph.edges["a", "to", "b"].edge_index}
    edges["b", "rev_to", "a"] = edges["a", "to", "b"].flip(0)
    whole = network(x, edges)["a"][seeds]
    given = {name: x[name][batch[name].n_id] for name in x}
    counts = {name: batch[name].num_sampled_nodes for name in x}
    trimmed = network(given, batch.edge_index_dict, counts, {t: batch[t].num_sampled_edges for t in batch.edge_types})
    torch.testing.assert_close(trimmed["a"], whole)


def test_edges_stored_in_both_directions_are_not_doubled() -> None:
    both = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    data = Data(x=torch.eye(3), edge_index=both)
    found = WholeGraph(HeteroGraph.from_data(data)).edge_index
    assert found["node", "rev_edge", "node"].size(1) == 0
    one_way = WholeGraph(HeteroGraph.from_data(Data(x=torch.eye(3), edge_index=both[:, [0, 2]]))).edge_index
    assert one_way["node", "rev_edge", "node"].tolist() == [[1, 2], [0, 1]]


def test_seeds_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"0\.\.2"):
        one_batch(a_graph(), "b", torch.tensor([3]))
    with pytest.raises(ShapeError, match="once"):
        one_batch(a_graph(), "b", torch.tensor([1, 1]))
    graph = a_graph()
    data = graph.to_hetero_data(features=False)
    timed = NodeLoader(
        data, node_sampler=WholeGraph(graph), input_nodes=("b", torch.tensor([0])), input_time=torch.tensor([5])
    )
    with pytest.raises(ProtocolError, match="TemporalSampler"):
        next(iter(timed))
    with pytest.raises(SchemaError, match="'c'"):
        WholeGraph(graph).sample_from_nodes(_Input("c"))


class _Input:
    time = None
    input_id = None
    node = torch.tensor([0])

    def __init__(self, input_type: str) -> None:
        self.input_type = input_type
