"""The loss of sampled negatives: gathered dot products, gradients in the same pass."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from relgraph.errors import ShapeError
from relgraph.ops.loss_function import loss_of_scores
from relgraph.ops.tiles import Scores, check_numbers, spans

__all__ = ["sampled_loss"]

_TILE = 2**20  # numbers gathered at once


class _Drawn(NamedTuple):
    positive: Tensor  # int64 [B]
    negative: Tensor  # int64 [M] or [B, M]
    ignored: Tensor | None  # bool [B, M]
    temperature: float


def sampled_loss(
    query: Tensor,
    candidates: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    query_bias: Tensor | None = None,
    candidate_bias: Tensor | None = None,
    alpha: float = 1.0,
    temperature: float = 0.0,
    ignored: Tensor | None = None,
) -> Tensor:
    r"""Logistic loss of one positive and ``M`` negatives per query, mean over the ``B`` queries.

    With :math:`s_{ij} = \alpha\, q_i \cdot k_j + a_i + b_j`, the positive :math:`t_i` and negatives :math:`n_{im}`,

    .. math:: \frac{1}{B} \sum_i \Big[\mathrm{softplus}(-s_{i t_i})
              + \sum_m p_{im}\, \mathrm{softplus}(s_{i n_{im}})\Big], \qquad
              p_{im} = \frac{e^{\tau s_{i n_{im}}}}{\sum_l e^{\tau s_{i n_{il}}}}

    (Sun et al. 2019, RotatE, Eq. 5 and 6; a margin belongs into the biases). The weights :math:`p` are taken as
    constants; with ``temperature`` :math:`\tau = 0` every negative counts :math:`1/M`. An ignored negative has weight
    zero, and a query whose negatives are all ignored has its positive only. Memory is ``O((B + N + M) K + B M)``.

    Args:
        query: ``[B, K]``, a floating dtype.
        candidates: ``[N, K]``, the same dtype and device: all of them, or those that are drawn.
        positive: int64 ``[B]`` in ``0..N-1``.
        negative: int64 ``[M]``, the same for all queries, or ``[B, M]``, ``M`` at least 1.
        query_bias: ``[B]`` or ``None``.
        candidate_bias: ``[N]`` or ``None``.
        alpha: Factor of the product.
        temperature: :math:`\tau`, at least 0.
        ignored: bool ``[B, M]``, negatives that do not count, such as those known to be true; or ``None``.

    Returns:
        A scalar in the dtype of ``query``; zero without a query.

    Raises:
        ShapeError: If the shapes above do not hold.
    """
    scores = Scores(query, candidates, query_bias, candidate_bias, alpha)
    drawn = _Drawn(positive, negative, ignored, temperature)
    _check(scores, drawn)
    return loss_of_scores(scores, partial(_sum_and_gradients, drawn), 1.0 / max(len(query), 1))


def _sum_and_gradients(drawn: _Drawn, scores: Scores, with_gradient: bool) -> tuple[Tensor, list[Tensor]]:
    query, candidates = scores.query, scores.candidates
    total = torch.zeros((), dtype=torch.float64, device=query.device)
    by_query, by_candidate = (torch.zeros_like(x if with_gradient else x[:0]) for x in (query, candidates))
    by_query_bias, by_candidate_bias = by_query.new_zeros(len(by_query)), by_query.new_zeros(len(by_candidate))
    per_query = drawn.negative.shape[-1] * (1 if drawn.negative.dim() == 1 else query.shape[1])
    for rows in spans(scores.num_queries, max(_TILE // max(per_query, 1), 1)):
        q, positive = query[rows], drawn.positive[rows]
        negative = drawn.negative if drawn.negative.dim() == 1 else drawn.negative[rows]
        right, wrong = candidates[positive], candidates[negative]  # [b, K], and [M, K] or [b, M, K]
        against = q @ wrong.T if wrong.dim() == 2 else (wrong @ q[:, :, None])[:, :, 0]
        right_score = scores.alpha * (q * right).sum(1)  # [b]
        wrong_score = scores.alpha * against  # [b, M]
        if scores.query_bias is not None:
            right_score += scores.query_bias[rows]
            wrong_score += scores.query_bias[rows, None]
        if scores.candidate_bias is not None:
            right_score += scores.candidate_bias[positive]
            wrong_score += scores.candidate_bias[negative]
        share = _shares(wrong_score, None if drawn.ignored is None else drawn.ignored[rows], drawn.temperature)
        total += F.softplus(-right_score).sum() + (share * F.softplus(wrong_score)).sum()
        if not with_gradient:
            continue
        up, down = right_score.sigmoid() - 1, share * wrong_score.sigmoid()  # slopes, [b] and [b, M]
        back = down @ wrong if wrong.dim() == 2 else (down[:, None] @ wrong)[:, 0]
        by_query[rows] = scores.alpha * (up[:, None] * right + back)
        by_candidate.index_add_(0, positive, up[:, None] * q, alpha=scores.alpha)
        each = down.T @ q if wrong.dim() == 2 else (down[:, :, None] * q[:, None]).flatten(0, 1)
        by_candidate.index_add_(0, negative.flatten(), each, alpha=scores.alpha)
        if scores.query_bias is not None:
            by_query_bias[rows] = up + down.sum(1)
        if scores.candidate_bias is not None:
            by_candidate_bias.index_add_(0, positive, up)
            by_candidate_bias.index_add_(0, negative.flatten(), down.sum(0) if wrong.dim() == 2 else down.flatten())
    return total, [by_query, by_candidate, by_query_bias, by_candidate_bias]


def _shares(score: Tensor, ignored: Tensor | None, temperature: float) -> Tensor:
    """How much each negative counts, ``[b, M]``; a row sums to one, or to zero if all of it is ignored."""
    level = temperature * score
    if ignored is None:
        return level.softmax(1)
    return level.masked_fill(ignored, -torch.inf).softmax(1).nan_to_num(0.0)


def _check(scores: Scores, drawn: _Drawn) -> None:
    batch, num = scores.num_queries, scores.num_candidates
    shapes = {"positive": ((batch,),), "negative": (drawn.negative.shape[-1:], (batch, *drawn.negative.shape[-1:]))}
    for name, expected in shapes.items():
        index: Tensor = getattr(drawn, name)
        if index.dtype != torch.int64 or index.shape not in expected:
            listed = "[B]" if name == "positive" else "[M] or [B, M]"
            raise ShapeError(
                f"{name}: expected int64 {listed} for {batch} queries, got {index.dtype} {list(index.shape)}"
            )
        check_numbers(name, index, num)
    size = (batch, *drawn.negative.shape[-1:])
    if drawn.negative.shape[-1] < 1:
        raise ShapeError("negative: expected at least one negative, got none")
    if drawn.ignored is not None and (drawn.ignored.dtype != torch.bool or drawn.ignored.shape != size):
        raise ShapeError(f"ignored: expected bool {list(size)}, got {drawn.ignored.dtype} {list(drawn.ignored.shape)}")
    if not drawn.temperature >= 0:
        raise ShapeError(f"temperature: expected a number of at least 0, got {drawn.temperature}")
