"""Grouped products against one product per row."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from relgraph.errors import ShapeError
from relgraph.ops import grouped_matmul


def problem(counts: list[int], k: int, out: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = (sum(counts), k), (len(counts), k, out), (len(counts), out)
    return [torch.randn(s, generator=generator, dtype=dtype).requires_grad_() for s in shapes]


def ends(counts: list[int]) -> Tensor:
    return torch.tensor([0, *counts]).cumsum(0)


@given(
    counts=st.lists(st.integers(0, 5), min_size=1, max_size=6),
    k=st.integers(1, 4),
    out=st.integers(1, 4),
    biased=st.booleans(),
    seed=st.integers(0, 2**20),
)
def test_equals_one_product_per_row(counts: list[int], k: int, out: int, biased: bool, seed: int) -> None:
    x, weight, bias = problem(counts, k, out, seed)
    group = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    expected = (x[:, None] @ weight[group])[:, 0] + (bias[group] if biased else 0)
    got = grouped_matmul(x, ends(counts), weight, bias if biased else None)
    torch.testing.assert_close(got, expected)
    inputs = [x, weight, *([bias] if biased else [])]
    slope = torch.randn(got.shape, dtype=got.dtype)
    both = [torch.autograd.grad((y * slope).sum(), inputs) for y in (got, expected)]
    for mine, theirs in zip(*both, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_gradcheck() -> None:
    inputs = problem([2, 0, 3], 3, 2)
    assert torch.autograd.gradcheck(lambda x, w, b: grouped_matmul(x, ends([2, 0, 3]), w, b), inputs)


def test_strided_input_and_only_some_gradients() -> None:
    x, weight, bias = problem([2, 3], 4, 3)
    straight = grouped_matmul(x, ends([2, 3]), weight, bias)
    strided = grouped_matmul(x.detach().T.contiguous().T, ends([2, 3]), weight.mT.contiguous().mT.detach(), bias)
    torch.testing.assert_close(strided, straight)
    strided.sum().backward()
    torch.testing.assert_close(bias.grad, torch.tensor([[2.0], [3.0]], dtype=torch.float64).expand(-1, 3))


def test_autocast_computes_in_its_dtype() -> None:
    x, weight, bias = problem([2, 3], 4, 3, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y = grouped_matmul(x, ends([2, 3]), weight, bias)
    assert y.dtype == torch.bfloat16
    y.sum().backward()
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32


def test_bad_input() -> None:
    x, weight, bias = problem([2, 3], 4, 3)
    ptr = ends([2, 3])
    with pytest.raises(ShapeError, match=r"expected x \[T, in\] and weight \[G, in, out\]"):
        grouped_matmul(x[:, :3], ptr, weight)
    with pytest.raises(ShapeError, match="one floating dtype"):
        grouped_matmul(x.float(), ptr, weight)
    with pytest.raises(ShapeError, match=r"bias: expected torch.float64 \[2, 3\]"):
        grouped_matmul(x, ptr, weight, bias[0])
    with pytest.raises(ShapeError, match=r"ptr: expected int64 \[3\] for 2 groups"):
        grouped_matmul(x, ptr[:2], weight)
    with pytest.raises(ShapeError, match=r"ptr: expected 0 .. 5 without a decrease, got \[0, 6, 5\]"):
        grouped_matmul(x, torch.tensor([0, 6, 5]), weight)
