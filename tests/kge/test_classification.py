"""False statements, thresholds and probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from relgraph.data.statements import Statements, Vocabulary
from relgraph.errors import ProtocolError, SchemaError
from relgraph.kge import Calibrator, DistMult, ScoreBlocks, calibrate, classify
from relgraph.kge.classification import _best_threshold, score_statements
from relgraph.kge.corruption import corrupt
from relgraph.kge.questions import Questions

SIZE = 60


class Ring(ScoreBlocks):
    """True is the next one; scores are noisy, and those of relation 1 stand 100 higher."""

    def __init__(self, noise: float = 1.0) -> None:
        super().__init__(SIZE, 2)
        self.noise = noise * torch.randn(2 * SIZE, SIZE, generator=torch.Generator().manual_seed(0))

    def scores(self, questions: Questions) -> torch.Tensor:
        step = (torch.arange(SIZE) - questions.entity[:, None]) % SIZE
        score = 3.0 * (step == 1) + self.noise[questions.relation * SIZE + questions.entity]
        return score + 100.0 * questions.relation[:, None]


def ring(start: int = 0, stop: int = SIZE) -> Statements:
    head = torch.arange(start, stop).repeat(2)
    names = Vocabulary([f"e{i}" for i in range(SIZE)], ["r", "s"])
    return Statements(head, torch.arange(2).repeat_interleave(stop - start), (head + 1) % SIZE, names)


@given(seed=st.integers(0, 1000), negatives=st.integers(1, 3), data=st.data())
def test_negatives_differ_at_one_end_and_are_not_known(seed: int, negatives: int, data: st.DataObject) -> None:
    triple = st.tuples(st.integers(0, 4), st.integers(0, 1), st.integers(0, 4))
    rows = data.draw(st.lists(triple, min_size=1, max_size=12, unique=True))
    names = Vocabulary("abcde", "rs")
    facts = Statements(*torch.tensor(rows).T.contiguous(), names)
    false, source = corrupt(facts.select(torch.arange(min(3, len(rows)))), [facts], negatives=negatives, seed=seed)
    made = list(zip(false.head.tolist(), false.relation.tolist(), false.tail.tolist(), strict=True))
    assert len(made) == negatives * min(3, len(rows))
    assert not set(made) & set(rows)
    for (h, r, t), origin in zip(made, source.tolist(), strict=True):
        assert r == rows[origin][1]
        assert (h == rows[origin][0]) != (t == rows[origin][2])


def test_negatives_of_a_full_relation_are_refused() -> None:
    pairs = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    full = Statements(pairs[:, 0], torch.zeros(9, dtype=torch.int64), pairs[:, 1], Vocabulary("abc", "r"))
    with pytest.raises(ProtocolError, match=r"found no false statement near \('a', 'r', 'a'\)"):
        corrupt(full, [])
    with pytest.raises(ProtocolError, match="negatives: expected"):
        corrupt(full, [], negatives=0)


def test_threshold_by_hand() -> None:
    score, label = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0]), torch.tensor([False, False, True, False, True])
    assert _best_threshold(score, label) == 1.5
    assert _best_threshold(torch.tensor([1.0, 2.0]), torch.tensor([True, True])) == 1.0


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_probabilities_are_shares(method: Any, tmp_path: Path) -> None:
    scorer, valid, test = Ring(noise=2.0), ring(0, 40), ring(40)
    valid, test = (part.select(part.relation == 0) for part in (valid, test))
    found = calibrate(scorer, valid, known=[ring()], method=method, negatives=20)
    false, _ = corrupt(valid, [ring()], negatives=20, seed=5)
    chance = found.probability(scorer, false)
    assert float(found.probability(scorer, valid).mean()) > 3 * float(chance.mean())
    # of the statements that it was fitted on, as many are true as the probabilities say
    same, _ = corrupt(valid, [ring()], negatives=20, seed=0)
    expected = found.probability(scorer, valid).sum() + found.probability(scorer, same).sum()
    assert float(expected) == pytest.approx(len(valid), rel=0.02)
    again = Calibrator.load(found.save(tmp_path))
    assert torch.equal(again.probability(scorer, test), found.probability(scorer, test))
    assert (again.method, again.negatives) == (method, 20)
    order = score_statements(scorer, false).argsort()
    assert bool((chance[order].diff() >= 0).all())


def test_classification_has_a_threshold_per_relation() -> None:
    scorer, valid, test = Ring(noise=0.5), ring(0, 40), ring(40)
    found = calibrate(scorer, valid, known=[ring()])
    assert float(found.threshold[1] - found.threshold[0]) == pytest.approx(100, abs=2)
    result = classify(scorer, found, test, known=[ring()])
    assert result["accuracy"] > 0.95
    assert result["f1"] > 0.95
    assert result["auroc"] < 0.9  # one threshold for both relations cannot do it
    assert bool(found.is_true(scorer, test).float().mean() > 0.95)


def test_bad_input() -> None:
    scorer = Ring()
    with pytest.raises(ProtocolError, match="method: expected 'platt' or 'isotonic'"):
        calibrate(scorer, ring(), method="beta")  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match="expected true statements, got none"):
        calibrate(scorer, ring(0, 0))
    found = calibrate(scorer, ring(0, 20), known=[ring()])
    with pytest.raises(SchemaError, match="the calibrator is of a scorer with 2 relations, got one with 3"):
        found.probability(DistMult(SIZE, 3, dim=2), ring())
    with pytest.raises(ProtocolError, match="got NaN"):
        calibrate(Ring(noise=float("nan")), ring(0, 20))
