"""Kernels of :mod:`relgraph.ops.one_to_n_loss`: the loss of all scores and its gradients, a tile at a time.

``_by_rows`` walks the candidates for a block of queries: value, gradients of the queries and of their biases.
``_by_columns`` walks the queries for a block of candidates. Each computes the scores again, in registers, so memory is
that of the factors and no two programs write to one place. Positives are few: what they take off the loss is a sparse
sum of rows, taken by :func:`relgraph.ops.gather_scale_scatter`.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from relgraph.ops.gather_scale_scatter import gather_scale_scatter
from relgraph.ops.tiles import Csr, Scores, csr_rows

__all__ = ["LONGEST_ROW", "sum_and_gradients"]

LONGEST_ROW = 512
"""The largest number of columns of a factor: a tile of whole rows must fit into the memory of a processor."""

_TILE = 32


def sum_and_gradients(
    scores: Scores, positives: Csr, certain: float, uniform: float, with_gradient: bool
) -> tuple[Tensor, list[Tensor]]:
    r"""``sum(softplus(s) - uniform s) - certain sum(s at the positives)``, and its gradients.

    Args:
        scores: The factors, of at most :data:`LONGEST_ROW` columns.
        positives: CSR of the true candidates of each query, distinct ones.
        certain: What a positive counts.
        uniform: What every score counts.
        with_gradient: Whether gradients are wanted.

    Returns:
        The sum, float64, and the gradients by queries, candidates and the two biases; empty ones if not wanted.
    """
    query, candidates = scores.query.contiguous(), scores.candidates.contiguous()
    (rows, columns), num_candidates, device = query.shape, len(candidates), query.device
    shape = (rows, num_candidates) if with_gradient else (0, 0)
    by_query, by_candidate = (torch.zeros(n, columns, dtype=torch.float32, device=device) for n in shape)
    by_query_bias, by_candidate_bias = (torch.zeros(n, dtype=torch.float32, device=device) for n in shape)
    value = torch.zeros(triton.cdiv(rows, _TILE), dtype=torch.float32, device=device)
    biases = [x if bias is None else bias.contiguous() for x, bias in _with_biases(scores)]
    given = (query, candidates, *biases, scores.alpha, uniform, rows, num_candidates, columns)
    # products of scores with biases are never shortened to TF32: see relgraph.ops.loss_function
    biased = scores.query_bias is not None or scores.candidate_bias is not None
    whole = biased or torch.get_float32_matmul_precision() == "highest"
    constants = {
        "HAS_QUERY_BIAS": scores.query_bias is not None,
        "HAS_CANDIDATE_BIAS": scores.candidate_bias is not None,
        "PRECISION": "ieee" if whole else "tf32",
        "TILE": _TILE,
        "COLUMNS": max(16, int(triton.next_power_of_2(max(columns, 1)))),
    }
    if rows and num_candidates:
        _by_rows[(len(value),)](*given, value, by_query, by_query_bias, WITH_GRADIENT=with_gradient, **constants)
        if with_gradient:
            grid = (triton.cdiv(num_candidates, _TILE),)
            _by_columns[grid](*given, by_candidate, by_candidate_bias, **constants)
    total = value.double().sum()
    row, column = csr_rows(positives[0]), positives[1]
    total = total - certain * _scores_at(scores, row, column).double().sum()
    if with_gradient and len(column):
        taken = -certain * scores.alpha
        by_query += taken * gather_scale_scatter(candidates, torch.stack([column, row]), rows).float()
        by_candidate += taken * gather_scale_scatter(query, torch.stack([row, column]), num_candidates).float()
        by_query_bias -= certain * torch.bincount(row, minlength=rows)
        by_candidate_bias -= certain * torch.bincount(column, minlength=num_candidates)
    found = (by_query, by_candidate, by_query_bias, by_candidate_bias)
    return total, [gradient.to(query.dtype) for gradient in found]


def _with_biases(scores: Scores) -> list[tuple[Tensor, Tensor | None]]:
    """Each bias with another tensor that stands in its place where there is none, and is not read."""
    return [(scores.query, scores.query_bias), (scores.candidates, scores.candidate_bias)]


def _scores_at(scores: Scores, row: Tensor, column: Tensor) -> Tensor:
    """The scores of pairs, some million numbers at a time."""
    parts = [torch.zeros(0, device=row.device)]
    for r, c in zip(torch.split(row, 8192), torch.split(column, 8192), strict=True):
        part = scores.alpha * (scores.query[r].float() * scores.candidates[c].float()).sum(1)
        part = part if scores.query_bias is None else part + scores.query_bias[r]
        parts.append(part if scores.candidate_bias is None else part + scores.candidate_bias[c])
    return torch.cat(parts)


@triton.jit  # type: ignore[untyped-decorator]
def _tile(
    query: Any, candidates: Any, query_bias: Any, candidate_bias: Any, alpha: Any, row: Any, column: Any, rows: Any,
    num_candidates: Any, columns: Any, HAS_QUERY_BIAS: tl.constexpr, HAS_CANDIDATE_BIAS: tl.constexpr,
    PRECISION: tl.constexpr, COLUMNS: tl.constexpr,
) -> Any:  # fmt: skip
    """A tile of factors and their scores."""
    k = tl.arange(0, COLUMNS)
    inside = k < columns
    q_there, c_there = row < rows, column < num_candidates
    q = tl.load(query + row[:, None] * columns + k[None, :], q_there[:, None] & inside[None, :], other=0.0)
    c = tl.load(candidates + column[:, None] * columns + k[None, :], c_there[:, None] & inside[None, :], other=0.0)
    score = alpha * tl.dot(q, tl.trans(c), input_precision=PRECISION)
    if HAS_QUERY_BIAS:
        score += tl.load(query_bias + row, q_there, other=0.0).to(tl.float32)[:, None]
    if HAS_CANDIDATE_BIAS:
        score += tl.load(candidate_bias + column, c_there, other=0.0).to(tl.float32)[None, :]
    return q, c, score, q_there[:, None] & c_there[None, :]


@triton.jit  # type: ignore[untyped-decorator]
def _slope(score: Any, there: Any, uniform: Any) -> Any:
    """``sigmoid(s) - uniform``, 0 outside, and ``exp(-|s|)``."""
    e = tl.exp(-tl.abs(score))
    return tl.where(there, tl.where(score >= 0, 1.0, e) / (1.0 + e) - uniform, 0.0), e


@triton.jit  # type: ignore[untyped-decorator]
def _by_rows(
    query: Any, candidates: Any, query_bias: Any, candidate_bias: Any, alpha: Any, uniform: Any, rows: Any,
    num_candidates: Any, columns: Any, value: Any, by_query: Any, by_query_bias: Any, WITH_GRADIENT: tl.constexpr,
    HAS_QUERY_BIAS: tl.constexpr, HAS_CANDIDATE_BIAS: tl.constexpr, PRECISION: tl.constexpr, TILE: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * TILE + tl.arange(0, TILE)
    k = tl.arange(0, COLUMNS)
    total = tl.zeros([TILE], tl.float32)
    slopes = tl.zeros([TILE], tl.float32)
    gradient = tl.zeros([TILE, COLUMNS], tl.float32)
    for first in range(0, num_candidates, TILE):
        column = (first + tl.arange(0, TILE)).to(tl.int64)
        _, c, score, there = _tile(
            query, candidates, query_bias, candidate_bias, alpha, row, column, rows, num_candidates, columns,
            HAS_QUERY_BIAS, HAS_CANDIDATE_BIAS, PRECISION, COLUMNS,
        )  # fmt: skip
        slope, e = _slope(score, there, uniform)
        # log(1 + e) loses what e adds below the last place of 1: there it is e, to the same precision
        softplus = tl.maximum(score, 0.0) + tl.where(e < 1e-4, e - 0.5 * e * e, tl.log(1.0 + e))
        total += tl.sum(tl.where(there, softplus - uniform * score, 0.0), 1)
        if WITH_GRADIENT:
            slopes += tl.sum(slope, 1)
            gradient += tl.dot(slope.to(c.dtype), c, input_precision=PRECISION)
    tl.store(value + tl.program_id(0), tl.sum(total, 0))
    if WITH_GRADIENT:
        inside = (row < rows)[:, None] & (k < columns)[None, :]
        tl.store(by_query + row[:, None] * columns + k[None, :], alpha * gradient, inside)
        tl.store(by_query_bias + row, slopes, row < rows)


@triton.jit  # type: ignore[untyped-decorator]
def _by_columns(
    query: Any, candidates: Any, query_bias: Any, candidate_bias: Any, alpha: Any, uniform: Any, rows: Any,
    num_candidates: Any, columns: Any, by_candidate: Any, by_candidate_bias: Any,
    HAS_QUERY_BIAS: tl.constexpr, HAS_CANDIDATE_BIAS: tl.constexpr, PRECISION: tl.constexpr, TILE: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:  # fmt: skip
    column = tl.program_id(0).to(tl.int64) * TILE + tl.arange(0, TILE)
    k = tl.arange(0, COLUMNS)
    slopes = tl.zeros([TILE], tl.float32)
    gradient = tl.zeros([TILE, COLUMNS], tl.float32)
    for first in range(0, rows, TILE):
        row = (first + tl.arange(0, TILE)).to(tl.int64)
        q, _, score, there = _tile(
            query, candidates, query_bias, candidate_bias, alpha, row, column, rows, num_candidates, columns,
            HAS_QUERY_BIAS, HAS_CANDIDATE_BIAS, PRECISION, COLUMNS,
        )  # fmt: skip
        slope, _ = _slope(score, there, uniform)
        slopes += tl.sum(slope, 0)
        gradient += tl.dot(tl.trans(slope).to(q.dtype), q, input_precision=PRECISION)
    inside = (column < num_candidates)[:, None] & (k < columns)[None, :]
    tl.store(by_candidate + column[:, None] * columns + k[None, :], alpha * gradient, inside)
    tl.store(by_candidate_bias + column, slopes, column < num_candidates)
