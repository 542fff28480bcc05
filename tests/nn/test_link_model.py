"""The recommender's parts: messages that come back from the seed, rows found by key, and the formula of the score."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.loader import NodeLoader

from relgraph.data.graph import EdgeStore, HeteroGraph, NodeStore
from relgraph.data.keys import Keys, TextColumn
from relgraph.errors import SchemaError, ShapeError
from relgraph.nn.id_gnn import RowEmbedding, both_ways, row_codes
from relgraph.nn.link_model import LinkModel
from relgraph.sampling.sampler import TemporalSampler

BUYER, ITEM = ("sale", "buyer", "person"), ("sale", "item", "thing")
REV_BUYER, REV_ITEM = ("person", "rev_buyer", "sale"), ("thing", "rev_item", "sale")


def make_graph() -> HeteroGraph:
    """Persons 0 and 1; person 0 bought things 0 and 2, person 1 things 1 and 2; nobody thing 3."""
    nodes = {"person": NodeStore(2), "sale": NodeStore(4, time=torch.tensor([1, 2, 3, 4])), "thing": NodeStore(4)}
    sale = torch.arange(4)
    edges = {
        BUYER: EdgeStore(torch.stack([sale, torch.tensor([0, 0, 1, 1])])),
        ITEM: EdgeStore(torch.stack([sale, torch.tensor([0, 2, 1, 2])])),
    }
    return HeteroGraph(nodes=nodes, edges=edges)


def subgraphs(graph: HeteroGraph, table: str, rows: list[int], time: int = 10, hops: int = 2) -> Any:
    loader = NodeLoader(
        graph.to_hetero_data(features=False),
        node_sampler=TemporalSampler(graph, [-1] * hops),
        input_nodes=(table, torch.tensor(rows)),
        input_time=torch.full((len(rows),), time),
        batch_size=len(rows),
    )
    return next(iter(loader))


def model(kind: Any, **options: Any) -> LinkModel:
    torch.manual_seed(0)
    built = LinkModel(make_graph(), "person", "thing", kind, channels=8, encoder_layers=1, dropout=0.0, **options)
    built.eval()
    return built


def test_every_sampled_edge_goes_both_ways_once() -> None:
    edges = {BUYER: torch.tensor([[2, 0], [0, 1]]), REV_BUYER: torch.tensor([[0], [2]]), REV_ITEM: torch.zeros(2, 0)}
    found = both_ways({k: v.long() for k, v in edges.items()}, {"person": 3, "sale": 5, "thing": 1}, [BUYER, ITEM])
    assert found[BUYER].tolist() == [[0, 2], [1, 0]]  # 2 -> 0 was there in both directions
    assert found[REV_BUYER].tolist() == [[1, 0], [0, 2]]
    assert found[ITEM].shape == found[REV_ITEM].shape == (2, 0)
    assert both_ways({}, {}, [BUYER]) == {}


@pytest.mark.parametrize("text", [True, False])
def test_rows_are_found_by_their_key(text: bool) -> None:
    def store(names: list[int]) -> NodeStore:
        column = TextColumn.from_strings([f"k{n}" for n in names]) if text else torch.tensor(names)
        return NodeStore(len(names), keys=Keys(("id",), (column,)))

    rows = RowEmbedding(store([5, 6, 7]), width=4)
    old = rows(torch.arange(3))
    later = RowEmbedding(store([9, 7, 6, 5]), width=4, trained=rows.trained)
    later.load_state_dict(rows.state_dict())
    new = later(torch.arange(4))
    assert torch.equal(new[[3, 2, 1]], old)
    assert not new[0].any()
    assert old.abs().min() > 0
    bare = RowEmbedding(store([]), width=4, trained=rows.trained)
    assert bare(torch.empty(0, dtype=torch.int64)).shape == (0, 4)
    assert RowEmbedding(store([]), width=4)(torch.empty(0, dtype=torch.int64)).shape == (0, 4)


def test_rows_without_a_key_go_by_their_number() -> None:
    assert row_codes(NodeStore(3)).tolist() == [0, 1, 2]


def test_two_towers_are_a_product_and_a_bias() -> None:
    built = model("two_tower")
    sources = built.sources(subgraphs(make_graph(), "person", [1, 0]))
    assert sources.query.shape == (2, 8)
    assert sources.target.numel() == sources.extra.numel() == 0
    rows = torch.tensor([0, 2, 3])
    batch = subgraphs(make_graph(), "thing", rows.tolist())
    vector, bias = built.targets(rows, batch)
    x = built._pass(batch, built._encode(batch, "thing"))["thing"][:3]
    assert built.rows is not None
    own = built.rows(rows)
    for i in range(3):
        key = built.key.weight @ x[i] + built.key.bias + own[i]
        torch.testing.assert_close(vector[i], key[:8])
        torch.testing.assert_close(bias[i], key[8])
    plain = model("two_tower", row_vectors=False)
    assert plain.rows is None
    assert plain.targets(rows, batch)[0].shape == (3, 8)


@pytest.mark.parametrize("kind", ["idgnn", "hybrid"])
def test_pairs_are_what_the_source_reaches(kind: Any) -> None:
    built = model(kind)
    sources = built.sources(subgraphs(make_graph(), "person", [1, 0]))
    pairs = sorted(zip(sources.batch.tolist(), sources.target.tolist(), strict=True))
    assert pairs == [(0, 1), (0, 2), (1, 0), (1, 2)]  # person 1 stands first
    early = built.sources(subgraphs(make_graph(), "person", [1, 0], time=3))
    assert sorted(zip(early.batch.tolist(), early.target.tolist(), strict=True)) == [(0, 1), (1, 0), (1, 2)]


def extra_of(sources: Any, row: int, target: int) -> Tensor:
    found: Tensor = sources.extra[(sources.batch == row) & (sources.target == target)]
    assert found.numel() == 1
    return found


def test_a_pair_depends_on_its_own_subgraph_only() -> None:
    built = model("idgnn")
    together = built.sources(subgraphs(make_graph(), "person", [1, 0]))
    alone = built.sources(subgraphs(make_graph(), "person", [0]))
    for target in (0, 2):
        torch.testing.assert_close(extra_of(together, 1, target), extra_of(alone, 0, target))


def test_the_mark_reaches_the_targets() -> None:
    """Without it the pair would not know who asks; one hop is too short for it, two are enough."""
    for hops, moved in ((1, False), (2, True)):
        torch.manual_seed(0)
        built = LinkModel(
            make_graph(), "person", "thing", "idgnn", channels=8, layers=hops, encoder_layers=1, dropout=0.0
        )
        built.eval()
        batch = subgraphs(make_graph(), "person", [0])
        before = built.sources(batch).extra
        with torch.no_grad():
            built.mark.add_(torch.linspace(-1, 1, 8))
        assert torch.allclose(built.sources(batch).extra, before) is not moved


def test_outside_an_idgnn_knows_popularity_only() -> None:
    built = model("idgnn")
    vector, bias = built.targets(torch.tensor([3, 0]))
    assert vector.shape == (2, 0)
    assert built.rows is not None
    assert torch.equal(bias, built.rows.weight[[3, 0], 0])


def test_every_parameter_learns() -> None:
    for kind in ("two_tower", "idgnn", "hybrid"):
        built = model(kind)
        built.train()
        sources = built.sources(subgraphs(make_graph(), "person", [0, 1]))
        rows = torch.arange(4)
        batch = subgraphs(make_graph(), "thing", [0, 1, 2, 3]) if built.towers else None
        vector, bias = built.targets(rows, batch)
        (sources.query @ vector.T + bias).square().sum().add(sources.extra.square().sum()).backward()
        heads = ("query", "key", "mark", "pair", "rows")
        silent = [
            n for n, p in built.named_parameters() if n.startswith(heads) and (p.grad is None or not p.grad.any())
        ]
        assert not silent, f"{kind}: {silent}"


def test_refused() -> None:
    with pytest.raises(SchemaError, match="target_table: there is no table 'nothing'; tables: person, sale, thing"):
        LinkModel(make_graph(), "person", "nothing")
    with pytest.raises(ShapeError, match="model: expected one of two_tower, idgnn, hybrid, got 'foo'"):
        model("foo")
    with pytest.raises(ShapeError, match="a model with towers needs the subgraphs"):
        model("hybrid").targets(torch.tensor([0]))
    with pytest.raises(ShapeError, match="gnn: expected one of"):
        model("idgnn", gnn="foo")
