"""Columns of the questions themselves, against a count over plain lists."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from relgraph.baselines.asked import ASKED, Asked

DAY = 86_400_000_000
YEAR = 365.2425 * DAY
Pairs = list[tuple[int, int]]


def counted(seeds: Pairs, node: int, time: int) -> list[float]:
    moments = sorted({moment for _, moment in seeds})
    before = [moment for row, moment in seeds if row == node and moment < time]

    def share(years: int) -> float:
        lately = [moment for moment in moments if time - years * YEAR <= moment < time]
        return sum(moment in lately for moment in before) / len(lately) if lately else math.nan

    ages = [(time - max(before)) / DAY, (time - min(before)) / DAY] if before else [math.nan, math.nan]
    size = sum(moment == time for _, moment in seeds)
    return [size, share(1), share(2), len(before), *ages, not before]


@given(
    st.sets(st.tuples(st.integers(0, 3), st.integers(0, 15)), min_size=1),
    st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 17)), min_size=1, max_size=10),
)
def test_columns_are_those_of_a_plain_count(seeds: set[tuple[int, int]], rows: Pairs) -> None:
    step = 60 * DAY
    known = [(node, moment * step) for node, moment in seeds]
    node, time = torch.tensor(known).T
    asked = torch.tensor([(row, moment * step) for row, moment in rows])
    found = Asked(node, time).matrix(asked[:, 0], asked[:, 1])
    expected = np.array([counted(known, row, moment) for row, moment in asked.tolist()], dtype=np.float64)
    assert found.shape == (len(rows), len(ASKED))
    np.testing.assert_allclose(found, expected)


def test_later_questions_are_not_read() -> None:
    node, time = torch.tensor([0, 1, 0, 0]), torch.tensor([1, 1, 2, 3]) * DAY
    row, moment = torch.tensor([0, 1]), torch.tensor([2, 2]) * DAY
    until_then = Asked(node[:3], time[:3]).matrix(row, moment)
    np.testing.assert_array_equal(Asked(node, time).matrix(row, moment), until_then)
