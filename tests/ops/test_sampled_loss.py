"""The loss of sampled negatives against the formula on dense scores, values and gradients."""

from __future__ import annotations

import math
import sys

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from relgraph.errors import ShapeError
from relgraph.ops import sampled_loss
from tests.ops.dense import assert_same, dense_scores, largest_storage, make

MODULE = sys.modules["relgraph.ops.sampled_loss"]


def dense(
    tensors: list[Tensor], positive: Tensor, negative: Tensor, alpha: float, tau: float, ignored: Tensor | None
) -> Tensor:
    score = dense_scores(tensors, alpha)
    negative = negative.expand(len(positive), -1)
    total = score.new_zeros(())
    for i, row in enumerate(score):
        kept = [m for m in range(negative.shape[1]) if ignored is None or not ignored[i, m]]
        total = total + F.softplus(-row[positive[i]])
        wrong = row[negative[i, kept]]
        total = total + ((tau * wrong).softmax(0).detach() * F.softplus(wrong)).sum()
    return total / len(score)


def test_hand_worked_numbers() -> None:
    query, candidates = torch.tensor([[1.0]]), torch.tensor([[2.0], [-1.0], [0.0]])
    plain = math.log1p(math.exp(-2)) + (math.log1p(math.exp(-1)) + math.log(2)) / 2
    got = sampled_loss(query, candidates, torch.tensor([0]), torch.tensor([1, 2]))
    assert got.item() == pytest.approx(plain, abs=1e-6)
    share = math.exp(-1) / (math.exp(-1) + 1)  # of the first negative, at temperature 1
    hard = math.log1p(math.exp(-2)) + share * math.log1p(math.exp(-1)) + (1 - share) * math.log(2)
    got = sampled_loss(query, candidates, torch.tensor([0]), torch.tensor([[1, 2]]), temperature=1.0)
    assert got.item() == pytest.approx(hard, abs=1e-6)


@given(
    b=st.integers(1, 6),
    n=st.integers(1, 9),
    k=st.integers(1, 4),
    m=st.integers(1, 7),
    alpha=st.sampled_from([1.0, -2.0]),
    tau=st.sampled_from([0.0, 0.5, 3.0]),
    shared=st.booleans(),
    masked=st.booleans(),
    tile=st.integers(1, 60),
    seed=st.integers(0, 2**20),
)
def test_equals_the_dense_formula(
    b: int, n: int, k: int, m: int, alpha: float, tau: float, shared: bool, masked: bool, tile: int, seed: int
) -> None:
    tensors, generator = make(b, n, k, seed), torch.Generator().manual_seed(seed)
    positive = torch.randint(n, (b,), generator=generator)
    negative = torch.randint(n, (m,) if shared else (b, m), generator=generator)
    ignored = torch.rand(b, m, generator=generator) < 0.4 if masked else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MODULE, "_TILE", tile)
        got = sampled_loss(
            *tensors[:2],
            positive,
            negative,
            query_bias=tensors[2],
            candidate_bias=tensors[3],
            alpha=alpha,
            temperature=tau,
            ignored=ignored,
        )
    assert_same(got, dense(tensors, positive, negative, alpha, tau, ignored), tensors)


def test_gathered_vectors_exist_for_a_part_of_the_batch_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE, "_TILE", 1000)
    query, candidates, *_ = make(200, 300, 5, dtype=torch.float32)
    negative = torch.randint(300, (200, 20))
    whole = 200 * 20 * 5
    assert largest_storage(lambda: sampled_loss(query, candidates, negative[:, 0], negative).backward()) < whole / 4


def test_bad_input() -> None:
    q, c, p = torch.zeros(2, 3), torch.zeros(5, 3), torch.tensor([0, 4])
    with pytest.raises(ShapeError, match=r"positive: expected int64 \[B\] for 2 queries, got torch.int64 \[1\]"):
        sampled_loss(q, c, p[:1], p)
    with pytest.raises(ShapeError, match=r"negative: expected int64 \[M\] or \[B, M\]"):
        sampled_loss(q, c, p, torch.zeros(3, 2, dtype=torch.int64))
    with pytest.raises(ShapeError, match=r"negative: expected numbers in 0..4, got 5..5"):
        sampled_loss(q, c, p, torch.tensor([5]))
    with pytest.raises(ShapeError, match="at least one negative"):
        sampled_loss(q, c, p, p[:0])
    with pytest.raises(ShapeError, match=r"ignored: expected bool \[2, 1\]"):
        sampled_loss(q, c, p, p[:1], ignored=torch.zeros(2, 2, dtype=torch.bool))
    with pytest.raises(ShapeError, match="temperature"):
        sampled_loss(q, c, p, p, temperature=-1.0)
