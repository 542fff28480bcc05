"""GraphSAGE against the formula written out and PyG's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch_geometric.loader import NodeLoader
from torch_geometric.nn import HeteroConv, SAGEConv

from relgraph.errors import SchemaError, ShapeError
from relgraph.nn import EntityModel, HeteroGraphSAGE
from relgraph.sampling import TemporalSampler
from tests.nn.graphs import shop_graph


def test_a_layer_is_the_written_formula() -> None:
    torch.manual_seed(0)
    types = [("a", "r", "b"), ("b", "s", "b")]
    gnn = HeteroGraphSAGE(["a", "b"], types, channels=3, num_layers=1)
    a, b = torch.randn(2, 3), torch.randn(2, 3)
    edges = {types[0]: torch.tensor([[0, 1, 1], [0, 0, 1]]), types[1]: torch.tensor([[1], [0]])}
    out = gnn({"a": a, "b": b}, edges)
    (w_r, w_s), (v_r, v_s) = gnn.layers[0]["neighbours"], gnn.layers[0]["roots"]
    first = w_r.weight @ (a[0] + a[1]) + w_r.bias + v_r.weight @ b[0]
    total = first + w_s.weight @ b[1] + w_s.bias + v_s.weight @ b[0]
    normal = (total - total.mean()) / (total.var(unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(out["b"][0], torch.relu(normal))
    alone = (a[0] - a[0].mean()) / (a[0].var(unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(out["a"][0], torch.relu(alone))  # nothing points to "a"


@pytest.mark.slow
@pytest.mark.parametrize("aggr", ["sum", "mean", "max"])
def test_a_layer_is_pygs_own(aggr: Any) -> None:
    """As many sources as targets, fewer, and more; targets without a neighbour."""
    torch.manual_seed(0)
    types = [("a", "r", "b"), ("b", "s", "a"), ("a", "t", "a")]
    gnn = HeteroGraphSAGE(["a", "b"], types, channels=6, num_layers=1, aggr=aggr).double()
    convs = {kind: SAGEConv((6, 6), 6, aggr=aggr).double() for kind in types}
    for i, conv in enumerate(convs.values()):
        conv.lin_l.load_state_dict(gnn.layers[0]["neighbours"][i].state_dict())
        conv.lin_r.load_state_dict(gnn.layers[0]["roots"][i].state_dict())
    x = {"a": torch.randn(4, 6).double(), "b": torch.randn(9, 6).double()}
    edges = {
        (s, r, t): torch.stack([torch.randint(len(x[s]), (7,)), torch.randint(len(x[t]), (7,))]) for s, r, t in types
    }
    expected = HeteroConv(convs, aggr="sum")(x, edges)
    found = gnn(x, edges)
    for name, norm in zip(("a", "b"), gnn.layers[0]["norms"], strict=True):
        torch.testing.assert_close(found[name], torch.relu(norm(expected[name])))


def test_an_unknown_aggregation_is_refused() -> None:
    with pytest.raises(ShapeError, match="one of sum, mean, max, got 'min'"):
        HeteroGraphSAGE(["a"], [], aggr="min")  # type: ignore[arg-type]


def test_every_parameter_that_can_matter_gets_a_gradient() -> None:
    data_graph = shop_graph()
    model = EntityModel(data_graph, "person", channels=4, encoder_layers=1)
    sampler = TemporalSampler(data_graph, [-1, -1])
    loader = NodeLoader(
        data_graph.to_hetero_data(features=False),
        node_sampler=sampler,
        input_nodes=("person", torch.arange(6)),
        input_time=torch.full((6,), 90),
        batch_size=6,
    )
    model(next(iter(loader))).pow(2).sum().backward()
    for name, parameter in model.head.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name  # noqa: PT018
    for name, parameter in model.encoder.named_parameters():
        if not name.startswith("tables.3"):  # "alone" has no edges
            assert parameter.grad is not None, name


def test_an_unknown_entity_table_is_refused() -> None:
    with pytest.raises(SchemaError, match="there is no table 'persn'; tables: person, sale, shop, alone"):
        EntityModel(shop_graph(), "persn")
