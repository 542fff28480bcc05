"""PyG's own models train on the batches, unchanged, with and without trimming to layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torch_geometric.loader import LinkLoader, NodeLoader
from torch_geometric.nn import GATConv, GraphSAGE, HeteroConv, HGTConv, RGCNConv, SAGEConv, to_hetero
from torch_geometric.utils import trim_to_layer

from relgraph.data.graph import EdgeStore, HeteroGraph, NodeStore
from relgraph.sampling import TemporalSampler

WIDTH = 8
BUYS = ("customer", "buys", "product")


@pytest.fixture(scope="module")
def graph() -> HeteroGraph:
    order = torch.arange(60)
    nodes = {"customer": NodeStore(10), "order": NodeStore(60, time=order.clone()), "product": NodeStore(6)}
    edges = {
        ("order", "of", "customer"): EdgeStore(torch.stack([order, order % 10])),
        ("order", "has", "product"): EdgeStore(torch.stack([order, order % 6])),
        BUYS: EdgeStore(torch.stack([order % 10, order % 6]), order.clone()),
    }
    return HeteroGraph(nodes, edges)


def features(graph: HeteroGraph) -> Any:
    data = graph.to_hetero_data()
    generator = torch.Generator().manual_seed(0)
    for name in data.node_types:
        data[name].x = torch.randn(data[name].num_nodes, WIDTH, generator=generator)
    return data


class Trimmed(nn.Module):
    """Two layers of one kind, each on no more of the batch than it needs."""

    def __init__(self, metadata: Any, kind: str) -> None:
        super().__init__()
        make = {
            "sage": lambda: HeteroConv({k: SAGEConv((WIDTH, WIDTH), WIDTH) for k in metadata[1]}),
            "gat": lambda: HeteroConv({k: GATConv((WIDTH, WIDTH), WIDTH, add_self_loops=False) for k in metadata[1]}),
            "hgt": lambda: HGTConv(WIDTH, WIDTH, metadata, heads=2),
        }[kind]
        self.layers = nn.ModuleList([make(), make()])

    def forward(self, batch: Any, trim: bool) -> Any:
        x, edges = batch.x_dict, batch.edge_index_dict
        for i, layer in enumerate(self.layers):
            if trim:
                x, edges, _ = trim_to_layer(i, batch.num_sampled_nodes_dict, batch.num_sampled_edges_dict, x, edges)
            x = layer(x, edges)
        return x


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sage", "gat", "hgt"])
@pytest.mark.parametrize(
    "fan_outs", [[4, 3], {("order", "of", "customer"): [4, 3], ("product", "rev_has", "order"): [2, 2]}]
)
def test_trimming_to_layers_changes_nothing_for_the_seeds(graph: HeteroGraph, kind: str, fan_outs: Any) -> None:
    data = features(graph)
    loader = NodeLoader(
        data, node_sampler=TemporalSampler(graph, fan_outs), input_nodes=("customer", torch.arange(8)),
        input_time=20 + 4 * torch.arange(8), batch_size=4,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Trimmed(data.metadata(), kind)
    for batch in loader:
        whole, trimmed = (model(batch, trim)["customer"][:4] for trim in (False, True))
        assert torch.allclose(whole, trimmed, atol=1e-5)
        trimmed.sum().backward()
    assert any(p.grad is not None and bool((p.grad != 0).any()) for p in model.parameters())


def test_graphsage_to_hetero_learns_from_links(graph: HeteroGraph) -> None:
    data = features(graph)
    model = to_hetero(GraphSAGE(WIDTH, WIDTH, num_layers=2), data.metadata())
    loader = LinkLoader(
        data, link_sampler=TemporalSampler(graph, [4, 3]), neg_sampling="binary", batch_size=20,
        edge_label_index=(BUYS, data[BUYS].edge_index), edge_label_time=data[BUYS].time,
    )  # fmt: skip

    def loss(batch: Any) -> Tensor:
        x = model(batch.x_dict, batch.edge_index_dict)
        source, target = batch[BUYS].edge_label_index
        score = (x["customer"][source] * x["product"][target]).sum(1)
        return binary_cross_entropy_with_logits(score, batch[BUYS].edge_label)

    torch.manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(8):
        for batch in loader:
            optimizer.zero_grad()
            found = loss(batch)
            found.backward()
            optimizer.step()
            losses.append(float(found.detach()))
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])


def test_rgcn_learns_on_plain_data() -> None:
    number = torch.arange(90)
    edges = {
        ("entity", f"r{i}", "entity"): EdgeStore(
            torch.stack([number % 30, (number * (i + 2) + i) % 30]), number.clone()
        )
        for i in range(3)
    }
    graph = HeteroGraph({"entity": NodeStore(30)}, edges)
    data = graph.to_data()
    data.x = torch.eye(30)
    data.y = torch.arange(30) % 3
    loader = NodeLoader(
        data, node_sampler=TemporalSampler(graph, [5, 5], "decayed", homogeneous=True), batch_size=10,
        input_nodes=torch.arange(30), input_time=torch.full((30,), 80),
    )  # fmt: skip
    torch.manual_seed(0)
    layers = nn.ModuleList([RGCNConv(30, 16, 3), RGCNConv(16, 3, 3)])
    optimizer = torch.optim.Adam(layers.parameters(), lr=0.02)
    losses = []
    for _ in range(15):
        for batch in loader:
            optimizer.zero_grad()
            x, edge_index, edge_type = batch.x, batch.edge_index, batch.edge_type
            for i, layer in enumerate(layers):
                x, edge_index, edge_type = trim_to_layer(
                    i, batch.num_sampled_nodes, batch.num_sampled_edges, x, edge_index, edge_type
                )
                x = layer(x.relu() if i else x, edge_index, edge_type)
            found = cross_entropy(x[: batch.batch_size], batch.y[: batch.batch_size])
            found.backward()
            optimizer.step()
            losses.append(float(found.detach()))
    assert sum(losses[-3:]) < 0.5 * sum(losses[:3])
