"""The rank counters as a kernel: equal to the reference wherever scores are exact, ties exact wherever they are not."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from relgraph.errors import BackendError, ProtocolError
from relgraph.ops import RankCounts, rank, rank_scores, use_backend
from relgraph.ops.blocks import ScoreMatrix
from tests.ops.dense import csr


def by_kernel(*args: Any, **more: Any) -> RankCounts:
    with use_backend("triton"):
        return rank(*args, **more)


@pytest.fixture(autouse=True)
def products_as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """One chain over K for each number, as on a GPU: the interpreter's own product is a BLAS whose order varies."""
    from triton.runtime import interpreter

    def dot(self: Any, a: Any, b: Any, d: Any, *_: Any) -> Any:
        total = d.data
        for k in range(a.data.shape[1]):
            total = total + a.data[:, k, None] * b.data[k]
        return interpreter.TensorHandle(total, d.dtype.scalar)

    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_dot", dot)


def whole_numbers(b: int, n: int, k: int, seed: int = 0) -> list[Tensor]:
    """Factors whose scores are small integers: every backend has the same bits, and ties are many."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(-2, 3, s, generator=generator).float() for s in ((b, k), (n, k), (b,), (n,))]


@pytest.mark.slow
@pytest.mark.parametrize(("b", "n", "k"), [(1, 1, 1), (5, 70, 3), (130, 64, 20), (3, 300, 130)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_equals_the_reference(b: int, n: int, k: int, dtype: torch.dtype) -> None:
    query, candidates, a, c = (x.to(dtype) for x in whole_numbers(b, n, k))
    generator = torch.Generator().manual_seed(1)
    target = torch.randint(n, (b,), generator=generator)
    known = csr(torch.rand(b, n, generator=generator) < 0.3)
    for filter in (None, known):
        for more in ({}, {"query_bias": a, "candidate_bias": c, "alpha": -0.5}, {"candidate_bias": c}):
            expected, got = (f(query, candidates, target, filter, **more) for f in (rank, by_kernel))
            assert torch.equal(got.greater, expected.greater)
            assert torch.equal(got.equal, expected.equal)


@pytest.mark.slow
def test_float64_order_wherever_scores_differ() -> None:
    generator = torch.Generator().manual_seed(0)
    query, candidates = torch.randn(90, 50, generator=generator), torch.randn(200, 50, generator=generator)
    target = torch.randint(200, (90,), generator=generator)
    assert torch.equal(
        by_kernel(query, candidates, target).greater, rank(query.double(), candidates.double(), target)[0]
    )


@pytest.mark.parametrize("biased", [False, True])
def test_equal_candidates_are_ties_at_every_place(biased: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    query, row = torch.randn(70, 55, generator=generator), torch.randn(1, 55, generator=generator)
    bias = {"query_bias": torch.randn(70), "candidate_bias": torch.full((256,), 0.3), "alpha": 0.37} if biased else {}
    got = by_kernel(query, row.expand(256, -1), torch.arange(70) * 3, **bias)
    assert got.greater.sum() == 0
    assert (got.equal == 255).all()


def test_one_query_knows_everything_and_bits_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    query, candidates, *_ = whole_numbers(140, 45, 4)
    labels = torch.zeros(140, 45, dtype=torch.bool)
    labels[3] = True
    target = torch.arange(140) % 45
    expected = rank(query, candidates, target, csr(labels))
    by_kernel(query, candidates, target)
    monkeypatch.setattr(sys.modules["relgraph.ops.kernels.rank"], "_BITS", 64 * 5)
    got = by_kernel(query, candidates, target, csr(labels))
    assert torch.equal(got.greater, expected.greater)
    assert torch.equal(got.equal, expected.equal)
    assert got.greater[3] == got.equal[3] == 0


def test_subset_unsorted_filter_and_no_queries() -> None:
    query, candidates, *_ = whole_numbers(4, 40, 3)
    filter = (torch.tensor([0, 3, 3, 4, 6]), torch.tensor([39, 2, 39, 0, 33, 32]))
    more = {"candidate_subset": torch.tensor([33, 1, 39, 7, 2])}
    target = torch.tensor([1, 7, 39, 33])
    expected, got = (f(query, candidates, target, filter, **more) for f in (rank, by_kernel))
    assert torch.equal(torch.stack(expected), torch.stack(got))
    more["row"] = torch.tensor([3, 0, 3, 1, 1])  # the third query has no target
    target = torch.tensor([1, 7, 39, 33, 2])
    expected, got = (f(query, candidates, target, filter, **more) for f in (rank, by_kernel))
    assert torch.equal(torch.stack(expected), torch.stack(got))
    assert not len(by_kernel(query[:0], candidates, target[:0]).greater)


@pytest.mark.filterwarnings("ignore:invalid value encountered")
@pytest.mark.parametrize("bad", [0, 1])
def test_nan_has_no_rank_and_infinity_has(bad: int) -> None:
    factors = [torch.ones(2, 3), torch.ones(70, 3)]
    factors[bad][1, 0] = torch.nan
    with pytest.raises(ProtocolError, match="got NaN"):
        by_kernel(*factors, torch.tensor([0, 5]))
    ends = torch.tensor([[torch.inf], [1.0], [-torch.inf]])
    assert by_kernel(torch.ones(3, 1), ends, torch.arange(3)).greater.tolist() == [0, 1, 2]


def test_blocks_of_scores_have_no_kernel() -> None:
    with use_backend("triton"), pytest.raises(BackendError, match="rank has no implementation by triton"):
        rank_scores(ScoreMatrix(torch.zeros(2, 3)), torch.zeros(2, dtype=torch.int64))


@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_nan_of_a_filtered_candidate_is_refused_too() -> None:
    candidates = torch.ones(70, 3)
    candidates[9, 0] = torch.nan
    known = torch.zeros(2, 70, dtype=torch.bool)
    known[:, 9] = True
    for run in (rank, by_kernel):
        with pytest.raises(ProtocolError, match="got NaN"):
            run(torch.ones(2, 3), candidates, torch.tensor([0, 5]), csr(known))
