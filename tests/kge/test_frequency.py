"""The baseline of counts, by hand."""

from __future__ import annotations

import pytest
import torch

from relgraph.data.statements import Qualifiers, Statements
from relgraph.errors import SchemaError
from relgraph.kge import Frequency, evaluate, save_scorer
from relgraph.kge.questions import ask
from tests.kge.test_evaluation import VOCABULARY, statements

TRAIN = statements([(0, 0, 1, ((1, 5),)), (2, 0, 1, ((1, 5), (1, 4))), (2, 0, 3, ()), (2, 0, 3, ()), (3, 0, 1, ())])


def test_counts_of_every_position() -> None:
    scorer = Frequency.of(TRAIN)
    zero = torch.tensor([0])
    counts = scorer.candidates()[0]
    assert (scorer.query(zero, zero)[0] @ counts.T).tolist() == [[0, 3, 0, 2, 0, 0]]
    assert (scorer.query(None, zero, zero, position="head")[0] @ counts.T).tolist() == [[1, 0, 3, 1, 0, 0]]
    pairs = Qualifiers(torch.tensor([0, 1]), torch.tensor([1]), torch.tensor([-1]))
    assert (scorer.query(zero, zero, zero, pairs, "qualifier")[0] @ counts.T).tolist() == [[0, 0, 0, 0, 1, 2]]
    unseen = Qualifiers(pairs.ptr, zero, pairs.entity)
    assert not (scorer.query(zero, zero, zero, unseen, "qualifier")[0] @ counts.T).any(), "never a qualifier's relation"
    assert not (scorer.query(zero, zero + 1)[0] @ counts.T).any(), "never a main relation"
    assert scorer.score(zero, zero, zero + 1).tolist() == [3]


def test_ranks_by_hand() -> None:
    asked = statements([(3, 0, 3, ())])
    raw = evaluate(Frequency.of(TRAIN), asked, [], positions=("tail",), progress=False)
    assert raw["mrr"] == 0.5, "1 is more frequent than 3"
    filtered = evaluate(Frequency.of(TRAIN), asked, [TRAIN, asked], positions=("tail",), progress=False)
    assert filtered["mrr"] == 1.0, "3 has 1 as its tail already"
    values = evaluate(Frequency.of(TRAIN), TRAIN, [], candidates="all", positions=("qualifier",), progress=False)
    assert values["mrr"] == pytest.approx((1 + 1 + 1 / 2) / 3)
    assert ask(TRAIN, "qualifier")[1].tolist() == [5, 5, 4]


def test_counting_again_and_saving() -> None:
    scorer = Frequency.of(TRAIN)
    scorer.learn_from(TRAIN.select(torch.tensor([0])))
    assert scorer.candidates()[0].sum() == 3
    empty = Statements(*(torch.empty(0, dtype=torch.int64) for _ in range(3)), VOCABULARY)
    assert not Frequency.of(empty).candidates()[0].any()
    with pytest.raises(SchemaError, match="Frequency is none of the scorers "):
        save_scorer(scorer, VOCABULARY, "nowhere")
