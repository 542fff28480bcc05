"""Whole numbers are found where a dictionary finds them, whatever they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from relgraph.data import links
from relgraph.data.key_rows import Column
from relgraph.data.links import NumberIndex, _compact

LEAST, MOST = -(2**63), 2**63 - 1
NEAR = st.integers(-30, 30)


def column(values: list[int | None]) -> Column:
    given_values = np.array([value is not None for value in values], dtype=np.bool_)
    numbers = torch.tensor([value or 0 for value in values], dtype=torch.int64)
    return Column(numbers, None if given_values.all() else given_values)


@given(
    st.integers(LEAST + 100, MOST - 100),
    st.lists(st.one_of(st.none(), NEAR), max_size=30, unique_by=lambda v: object() if v is None else v),
    st.lists(st.one_of(st.integers(-70, 70), st.just(LEAST), st.just(MOST)), max_size=20),
)
def test_the_row_of_every_number_is_the_one_a_dictionary_gives(
    base: int, steps: list[int | None], asked: list[int]
) -> None:
    values = [None if step is None else base + step for step in steps]
    index = NumberIndex.of(column(values))
    assert index is not None
    place = {value: row for row, value in enumerate(values) if value is not None}
    questions = [value if value in (LEAST, MOST) else base + value for value in asked]
    found = index.find(np.array(questions, dtype=np.int64))
    assert found.tolist() == [place.get(value, -1) for value in questions]


@pytest.mark.parametrize("values", [[3, 4, 3], [5, 5], [1, None, 2, 1], [0, 0, None]])
def test_a_number_that_stands_twice_has_no_index(values: list[int | None]) -> None:
    assert NumberIndex.of(column(values)) is None


@pytest.mark.parametrize("values", [[LEAST, MOST], [0, 10**12], [MOST, 0, LEAST]])
def test_numbers_far_apart_have_no_index(values: list[int]) -> None:
    assert NumberIndex.of(column(values)) is None


@pytest.mark.parametrize("values", [[7, 8, 9], [MOST - 1, MOST], [LEAST, LEAST + 1], []])
def test_numbers_in_a_row_need_no_table(values: list[int]) -> None:
    index = NumberIndex.of(column(list(values)))
    assert index is not None
    assert index.row is None
    asked = [*values, 0, MOST, LEAST]
    assert index.find(np.array(asked)).tolist() == [values.index(v) if v in values else -1 for v in asked]


@given(st.lists(st.integers(-1, 5), max_size=40), st.integers(1, 7))
def test_edges_are_packed_in_place(targets: list[int], piece: int) -> None:
    pairs = torch.cat([torch.full((len(targets),), 99), torch.tensor(targets, dtype=torch.int64)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(links, "PIECE", piece)
        packed = _compact(pairs, len(targets))
    expected = [[row for row, target in enumerate(targets) if target >= 0], [t for t in targets if t >= 0]]
    assert packed.tolist() == expected
    assert packed.is_contiguous()
