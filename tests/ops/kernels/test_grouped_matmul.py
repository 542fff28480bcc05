"""Grouped products as a kernel."""

from __future__ import annotations

import sys

import pytest
import torch

from relgraph.ops import grouped_matmul, use_backend
from tests.ops.kernels.exact import assert_exact
from tests.ops.test_grouped_matmul import ends, problem

CASES = {
    "one": ([1], 1, 1),
    "empty groups": ([0, 3, 0, 0, 70, 1, 0], 5, 7),
    "one hub": ([0, 0, 400, 0], 20, 33),
    "wide": ([2, 65, 64], 70, 150),
    "many": ([1] * 40, 3, 4),
}


def run(counts: list[int]):  # type: ignore[no-untyped-def]
    return lambda x, weight, *bias: grouped_matmul(x, ends(counts), weight, *bias)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_value_and_gradients(case: str, dtype: torch.dtype) -> None:
    counts, k, out = CASES[case]
    inputs = problem(counts, k, out, dtype=dtype)
    assert_exact(run(counts), inputs)
    assert_exact(run(counts), inputs[:2])


def test_a_large_group_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    import relgraph.ops.kernels.grouped_matmul  # noqa: F401

    monkeypatch.setattr(sys.modules["relgraph.ops.kernels.grouped_matmul"], "_CHUNK", 32)
    assert_exact(run([3, 100, 0, 33]), problem([3, 100, 0, 33], 9, 5, dtype=torch.float32))


def test_strided_input_no_rows_and_shortened_products() -> None:
    x, weight, bias = problem([2, 3], 40, 70, dtype=torch.float32)
    ptr = ends([2, 3])
    expected = grouped_matmul(x, ptr, weight, bias)
    with use_backend("triton"):
        strided = grouped_matmul(
            x.T.contiguous().T, ptr, weight.mT.contiguous().mT, torch.stack([bias, bias], 2)[..., 0]
        )
        torch.testing.assert_close(strided, expected)
        assert grouped_matmul(x[:0], torch.zeros_like(ptr), weight, bias).shape == (0, 70)
        torch.set_float32_matmul_precision("high")
        try:
            torch.testing.assert_close(grouped_matmul(x, ptr, weight, bias), expected)
        finally:
            torch.set_float32_matmul_precision("highest")
