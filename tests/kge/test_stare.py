"""StarE: compositions by hand, and one pass over the graph where one is enough."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from relgraph.errors import ShapeError
from relgraph.kge import StarE, evaluate, fit
from relgraph.kge.layers.messages import compose
from relgraph.kge.questions import ask
from relgraph.kge.training import LinkPredictionJob
from tests.kge.test_evaluation import N, R, statements
from tests.kge.transformer_by_loops import FACTS

TRAIN = statements([row for row in FACTS if row[1] < R and all(q < R for q, _ in row[3])])


def make(**changes: Any) -> StarE:
    sizes = {"dim": 6, "layers": 1, "transformer_layers": 1, "heads": 2, "hidden": 4, **changes}
    scorer = StarE(N, R, **sizes)
    scorer.learn_from(TRAIN)
    return scorer


def test_compositions_by_hand() -> None:
    a, b = torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.tensor([[5.0, 6.0, 7.0, 8.0]])
    assert compose("mult", a, b).tolist() == [[5, 12, 21, 32]]
    assert compose("rotate", a, b).tolist() == [[1 * 5 - 3 * 7, 2 * 6 - 4 * 8, 1 * 7 + 3 * 5, 2 * 8 + 4 * 6]]
    by_hand = [sum(a[0, i].item() * b[0, (i + j) % 4].item() for i in range(4)) for j in range(4)]
    torch.testing.assert_close(compose("ccorr", a, b), torch.tensor([by_hand]))
    odd = torch.randn(2, 5)
    assert compose("ccorr", odd, odd).shape == (2, 5)


@pytest.mark.parametrize("composition", ["rotate", "mult", "ccorr"])
def test_every_composition_trains(composition: Any) -> None:
    scorer = make(composition=composition, layers=2)
    history = fit(scorer, TRAIN, epochs=2, positions=("head", "tail", "qualifier"), progress=False)
    assert len(history) == 2
    assert 0 < evaluate(scorer, TRAIN, [TRAIN], positions=("qualifier",), candidates="all", progress=False)["mrr"] <= 1


def passes(scorer: StarE) -> list[int]:
    """Grows with every pass over the graph."""
    seen: list[int] = []
    scorer.convs[0].register_forward_hook(lambda *_: seen.append(1))
    return seen


def test_a_training_step_is_one_pass() -> None:
    scorer = make(entity_dropout=0.5).train()
    job = LinkPredictionJob(scorer, TRAIN, batch_size=3)
    seen = passes(scorer)
    optimizer = torch.optim.SGD(scorer.parameters(), lr=0.1)
    for number, batch in enumerate(job.batches(0), 1):
        job.loss(batch).backward()
        optimizer.step()
        assert len(seen) == number
    # neither a pass whose gradient was taken nor one of other parameters is used again
    questions, _, _ = ask(TRAIN, "tail")
    for _ in range(2):
        scorer.score(TRAIN.head, TRAIN.relation, TRAIN.tail).sum().backward()
    scorer.candidates()
    optimizer.step()
    before = len(seen)
    scorer.encode(questions)[0].sum().backward()
    assert len(seen) == before + 1


def test_evaluation_keeps_the_pass_until_something_changes() -> None:
    scorer = make().eval()
    seen = passes(scorer)
    with torch.no_grad():
        first = scorer.score(TRAIN.head, TRAIN.relation, TRAIN.tail, TRAIN.qualifiers)
        assert torch.equal(scorer.score(TRAIN.head, TRAIN.relation, TRAIN.tail, TRAIN.qualifiers), first)
        assert len(seen) == 1
        scorer.relation.mul_(2)
        assert not torch.allclose(scorer.score(TRAIN.head, TRAIN.relation, TRAIN.tail, TRAIN.qualifiers), first)
        assert len(seen) == 2
        scorer.learn_from(TRAIN.select(torch.tensor([0])))
        scorer.candidates()
        assert len(seen) == 3
        assert scorer.double().candidates()[0].dtype == torch.float64


def test_qualifiers_beyond_the_places_share_the_last_one() -> None:
    scorer = make(places=1).eval()
    two = statements([(0, 0, 1, ((0, 4), (1, 5))), (0, 0, 1, ((1, 5), (0, 4)))])
    score = scorer.score(two.head, two.relation, two.tail, two.qualifiers)
    torch.testing.assert_close(score[0], score[1])
    score = make(places=2).eval().score(two.head, two.relation, two.tail, two.qualifiers)
    assert not torch.allclose(score[0], score[1])


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(ShapeError, match="composition: expected one of rotate, mult, ccorr, got 'sub'"):
        make(composition="sub")
    with pytest.raises(ShapeError, match="composition='rotate' takes an even number of coordinates, got 9"):
        make(dim=9, heads=3)
    with pytest.raises(ShapeError, match="places: expected a whole number of at least 1"):
        make(places=0)
