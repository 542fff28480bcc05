"""PyKEEN's data as statements and back."""

from __future__ import annotations

import sys

import pytest
import torch

from relgraph.adapters.pykeen import from_pykeen, to_pykeen
from relgraph.data.statements import Qualifiers, Statements, Vocabulary
from relgraph.errors import AdapterError

pykeen_datasets = pytest.importorskip("pykeen.datasets")
from pykeen.triples import CoreTriplesFactory, TriplesFactory  # noqa: E402


@pytest.mark.parametrize("name", ["nations", "umls"])
def test_bundled_data_sets_keep_numbers_and_labels(name: str) -> None:
    dataset = pykeen_datasets.dataset_resolver.make(name)
    factories = (dataset.training, dataset.validation, dataset.testing)
    parts = from_pykeen(name)
    assert len(parts) == 3
    for part, factory in zip(parts, factories, strict=True):
        assert part.vocabulary is parts[0].vocabulary
        triples = torch.stack([part.head, part.relation, part.tail], 1)
        assert torch.equal(triples, factory.mapped_triples)
        for i in (0, len(part) - 1):
            labelled = factory.triples[i] if hasattr(factory, "triples") else None
            assert labelled is None or part.labels(i) == tuple(labelled)
    assert parts[0].vocabulary.entity(next(iter(dataset.training.entity_to_id))) == 0


def test_round_trip() -> None:
    (train, *_) = from_pykeen("nations")
    factory = to_pykeen(train)
    assert isinstance(factory, TriplesFactory)
    (again,) = from_pykeen(factory)
    assert again.vocabulary == train.vocabulary
    # a factory sorts its triples
    ours = set(zip(train.head.tolist(), train.relation.tolist(), train.tail.tolist(), strict=True))
    assert set(zip(again.head.tolist(), again.relation.tolist(), again.tail.tolist(), strict=True)) == ours


def test_inverse_triples_are_left_out() -> None:
    (train, *_) = from_pykeen("nations")
    factory = to_pykeen(train, create_inverse_triples=True)
    assert factory.num_relations == 2 * train.num_relations
    (again,) = from_pykeen(factory)
    assert again.num_relations == train.num_relations
    assert len(again) == len(train)


def test_a_factory_without_labels_gets_numbers() -> None:
    factory = CoreTriplesFactory.create(torch.tensor([[0, 0, 2], [1, 1, 0]]))
    (statements,) = from_pykeen(factory)
    assert statements.labels(1) == ("1", "1", "0")


def test_qualifiers_are_dropped_only_if_asked() -> None:
    one = torch.ones(1, dtype=torch.int64)
    statements = Statements(
        one, one, one, Vocabulary("ab", "xy"), qualifiers=Qualifiers(torch.tensor([0, 1]), one, one)
    )
    with pytest.raises(AdapterError, match="got statements with 1 qualifiers"):
        to_pykeen(statements)
    assert to_pykeen(statements, drop_qualifiers=True).mapped_triples.tolist() == [[1, 1, 1]]


def test_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AdapterError, match=r"PyKEEN has no data set 'narnia'; it has .*nations"):
        from_pykeen("narnia")
    with pytest.raises(AdapterError, match=r"expected the name of a PyKEEN data set, .* got int"):
        from_pykeen(3)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "pykeen", None)
    with pytest.raises(AdapterError, match=r"pip install 'relgraph\[pykeen\]'"):
        from_pykeen("nations")
    with pytest.raises(AdapterError, match=r"pip install 'relgraph\[pykeen\]'"):
        to_pykeen(Statements(*(torch.zeros(0, dtype=torch.int64),) * 3, Vocabulary("a", "r")))
