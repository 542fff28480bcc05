"""Training, prediction and storage of scorers on data small enough to know the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from relgraph.data.folder import read_folder, write_folder
from relgraph.data.statements import Qualifiers, Statements, Vocabulary
from relgraph.errors import AdapterError, ProtocolError, SchemaError
from relgraph.kge import BCE, SCORERS, DistMult, LowFER, evaluate, fit, load_scorer, predict, save_scorer
from relgraph.kge.training import Batch, LinkPredictionJob

N = 12
DROP_NOTHING = {"input_dropout": 0.0, "entity_dropout": 0.0, "attention_dropout": 0.0, "hidden_dropout": 0.0}


def ring(steps: int = 2, size: int = N) -> Statements:
    """Relation ``plus_k`` leads ``k`` places on along a ring."""
    head = torch.arange(size).repeat(steps)
    relation = torch.arange(steps).repeat_interleave(size)
    vocabulary = Vocabulary([f"e{i}" for i in range(size)], [f"plus_{k + 1}" for k in range(steps)])
    return Statements(head, relation, (head + relation + 1) % size, vocabulary)


def twins() -> Statements:
    """Relation ``flip_k`` leads from ``i`` to ``i xor k`` and back, which a symmetric score can learn too."""
    head, relation = torch.arange(16).repeat(2), torch.arange(2).repeat_interleave(16)
    vocabulary = Vocabulary([f"e{i}" for i in range(16)], ["flip_1", "flip_2"])
    return Statements(head, relation, head ^ (relation + 1), vocabulary)


def small(name: str, statements: Statements, **more: Any) -> Any:
    still = {"output_dropout": 0.0}
    sizes = {
        "hyperformer": {"dim": 32, "layers": 2, "hidden": 64, "experts": 0, "neighbors": 0, "row_range": 1.0}
        | DROP_NOTHING,
        "lowfer": {"dim": 16, "rank": 3, "product_dropout": 0.0, **still},
        "stare": {
            "dim": 16,
            "layers": 1,
            "transformer_layers": 1,
            "hidden": 32,
            "message_dropout": 0.0,
            "entity_dropout": 0.0,
            "transformer_dropout": 0.0,
        },
        "tucker": {"dim": 16, "matrix_dropout": 0.0, **still},
    }
    return SCORERS[name](statements.num_entities, statements.num_relations, **sizes.get(name, {"dim": 32}), **more)


@given(
    rows=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 4)), min_size=1, max_size=30),
    batch_size=st.integers(1, 9),
    epoch=st.integers(0, 3),
    start=st.integers(0, 3),
)
def test_batches_hold_every_question_once_with_all_answers(
    rows: list[tuple[int, int, int]], batch_size: int, epoch: int, start: int
) -> None:
    head, relation, tail = torch.tensor(rows).T.contiguous()
    train = Statements(head, relation, tail, Vocabulary("abcde", "xyz"))
    job = LinkPredictionJob(DistMult(5, 3, dim=2), train, batch_size=batch_size)
    expected: dict[tuple[int, int], set[int]] = {}
    for h, r, t in rows:
        expected.setdefault((h, r), set()).add(t)
        expected.setdefault((t, r + 3), set()).add(h)
    batches = list(job.batches(epoch))
    assert len(batches) == job.num_batches()
    found: dict[tuple[int, int], set[int]] = {}
    for questions, (ptr, index), *_ in batches:
        assert len(questions) <= batch_size
        for i, key in enumerate(zip(questions.entity.tolist(), questions.relation.tolist(), strict=True)):
            answers = index[ptr[i] : ptr[i + 1]].tolist()
            assert key not in found
            assert answers == sorted(set(answers))
            found[key] = set(answers)
    assert found == expected
    for late, early in zip(job.batches(epoch, start), batches[start:], strict=True):
        assert torch.equal(late.questions.entity, early.questions.entity)
        assert torch.equal(late.answers[1], early.answers[1])


def test_batch_order_depends_on_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> tuple[int, ...]:
        job = LinkPredictionJob(DistMult(N, 2, dim=2), ring(), seed=seed)
        return tuple(torch.cat([batch.questions.entity for batch in job.batches(epoch)]).tolist())

    orders = {order(seed, epoch) for seed in (0, 1) for epoch in (0, 1)}
    assert len(orders) == 4


def test_loss_is_the_dense_cross_entropy() -> None:
    train = ring()
    scorer = DistMult(N, 2, dim=8)
    job = LinkPredictionJob(scorer, train, batch_size=1000, loss=BCE(0.1))
    batch = next(iter(job.batches(0)))
    score = scorer.encode(batch.questions)[0] @ scorer.entity.weight.T
    target, asked = torch.zeros_like(score), batch.questions
    for i, (entity, relation) in enumerate(zip(asked.entity.tolist(), asked.relation.tolist(), strict=True)):
        step = relation + 1 if relation < 2 else -(relation - 1)
        target[i, (entity + step) % N] = 1
    expected = torch.nn.functional.binary_cross_entropy_with_logits(score, 0.9 * target + 1 / N)
    torch.testing.assert_close(job.loss(batch), expected)


# steps, and scales alone, cannot flip: test_planted_rules.py
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SCORERS if name not in ("transe", "nfe-sigma")])
def test_fit_learns_and_predicts(name: str) -> None:
    train = twins()
    scorer = small(name, train)
    history = fit(scorer, train, epochs=100, batch_size=16, lr=0.02, decay=0.99, label_smoothing=0.0, progress=False)
    assert len(history) == 100
    losses = history.curve("loss")[1]
    assert losses[-1] < 0.3 * losses[0]
    assert evaluate(scorer, train, [train], progress=False)["mrr"] > 0.95
    answers = predict(scorer, train.vocabulary, head="e3", relation="flip_2", k=3)
    assert answers[0].label == "e1"
    assert [a.score for a in answers] == sorted((a.score for a in answers), reverse=True)
    assert predict(scorer, train.vocabulary, tail="e5", relation="flip_1", k=1)[0].label == "e4"
    assert predict(scorer, train.vocabulary, head="e6", tail="e7")[0].label == "flip_1"


@pytest.mark.slow
def test_validation_keeps_the_best_epoch() -> None:
    statements = ring(3)
    train, valid, _ = statements.split(fractions=(0.8, 0.2, 0.0))
    scorer = small("lowfer", train)
    options = {"batch_size": 8, "lr": 0.02, "validate_every": 2, "progress": False}
    history = fit(scorer, train, valid=valid, epochs=20, **options)
    epochs, mrr = history.curve("mrr")
    assert epochs == list(range(2, 21, 2))
    assert history.best == max(mrr)
    assert evaluate(scorer, valid, [train, valid], progress=False)["mrr"] == pytest.approx(history.best, abs=1e-12)


def test_validation_on_a_part_is_drawn_by_seed() -> None:
    train = ring(3)
    drawn = [
        LinkPredictionJob(DistMult(N, 3, dim=2), train, valid=train, valid_size=9, seed=seed).evaluation
        for seed in (0, 0, 1)
    ]
    heads = [run.statements.head.tolist() for run in drawn if run is not None]
    assert heads[0] == heads[1] != heads[2]
    assert len(heads[0]) == 9


def test_same_seed_gives_the_same_parameters() -> None:
    train = ring()
    options = {"epochs": 3, "batch_size": 8, "lr": 0.01, "progress": False}
    states = []
    for seed in (0, 0, 1):
        scorer = LowFER(N, 2, dim=8, rank=2)
        fit(scorer, train, seed=seed, **options)
        states.append(torch.cat([p.detach().flatten() for p in scorer.parameters()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_resumed_training_ends_like_an_undisturbed_one(tmp_path: Path) -> None:
    train = ring()
    options = {"valid": train, "batch_size": 8, "lr": 0.01, "decay": 0.9, "validate_every": 1, "progress": False}
    whole, parts = LowFER(N, 2, dim=8, rank=2), LowFER(N, 2, dim=8, rank=2)
    fit(whole, train, epochs=4, **options)
    fit(parts, train, epochs=2, checkpoint=tmp_path, **options)
    again = LowFER(N, 2, dim=8, rank=2)
    fit(again, train, epochs=4, checkpoint=tmp_path, **options)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    with pytest.raises(ProtocolError, match="batch_size was 8, now 9"):
        fit(again, train, epochs=4, checkpoint=tmp_path, **{**options, "batch_size": 9})


def test_qualifiers_do_not_change_the_questions() -> None:
    plain = ring()
    pairs = Qualifiers(torch.arange(len(plain) + 1), plain.relation, plain.tail)
    qualified = Statements(plain.head, plain.relation, plain.tail, plain.vocabulary, qualifiers=pairs)
    one, two = (Batch.of(part, ("head", "tail"), False) for part in (plain, qualified))
    assert torch.equal(one.questions.entity, two.questions.entity)
    assert two.questions.qualifiers is None
    assert torch.equal(one.answers[1], two.answers[1])


def test_fit_refuses_what_cannot_be_trained() -> None:
    train = ring()
    scorer = DistMult(N, 2, dim=4)
    nothing = train.select(torch.zeros(0, dtype=torch.int64))
    with pytest.raises(ProtocolError, match="expected statements to train on, got none"):
        fit(scorer, nothing)
    with pytest.raises(SchemaError, match="built for 12 entities and 1 relations, but the vocabulary has 12 and 2"):
        fit(DistMult(N, 1), train)
    with pytest.raises(SchemaError, match="valid: expected one shared vocabulary"):
        fit(scorer, train, valid=ring(size=N + 1))
    with pytest.raises(ProtocolError, match="expected statements to rank, got none"):
        fit(scorer, train, valid=nothing)
    with pytest.raises(ProtocolError, match="loss: expected 'bce', '1-vs-all', 'ce', 'sampled', or"):
        fit(scorer, train, loss="margin")  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match="decay: expected"):
        fit(scorer, train, decay=1.5)
    with pytest.raises(ProtocolError, match="batch_size: expected"):
        fit(scorer, train, batch_size=0)
    for seed in (-1, 2**63, 1.5, "x", True):
        with pytest.raises(ProtocolError, match=rf"seed: expected a whole number from 0 to .*, got {seed!r}"):
            fit(scorer, train, seed=seed)  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match="valid_size: expected"):
        fit(scorer, train, valid=train, valid_size=0)


class TestPredict:
    def scorer(self) -> DistMult:
        """Entity ``i`` scores ``i`` for every question."""
        scorer = DistMult(N, 2, dim=1)
        with torch.no_grad():
            scorer.relation.fill_(1)
            scorer.entity.weight.copy_(torch.arange(N)[:, None])
        return scorer

    def test_known_answers_are_left_out(self) -> None:
        train = ring()
        labels = [a.label for a in predict(self.scorer(), train.vocabulary, head="e1", relation="plus_1", k=3)]
        assert labels == ["e11", "e10", "e9"]
        known = Statements(*(torch.tensor(x) for x in ([1, 1, 2], [0, 1, 0], [10, 11, 9])), train.vocabulary)
        answers = predict(self.scorer(), train.vocabulary, head="e1", relation="plus_1", k=3, known=[known, train])
        assert [a.label for a in answers] == ["e11", "e9", "e8"]
        answers = predict(self.scorer(), train.vocabulary, tail="e1", relation="plus_1", k=3, known=[train])
        assert [a.label for a in answers] == ["e11", "e10", "e9"]

    def test_only_main_entities_are_answers(self) -> None:
        vocabulary = Vocabulary([f"e{i}" for i in range(N)], ["plus_1", "plus_2"], 4)
        answers = predict(self.scorer(), vocabulary, head="e1", relation="plus_1", k=10)
        assert [tuple(a) for a in answers] == [("e3", 3.0), ("e2", 2.0), ("e1", 1.0), ("e0", 0.0)]

    def test_known_relations_are_left_out(self) -> None:
        train = ring()
        answers = predict(self.scorer(), train.vocabulary, head="e1", tail="e2", known=[train])
        assert [tuple(a) for a in answers] == [("plus_2", 2.0)]

    def test_bad_input(self) -> None:
        scorer, vocabulary = self.scorer(), ring().vocabulary
        with pytest.raises(SchemaError, match=r"entity 'e1x' is not in the vocabulary; did you mean"):
            predict(scorer, vocabulary, head="e1x", relation="plus_1")
        with pytest.raises(SchemaError, match="relation 'minus_1' is not in the vocabulary"):
            predict(scorer, vocabulary, head="e1", relation="minus_1")
        with pytest.raises(ProtocolError, match="got head and tail left out"):
            predict(scorer, vocabulary, relation="plus_1")
        with pytest.raises(ProtocolError, match="got none of them left out"):
            predict(scorer, vocabulary, "e1", "plus_1", "e2")
        with pytest.raises(SchemaError, match="built for 12 entities"):
            predict(scorer, Vocabulary("ab", "xy"), "a", "x")
        with pytest.raises(SchemaError, match="known: expected one shared vocabulary"):
            predict(scorer, vocabulary, "e1", "plus_1", known=[ring(size=5)])
        with pytest.raises(ProtocolError, match=r"known: expected a list of statements, .*got Statements"):
            predict(scorer, vocabulary, "e1", "plus_1", known=ring())  # type: ignore[arg-type]

    @pytest.mark.parametrize("k", [2.5, "3", True, None, 0, -1])
    def test_k_is_a_whole_number(self, k: Any) -> None:
        with pytest.raises(ProtocolError, match=rf"k: expected a whole number of at least 1, got {k!r}"):
            predict(self.scorer(), ring().vocabulary, "e1", "plus_1", k=k)

    @pytest.mark.parametrize("part", ["head", "relation", "tail"])
    def test_parts_are_labels(self, part: str) -> None:
        given: dict[str, Any] = {"head": "e1", "relation": "plus_1", "tail": "e2", part: 1}
        given["tail" if part != "tail" else "head"] = None
        with pytest.raises(SchemaError, match=f"{part}: expected a label of the vocabulary as text, got 1"):
            predict(self.scorer(), ring().vocabulary, **given)


@pytest.mark.parametrize("name", SCORERS)
def test_saved_scorer_comes_back(name: str, tmp_path: Path) -> None:
    train = ring()
    vocabulary = Vocabulary([f"Straße {i}" for i in range(N)], ["plus_1", "plus_2"], 7)
    scorer = small(name, train, seed=3)
    fit(scorer, train, epochs=1, batch_size=8, progress=False)
    path = save_scorer(scorer, vocabulary, tmp_path / "model", {"mrr": 0.5})
    again, names, meta = load_scorer(path)
    assert type(again) is type(scorer)
    assert again.arguments == scorer.arguments
    assert not again.training
    assert names == vocabulary
    assert meta == {"mrr": 0.5}
    before, after = scorer.state_dict(), again.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    ask = {"head": "Straße 1", "relation": "plus_1"}
    assert predict(again, names, **ask) == predict(scorer, vocabulary, **ask)


def test_storage_refuses_what_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = ring()

    class Own(DistMult):
        pass

    with pytest.raises(SchemaError, match=r"Own is none of the scorers .*distmult"):
        save_scorer(Own(N, 2), train.vocabulary, tmp_path)
    with pytest.raises(SchemaError, match="built for 5 entities"):
        save_scorer(DistMult(5, 2), train.vocabulary, tmp_path)
    with pytest.raises(AdapterError, match="there is no folder"):
        load_scorer(tmp_path / "nowhere")
    monkeypatch.setitem(SCORERS, "own", Own)
    save_scorer(Own(N, 2), train.vocabulary, tmp_path)
    monkeypatch.setitem(SCORERS, "own", LowFER)
    with pytest.raises(SchemaError, match="does not fit this version's LowFER"):
        load_scorer(tmp_path)
    monkeypatch.delitem(SCORERS, "own")
    with pytest.raises(SchemaError, match=r"holds a scorer 'own'; known are .*distmult"):
        load_scorer(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"scorer": None},
        {"scorer": ["distmult"]},
        {"arguments": None},
        {"arguments": [3]},
        {"arguments": {"num_entities": N, "num_relations": 2, "dim": "x"}},
        {"num_main_entities": "x"},
        {"num_main_entities": N + 1},
        {"meta": None},
    ],
)
@pytest.mark.parametrize("missing", [False, True])
def test_a_damaged_scorer_says_so(change: dict[str, Any], missing: bool, tmp_path: Path) -> None:
    save_scorer(DistMult(N, 2, dim=2), ring().vocabulary, tmp_path)
    pointer = tmp_path / "scorer.json"
    content = json.loads(pointer.read_text())
    (name,) = change
    if missing:
        del content["meta"][name]
    else:
        content["meta"] |= change
    pointer.write_text(json.dumps(content))
    with pytest.raises(AdapterError, match=r"is damaged: scorer\.json .*; save the scorer again"):
        load_scorer(tmp_path)


def test_a_scorer_without_its_names_is_damaged(tmp_path: Path) -> None:
    save_scorer(DistMult(N, 2, dim=2), ring().vocabulary, tmp_path)
    meta, tensors = read_folder(tmp_path, "scorer")
    write_folder(tmp_path, "scorer", meta, {n: x for n, x in tensors.items() if n != "entities.data"})
    with pytest.raises(AdapterError, match=r"is damaged: scorer\.json .*entities\.data"):
        load_scorer(tmp_path)
