"""Ranking in tiles against brute force over Python lists; scores are small integers, so ties are real."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from relgraph.errors import ProtocolError, ShapeError
from relgraph.ops import RankCounts, rank, top_k, use_backend
from relgraph.ops.backends import Backend

RANK, TOP_K = sys.modules["relgraph.ops.rank"], sys.modules["relgraph.ops.top_k"]


@st.composite
def problems(draw: st.DrawFn) -> dict[str, Any]:
    b, n, k = draw(st.integers(1, 6)), draw(st.integers(1, 12)), draw(st.integers(1, 3))

    def number(*shape: int) -> torch.Tensor:
        size = torch.Size(shape).numel()
        return torch.tensor(draw(st.lists(st.integers(-2, 2), min_size=size, max_size=size)), dtype=torch.float32).view(
            shape
        )

    subset = draw(st.none() | st.sets(st.integers(0, n - 1), min_size=1).map(list))
    known = draw(st.lists(st.lists(st.integers(0, n - 1), max_size=8), min_size=b, max_size=b))
    return {
        "query": number(b, k),
        "candidates": number(n, k),
        "query_bias": draw(st.none()) if draw(st.booleans()) else number(b),
        "candidate_bias": draw(st.none()) if draw(st.booleans()) else number(n),
        "alpha": draw(st.sampled_from([1.0, -1.0, 0.5])),
        "known": known,
        "subset": subset,
        "target": draw(st.lists(st.sampled_from(subset or range(n)), min_size=b, max_size=b)),
        "row": draw(st.none() | st.lists(st.integers(0, b - 1), max_size=9)),
        "rows": draw(st.integers(1, 4)),
        "columns": draw(st.integers(1, 6)),
        "k": draw(st.integers(1, n + 2)),
    }


def dense(p: dict[str, Any]) -> list[list[float]]:
    """The scores, one product at a time."""
    scores = []
    for i, q in enumerate(p["query"].tolist()):
        row = []
        for j, c in enumerate(p["candidates"].tolist()):
            score = p["alpha"] * sum(x * y for x, y in zip(q, c, strict=True))
            score += 0 if p["query_bias"] is None else p["query_bias"][i].item()
            row.append(score + (0 if p["candidate_bias"] is None else p["candidate_bias"][j].item()))
        scores.append(row)
    return scores


def csr(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    ptr = torch.tensor([0, *(len(row) for row in rows)]).cumsum(0)
    return ptr, torch.tensor([x for row in rows for x in row], dtype=torch.int64)


def arguments(p: dict[str, Any]) -> dict[str, Any]:
    return {
        "filter": csr(p["known"]),
        "query_bias": p["query_bias"],
        "candidate_bias": p["candidate_bias"],
        "alpha": p["alpha"],
        "candidate_subset": None if p["subset"] is None else torch.tensor(p["subset"]),
    }


@pytest.mark.parametrize("backend", ["torch", "numba"])
@given(p=problems(), data=st.data())
def test_rank_equals_brute_force(backend: Backend, p: dict[str, Any], data: st.DataObject) -> None:
    asked, target = range(len(p["target"])), p["target"]
    if p["row"] is not None:  # some queries have several targets, some none
        asked = p["row"]
        target = [data.draw(st.sampled_from(p["subset"] or range(len(p["candidates"])))) for _ in asked]
    row = None if p["row"] is None else torch.tensor(p["row"], dtype=torch.int64)
    with pytest.MonkeyPatch.context() as patch, use_backend(backend):
        patch.setattr(RANK, "_ROWS", p["rows"])
        patch.setattr(RANK, "_COLUMNS", p["columns"])
        got = rank(p["query"], p["candidates"], torch.tensor(target, dtype=torch.int64), row=row, **arguments(p))
    score = dense(p)
    assert len(got.greater) == len(target)
    for n, (i, answer) in enumerate(zip(asked, target, strict=True)):
        rivals = [j for j in p["subset"] or range(len(score[i])) if j != answer and j not in p["known"][i]]
        assert got.greater[n] == sum(score[i][j] > score[i][answer] for j in rivals)
        assert got.equal[n] == sum(score[i][j] == score[i][answer] for j in rivals)


@given(problems())
def test_top_k_equals_brute_force(p: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TOP_K, "_ROWS", p["rows"])
        patch.setattr(TOP_K, "_COLUMNS", p["columns"])
        value, index = top_k(p["query"], p["candidates"], p["k"], **arguments(p))
    choice = p["subset"] or range(p["candidates"].shape[0])
    width = min(p["k"], len(choice))
    assert value.shape == index.shape == (len(p["target"]), width)
    for i, row in enumerate(dense(p)):
        best = sorted((j for j in choice if j not in p["known"][i]), key=lambda j: (-row[j], j))[:width]
        best_scores = [row[j] for j in best]
        missing = width - len(best)
        assert index[i].tolist() == best + [-1] * missing
        assert value[i].tolist() == best_scores + [-torch.inf] * missing


def test_three_ranks_by_hand() -> None:
    counts = RankCounts(torch.tensor([0, 3]), torch.tensor([0, 4]))
    assert counts.optimistic.tolist() == [1, 4]
    assert counts.pessimistic.tolist() == [1, 8]
    assert counts.realistic.tolist() == [1, 6]


def test_equal_candidate_rows_are_ties_across_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RANK, "_COLUMNS", 64)
    generator = torch.Generator().manual_seed(0)
    row = torch.randn(1, 50, generator=generator)
    got = rank(torch.randn(70, 50, generator=generator), row.expand(256, -1).contiguous(), torch.arange(70))
    assert got.greater.sum() == 0
    assert (got.equal == 255).all()


def test_half_precision_is_ranked_in_float32() -> None:
    query, candidates = torch.tensor([[1.0, 1.0]]), torch.tensor([[256.0, 1.0], [256.0, 0.0]])
    got = rank(query.bfloat16(), candidates.bfloat16(), torch.tensor([1]))
    assert (got.greater.item(), got.equal.item()) == (1, 0)


def test_shortened_products_are_switched_off_and_restored() -> None:
    torch.set_float32_matmul_precision("medium")
    try:
        with RANK.full_precision(torch.device("cpu")):
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_no_queries() -> None:
    got = rank(torch.zeros(0, 2), torch.zeros(3, 2), torch.zeros(0, dtype=torch.int64))
    assert got.greater.numel() == got.equal.numel() == 0
    value, index = top_k(torch.zeros(0, 2), torch.zeros(3, 2), 2)
    assert value.shape == index.shape == (0, 2)


@pytest.mark.parametrize("bad", ["query", "candidates"])
def test_nan_scores_have_no_rank(bad: str) -> None:
    factors = {"query": torch.ones(2, 3), "candidates": torch.ones(4, 3)}
    factors[bad][1, 0] = torch.nan
    with pytest.raises(ProtocolError, match="got NaN"):
        rank(factors["query"], factors["candidates"], torch.tensor([0, 1]))
    with pytest.raises(ProtocolError, match="got NaN"):
        top_k(factors["query"], factors["candidates"], 2)


def test_infinite_scores_are_ordered() -> None:
    candidates = torch.tensor([[torch.inf], [1.0], [-torch.inf]])
    assert rank(torch.ones(3, 1), candidates, torch.arange(3)).greater.tolist() == [0, 1, 2]


def test_bad_input() -> None:
    q, c, t = torch.zeros(2, 3), torch.zeros(5, 3), torch.tensor([0, 4])
    with pytest.raises(ShapeError, match=r"target: expected int64 \[2\]"):
        rank(q, c, t[:1])
    with pytest.raises(ShapeError, match="target: expected int64"):
        rank(q, c, t.int())
    with pytest.raises(ShapeError, match=r"target: expected numbers in 0..4, got 0..5"):
        rank(q, c, t + torch.tensor([0, 1]))
    with pytest.raises(ShapeError, match=r"target: expected int64 \[3\], got torch.int64 \[2\]"):
        rank(q, c, t, row=torch.tensor([0, 1, 1]))
    with pytest.raises(ShapeError, match=r"row: expected numbers in 0..1, got 0..2"):
        rank(q, c, t, row=torch.tensor([0, 2]))
    with pytest.raises(ShapeError, match=r"row: expected int64 \[T\], got torch.int32"):
        rank(q, c, t, row=torch.tensor([0, 1], dtype=torch.int32))
    with pytest.raises(ShapeError, match=r"filter.ptr: expected 3 values"):
        rank(q, c, t, csr([[0]]))
    with pytest.raises(ShapeError, match=r"filter.index"):
        top_k(q, c, 1, csr([[0], [5]]))
    with pytest.raises(ShapeError, match="candidate_subset"):
        rank(q, c, t, candidate_subset=torch.tensor([7]))
    with pytest.raises(ProtocolError, match="1 outside them, the first is entity 4"):
        rank(q, c, t, candidate_subset=torch.tensor([0, 1]))
    with pytest.raises(ShapeError, match="k: expected at least 1"):
        top_k(q, c, 0)
