"""The tiled 1-N loss against the dense formula, values and gradients."""

from __future__ import annotations

import math
import sys
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from relgraph.errors import ShapeError
from relgraph.ops import one_to_n_loss
from tests.ops.dense import assert_same, csr, dense_scores
from tests.ops.dense import make as factors

MODULE = sys.modules["relgraph.ops.tiled_loss"]


def make(b: int, n: int, k: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[list[Tensor], Tensor]:
    labels = torch.rand(b, n, generator=torch.Generator().manual_seed(seed)) < 0.3
    return factors(b, n, k, seed, dtype), labels


def dense(tensors: list[Tensor], labels: Tensor, alpha: float, eps: float, smoothing: str = "1/N") -> Tensor:
    score = dense_scores(tensors, alpha)
    target = labels.to(score.dtype)
    if eps > 0:
        target = (1 - eps) * target + (1 if smoothing == "1/N" else eps) / score.shape[1]
    return torch.nn.functional.binary_cross_entropy_with_logits(score, target)


def tiled(tensors: list[Tensor], labels: Tensor, alpha: float = 1.0, eps: float = 0.0, **more: Any) -> Tensor:
    query, candidates, a, b = tensors
    return one_to_n_loss(
        query, candidates, csr(labels), query_bias=a, candidate_bias=b, alpha=alpha, label_smoothing=eps, **more
    )


def test_hand_worked_numbers() -> None:
    query, candidates = torch.tensor([[1.0]]), torch.tensor([[2.0], [-1.0]])
    positives = torch.tensor([0, 1]), torch.tensor([0])
    plain = (math.log1p(math.exp(2)) - 2 + math.log1p(math.exp(-1))) / 2
    assert one_to_n_loss(query, candidates, positives).item() == pytest.approx(plain, abs=1e-6)
    # targets .9 + .5 and .5, as y = (1 - eps) y0 + 1/N says
    smooth = (math.log1p(math.exp(2)) - 1.4 * 2 + math.log1p(math.exp(-1)) - 0.5 * -1) / 2
    assert one_to_n_loss(query, candidates, positives, label_smoothing=0.1).item() == pytest.approx(smooth, abs=1e-6)


@given(
    b=st.integers(1, 7),
    n=st.integers(1, 40),
    k=st.integers(1, 5),
    alpha=st.sampled_from([1.0, -2.0, 0.3]),
    eps=st.sampled_from([0.0, 0.1, 0.9]),
    smoothing=st.sampled_from(["1/N", "eps/N"]),
    tile=st.integers(1, 64),
    rows=st.integers(1, 8),
    seed=st.integers(0, 2**20),
)
def test_equals_the_dense_formula(
    b: int, n: int, k: int, alpha: float, eps: float, smoothing: str, tile: int, rows: int, seed: int
) -> None:
    tensors, labels = make(b, n, k, seed)
    expected = dense(tensors, labels, alpha, eps, smoothing)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MODULE, "_TILE", tile)
        patch.setattr(MODULE, "_ROWS", rows)
        got = tiled(tensors, labels, alpha, eps, smoothing=smoothing)
    assert_same(got, expected, tensors)


def test_one_positive_and_the_mean_over_the_batch_is_1_vs_all() -> None:
    tensors = make(4, 9, 3)[0]
    labels = torch.eye(9, dtype=torch.bool)[[3, 0, 3, 8]]
    score = dense_scores(tensors, 1.0)
    expected = torch.nn.functional.softplus((1 - 2 * labels.double()) * score).sum(1).mean()
    assert_same(tiled(tensors, labels, reduction="batchmean"), expected, tensors)


@pytest.mark.parametrize("eps", [0.0, 0.2])
def test_gradcheck(eps: float) -> None:
    tensors, labels = make(4, 9, 3)
    assert torch.autograd.gradcheck(lambda *t: tiled(list(t), labels, 0.7, eps), tensors)


def test_float32_is_as_exact_as_the_dense_formula() -> None:
    tensors, labels = make(64, 3000, 20, dtype=torch.float32)
    exact = dense([t.detach().double() for t in tensors], labels, 1.0, 0.1)
    error = abs(tiled(tensors, labels, eps=0.1).item() - exact.item())
    assert error <= 2 * abs(dense(tensors, labels, 1.0, 0.1).item() - exact.item()) + 1e-6


