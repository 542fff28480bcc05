"""Seed columns: worked numbers, missing values, unseen codes, the clamp, and the way to and from JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from relgraph.errors import ShapeError
from relgraph.training.seed_columns import SeedColumns, fit_column, scale_column


class Clock:
    """The time itself and a code; NaN for node 0."""

    names = ("when", "code")
    categorical = (1,)

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor

    def matrix(self, node: Tensor, time: Tensor | None) -> NDArray[np.float64]:
        when = np.full(node.numel(), 7.0) if time is None else time.double().numpy() * self.factor
        return np.stack([np.where(node.numpy() == 0, np.nan, when), node.double().numpy() % 3], axis=1)

    def describe(self) -> dict[str, Any]:
        return {"factor": self.factor}


def make(values: Mapping[str, Any]) -> Clock:
    return Clock(**values)


def test_amounts_by_hand() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0, np.nan])
    scale = fit_column(values, categorical=False)
    assert (scale.centre, scale.spread, scale.missing, scale.width) == (3.0, 2.0, True, 2)
    found = scale_column(np.array([3.0, 5.0, 3000.0, np.nan, np.inf]), scale)
    np.testing.assert_allclose(found[:, 0], [0.0, 1 / (1 + 1 / 9) ** 0.5, 3.0, 0.0, 0.0], atol=1e-4)
    assert found[:, 1].tolist() == [0, 0, 0, 1, 1]
    assert fit_column(np.array([0.0] * 9 + [8.0]), categorical=False).spread == 4.0  # quartiles are equal
    constant = fit_column(np.array([2.0, 2.0]), categorical=False)
    assert (constant.spread, constant.missing, constant.width) == (1.0, False, 1)
    nothing = fit_column(np.array([np.nan, np.nan]), categorical=False)
    expected = [[0.0, 1.0], [5 / (1 + 25 / 9) ** 0.5, 0.0]]
    np.testing.assert_allclose(scale_column(np.array([np.nan, 5.0]), nothing), expected)


def test_codes_by_hand() -> None:
    scale = fit_column(np.array([4.0, 4.0, 2.0, np.nan]), categorical=True)
    assert scale.codes == (2.0, 4.0)
    found = scale_column(np.array([2.0, 4.0, 3.0, np.nan]), scale)
    assert found.tolist() == [[1, 0], [0, 1], [0, 0], [0, 0]]
    many = np.concatenate([np.arange(50.0), np.arange(20.0, 50.0)])
    # the 30 codes that come twice, and of the others the smallest
    assert fit_column(many, categorical=True).codes == (0.0, 1.0, *np.arange(20.0, 50.0).tolist())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(width=64), min_size=1, max_size=20), st.floats(width=64), st.booleans())
def test_all_that_comes_out_is_small_and_finite(train: list[float], other: float, categorical: bool) -> None:
    values = np.array(train)
    scale = fit_column(values, categorical)
    found = scale_column(np.array([*values, other, np.nan]), scale)
    assert found.shape == (len(train) + 2, scale.width)
    assert bool(np.isfinite(found).all())
    assert bool((np.abs(found) <= 3 + 1e-9).all())


def test_seeds_later_than_the_moment_see_what_was_known_then() -> None:
    node, time = torch.tensor([1, 2, 3]), torch.tensor([10, 20, 30])
    columns = SeedColumns.fit([Clock()], node, time, until=20)
    assert columns.names == ("when", "code")
    clamped, free = columns.matrix(node, time, until=20), columns.matrix(node, time)
    assert clamped[1, 0] == clamped[2, 0] == free[1, 0]
    assert free[2, 0] > clamped[2, 0]
    assert clamped.dtype == torch.float32
    assert columns.width == clamped.size(1) == 1 + 3
    assert columns.matrix(node, None).shape == (3, 4)
    assert columns.matrix(node[:0], time[:0]).shape == (0, 4)


def test_to_and_from_json() -> None:
    node, time = torch.tensor([0, 1, 2, 3]), torch.tensor([10, 20, 30, 40])
    columns = SeedColumns.fit([Clock(), Clock(2.0)], node, time)
    again = SeedColumns.from_dict(json.loads(json.dumps(columns.describe())), make)
    assert torch.equal(again.matrix(node, time), columns.matrix(node, time))
    assert again.describe() == columns.describe()
    with pytest.raises(ShapeError, match=r"expected 4 columns as in training, got 2 \(when, code\)"):
        SeedColumns([Clock()], columns.scales)


def test_a_source_that_breaks_its_word_is_named() -> None:
    class Wrong(Clock):
        names = ("one",)

    with pytest.raises(ShapeError, match=r"Wrong.matrix: expected shape \(2, 1\), got \(2, 2\)"):
        SeedColumns.fit([Wrong()], torch.arange(2), None)
