"""Pooled products: the compiled passes against the formula, and what they drop."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from relgraph.errors import ShapeError
from relgraph.ops import use_backend
from relgraph.ops.pooled_product import pooled_product

SHAPES = [(5, 3, 7, 4), (1, 1, 1, 1), (0, 2, 3, 2), (33, 2, 65, 1), (4, 9, 40, 10)]


def given(b: int, m: int, d: int, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(n, d * rank, generator=generator, requires_grad=True) for n in (b, m))
    return left, right, torch.randint(m, (b,), generator=generator)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_both_backends_give_the_formula(shape: tuple[int, int, int, int], threads: int) -> None:
    left, right, place = given(*shape)
    rank, before = shape[-1], torch.get_num_threads()
    exact = (left.double() * right.double()[place]).unflatten(1, (-1, rank)).sum(2)
    slope = torch.randn(exact.shape, generator=torch.Generator().manual_seed(1))
    expected = [exact, *torch.autograd.grad(exact, [left, right], slope.double())]
    torch.set_num_threads(threads)
    try:
        for name in ("numba", "torch"):
            with use_backend(name):  # type: ignore[arg-type]
                out = pooled_product(left, right, place, rank)
                found = [out, *torch.autograd.grad(out, [left, right], slope)]
            for one, other in zip(found, expected, strict=True):
                torch.testing.assert_close(one.double(), other.double(), rtol=1e-5, atol=1e-5)
    finally:
        torch.set_num_threads(before)


def test_slices_and_views_are_read_as_they_are() -> None:
    left, right, place = given(6, 4, 8, 2)
    wide = torch.cat([left, left], 1).detach()[::2, 8:24].requires_grad_()
    expected = (wide * right[place[::2]]).unflatten(1, (-1, 2)).sum(2)
    found = pooled_product(wide, right, place[::2], 2)
    torch.testing.assert_close(found, expected)
    slope = torch.ones_like(found).T.contiguous().T
    given_, wanted = (torch.autograd.grad(out, [wide, right], slope, retain_graph=True) for out in (found, expected))
    torch.testing.assert_close(given_, wanted)


def test_what_is_dropped_is_drawn_evenly_and_again_in_the_backward_pass() -> None:
    left, right = torch.ones(200, 500, requires_grad=True), torch.ones(1, 500, requires_grad=True)
    place = torch.zeros(200, dtype=torch.int64)
    torch.manual_seed(3)
    out = pooled_product(left, right, place, 1, p=0.3)
    kept = out != 0
    assert out[kept].unique().tolist() == pytest.approx([1 / 0.7])
    share = kept.float()
    assert abs(float(share.mean()) - 0.7) < 4 * (0.21 / 1e5) ** 0.5
    # neither rows nor columns nor neighbours are alike
    assert float((share.mean(0) - 0.7).abs().max()) < 5 * (0.21 / 200) ** 0.5
    assert float((share.mean(1) - 0.7).abs().max()) < 5 * (0.21 / 500) ** 0.5
    for one, other in ((share[1:], share[:-1]), (share[:, 1:], share[:, :-1])):
        assert abs(float((one * other).mean()) - 0.49) < 0.01
    out.sum().backward()
    assert torch.equal(left.grad != 0, kept)
    torch.testing.assert_close(right.grad, out.sum(0, keepdim=True))
    torch.manual_seed(3)
    assert torch.equal(pooled_product(left, right, place, 1, p=0.3), out)
    assert not torch.equal(pooled_product(left, right, place, 1, p=0.3), out)


def test_reference_gradients() -> None:
    left, right, place = given(3, 2, 4, 2)
    doubles = [x.detach().double().requires_grad_() for x in (left, right)]
    assert torch.autograd.gradcheck(lambda a, b: pooled_product(a, b, place, 2), doubles)


def test_what_does_not_fit_is_refused() -> None:
    left, right, place = given(3, 2, 4, 2)
    with pytest.raises(ShapeError, match=r"expected left \[B, d \* rank\]"):
        pooled_product(left[:, 1:], right, place, 2)
    with pytest.raises(ShapeError, match="rank: expected a divisor of the 8 columns, got 3"):
        pooled_product(left, right, place, 3)
    with pytest.raises(ShapeError, match=r"place: expected rows in 0..1, got 0..2"):
        pooled_product(left, right, torch.tensor([0, 1, 2]), 2)
    with pytest.raises(ShapeError, match=r"place: expected int64 \[3\]"):
        pooled_product(left, right, place[:2], 2)
    with pytest.raises(ShapeError, match=r"p: expected a share in \[0, 1\), got 1"):
        pooled_product(left, right, place, 2, p=1)
