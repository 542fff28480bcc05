"""The distinct rows of a batch against PyTorch's sort."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from relgraph.errors import ShapeError
from relgraph.ops import distinct
from relgraph.ops.distinct_numba import distinct_in_bitmap

SIZES = st.sampled_from([1, 2, 63, 64, 65, 128, 1000, 10**6])


@given(SIZES, st.data())
def test_it_is_what_a_sort_gives(size: int, data: Any) -> None:
    rows = torch.tensor(data.draw(st.lists(st.integers(0, size - 1) | st.just(size - 1))), dtype=torch.int64)
    wanted = torch.unique(rows, return_inverse=True)
    for found in (distinct(rows, size), distinct_in_bitmap(rows, size)):
        assert found is not None
        for part, expected in zip(found, wanted, strict=True):
            assert part.dtype == torch.int64
            assert torch.equal(part, expected)


def test_rows_with_gaps_in_memory() -> None:
    rows = torch.tensor([[5, 9], [0, 9], [5, 9], [2, 9]])[:, 0]
    for found in (distinct(rows, 10), distinct_in_bitmap(rows, 10)):
        assert found is not None
        assert [part.tolist() for part in found] == [[0, 2, 5], [2, 0, 2, 1]]


def test_nothing_of_an_empty_table() -> None:
    number, position = distinct(torch.zeros(0, dtype=torch.int64), 0)
    assert (number.numel(), position.numel()) == (0, 0)


@pytest.mark.parametrize("size", [3, 10**9])  # with the bitmap, and without
@pytest.mark.parametrize("wrong", [-1, None, -(2**63), 2**63 - 1])
def test_a_row_out_of_range_is_refused(size: int, wrong: int | None) -> None:
    rows = torch.tensor([0, size if wrong is None else wrong])
    with pytest.raises(ShapeError, match=f"expected numbers in 0..{size - 1}, got"):
        distinct(rows, size)


def test_other_numbers_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"expected int64 \[N\], got torch.int32 \[2\]"):
        distinct(torch.zeros(2, dtype=torch.int32), 4)
    with pytest.raises(ShapeError, match=r"got torch.int64 \[1, 2\]"):
        distinct(torch.zeros(1, 2, dtype=torch.int64), 4)
