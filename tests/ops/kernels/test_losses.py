"""The losses on a whole score matrix, as kernels."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from relgraph.errors import BackendError
from relgraph.ops import one_to_n_loss, softmax_loss, use_backend
from tests.ops.dense import csr
from tests.ops.kernels.exact import assert_exact

SHAPES = [(1, 1, 1), (3, 5, 2), (7, 200, 20), (130, 70, 33), (20, 131, 300)]


def problem(b: int, n: int, k: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> tuple[list[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(seed)
    factors = [torch.randn(s, generator=generator).to(dtype) for s in ((b, k), (n, k), (b,), (n,))]
    labels = torch.rand(b, n, generator=generator) < 0.2
    labels[torch.arange(b), torch.arange(b) % n] = True
    return factors, labels


def loss(name: str, labels: Tensor, biased: bool = True, **more: Any) -> Any:
    kind = {"bce": one_to_n_loss, "ce": softmax_loss}[name]

    def run(query: Tensor, candidates: Tensor, a: Tensor, b: Tensor) -> Tensor:
        biases = {"query_bias": a, "candidate_bias": b} if biased else {}
        return kind(query, candidates, csr(labels), **biases, **more)

    return run


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["bce", "ce"])
def test_value_and_gradients(name: str, shape: tuple[int, int, int]) -> None:
    factors, labels = problem(*shape)
    assert_exact(loss(name, labels, alpha=0.4, label_smoothing=0.1), factors)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bce", "ce"])
@pytest.mark.parametrize("eps", [0.0, 0.3])
def test_options(name: str, eps: float) -> None:
    factors, labels = problem(5, 90, 17)
    assert_exact(loss(name, labels, biased=False, label_smoothing=eps), factors)
    if name == "bce":
        assert_exact(loss(name, labels, smoothing="eps/N", reduction="batchmean", label_smoothing=eps), factors)


@pytest.mark.parametrize("name", ["bce", "ce"])
def test_the_larger_tiles_of_shortened_products(name: str) -> None:
    factors, labels = problem(70, 130, 40)
    torch.set_float32_matmul_precision("high")
    try:
        assert_exact(loss(name, labels, biased=False, label_smoothing=0.1), factors)
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("name", ["bce", "ce"])
def test_half_precision(name: str) -> None:
    factors, labels = problem(9, 70, 40, torch.float16)
    assert_exact(loss(name, labels, alpha=0.2, label_smoothing=0.1), factors)


@pytest.mark.parametrize("name", ["bce", "ce"])
def test_far_scores_stay_finite(name: str) -> None:
    factors, labels = problem(4, 70, 8)
    # an exponential makes the rounding of a score in the hundreds, 1e-5, the error of a probability
    assert_exact(loss(name, labels, alpha=60.0), factors, slack=1e-5)


def test_the_slope_of_a_learned_positive_survives_half_precision() -> None:
    """``sigmoid(s) - 1`` is taken before it is rounded: afterwards it would be zero."""
    query, candidates = torch.full((1, 16), 0.75).half(), torch.ones(1, 16).half()
    query.requires_grad_()
    with use_backend("triton"):
        one_to_n_loss(query, candidates, csr(torch.ones(1, 1, dtype=torch.bool))).backward()
    assert query.grad is not None
    torch.testing.assert_close(
        query.grad.double(), -torch.sigmoid(torch.full((1, 16), -12.0).double()), rtol=1e-2, atol=0
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bce", "ce"])
def test_one_query_has_every_positive_and_input_is_strided(name: str) -> None:
    (query, candidates, a, b), labels = problem(6, 150, 18)
    labels[2] = True
    run = loss(name, labels, label_smoothing=0.1)
    strided = [query.T.contiguous().T, torch.cat([candidates, candidates], 1)[:, :18], a, torch.stack([b, b], 1)[:, 0]]
    with use_backend("triton"):
        assert run(*strided) == run(query, candidates, a, b)
    assert_exact(run, [query, candidates, a, b])


@pytest.mark.slow
def test_queries_in_several_spans() -> None:
    """More queries than 32 K: the gradients of the candidates are those of all spans."""
    factors, labels = problem(300, 9, 2)
    assert_exact(loss("bce", labels, label_smoothing=0.1), factors)


def test_no_queries_no_candidates_no_positives() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    with use_backend("triton"):
        query = torch.zeros(0, 3, requires_grad=True)
        one_to_n_loss(query, torch.zeros(5, 3), (torch.zeros(1, dtype=torch.int64), none)).backward()
        assert query.grad is not None
        assert softmax_loss(torch.zeros(0, 3), torch.zeros(5, 3), (torch.zeros(1, dtype=torch.int64), none)) == 0
        assert one_to_n_loss(torch.zeros(2, 3), torch.zeros(0, 3), (torch.zeros(3, dtype=torch.int64), none)) == 0
    factors, labels = problem(4, 40, 6)
    assert_exact(loss("bce", torch.zeros_like(labels)), factors)


def test_no_gradient_is_the_same_value() -> None:
    factors, labels = problem(4, 40, 6)
    run = loss("bce", labels)
    with use_backend("triton"):
        quiet = run(*factors)
        loud = run(*[x.requires_grad_() for x in factors])
    assert quiet == loud.detach()
    assert not quiet.requires_grad


def test_float64_is_refused() -> None:
    factors, labels = problem(2, 3, 2, torch.float64)
    with use_backend("triton"), pytest.raises(BackendError, match="one_to_n_loss by triton takes"):
        loss("bce", labels)(*factors)
