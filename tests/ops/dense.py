"""What the tests of the losses share: random factors, labels as CSR, and the dense scores."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def make(b: int, n: int, k: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Query, candidates and the two biases."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(b, k), (n, k), (b,), (n,)]
    return [torch.randn(s, generator=generator, dtype=dtype, requires_grad=True) for s in shapes]


def csr(labels: Tensor) -> tuple[Tensor, Tensor]:
    ptr = torch.cat([torch.zeros(1, dtype=torch.int64), labels.sum(1).cumsum(0)])
    return ptr, labels.nonzero()[:, 1].contiguous()


def dense_scores(tensors: list[Tensor], alpha: float) -> Tensor:
    query, candidates, a, b = tensors
    return alpha * query @ candidates.T + a[:, None] + b


def assert_same(got: Tensor, expected: Tensor, tensors: list[Tensor]) -> None:
    """Values and all gradients are equal in float64."""
    torch.testing.assert_close(got, expected, rtol=1e-11, atol=1e-12)
    both = zip(torch.autograd.grad(got, tensors), torch.autograd.grad(expected, tensors), strict=True)
    for mine, theirs in both:
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


def largest_storage(run: Callable[[], object]) -> int:
    """Elements of the largest tensor that comes out of any operation of ``run``."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watch(TorchDispatchMode):
        largest = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            out = func(*args, **(kwargs or {}))
            for part in out if isinstance(out, tuple | list) else [out]:
                if isinstance(part, Tensor):
                    Watch.largest = max(Watch.largest, part.untyped_storage().nbytes() // max(part.itemsize, 1))
            return out

    with Watch():
        run()
    return Watch.largest
