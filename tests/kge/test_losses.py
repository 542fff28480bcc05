"""The losses of link prediction against their published formulas on dense scores."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from relgraph.data.statements import Qualifiers, Statements, Vocabulary
from relgraph.errors import ProtocolError
from relgraph.kge import BCE, CE, N3, SCORERS, DistMult, Sampled, Scorer, fit
from relgraph.kge.batches import Batch, Batches
from relgraph.kge.losses import Answers, Loss, known_among
from relgraph.kge.training import LinkPredictionJob
from tests.kge.test_kge_training import ring, small, twins

N = 12


def star() -> Statements:
    """One head with four tails, and a second relation that leads from two heads to one tail; a fact stands twice."""
    rows = [(0, 0, 1), (0, 0, 2), (0, 0, 3), (0, 0, 4), (5, 1, 7), (6, 1, 7), (0, 0, 1)]
    head, relation, tail = torch.tensor(rows).T.contiguous()
    return Statements(head, relation, tail, Vocabulary([f"e{i}" for i in range(9)], ["many", "one"], 8))


def job(loss: Loss, statements: Statements, scorer: Scorer | None = None, size: int = 1000) -> LinkPredictionJob:
    scorer = scorer or DistMult(statements.num_entities, statements.num_relations, dim=8)
    return LinkPredictionJob(scorer, statements, loss=loss, batch_size=size)


def one_batch(training: LinkPredictionJob) -> tuple[Batch, Tensor]:
    """The only batch, and its dense scores."""
    (batch,) = training.batches(0)
    return batch, training.scorer.encode(batch.questions)[0] @ training.scorer.candidates()[0].T


def pairs(batch: Batch) -> Counter[tuple[int, int, int]]:
    ptr, index = batch.answers
    asked = batch.questions
    return Counter(
        (int(asked.entity[i]), int(asked.relation[i]), int(answer))
        for i in range(len(batch))
        for answer in index[ptr[i] : ptr[i + 1]]
    )


def expected_pairs(statements: Statements) -> Counter[tuple[int, int, int]]:
    rows = zip(statements.head.tolist(), statements.relation.tolist(), statements.tail.tolist(), strict=True)
    every = {(h, r, t) for h, r, t in rows}
    return Counter(every | {(t, r + statements.num_relations, h) for h, r, t in every})


@pytest.mark.parametrize("loss", [BCE(), BCE(answers="one"), CE(), CE(answers="all"), CE(negatives=4), Sampled(3)])
def test_an_epoch_has_every_pair_once(loss: Loss) -> None:
    found: Counter[tuple[int, int, int]] = Counter()
    for batch in job(loss, star(), size=3).batches(1):
        found += pairs(batch)
        if loss.answers == "one":
            assert batch.answers[0].tolist() == list(range(len(batch) + 1))
    assert found == expected_pairs(star())


def test_1_vs_all_is_the_published_formula() -> None:
    training = job(BCE(answers="one", reduction="batchmean"), star())
    batch, score = one_batch(training)
    target = F.one_hot(batch.answers[1], 9)
    torch.testing.assert_close(training.loss(batch), F.softplus((1 - 2 * target) * score).sum(1).mean())


def test_lowfer_smoothing_is_the_published_formula() -> None:
    training = job(BCE(0.1), star())
    batch, score = one_batch(training)
    target = torch.zeros_like(score)
    for row, (start, end) in enumerate(zip(batch.answers[0][:-1], batch.answers[0][1:], strict=True)):
        target[row, batch.answers[1][start:end]] = 1
    expected = F.binary_cross_entropy_with_logits(score, 0.9 * target + 1 / 9)
    torch.testing.assert_close(training.loss(batch), expected)
    textbook = F.binary_cross_entropy_with_logits(score, 0.9 * target + 0.1 / 9)
    torch.testing.assert_close(job(BCE(0.1, "eps/N"), star(), training.scorer).loss(batch), textbook)


def test_ce_with_n3_is_the_published_formula() -> None:
    training = job(CE(), star())
    training.regularizer = N3(0.05)
    batch, score = one_batch(training)
    scorer, asked = training.scorer, batch.questions
    assert isinstance(scorer, DistMult)
    rows = [scorer.entity.weight[asked.entity], scorer.relation[asked.relation], scorer.entity.weight[batch.answers[1]]]
    penalty = 0.05 * sum((row.abs() ** 3).sum() for row in rows) / len(batch)
    torch.testing.assert_close(training.loss(batch), F.cross_entropy(score, batch.answers[1]) + penalty)


def test_ce_over_all_answers_shares_the_target() -> None:
    training = job(CE(0.2, "all"), star())
    batch, score = one_batch(training)
    ptr, index = batch.answers
    target = torch.zeros_like(score)
    for row in range(len(batch)):
        target[row, index[ptr[row] : ptr[row + 1]]] = 1 / float(ptr[row + 1] - ptr[row])
    torch.testing.assert_close(training.loss(batch), F.cross_entropy(score, target, label_smoothing=0.2))


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_sampled_is_the_published_formula(shared: bool, temperature: float) -> None:
    training = job(Sampled(5, temperature=temperature, shared=shared, mask_known=True), star())
    batch, score = one_batch(training)
    assert batch.negatives is not None
    negatives = batch.negatives.expand(len(batch), -1)
    total = score.new_zeros(())
    facts = expected_pairs(star())
    for i, (e, r) in enumerate(zip(batch.questions.entity.tolist(), batch.questions.relation.tolist(), strict=True)):
        wrong = score[i, [n for n in negatives[i].tolist() if (e, r, n) not in facts]]
        total = total + F.softplus(-score[i, batch.answers[1][i]])
        total = total + ((temperature * wrong).softmax(0).detach() * F.softplus(wrong)).sum()
    torch.testing.assert_close(training.loss(batch), total / len(batch))


@pytest.mark.parametrize("answers", ["one", "all"])
def test_a_sampled_softmax_weighs_what_was_drawn(answers: Answers) -> None:
    training = job(CE(0.0, answers, negatives=3), star())
    batch, score = one_batch(training)
    assert batch.negatives is not None
    assert batch.log_weight is not None
    ptr, index = batch.answers
    own = sorted(set(index.tolist()))
    others = [n for n in batch.negatives.tolist() if n not in own]
    assert batch.negatives.tolist() == [*own, *others]
    assert all(n < 8 for n in others)
    total = score.new_zeros(())
    for i, row in enumerate(score):
        rest = (8 - len(own)) / max(len(others), 1) * row[others].exp().sum()
        total = total + (row[own].exp().sum() + rest).log() - row[index[ptr[i] : ptr[i + 1]]].mean()
    torch.testing.assert_close(training.loss(batch), total / len(batch))


@pytest.mark.slow
def test_a_sampled_softmax_is_right_on_average() -> None:
    """The sum of exponentials over all epochs is that of all candidates that may be drawn."""
    training = job(CE(negatives=2), star(), size=3)
    sums, rows = 0.0, 0
    with torch.no_grad():
        scores = training.scorer.candidates()[0].sum(1)  # any function of the entity
        for epoch in range(2000):
            for batch in training.batches(epoch):
                assert batch.negatives is not None
                assert batch.log_weight is not None
                if float(batch.log_weight.max()) > 0:  # else every draw was an answer, and nothing stands for the rest
                    sums += float((batch.log_weight.double().exp() * scores[batch.negatives].exp()).sum())
                    rows += 1
    assert sums / rows == pytest.approx(float(scores[:8].exp().sum()), rel=0.01)


def test_negatives_are_drawn_anew_and_from_main_entities() -> None:
    training = job(Sampled(40, shared=False), star(), size=4)
    drawn = [batch.negatives for epoch in (0, 1) for batch in training.batches(epoch)]
    again = [batch.negatives for batch in training.batches(1, start=1)]
    assert all(d is not None and int(d.max()) == 7 for d in drawn)
    assert len({tuple(d.flatten().tolist()) for d in drawn if d is not None}) == len(drawn)
    assert torch.equal(again[0], drawn[len(drawn) // 2 + 1])  # type: ignore[arg-type]


def test_bernoulli_corruption_asks_the_side_with_fewer_true_negatives() -> None:
    rows = Batches(star(), ("head", "tail"), Sampled(1, "bernoulli"), batch_size=3, with_qualifiers=False, seed=0)
    facts = expected_pairs(star())
    asked: Counter[tuple[int, bool]] = Counter()
    for epoch in range(300):
        found = sum((pairs(batch) for batch in rows.epoch(epoch)), Counter())
        statements = Counter((t, r - 2, h) if r >= 2 else (h, r, t) for h, r, t in found.elements())
        assert statements == Counter({fact: 1 for fact in facts if fact[1] < 2})
        asked.update((r % 2, r >= 2) for _, r, _ in found.elements())
    # "many" has 4 tails per head and 1 head per tail, "one" has 1 tail per head and 2 heads per tail
    for relation, share, count in ((0, 4 / 5, 1200), (1, 1 / 3, 600)):
        heads = asked[relation, True]
        assert heads + asked[relation, False] == count
        assert abs(heads / count - share) < 4 * math.sqrt(share * (1 - share) / count)


def test_bernoulli_with_qualifiers_keeps_the_two_sides_of_a_statement_together() -> None:
    plain = Statements(*(torch.tensor(x) for x in ([0, 0, 0], [0, 0, 0], [1, 1, 2])), Vocabulary("abcd", "xy"))
    pairs_ = Qualifiers(torch.tensor([0, 1, 2, 3]), torch.tensor([1, 1, 1]), torch.tensor([2, 3, 2]))
    statements = Statements(plain.head, plain.relation, plain.tail, plain.vocabulary, qualifiers=pairs_)
    rows = Batches(statements, ("head", "tail"), Sampled(1, "bernoulli"), batch_size=9, with_qualifiers=True, seed=0)
    for epoch in range(20):
        (batch,) = rows.epoch(epoch)
        assert batch.questions.qualifiers is not None
        values = batch.questions.qualifiers.entity.tolist()
        head = batch.questions.relation >= 2
        answers = zip(batch.questions.entity.tolist(), batch.answers[1].tolist(), head.tolist(), values, strict=True)
        assert Counter((e if h else a, v) for e, a, h, v in answers) == Counter([(1, 2), (1, 3), (2, 2)])


def test_known_negatives() -> None:
    known = (torch.tensor([0, 2, 2, 3]), torch.tensor([1, 4, 0]))
    assert known_among(torch.tensor([4, 0]), known).tolist() == [[True, False], [False, False], [False, True]]
    each = torch.tensor([[1, 2], [1, 4], [0, 0]])
    assert known_among(each, known).tolist() == [[True, False], [False, False], [True, True]]


@pytest.mark.slow
@pytest.mark.parametrize("name", SCORERS)
@pytest.mark.parametrize("loss", ["1-vs-all", "ce", CE(answers="all"), CE(negatives=6), Sampled(8, mask_known=False)])
def test_every_scorer_learns_by_every_loss(name: str, loss: Loss) -> None:
    scorer = small(name, twins())
    history = fit(scorer, twins(), epochs=15, batch_size=16, lr=0.02, loss=loss, progress=False)  # type: ignore[arg-type]
    losses = history.curve("loss")[1]
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("name", SCORERS)
def test_candidates_at_is_a_part_of_the_candidates(name: str) -> None:
    scorer = small(name, ring()).eval()
    index = torch.tensor([3, 0, 3, 11])
    whole, bias = scorer.candidates()
    part, part_bias = scorer.candidates_at(index)
    torch.testing.assert_close(part, whole[index])
    assert (bias is None) == (part_bias is None)
    if bias is not None:
        torch.testing.assert_close(part_bias, bias[index])


def test_bad_losses() -> None:
    scorer = DistMult(N, 2, dim=4)
    with pytest.raises(ProtocolError, match=r"label_smoothing: CE\(.*\) says what it smooths"):
        fit(scorer, ring(), loss=CE(), label_smoothing=0.1)
    with pytest.raises(ProtocolError, match="'sampled' has no labels to smooth"):
        fit(scorer, ring(), loss="sampled", label_smoothing=0.1)
    with pytest.raises(ProtocolError, match=r"label_smoothing: expected a share in \[0, 1\)"):
        fit(scorer, ring(), label_smoothing=1.0)
    with pytest.raises(ProtocolError, match="N3: expected a weight above 0"):
        N3(0)
    with pytest.raises(ProtocolError, match="negatives: expected a whole number"):
        Sampled(0)
    with pytest.raises(ProtocolError, match="negatives: expected a whole number"):
        CE(negatives=True)
    with pytest.raises(ProtocolError, match="corruption: expected 'uniform' or 'bernoulli'"):
        Sampled(1, "both")  # type: ignore[arg-type]
    for bad in ({"label_smoothing": 1}, {"smoothing": "eps"}, {"reduction": "sum"}, {"answers": "some"}):
        (name,) = bad
        with pytest.raises(ProtocolError, match=f"{name}: expected"):
            BCE(**bad)  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match="answers: expected 'all' or 'one', got 'some'"):
        CE(answers="some")  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match="temperature: expected at least 0"):
        Sampled(1, temperature=-1)
    with pytest.raises(ProtocolError, match="'bernoulli' asks for heads or tails; expected both positions"):
        fit(scorer, ring(), loss=Sampled(1, "bernoulli"), positions=("tail",))
