"""What a scorer looks up about an entity, against brute force; above all, never the statement that is asked about."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from relgraph.data.statements import Qualifiers, Statements
from relgraph.kge import HyperFormer, load_scorer, save_scorer
from relgraph.kge.facts import Facts, first_pairs, pair_sets
from relgraph.kge.questions import MISSING, POSITIONS, Position, Questions, ask
from tests.kge.test_evaluation import VOCABULARY, Fact, N, R, facts, statements

CPU = torch.device("cpu")


def learned(train: Statements) -> Facts:
    found = Facts(train.num_entities, train.num_relations)
    found.learn(train, CPU)
    return found


def in_words(questions: Questions) -> list[tuple[object, ...]]:
    pairs = questions.qualifiers or Qualifiers.empty(len(questions))
    both = list(zip(pairs.relation.tolist(), pairs.entity.tolist(), strict=True))
    ptr = pairs.ptr.tolist()
    return [
        (entity, relation, tuple(both[ptr[i] : ptr[i + 1]]))
        for i, (entity, relation) in enumerate(zip(questions.entity.tolist(), questions.relation.tolist(), strict=True))
    ]


def allowed(rows: list[Fact], asked: Fact, position: Position, most: int) -> list[tuple[object, ...]]:
    """All facts about the known entity of a question, but those that answer it, as questions for that entity."""
    h, r, t, pairs = asked
    known = t if position == "head" else h
    found: list[tuple[object, ...]] = []
    for fh, fr, ft, fp in rows:
        if position == "qualifier":
            answers = (fh, fr, ft) == (h, r, t)
        else:
            answers = fr == r and set(fp) == set(pairs) and (ft == t if position == "head" else fh == h)
        if not answers:
            found += [(ft, fr + R, fp[:most])] * (fh == known) + [(fh, fr, fp[:most])] * (ft == known)
    return found


@given(
    rows=st.lists(facts, min_size=1, max_size=10),
    position=st.sampled_from(POSITIONS),
    k=st.integers(1, 4),
    most=st.integers(0, 2),
    shuffle=st.booleans(),
)
def test_facts_around_an_entity_never_answer_the_question(
    rows: list[Fact], position: Position, k: int, most: int, shuffle: bool
) -> None:
    train = statements(rows)
    questions, _, source = ask(train, position)
    if not len(questions):
        return
    known = learned(train)
    found, owner = known.around(questions, k, most, shuffle)
    assert owner.tolist() == sorted(owner.tolist())
    words = in_words(found)
    for i, row in enumerate(source.tolist()):
        mine = [word for word, j in zip(words, owner.tolist(), strict=True) if j == i]
        pool = allowed(rows, rows[row], position, most)
        assert len(mine) == min(k, len(pool))
        for word in mine:
            pool.remove(word)  # each fact once


def test_the_latest_facts_come_first_and_the_seed_decides_a_draw() -> None:
    tail = torch.arange(1, N)
    train = Statements(torch.zeros_like(tail), tail * 0, tail, VOCABULARY, time=torch.tensor([5, 1, 9, 7, 3]))
    question = Questions(torch.tensor([0]), torch.tensor([1]))
    assert learned(train).around(question, 3, 0, False)[0].entity.tolist() == [3, 4, 1]
    draws = []
    for seed in (0, 0, 1, 2, 3):
        torch.manual_seed(seed)
        draws.append(tuple(learned(train).around(question, 2, 0, True)[0].entity.tolist()))
    assert draws[0] == draws[1]
    assert len(set(draws)) > 1


@given(rows=st.lists(facts, max_size=8))
def test_equal_sets_of_qualifiers_and_no_others_have_equal_hashes(rows: list[Fact]) -> None:
    value = pair_sets(statements(rows).qualifiers or Qualifiers.empty(0)).tolist()
    sets = [frozenset(row[3]) for row in rows]
    assert [[a == b for b in value] for a in value] == [[a == b for b in sets] for a in sets]
    assert all((v == 0) == (not s) for v, s in zip(value, sets, strict=True))


@given(rows=st.lists(facts, max_size=6), most=st.integers(0, 3))
def test_first_pairs(rows: list[Fact], most: int) -> None:
    pairs = statements(rows).qualifiers or Qualifiers.empty(0)
    kept = first_pairs(pairs, most)
    both = list(zip(kept.relation.tolist(), kept.entity.tolist(), strict=True))
    assert both == [pair for row in rows for pair in row[3][:most]]
    assert kept.counts.tolist() == [min(len(row[3]), most) for row in rows]


def test_facts_are_saved_with_the_scorer(tmp_path: Path) -> None:
    rows: list[Fact] = [(0, 0, 1, ((1, 5),)), (1, 1, 2, ()), (2, 0, 0, ((0, 4), (1, 3)))]
    train = statements(rows)
    scorer = HyperFormer(
        N, R, dim=9, layers=1, heads=3, hidden=4, experts=3, channels=2, kernel=3, inference="full"
    ).eval()
    before = scorer.score(train.head, train.relation, train.tail, train.qualifiers)
    scorer.learn_from(train)
    score = scorer.score(train.head, train.relation, train.tail, train.qualifiers)
    assert not torch.allclose(score, before), "facts count"
    again, _, _ = load_scorer(save_scorer(scorer, VOCABULARY, tmp_path / "run"))
    assert isinstance(again, HyperFormer)
    assert again.facts.num_statements == 3
    assert torch.equal(again.score(train.head, train.relation, train.tail, train.qualifiers), score)


def test_a_missing_value_is_no_qualifier_of_its_own() -> None:
    pairs = Qualifiers(torch.tensor([0, 1, 2]), torch.tensor([1, 1]), torch.tensor([MISSING, 5]))
    one, other = pair_sets(pairs).tolist()
    assert one != other


@pytest.mark.parametrize("position", ["tail", "head"])
def test_a_loop_is_left_out_in_both_directions(position: Position) -> None:
    train = statements([(2, 0, 2, ())])
    questions, _, _ = ask(train, position)
    assert len(learned(train).around(questions, 3, 2, False)[0]) == 0


@given(rows=st.lists(facts, min_size=1, max_size=6), seed=st.integers(0, 9))
def test_facts_of_another_numbering(rows: list[Fact], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    entity, relation = torch.randperm(N + 2, generator=generator)[:N], torch.randperm(R + 1, generator=generator)[:R]
    there = Facts(N + 2, R + 1)
    there.take_over(learned(statements(rows)), entity, relation)
    questions, _, _ = ask(statements(rows), "tail")
    usual, owner = learned(statements(rows)).around(questions, 9, 9, False)
    pairs = questions.qualifiers or Qualifiers.empty(len(questions))
    moved = Questions(
        entity[questions.entity],
        relation[questions.relation],
        None,
        Qualifiers(pairs.ptr, relation[pairs.relation], entity[pairs.entity]),
    )
    found, whose = there.around(moved, 9, 9, False)
    assert torch.equal(whose, owner)
    assert torch.equal(found.entity, entity[usual.entity])
    assert torch.equal(found.relation % (R + 1), relation[usual.relation % R])
