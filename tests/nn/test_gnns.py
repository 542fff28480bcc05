"""What every network of GNNS must do: go only as far as the seeds need, take any graph, teach every parameter."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.loader import NodeLoader

from relgraph.errors import ShapeError
from relgraph.nn import GNNS, EntityModel
from relgraph.nn.rounds import HeteroRounds
from relgraph.sampling import TemporalSampler
from tests.nn.graphs import SIZES, both_directions, ends, shop_graph, vectors

OPTIONS: dict[str, dict[str, object]] = {
    "sage": {},
    "gat": {"heads": 2},
    "hgt": {"heads": 2},
    "relgnn": {"heads": 2},
    "gcn": {"dropout": 0.0},
    "ppr": {"dropout": 0.0},
    "grand": {"dropout": 0.0, "drop_nodes": 0.0},
}
every_gnn = pytest.mark.parametrize("name", GNNS)
in_rounds = pytest.mark.parametrize("name", [name for name, kind in GNNS.items() if issubclass(kind, HeteroRounds)])


def make(name: str, layers: int = 2, channels: int = 4, **options: object) -> torch.nn.Module:
    torch.manual_seed(0)
    graph = shop_graph()
    types = list(both_directions(graph))
    return GNNS[name](graph.node_types, types, channels, layers, **{**OPTIONS[name], **options}).double()


def test_every_network_has_options_here() -> None:
    assert set(OPTIONS) == set(GNNS)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(sorted(GNNS)),
    st.integers(1, 3),
    st.integers(0, 1),
    st.integers(0, 2**31),
    st.sampled_from(["person", "sale", "alone"]),
)
def test_what_the_seeds_do_not_need_is_left_out_without_a_difference(
    name: str, layers: int, more_hops: int, seed: int, table: str
) -> None:
    graph = shop_graph()
    torch.manual_seed(seed)
    model = EntityModel(
        graph, table, channels=4, layers=layers, encoder_layers=1, gnn=name, gnn_options=OPTIONS[name]
    ).eval()
    sampler = TemporalSampler(graph, [3] * (layers + more_hops), seed=seed)
    loader = NodeLoader(
        graph.to_hetero_data(),
        node_sampler=sampler,
        input_nodes=(table, torch.tensor([1, 0, 1])),
        input_time=torch.tensor([50, 80, 10]),
        batch_size=3,
    )
    batch = next(iter(loader))
    n_id = {kind: batch[kind].n_id for kind in batch.node_types}
    owners = {kind: batch[kind].batch for kind in batch.node_types}
    x = model.encoder(n_id, owners, batch[table].seed_time)
    whole = model.head(model.gnn(x, batch.edge_index_dict)[table])[:3]
    torch.testing.assert_close(model(batch), whole)


@pytest.mark.slow
@every_gnn
def test_every_parameter_learns_and_every_vector_counts(name: str) -> None:
    """On edges that give most nodes several neighbours: attention to a single one is 1 whatever its score."""
    torch.manual_seed(0)
    x = vectors(8)
    del x["alone"]
    generator = torch.Generator().manual_seed(2)
    edges = {kind: ends(SIZES[kind[0]], SIZES[kind[2]], 90, generator) for kind in both_directions(shop_graph())}
    gnn = GNNS[name](list(x), list(edges), 8, 2, **OPTIONS[name]).double()
    out = gnn(x, edges)
    sum((h * torch.randn_like(h)).sum() for h in out.values()).backward()
    for parameter_name, parameter in gnn.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().sum() > 1e-9, parameter_name
    for kind, value in x.items():
        assert value.grad is not None, kind
        assert bool((value.grad.abs().sum(1) > 0).all()), kind


@every_gnn
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    graph = shop_graph()
    gnn = make(name, layers=1, **({"norm": "none"} if issubclass(GNNS[name], HeteroRounds) else {}))
    x = vectors(4)

    def person(given: torch.Tensor, sale: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = gnn({**x, "person": given, "sale": sale}, both_directions(graph))["person"]
        return out

    assert torch.autograd.gradcheck(person, (x["person"], x["sale"]), fast_mode=True)


@every_gnn
def test_nodes_without_edges_and_types_without_nodes(name: str) -> None:
    graph = shop_graph()
    gnn, x = make(name).eval(), vectors(4)
    none = {kind: index[:, :0] for kind, index in both_directions(graph).items()}
    out = gnn(x, none)
    assert {kind: tuple(h.shape) for kind, h in out.items()} == {kind: tuple(h.shape) for kind, h in x.items()}
    assert all(bool(h.isfinite().all()) for h in out.values())
    empty = gnn({kind: h[:0] for kind, h in x.items()}, none)
    assert all(tuple(h.shape) == (0, 4) for h in empty.values())
    alone = gnn({"alone": x["alone"]}, {})
    torch.testing.assert_close(alone["alone"], out["alone"])
    fewer = gnn({kind: x[kind] for kind in ("person", "sale")}, both_directions(graph))  # edges to a type that is away
    assert set(fewer) == {"person", "sale"}


@every_gnn
def test_the_order_of_edges_and_nodes_does_not_matter(name: str) -> None:
    graph = shop_graph()
    gnn, x = make(name).eval(), vectors(4)
    edges = both_directions(graph)
    expected = gnn(x, edges)
    order = {kind: torch.randperm(h.size(0)) for kind, h in x.items()}
    place = {kind: torch.argsort(perm) for kind, perm in order.items()}
    moved = {
        kind: torch.stack([place[kind[0]][index[0]], place[kind[2]][index[1]]])[:, torch.randperm(index.size(1))]
        for kind, index in edges.items()
    }
    out = gnn({kind: h[order[kind]] for kind, h in x.items()}, moved)
    for kind in x:
        torch.testing.assert_close(out[kind], expected[kind][order[kind]])


@in_rounds
def test_dropout_and_norm(name: str) -> None:
    graph = shop_graph()
    edges, x = both_directions(graph), vectors(4)
    gnn = make(name, dropout=0.5)
    torch.manual_seed(1)
    first, second = (gnn.train()(x, edges)["person"] for _ in range(2))
    assert not torch.equal(first, second)
    torch.testing.assert_close(gnn.eval()(x, edges)["person"], gnn(x, edges)["person"])
    assert not [n for n, _ in make(name, norm="none").named_parameters() if "norms" in n]
    with pytest.raises(ShapeError, match="norm: expected one of layer, none, got 'batch'"):
        make(name, norm="batch")


@pytest.mark.parametrize("name", ["gat", "hgt", "relgnn"])
def test_heads_divide_the_channels(name: str) -> None:
    with pytest.raises(ShapeError, match="heads: expected a divisor of channels = 6, got 4"):
        GNNS[name](["a"], [], 6, 1, heads=4)


def test_unknown_networks_and_options_are_refused() -> None:
    graph = shop_graph()
    with pytest.raises(ShapeError, match="gnn: expected one of sage, gat, hgt, relgnn, gcn, ppr, grand, got 'gin'"):
        EntityModel(graph, "person", gnn="gin")
    with pytest.raises(ShapeError, match="'sage' has no option 'heads'; its options: aggr, norm, dropout"):
        EntityModel(graph, "person", gnn_options={"heads": 2})
