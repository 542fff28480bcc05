"""PyG's layers give the same with the fused aggregation, alone, in models and between node types."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch_geometric.data import HeteroData
from torch_geometric.nn import GATConv, GCNConv, GINConv, GraphConv, GraphSAGE, HeteroConv, SAGEConv, to_hetero

from relgraph.errors import BackendError
from relgraph.nn import fuse_layers

N, E = 20, 90
EDGES = torch.randint(N, (2, E), generator=torch.Generator().manual_seed(0))
LAYERS = {
    "sage mean": lambda: SAGEConv(8, 6),
    "sage sum": lambda: SAGEConv(8, 6, aggr="add"),
    "sage max": lambda: SAGEConv(8, 6, aggr="max", project=True),
    "graph": lambda: GraphConv(8, 6),
    "gcn": lambda: GCNConv(8, 6),
    "gin": lambda: GINConv(nn.Linear(8, 6)),
    "model": lambda: GraphSAGE(8, 16, num_layers=2, out_channels=6, norm="batch"),
}


def results(module: nn.Module, *arguments: Any) -> list[torch.Tensor]:
    out = module(*arguments)
    module.zero_grad()
    out.square().sum().backward()
    return [out.detach(), *(p.grad.clone() for p in module.parameters() if p.grad is not None)]


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_values_and_gradients_stay(name: str, weighted: bool) -> None:
    torch.manual_seed(1)
    layer = LAYERS[name]()
    arguments = [torch.randn(N, 8), EDGES]
    if weighted and name in ("graph", "gcn"):
        arguments.append(torch.rand(E))
    before = results(layer, *arguments)
    names = list(layer.state_dict())
    after = results(fuse_layers(layer), *arguments)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)
    assert list(layer.state_dict()) == names
    assert fuse_layers(layer) is layer, "twice is once"


def test_messages_never_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    def no(*_: Any, **__: Any) -> None:
        raise AssertionError("a message was made")

    layer = SAGEConv(8, 6)
    fuse_layers(layer)
    monkeypatch.setattr(type(layer), "message", no)
    layer(torch.randn(N, 8), EDGES)


def test_between_node_types() -> None:
    torch.manual_seed(0)
    x = {"a": torch.randn(N, 8), "b": torch.randn(5, 4)}
    edges = {
        ("a", "to", "b"): torch.stack([EDGES[0], EDGES[1] % 5]),
        ("b", "rev_to", "a"): torch.stack([EDGES[1] % 5, EDGES[0]]),
    }
    layer = HeteroConv({kind: SAGEConv((-1, -1), 6, aggr="mean") for kind in edges})
    before = layer(x, edges)
    after = fuse_layers(layer)(x, edges)
    for name in x:
        torch.testing.assert_close(after[name], before[name], rtol=1e-4, atol=1e-5)

    data = HeteroData()
    for name, rows in x.items():
        data[name].x = rows
    for kind, index in edges.items():
        data[kind].edge_index = index
    made = to_hetero(GraphSAGE((-1, -1), 8, num_layers=2), data.metadata())
    before = made(data.x_dict, data.edge_index_dict)
    after = fuse_layers(made)(data.x_dict, data.edge_index_dict)
    for name in x:
        torch.testing.assert_close(after[name], before[name], rtol=1e-4, atol=1e-5)


def test_a_model_without_such_layers_is_refused() -> None:
    with pytest.raises(BackendError, match="GATConv has no SAGEConv, GraphConv, GCNConv, GINConv"):
        fuse_layers(GATConv(8, 6))
    with pytest.raises(BackendError):
        fuse_layers(SAGEConv(8, 6, aggr="lstm"))
