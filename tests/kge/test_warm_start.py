"""New entities and relations join a trained scorer, and the old ones stay what they were."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from relgraph.data.statements import Statements, Vocabulary
from relgraph.errors import ProtocolError, SchemaError
from relgraph.kge import SCORERS, DistMult, Embeddings, LowFER, Sampled, Scorer, evaluate, extend, fit
from relgraph.kge.facts import Facts
from tests.kge.test_kge_training import N, ring, small

OLD = ring().vocabulary
# other numbers for everything: new labels stand between the old ones, in another order
NEW = Vocabulary(["new1", *reversed(OLD.entities), "new0"], ["plus_2", "other", "plus_1"])


def moved(statements: Statements, vocabulary: Vocabulary = NEW) -> Statements:
    """The same facts in the numbers of another vocabulary."""
    entity = torch.tensor([vocabulary.entity(label) for label in statements.vocabulary.entities])
    relation = torch.tensor([vocabulary.relation(label) for label in statements.vocabulary.relations])
    return replace(
        statements,
        head=entity[statements.head],
        relation=relation[statements.relation],
        tail=entity[statements.tail],
        vocabulary=vocabulary,
    )


def trained(name: str, **more: Any) -> Scorer:
    scorer: Scorer = small(name, ring(), **more)
    fit(scorer, ring(), epochs=2, batch_size=16, lr=0.02, progress=False)
    return scorer


def old_ranks(scorer: Scorer, statements: Statements) -> list[list[int]]:
    """For each old fact its rank among the old entities, at both sides."""
    vocabulary = statements.vocabulary
    candidates = torch.tensor(sorted(vocabulary.entity(label) for label in OLD.entities))
    found = evaluate(scorer, statements, [], candidates=candidates, progress=False).ranks
    return [[*counts.greater.tolist(), *counts.equal.tolist()] for counts in found.values()]


@pytest.mark.parametrize("name", SCORERS)
@pytest.mark.parametrize("vocabulary", [NEW, OLD, Vocabulary([*OLD.entities, "x"], OLD.relations)])
def test_old_rows_ranks_and_scores_stay(name: str, vocabulary: Vocabulary) -> None:
    scorer = trained(name)
    larger = extend(scorer, OLD, vocabulary)
    assert type(larger) is type(scorer)
    assert (larger.num_entities, larger.num_relations) == (len(vocabulary.entities), len(vocabulary.relations))
    index = torch.tensor([vocabulary.entity(label) for label in OLD.entities])
    assert torch.equal(larger.entity.weight[index], scorer.entity.weight)
    assert old_ranks(larger, moved(ring(), vocabulary)) == old_ranks(scorer, ring())
    here, there = ring(), moved(ring(), vocabulary)
    torch.testing.assert_close(
        larger.score(there.head, there.relation, there.tail), scorer.score(here.head, here.relation, here.tail)
    )


def test_relations_and_their_inverses_keep_their_rows() -> None:
    scorer = DistMult(N, 2, dim=3)
    larger = extend(scorer, OLD, NEW)
    assert isinstance(larger, DistMult)
    assert torch.equal(larger.relation[[2, 0, 2 + 3, 0 + 3]], scorer.relation)


def test_projections_and_batch_norms_come_along() -> None:
    table = Embeddings(N, 8, weight=torch.randn(N, 5))
    scorer = LowFER(N, 2, dim=8, rank=2, entities=table)
    fit(scorer, ring(), epochs=1, batch_size=8, progress=False)
    larger = extend(scorer, OLD, NEW)
    assert isinstance(larger, LowFER)
    assert torch.equal(larger.entity.projection, table.projection)  # type: ignore[arg-type]
    assert larger.entity.weight.shape == (N + 2, 5)
    for name, value in scorer.input_norm.state_dict().items():
        assert torch.equal(larger.input_norm.state_dict()[name], value)
    assert float(larger.input_norm.running_var.std()) > 0  # type: ignore[arg-type, operator]


def test_as_many_entities_as_relation_rows_are_told_apart() -> None:
    old = Vocabulary("abcd", "xy")  # 4 entities, 4 rows of relations
    scorer = DistMult(4, 2, dim=2)
    larger = extend(scorer, old, Vocabulary("abcdef", "xyz"))
    assert isinstance(larger, DistMult)
    assert torch.equal(larger.entity.weight[:4], scorer.entity.weight)
    assert torch.equal(larger.relation[[0, 1, 3, 4]], scorer.relation)


def with_news() -> Statements:
    """The ring, and a new entity beside two old ones; the other new one is beside nothing old."""
    known = moved(ring())
    new, lonely = NEW.entity("new0"), NEW.entity("new1")
    more = torch.tensor([[new, 1, NEW.entity("e3")], [NEW.entity("e5"), 1, new], [lonely, 1, lonely]])
    parts = torch.cat([torch.stack([known.head, known.relation, known.tail], 1), more])
    return Statements(*parts.T.contiguous(), NEW)


def test_mean_of_neighbours() -> None:
    scorer = trained("distmult")
    plain, mean = (extend(scorer, OLD, with_news(), init=init) for init in ("random", "mean"))  # type: ignore[arg-type]
    new, lonely = NEW.entity("new0"), NEW.entity("new1")
    torch.testing.assert_close(mean.entity.weight[new], (scorer.entity.weight[3] + scorer.entity.weight[5]) / 2)
    assert torch.equal(mean.entity.weight[lonely], plain.entity.weight[lonely])
    assert not torch.equal(mean.entity.weight[new], plain.entity.weight[new])


@pytest.mark.parametrize("name", SCORERS)
def test_frozen_ranks_stay_through_training(name: str) -> None:
    scorer = trained(name)
    if any(isinstance(module, Facts) for module in scorer.modules()):
        with pytest.raises(ProtocolError, match=f"freeze: a {type(scorer).__name__} reads facts, so new ones change"):
            extend(scorer, OLD, with_news(), freeze=True)
        return
    larger = extend(scorer, OLD, with_news(), freeze=True)
    before = {key: value.clone() for key, value in larger.state_dict().items()}
    fit(larger, with_news(), epochs=3, batch_size=16, lr=0.05, progress=False)
    index = torch.tensor([NEW.entity(label) for label in OLD.entities])
    assert torch.equal(larger.entity.weight[index], before["entity.weight"][index])
    new = NEW.entity("new0")
    assert not torch.equal(larger.entity.weight[new], before["entity.weight"][new])
    assert old_ranks(larger, moved(ring())) == old_ranks(scorer, ring())


def test_frozen_rows_of_a_sparse_table_stay() -> None:
    scorer = DistMult(N, 2, dim=4, entities=Embeddings(N, 4, sparse=True))
    larger = extend(scorer, OLD, NEW, freeze=True)
    before = larger.entity.weight.detach().clone()
    fit(larger, with_news(), epochs=2, loss=Sampled(4), batch_size=8, lr=0.1, progress=False)
    changed = (larger.entity.weight.detach() != before).any(1)
    assert changed.nonzero().flatten().tolist() == [NEW.entity("new1"), NEW.entity("new0")]


def test_weight_decay_cannot_move_frozen_rows() -> None:
    larger = extend(DistMult(N, 2, dim=4), OLD, NEW, freeze=True)
    with pytest.raises(ProtocolError, match="AdamW would shrink the frozen rows"):
        fit(larger, with_news(), optimizer="adamw", progress=False)
    fit(larger, with_news(), optimizer="adamw", weight_decay=0.0, epochs=1, progress=False)


def test_bad_input() -> None:
    scorer = DistMult(N, 2, dim=2)
    with pytest.raises(SchemaError, match=r"expected all 12 old entities, 1 are missing, such as 'e11'"):
        extend(scorer, OLD, Vocabulary(OLD.entities[:-1], OLD.relations))
    with pytest.raises(SchemaError, match=r"expected all 2 old relations, 2 are missing"):
        extend(scorer, OLD, Vocabulary(OLD.entities, ["x"]))
    with pytest.raises(SchemaError, match="built for 12 entities"):
        extend(scorer, NEW, NEW)
    with pytest.raises(ProtocolError, match="init='mean' needs the neighbours"):
        extend(scorer, OLD, NEW, init="mean")
    with pytest.raises(ProtocolError, match="init: expected 'random' or 'mean'"):
        extend(scorer, OLD, NEW, init="zero")  # type: ignore[arg-type]

    class Odd(DistMult):
        def __init__(self, num_entities: int, num_relations: int, **more: Any) -> None:
            super().__init__(num_entities, num_relations, **more)
            self.pairs = nn.Parameter(torch.zeros(num_entities * num_relations, 2))

    with pytest.raises(SchemaError, match=r"Odd.pairs is \[6, 2\] for 3 entities.*say in row_kinds what it is"):
        extend(Odd(N, 2, dim=2), OLD, NEW)
