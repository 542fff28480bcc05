"""The softmax within segments against one segment at a time, by every backend, with gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from relgraph.errors import ShapeError
from relgraph.ops import segment_softmax, use_backend
from relgraph.ops.backends import Backend

BACKENDS: tuple[Backend, ...] = ("torch", "numba", "triton")
SHAPES = {"empty": (0, 3, 2), "one": (1, 1, 1), "odd": (37, 9, 3), "hub": (2500, 2, 4), "heads": (60, 5, 33)}


def problem(name: str, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, int]:
    entries, segments, heads = SHAPES[name]
    generator = torch.Generator().manual_seed(0)
    index = torch.randint(segments, (entries,), generator=generator)
    if name == "hub":
        index[5:] = 1
    score = 3 * torch.randn(entries, heads, generator=generator, dtype=torch.float64)
    return score.to(dtype), index, segments + 1  # the last one is empty


def by_segment(score: Tensor, index: Tensor, num_segments: int) -> Tensor:
    out = torch.zeros_like(score)
    for segment in range(num_segments):
        out[index == segment] = score[index == segment].softmax(0)
    return out


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_value_and_gradient(backend: Backend, name: str, ordered: bool) -> None:
    if backend == "triton":
        pytest.importorskip("triton")
    dtype = torch.float32 if backend == "triton" else torch.float64
    exact, index, size = problem(name)
    index = index.sort().values if ordered else index
    score = exact.to(dtype, copy=True).requires_grad_()
    slope = torch.randn(exact.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with use_backend(backend):
        got = segment_softmax(score, index, size)
        got.backward(slope.to(dtype))
    wanted = exact.clone().requires_grad_()
    expected = by_segment(wanted, index, size)
    expected.backward(slope)
    assert wanted.grad is not None
    torch.testing.assert_close(got.double(), expected, atol=1e-6 if backend == "triton" else 1e-12, rtol=1e-5)
    torch.testing.assert_close(
        score.grad.double(),  # type: ignore[union-attr]
        wanted.grad,
        atol=2e-6 if backend == "triton" else 1e-12,
        rtol=1e-5,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_kernel_is_as_exact_as_the_reference(dtype: torch.dtype) -> None:
    pytest.importorskip("triton")
    exact, index, size = problem("odd")
    score = exact.to(dtype)
    truth = by_segment(score.double(), index, size)
    error = {}
    for backend in ("torch", "triton"):
        with use_backend(backend):
            error[backend] = float((segment_softmax(score, index, size).double() - truth).abs().max())
    assert error["triton"] <= 2 * error["torch"] + torch.finfo(dtype).eps / 8


@pytest.mark.parametrize("backend", BACKENDS)
def test_infinity_has_no_weight_and_large_scores_no_overflow(backend: Backend) -> None:
    if backend == "triton":
        pytest.importorskip("triton")
    score = torch.tensor([-torch.inf, 1000.0, 1000.0, -torch.inf, -torch.inf])
    with use_backend(backend):
        got = segment_softmax(score, torch.tensor([0, 0, 0, 1, 1]), 2)
    assert got.tolist() == [0.0, 0.5, 0.5, 0.0, 0.0]


def test_reference_gradients() -> None:
    score, index, size = problem("odd")
    with use_backend("torch"):
        assert torch.autograd.gradcheck(lambda s: segment_softmax(s, index, size), score.requires_grad_())


def test_strided_scores_and_slopes() -> None:
    score = torch.randn(3, 50, generator=torch.Generator().manual_seed(0)).T.requires_grad_()
    index = torch.arange(50) % 7
    got = segment_softmax(score, index, 7)
    got.sum(1, keepdim=True).expand(-1, 3).sum().backward()
    torch.testing.assert_close(got, by_segment(score.detach(), index, 7))


def test_bad_input() -> None:
    score, index = torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64)
    with pytest.raises(ShapeError, match=r"score: expected a floating \[E\] or \[E, H\]"):
        segment_softmax(score.long(), index, 1)
    with pytest.raises(ShapeError, match=r"index: expected int64 \[3\]"):
        segment_softmax(score, index[:2], 1)
    with pytest.raises(ShapeError, match=r"index: expected numbers in 0..0, got 0..1"):
        segment_softmax(score, torch.tensor([0, 1, 0]), 1)
