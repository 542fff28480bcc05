"""The tiled softmax cross-entropy against the dense formula, values and gradients."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from relgraph.errors import ShapeError
from relgraph.ops import softmax_loss
from tests.ops.dense import assert_same, csr, dense_scores, largest_storage, make

MODULE = sys.modules["relgraph.ops.tiled_loss"]


def dense(tensors: list[Tensor], labels: Tensor, alpha: float, eps: float) -> Tensor:
    score = dense_scores(tensors, alpha)
    target = labels / labels.sum(1, keepdim=True).double()
    return torch.nn.functional.cross_entropy(score, target, label_smoothing=eps)


def tiled(tensors: list[Tensor], labels: Tensor, alpha: float = 1.0, eps: float = 0.0) -> Tensor:
    query, candidates, a, b = tensors
    return softmax_loss(
        query, candidates, csr(labels), query_bias=a, candidate_bias=b, alpha=alpha, label_smoothing=eps
    )


def some_labels(b: int, n: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.rand(b, n, generator=generator) < 0.3
    labels[torch.arange(b), torch.randint(n, (b,), generator=generator)] = True
    return labels


def test_hand_worked_numbers() -> None:
    query, candidates = torch.tensor([[1.0]]), torch.tensor([[2.0], [-1.0]])
    positives = torch.tensor([0, 1]), torch.tensor([0])
    plain = math.log(math.exp(2) + math.exp(-1)) - 2
    assert softmax_loss(query, candidates, positives).item() == pytest.approx(plain, abs=1e-6)
    smooth = math.log(math.exp(2) + math.exp(-1)) - (0.95 * 2 + 0.05 * -1)
    assert softmax_loss(query, candidates, positives, label_smoothing=0.1).item() == pytest.approx(smooth, abs=1e-6)


@given(
    b=st.integers(1, 7),
    n=st.integers(1, 40),
    k=st.integers(1, 5),
    alpha=st.sampled_from([1.0, -2.0, 0.3]),
    eps=st.sampled_from([0.0, 0.1, 0.9]),
    tile=st.integers(1, 300),
    rows=st.integers(1, 8),
    few=st.integers(1, 4),
    seed=st.integers(0, 2**20),
)
def test_equals_the_dense_formula(
    b: int, n: int, k: int, alpha: float, eps: float, tile: int, rows: int, few: int, seed: int
) -> None:
    tensors, labels = make(b, n, k, seed), some_labels(b, n, seed)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("_TILE", tile), ("_ROWS", rows), ("_FEW_ROWS", few)):
            patch.setattr(MODULE, name, value)
        assert_same(tiled(tensors, labels, alpha, eps), dense(tensors, labels, alpha, eps), tensors)


def test_smoothing_over_the_other_candidates() -> None:
    tensors, n, eps = make(3, 7, 4), 7, 0.8
    labels = torch.eye(n, dtype=torch.bool)[[2, 0, 6]]
    target = torch.where(labels, 1 - eps, eps / (n - 1)).double()
    expected = torch.nn.functional.cross_entropy(dense_scores(tensors, 1.0), target)
    torch.testing.assert_close(tiled(tensors, labels, eps=eps * n / (n - 1)), expected)


def test_large_scores_do_not_overflow() -> None:
    query, candidates = torch.tensor([[1.0]]), torch.tensor([[3e4], [-3e4]])
    assert softmax_loss(query, candidates, (torch.tensor([0, 1]), torch.tensor([1]))).item() == 6e4


def test_neither_scores_nor_labels_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE, "_TILE", 2000)
    tensors = make(300, 900, 4, dtype=torch.float32)
    labels = torch.eye(900, dtype=torch.bool)[:300]
    positives = csr(labels)

    def step() -> None:
        softmax_loss(tensors[0], tensors[1], positives, query_bias=tensors[2], candidate_bias=tensors[3]).backward()

    # 64 rows are the least that go into one product
    assert largest_storage(step) <= max(64 * 2000 // 64, 64 * 31, 900 * 4) < 300 * 900 / 50


def test_repeated_positives_count_once_and_none_is_refused() -> None:
    query, candidates, *_ = make(2, 5, 3)
    once = softmax_loss(query, candidates, (torch.tensor([0, 2, 3]), torch.tensor([1, 4, 0])))
    twice = softmax_loss(query, candidates, (torch.tensor([0, 3, 5]), torch.tensor([4, 1, 4, 0, 0])))
    assert once.item() == twice.item()
    with pytest.raises(ShapeError, match="at least one candidate in every row, got none in row 1"):
        softmax_loss(query, candidates, (torch.tensor([0, 1, 1]), torch.tensor([4])))
    none = torch.zeros(1, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
    assert softmax_loss(query[:0], candidates, none).item() == 0
    with pytest.raises(ShapeError, match="label_smoothing"):
        softmax_loss(query, candidates, (torch.tensor([0, 1, 2]), torch.tensor([4, 1])), label_smoothing=1.0)
