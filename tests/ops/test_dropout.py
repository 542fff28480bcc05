"""Dropout: the right share, the right scale, the mask in the gradient, the same again for the same seed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relgraph.errors import ShapeError
from relgraph.ops import dropout


@settings(max_examples=30, deadline=None)
@given(st.floats(0.0, 0.99), st.lists(st.integers(0, 7), min_size=1, max_size=3), st.integers(0, 2**31))
def test_an_element_is_dropped_or_scaled(p: float, shape: list[int], seed: int) -> None:
    torch.manual_seed(seed)
    x = torch.rand(shape) + 1
    out = dropout(x, p)
    assert (out.shape, out.dtype) == (x.shape, x.dtype)
    kept = out != 0
    torch.testing.assert_close(out[kept], x[kept] / (1 - p), rtol=2e-3, atol=0)


@pytest.mark.parametrize("p", [0.1, 0.2, 0.5, 0.9])
def test_the_share_is_the_probability_everywhere(p: float) -> None:
    torch.manual_seed(0)
    n = 400_000
    kept = (dropout(torch.ones(n), p) != 0).double()
    # five standard deviations, of all and of each of the four decisions that share a random number
    assert abs(kept.mean() - (1 - p)) < 5 * (p * (1 - p) / n) ** 0.5
    for part in range(4):
        assert abs(kept[part::4].mean() - (1 - p)) < 5 * (p * (1 - p) / (n / 4)) ** 0.5
    both = (kept[::4] * kept[1::4]).mean()
    assert abs(both - (1 - p) ** 2) < 5 * 0.5 / (n / 4) ** 0.5
    assert dropout(torch.ones(n), p).mean() == pytest.approx(1, abs=5 * (p / (1 - p) / n) ** 0.5)


def test_the_gradient_is_the_mask() -> None:
    torch.manual_seed(0)
    x = torch.randn(50, 7, dtype=torch.float64, requires_grad=True)
    out = dropout(x, 0.4)
    out.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad * x.detach(), out.detach())


def test_the_same_seed_gives_the_same_mask() -> None:
    masks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        masks.append(dropout(torch.ones(1000), 0.5))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_the_ends_and_evaluation() -> None:
    x = torch.randn(5)
    assert dropout(x, 0.0) is x
    assert dropout(x, 0.7, training=False) is x
    assert not dropout(x, 1.0).any()
    for p in (-0.1, 1.1, float("nan")):
        with pytest.raises(ShapeError, match="probability from 0 to 1"):
            dropout(x, p)