def test_repeated_positives_count_once_in_any_order() -> None:
    (query, candidates, *_), _ = make(2, 5, 3)
    once = one_to_n_loss(query, candidates, (torch.tensor([0, 2, 3]), torch.tensor([1, 4, 0])))
    twice = one_to_n_loss(query, candidates, (torch.tensor([0, 3, 5]), torch.tensor([4, 1, 4, 0, 0])))
    assert once.item() == twice.item()


def test_scaled_loss_scales_the_gradient() -> None:
    tensors, labels = make(3, 5, 2)
    one = torch.autograd.grad(tiled(tensors, labels), tensors)
    three = torch.autograd.grad(3 * tiled(tensors, labels), tensors)
    for a, b in zip(one, three, strict=True):
        torch.testing.assert_close(3 * a, b)


def test_no_biases_and_no_gradient() -> None:
    (query, candidates, *_), labels = make(3, 5, 2)
    with torch.no_grad():
        quiet = one_to_n_loss(query, candidates, csr(labels))
    loud = one_to_n_loss(query, candidates, csr(labels))
    assert quiet.item() == loud.item()
    assert not quiet.requires_grad
    loud.backward()
    assert query.grad is not None


def test_empty_input_is_zero() -> None:
    none = torch.zeros(1, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
    assert one_to_n_loss(torch.zeros(0, 3), torch.zeros(5, 3), none).item() == 0
    rows = torch.zeros(3, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
    assert one_to_n_loss(torch.zeros(2, 3), torch.zeros(0, 3), rows).item() == 0


def test_bad_input() -> None:
    q, c = torch.zeros(2, 3), torch.zeros(5, 3)
    good = torch.tensor([0, 1, 1]), torch.tensor([4])
    with pytest.raises(ShapeError, match=r"query \[B, K\]"):
        one_to_n_loss(q, torch.zeros(5, 4), good)
    with pytest.raises(ShapeError, match="one floating dtype"):
        one_to_n_loss(q, c.double(), good)
    with pytest.raises(ShapeError, match="query_bias: expected"):
        one_to_n_loss(q, c, good, query_bias=torch.zeros(5))
    with pytest.raises(ShapeError, match="candidate_bias: expected"):
        one_to_n_loss(q, c, good, candidate_bias=torch.zeros(2))
    with pytest.raises(ShapeError, match=r"positives.index: expected numbers in 0..4, got 5..5"):
        one_to_n_loss(q, c, (torch.tensor([0, 1, 1]), torch.tensor([5])))
    with pytest.raises(ShapeError, match=r"positives.ptr: expected 3 values"):
        one_to_n_loss(q, c, (torch.tensor([0, 1]), torch.tensor([4])))
    with pytest.raises(ShapeError, match="without a decrease"):
        one_to_n_loss(q, c, (torch.tensor([0, 2, 1]), torch.tensor([4])))
    with pytest.raises(ShapeError, match="int64 vectors"):
        one_to_n_loss(q, c, (torch.tensor([0, 1, 1]), torch.tensor([4.0])))
    with pytest.raises(ShapeError, match="label_smoothing"):
        one_to_n_loss(q, c, good, label_smoothing=1.0)
    with pytest.raises(ShapeError, match="smoothing: expected '1/N' or 'eps/N', got 'N'"):
        one_to_n_loss(q, c, good, smoothing="N")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="reduction: expected 'mean' or 'batchmean'"):
        one_to_n_loss(q, c, good, reduction="sum")  # type: ignore[arg-type]


@pytest.mark.parametrize("uniform", [0.0, 1e-3])
def test_the_compiled_pass_is_as_exact_as_pytorch_s(uniform: float) -> None:
    """Also at the ends: a score of 0, of what exp cannot hold, of infinity; and NaN stays NaN."""
    from relgraph.ops.one_to_n_numba import softplus_and_slope

    score = torch.cat([torch.randn(4096) * 6, torch.tensor([0.0, -0.0, 87.5, -87.5, 200.0, -200.0, 1e30])])[None]
    exact = score.double()
    slope = score.clone()
    value = softplus_and_slope(slope, uniform)
    wanted = float((torch.nn.functional.softplus(exact) - uniform * exact).sum())
    assert abs(value - wanted) <= 1e-6 * abs(wanted)
    assert float((slope - (exact.sigmoid() - uniform)).abs().max()) <= 2e-7
    assert math.isnan(softplus_and_slope(torch.tensor([[1.0, math.nan]]), uniform))
    assert not math.isfinite(softplus_and_slope(torch.tensor([[1.0, math.inf]]), uniform))
