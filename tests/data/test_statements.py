"""Statements, their qualifiers and their vocabulary."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from relgraph.data.statements import Qualifiers, Statements, Vocabulary
from relgraph.data.time import STATIC, UNKNOWN
from relgraph.errors import ProtocolError, SchemaError, ShapeError

VOCABULARY = Vocabulary(["ann", "bob", "cup", "dot"], ["likes", "gave", "on"])


def ints(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int64)


def facts(time: torch.Tensor | None = None) -> Statements:
    pairs = Qualifiers(ints(0, 2, 2, 3), ints(2, 1, 2), ints(3, 2, 0))
    return Statements(ints(0, 1, 2), ints(0, 1, 0), ints(1, 2, 3), VOCABULARY, time, pairs)


def test_one_statement_in_words() -> None:
    assert facts().labels(0) == ("ann", "likes", "bob", "on", "dot", "gave", "cup")
    assert facts().labels(1) == ("bob", "gave", "cup")


def test_select_takes_the_qualifiers_along_in_the_new_order() -> None:
    picked = facts().select(ints(2, 0))
    assert [picked.labels(i) for i in range(2)] == [facts().labels(2), facts().labels(0)]
    assert facts().select(torch.tensor([False, True, False])).labels(0) == facts().labels(1)


@given(st.lists(st.integers(0, 4), max_size=8), st.data())
def test_qualifier_selection_equals_plain_lists(counts: list[int], data: st.DataObject) -> None:
    total = sum(counts)
    pairs = Qualifiers(ints(0, *torch.tensor(counts, dtype=torch.int64).cumsum(0).tolist()), *[torch.arange(total)] * 2)
    rows = [list(range(int(pairs.ptr[i]), int(pairs.ptr[i + 1]))) for i in range(len(counts))]
    index = data.draw(st.lists(st.integers(0, len(counts) - 1), max_size=8)) if counts else []
    picked = pairs.select(torch.tensor(index, dtype=torch.int64))
    assert picked.relation.tolist() == [pair for i in index for pair in rows[i]]
    assert picked.counts.tolist() == [counts[i] for i in index]
    assert Qualifiers.cat([pairs, picked]).statement.tolist() == [
        i for i, n in enumerate(counts + [counts[j] for j in index]) for _ in range(n)
    ]


def test_split_by_time_puts_the_latest_last_and_cuts_no_moment_in_two() -> None:
    time = ints(5, 1, 1, 1, STATIC, UNKNOWN, 3, 2, 4, 6)
    index = torch.arange(10)
    vocabulary = Vocabulary([str(i) for i in range(10)], ["r"])
    parts = Statements(index, index * 0, index, vocabulary, time).split("time", (0.2, 0.4, 0.4))
    assert [sorted(part.head.tolist()) for part in parts] == [[1, 2, 3, 4], [6, 7], [0, 5, 8, 9]]


def test_split_by_time_keeps_static_statements_for_training() -> None:
    time = torch.tensor([STATIC] * 6 + [3, 1, 2, 4])
    index = torch.arange(10)
    parts = Statements(index, index * 0, index, Vocabulary([str(i) for i in range(10)], ["r"]), time).split(
        "time", (0.5, 0.25, 0.25)
    )
    assert [part.head.tolist() for part in parts] == [[0, 1, 2, 3, 4, 5, 7, 8], [6], [9]]


def test_split_by_time_trains_on_no_unknown_time_however_many_there_are() -> None:
    time = torch.tensor([UNKNOWN] * 10 + list(range(10)))
    index = torch.arange(20)
    whole = Statements(index, index * 0, index, Vocabulary([str(i) for i in range(20)], ["r"]), time)
    parts = whole.split("time")
    assert [part.head.tolist() for part in parts] == [list(range(10, 18)), [18], [19, *range(10)]]
    with pytest.raises(ProtocolError, match="no time"):
        whole.select(index[:10]).split("time")


def test_random_split_is_a_partition_and_repeats_with_its_seed() -> None:
    index = torch.arange(50)
    whole = Statements(index, index * 0, index, Vocabulary([str(i) for i in range(50)], ["r"]))
    parts = whole.split(seed=3)
    assert [len(part) for part in parts] == [40, 5, 5]
    assert sorted(torch.cat([part.head for part in parts]).tolist()) == index.tolist()
    assert torch.equal(parts[0].head, whole.split(seed=3)[0].head)
    assert not torch.equal(parts[0].head, whole.split(seed=4)[0].head)


def test_impossible_splits_say_why() -> None:
    with pytest.raises(ProtocolError, match="no time"):
        facts().split("time")
    with pytest.raises(ProtocolError, match="no time"):
        facts(torch.full((3,), STATIC)).split("time")
    for fractions in ((0.5, 0.1, 0.1), (float("nan"), 0.5, 0.5), (-0.5, 1.0, 0.5)):
        with pytest.raises(ProtocolError, match="add up to 1"):
            facts().split(fractions=fractions)


def test_unknown_labels_name_close_ones() -> None:
    vocabulary = Vocabulary(["paris", "london"], ["capital_of"])
    assert vocabulary.entity("london") == 1
    with pytest.raises(SchemaError, match="did you mean 'paris'"):
        vocabulary.entity("pariss")
    with pytest.raises(SchemaError, match="relation 'x' is not in the vocabulary"):
        vocabulary.relation("x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tail": ints(1, 2)}, "tail: expected 3 values"),
        ({"tail": ints(1, 2, 4)}, r"tail: expected numbers in 0\.\.3"),
        ({"relation": ints(0, 1, 3)}, "relation: expected numbers"),
        ({"time": torch.zeros(3)}, "time: expected int64"),
        ({"qualifiers": Qualifiers.empty(2)}, "qualifiers: expected 3 statements, got 2"),
    ],
)
def test_wrong_shapes_and_numbers_are_refused(change: dict[str, object], message: str) -> None:
    arguments = {"head": ints(0, 1, 2), "relation": ints(0, 1, 0), "tail": ints(1, 2, 3), **change}
    with pytest.raises(ShapeError, match=message):
        Statements(vocabulary=VOCABULARY, **arguments)  # type: ignore[arg-type]


def test_broken_csr_is_refused() -> None:
    with pytest.raises(ShapeError, match="start at 0"):
        Qualifiers(ints(1, 2), ints(0), ints(0))
    with pytest.raises(ShapeError, match="expected 2 pairs"):
        Qualifiers(ints(0, 2), ints(0), ints(0))
