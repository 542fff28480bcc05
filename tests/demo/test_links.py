"""The link part of the demo: popularity, the vocabulary it is narrowed to, and what counts as a fair question."""

from __future__ import annotations

import pytest
import torch

from relgraph.data.build import build_graph
from relgraph.data.statements import Statements, Vocabulary
from relgraph.demo.links import choose_relation, focus, predict_links
from relgraph.errors import ProtocolError, SchemaError

NAMES = Vocabulary(["ann", "bob", "tea", "pan", "o1", "o2", "o3"], ["likes", "by", "unused"])


def statements(*rows: tuple[str, str, str]) -> Statements:
    head, relation, tail = zip(*rows, strict=True)
    return Statements(
        torch.tensor([NAMES.entity(h) for h in head]),
        torch.tensor([NAMES.relation(r) for r in relation]),
        torch.tensor([NAMES.entity(t) for t in tail]),
        NAMES,
    )


TRAIN = statements(("ann", "likes", "tea"), ("bob", "likes", "tea"), ("ann", "likes", "pan"), ("o1", "by", "ann"))
TEST = statements(("bob", "likes", "pan"), ("o2", "by", "ann"), ("o3", "by", "bob"))


def test_relation_with_known_ends_is_chosen() -> None:
    assert NAMES.relations[choose_relation(TRAIN, TEST)] == "likes", "every order of the test is new"
    with pytest.raises(ProtocolError, match="nothing to predict"):
        choose_relation(TRAIN, statements(("o2", "by", "ann")))


def test_focus_keeps_the_facts_of_some_relations() -> None:
    train, test = focus([TRAIN, TEST], torch.tensor([0]))
    assert train.vocabulary is test.vocabulary
    assert train.vocabulary.entities == ["ann", "bob", "tea", "pan"]
    assert train.vocabulary.relations == ["likes"]
    assert [train.labels(i) for i in range(len(train))] == [TRAIN.labels(i) for i in range(3)]
    assert test.labels(0) == ("bob", "likes", "pan")


@pytest.mark.slow
def test_links_of_a_small_shop(small_shop) -> None:
    graph = build_graph(small_shop, progress=False)
    found = predict_links(graph, dim=8, epochs=2, progress=False)
    assert found.relation == "review"
    assert [name for name, _ in found.scores] == ["popularity", "DistMult, 8 dimensions"]
    products = graph.nodes["product"].num_nodes
    for _, metrics in found.scores:
        assert metrics.protocol["num_candidates"] <= products
        assert 0 < metrics["mrr"] < 1
    everything, train, valid, test = found.counts
    assert everything == len(graph.statements())
    assert train + valid + test < everything
    known = {part.labels(i)[:3] for part in graph.statements().split(by="time")[:2] for i in range(len(part))}
    for head, tails in found.top:
        assert head.startswith("customer:")
        assert len(tails) == 3
        values = [score for _, score in tails]
        assert values == sorted(values, reverse=True)
        for tail, _ in tails:
            assert tail.startswith("product:")
            assert (head, "review", tail) not in known
    assert found.example[1] == "order_line"
    assert found.example[3::2] == ("order_line.warehouse_id", "order_line.condition", "order_line.quantity")
    assert found.to_dict()["statements"]["all"] == everything
    with pytest.raises(SchemaError, match="not in the vocabulary"):
        predict_links(graph, relation="reviews", progress=False)
