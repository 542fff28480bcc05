"""Graph convolution and personalised PageRank against PyG's and against the formula."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.nn import APPNP, GCNConv

from relgraph.errors import ShapeError
from relgraph.nn.gcn import HeteroGCN, PersonalizedPageRank, RandomPropagation, normalised_sum

EDGES = torch.tensor([[0, 1, 1, 2, 3, 0], [1, 0, 2, 1, 0, 3]])
KIND = ("n", "e", "n")


def test_the_normalised_sum_of_a_path_by_hand() -> None:
    # 0 - 1: both have degree 2 with themselves
    x, edges = {"n": torch.tensor([[2.0], [6.0]])}, {KIND: torch.tensor([[0, 1], [1, 0]])}
    out = normalised_sum(x, edges, {"n": torch.tensor([2.0, 2.0])})
    assert out["n"].flatten().tolist() == pytest.approx([4.0, 4.0])


def test_one_node_type_is_the_published_network() -> None:
    torch.manual_seed(0)
    x, ours = torch.randn(4, 6), HeteroGCN(["n"], [KIND], channels=5, num_layers=3).eval()
    first, middle, last = GCNConv(6, 5), GCNConv(5, 5, bias=False), GCNConv(5, 2, bias=False)
    inner = ours.layers[1].matrices[0]
    middle.lin.weight = inner.weight
    expected = last(middle(first(x, EDGES).relu(), EDGES).relu(), EDGES)
    found = ours({"n": first.lin(x)}, {KIND: EDGES})["n"] @ last.lin.weight.t()
    torch.testing.assert_close(found, expected)


def test_page_rank_is_the_published_propagation() -> None:
    x, ours = torch.randn(4, 6), PersonalizedPageRank(["n"], [KIND], num_layers=10, alpha=0.2).eval()
    torch.testing.assert_close(ours({"n": x}, {KIND: EDGES})["n"], APPNP(10, 0.2)(x.relu(), EDGES))


@pytest.mark.slow
def test_dropped_edges_keep_the_mean_of_what_is_spread() -> None:
    torch.manual_seed(0)
    ours = PersonalizedPageRank(["n"], [KIND], num_layers=1, alpha=0.0, dropout=0.5)
    x = {"n": torch.rand(4, 6)}
    mean = torch.stack([ours(x, {KIND: EDGES})["n"] for _ in range(8000)]).mean(0)
    torch.testing.assert_close(mean, ours.eval()(x, {KIND: EDGES})["n"], atol=0.03, rtol=0.0)


def test_random_propagation_is_the_mean_of_powers_of_the_normalised_adjacency() -> None:
    torch.manual_seed(0)
    x, ours = torch.randn(4, 6), RandomPropagation(["n"], [KIND], num_layers=3).eval()
    adjacency = torch.zeros(4, 4).index_put((EDGES[1], EDGES[0]), torch.ones(())) + torch.eye(4)
    scale = adjacency.sum(1).rsqrt().diag()
    spread = scale @ adjacency @ scale
    expected = sum(torch.linalg.matrix_power(spread, k) @ x for k in range(4)) / 4
    torch.testing.assert_close(ours({"n": x}, {KIND: EDGES})["n"], expected.relu())


def test_random_propagation_drops_whole_nodes_in_training_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    ours = RandomPropagation(["n"], [KIND], num_layers=0, drop_nodes=0.25, dropout=0.0)
    passes = torch.stack([ours({"n": torch.ones(4, 6)}, {KIND: EDGES})["n"] for _ in range(2000)])
    assert passes.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert torch.equal(passes.amin(2), passes.amax(2))
    assert passes.mean().item() == pytest.approx(1.0, abs=0.03)


def test_two_node_types_exchange_vectors() -> None:
    x = {"a": torch.ones(2, 3), "b": torch.zeros(1, 3)}
    edges = {("a", "to", "b"): torch.tensor([[0, 1], [0, 0]]), ("b", "rev_to", "a"): torch.tensor([[0, 0], [0, 1]])}
    out = PersonalizedPageRank(["a", "b"], list(edges), num_layers=1, alpha=0.0).eval()(x, edges)
    # b has degree 3, each a 2: two neighbours of 1 / sqrt(6)
    assert out["b"][0, 0].item() == pytest.approx(2 / 6**0.5)
    assert out["a"][0, 0].item() == pytest.approx(0.5)


def test_every_parameter_gets_a_gradient_and_dropout_is_for_training() -> None:
    torch.manual_seed(0)
    ours = HeteroGCN(["n"], [KIND], channels=6, num_layers=3, dropout=0.5)
    x = {"n": torch.rand(4, 6)}
    assert not torch.equal(ours(x, {KIND: EDGES})["n"], ours(x, {KIND: EDGES})["n"])
    ours.eval()
    ours(x, {KIND: EDGES})["n"].square().sum().backward()
    assert all(p.grad is not None for p in ours.parameters())


def test_a_share_outside_its_range_is_refused() -> None:
    with pytest.raises(ShapeError, match="dropout"):
        HeteroGCN(["n"], [KIND], dropout=1.5)
    with pytest.raises(ShapeError, match="alpha"):
        PersonalizedPageRank(["n"], [KIND], alpha=1.0)
