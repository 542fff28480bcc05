"""The 1-N loss in Triton: no further from float64 than twice PyTorch's own, in value and every gradient."""

from __future__ import annotations

import os

import pytest
import torch
from torch import Tensor

from relgraph.errors import BackendError
from relgraph.ops import one_to_n_loss, use_backend
from tests.ops.dense import csr, make

pytest.importorskip("triton")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
if DEVICE.type == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("needs TRITON_INTERPRET=1 or a GPU", allow_module_level=True)

SIZES = {"odd": (5, 37, 7), "several tiles": (70, 65, 20), "one": (1, 1, 1), "long rows": (3, 4, 130)}


def run(tensors: list[Tensor], labels: Tensor, biases: bool, eps: float, backend: str) -> list[Tensor]:
    query, candidates, a, b = tensors
    leaves = tensors if biases else tensors[:2]
    positives = tuple(part.to(DEVICE) for part in csr(labels))
    with use_backend(backend):  # type: ignore[arg-type]
        loss = one_to_n_loss(
            query, candidates, positives, query_bias=a if biases else None,  # type: ignore[arg-type]
            candidate_bias=b if biases else None, alpha=-1.5, label_smoothing=eps,
        )  # fmt: skip
    return [loss.detach(), *torch.autograd.grad(loss, leaves)]


@pytest.mark.parametrize("eps", [0.0, 0.2])
@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("size", SIZES)
def test_no_further_from_the_truth_than_pytorch(size: str, dtype: torch.dtype, biases: bool, eps: float) -> None:
    b, n, k = SIZES[size]
    rough = [x.detach().to(dtype) for x in make(b, n, k, 3, torch.float64)]
    labels = torch.rand(b, n, generator=torch.Generator().manual_seed(1)) < 0.2
    found = {}
    for backend, kind in (("triton", dtype), ("torch", dtype), ("torch", torch.float64)):
        tensors = [x.to(DEVICE, kind).requires_grad_() for x in rough]
        found[backend, kind] = run(tensors, labels, biases, eps, backend)
    exact = found["torch", torch.float64]
    for one, other, truth in zip(found["triton", dtype], found["torch", dtype], exact, strict=True):
        assert one.dtype == dtype
        error, allowed = (float((part.double() - truth).abs().max()) for part in (one, other))
        last_place = torch.finfo(dtype).eps * float(truth.abs().max())
        assert error <= 2 * allowed + last_place


def test_without_gradients_and_without_positives() -> None:
    tensors = [x.detach().float().to(DEVICE) for x in make(3, 5, 4, 0, torch.float32)]
    none = (torch.zeros(4, dtype=torch.int64, device=DEVICE), torch.zeros(0, dtype=torch.int64, device=DEVICE))
    for backend in ("triton", "torch"):
        with use_backend(backend), torch.no_grad():  # type: ignore[arg-type]
            assert float(one_to_n_loss(*tensors[:2], none)) == pytest.approx(
                float(torch.nn.functional.softplus(tensors[0] @ tensors[1].T).mean()), rel=1e-6
            )
    empty = torch.zeros(0, 4, device=DEVICE, requires_grad=True)
    with use_backend("triton"):
        loss = one_to_n_loss(empty, tensors[1], (none[0][:1], none[1]))
    assert float(loss.detach()) == 0


def test_extreme_scores_stay_finite() -> None:
    query = torch.tensor([[200.0], [-200.0], [0.0], [1e-6]], device=DEVICE, requires_grad=True)
    candidates = torch.ones(3, 1, device=DEVICE, requires_grad=True)
    labels = torch.zeros(4, 3, dtype=torch.bool)
    labels[1] = True
    positives = tuple(part.to(DEVICE) for part in csr(labels))
    with use_backend("triton"):
        loss = one_to_n_loss(query, candidates, positives)  # type: ignore[arg-type]
    loss.backward()
    expected = torch.tensor([200.0, 200.0, 0.6931472, 0.6931477]).mean()
    assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-6)
    assert bool(query.grad.isfinite().all())  # type: ignore[union-attr]


def test_rows_too_long_for_a_tile_are_refused() -> None:
    factors = [torch.ones(2, 513, device=DEVICE) for _ in range(2)]
    none = (torch.zeros(3, dtype=torch.int64, device=DEVICE), torch.zeros(0, dtype=torch.int64, device=DEVICE))
    with use_backend("triton"), pytest.raises(BackendError, match="one_to_n_loss has no implementation by triton"):
        one_to_n_loss(factors[0], factors[1], none)
