"""The best candidates by the kernel: what the reference gives, ties and filters included."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from relgraph.errors import BackendError, ProtocolError
from relgraph.ops import top_k, top_k_scores, use_backend
from relgraph.ops.blocks import ScoreMatrix
from tests.ops.dense import csr


def by_kernel(*args: Any, **more: Any) -> tuple[Tensor, Tensor]:
    with use_backend("triton"):
        return top_k(*args, **more)


def whole_numbers(b: int, n: int, k: int) -> list[Tensor]:
    """Factors whose scores are small integers: every backend has the same bits, and ties are many."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(-2, 3, s, generator=generator).float() for s in ((b, k), (n, k), (b,), (n,))]


@pytest.mark.slow
@pytest.mark.parametrize(("b", "n", "k"), [(1, 1, 1), (5, 200, 3), (35, 64, 20), (3, 130, 33)])
@pytest.mark.parametrize("best", [1, 4, 150])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_equals_the_reference(b: int, n: int, k: int, best: int, dtype: torch.dtype) -> None:
    query, candidates, a, c = (x.to(dtype) for x in whole_numbers(b, n, k))
    known = csr(torch.rand(b, n, generator=torch.Generator().manual_seed(1)) < 0.4)
    for filter in (None, known):
        for more in ({}, {"query_bias": a, "candidate_bias": c, "alpha": -0.5}, {"candidate_bias": c}):
            expected, got = (f(query, candidates, best, filter, **more) for f in (top_k, by_kernel))
            assert torch.equal(got[0], expected[0])
            assert torch.equal(got[1], expected[1])


@pytest.mark.slow
def test_float64_order_wherever_scores_differ() -> None:
    generator = torch.Generator().manual_seed(0)
    query, candidates = torch.randn(30, 50, generator=generator), torch.randn(500, 50, generator=generator)
    value, number = by_kernel(query, candidates, 20)
    expected, place = top_k(query.double(), candidates.double(), 20)
    assert torch.equal(number, place)
    torch.testing.assert_close(value, expected.float())


def test_equal_candidates_are_ties_and_the_first_wins() -> None:
    generator = torch.Generator().manual_seed(0)
    query, row = torch.randn(3, 55, generator=generator), torch.randn(1, 55, generator=generator)
    value, number = by_kernel(query, row.expand(300, -1), 70)
    assert torch.equal(number, torch.arange(70).expand(3, -1))
    assert bool((value == value[:, :1]).all())


def test_rows_in_parts_subset_and_a_query_that_may_get_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    query, candidates, *_ = whole_numbers(9, 150, 4)
    labels = torch.zeros(9, 150, dtype=torch.bool)
    labels[3] = True
    more = {"candidate_subset": torch.tensor([149, 3, 70, 71, 8])}
    expected = top_k(query, candidates, 3, csr(labels), **more)
    monkeypatch.setattr(sys.modules["relgraph.ops.kernels.top_k"], "_BYTES", 1)
    got = by_kernel(query, candidates, 3, csr(labels), **more)
    assert torch.equal(got[1], expected[1])
    assert torch.equal(got[0], expected[0])
    assert got[1][3].tolist() == [-1, -1, -1]
    assert by_kernel(query[:0], candidates, 3)[0].shape == (0, 3)


@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_nan_is_refused_even_where_it_is_filtered() -> None:
    candidates = torch.ones(70, 3)
    candidates[9, 0] = torch.nan
    known = torch.zeros(2, 70, dtype=torch.bool)
    known[:, 9] = True
    for run in (top_k, by_kernel):
        with pytest.raises(ProtocolError, match="got NaN"):
            run(torch.ones(2, 3), candidates, 4, csr(known))


def test_blocks_of_scores_have_no_kernel() -> None:
    with use_backend("triton"), pytest.raises(BackendError, match="top_k has no implementation by triton"):
        top_k_scores(ScoreMatrix(torch.zeros(2, 3)), 1)
