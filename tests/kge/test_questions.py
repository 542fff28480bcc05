"""Questions against brute force over Python tuples."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from relgraph.kge.questions import MISSING, POSITIONS, Position, Questions, ask, question_keys
from relgraph.kge.training import Batch
from tests.kge.test_evaluation import Fact, R, facts, statements

Pair = tuple[int, int]
Question = tuple[int, int, int, tuple[Pair, ...]]


def asked_by_hand(rows: list[Fact], position: Position) -> list[tuple[Question, int, int]]:
    """Each question, its answer, and the row it comes from."""
    found: list[tuple[Question, int, int]] = []
    for number, (h, r, t, pairs) in enumerate(rows):
        if position == "tail":
            found.append(((h, r, MISSING, pairs), t, number))
        elif position == "head":
            found.append(((t, r + R, MISSING, pairs), h, number))
        else:
            for place, (relation, value) in enumerate(pairs):
                hidden = (*pairs[:place], (relation, MISSING), *pairs[place + 1 :])
                found.append(((h, r, t, hidden), value, number))
    return found


def in_words(questions: Questions) -> list[Question]:
    """The questions as tuples."""
    tail = [MISSING] * len(questions) if questions.tail is None else questions.tail.tolist()
    pairs: list[tuple[Pair, ...]] = [()] * len(questions)
    if questions.qualifiers is not None:
        q = questions.qualifiers
        both = list(zip(q.relation.tolist(), q.entity.tolist(), strict=True))
        ptr = q.ptr.tolist()
        pairs = [tuple(both[a:b]) for a, b in pairwise(ptr)]
    return list(zip(questions.entity.tolist(), questions.relation.tolist(), tail, pairs, strict=True))


def key_of(question: Question, with_qualifiers: bool) -> object:
    entity, relation, tail, pairs = question
    kept = pairs if with_qualifiers else [pair for pair in pairs if pair[1] == MISSING]
    return entity, relation, tail, frozenset(kept)


@pytest.mark.slow
@given(rows=st.lists(facts, min_size=1, max_size=8), position=st.sampled_from(POSITIONS))
def test_questions_and_answers_are_those_of_the_statements(rows: list[Fact], position: Position) -> None:
    expected = asked_by_hand(rows, position)
    questions, answer, row = ask(statements(rows), position)
    assert list(zip(in_words(questions), answer.tolist(), row.tolist(), strict=True)) == expected


@given(rows=st.lists(facts, min_size=1, max_size=8), with_qualifiers=st.booleans())
def test_equal_questions_and_no_others_have_equal_keys(rows: list[Fact], with_qualifiers: bool) -> None:
    questions = Questions.cat([ask(statements(rows), position)[0] for position in POSITIONS])
    number: dict[object, int] = {}
    expected = [number.setdefault(key_of(q, with_qualifiers), len(number)) for q in in_words(questions)]
    key = question_keys(questions, with_qualifiers=with_qualifiers).tolist()
    assert len(set(key)) == len(set(zip(key, expected, strict=True))) == len(number)
    assert set(key) == set(range(len(number)))


@given(rows=st.lists(facts, min_size=1, max_size=8), with_qualifiers=st.booleans())
def test_distinct_questions_have_all_their_answers(rows: list[Fact], with_qualifiers: bool) -> None:
    expected: dict[object, set[int]] = {}
    for position in ("tail", "head"):
        for question, answer, _ in asked_by_hand(rows, position):
            expected.setdefault(key_of(question, with_qualifiers), set()).add(answer)
    batch = Batch.of(statements(rows), ("head", "tail"), with_qualifiers)
    ptr, index = batch.answers
    found = {
        key_of(question, with_qualifiers): set(index[ptr[i] : ptr[i + 1]].tolist())
        for i, question in enumerate(in_words(batch.questions))
    }
    assert len(found) == len(batch) == len(expected)
    assert found == expected


def test_a_batch_goes_to_a_device_as_a_whole() -> None:
    batch = Batch.of(statements([(0, 0, 1, ())], qualified=False), ("head", "tail"), True).to(torch.device("meta"))
    parts = [batch.questions.entity, batch.questions.relation, *batch.answers]
    assert {part.device.type for part in parts} == {"meta"}
