"""Softmax cross-entropy over all candidates, without the score matrix."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from relgraph.errors import ShapeError
from relgraph.ops.backends import choose
from relgraph.ops.loss_function import loss_of_scores
from relgraph.ops.tiled_loss import Block, ScoreTile, Tile, blocks, require_smoothing, tiled_loss
from relgraph.ops.tiles import Csr, Scores, check_csr, distinct_csr

__all__ = ["softmax_loss"]

_KERNEL = (torch.float32, torch.float16, torch.bfloat16)


def softmax_loss(
    query: Tensor,
    candidates: Tensor,
    positives: Csr,
    *,
    query_bias: Tensor | None = None,
    candidate_bias: Tensor | None = None,
    alpha: float = 1.0,
    label_smoothing: float = 0.0,
) -> Tensor:
    r"""Cross-entropy of the softmax over all ``N`` candidates, mean over the ``B`` queries, tile by tile.

    With :math:`s_{ij} = \alpha\, q_i \cdot k_j + a_i + b_j` and the :math:`m_i` positives :math:`P_i` of a query,

    .. math:: \frac{1}{B} \sum_i \Big[\log \sum_j e^{s_{ij}} - \frac{1 - \epsilon}{m_i} \sum_{j \in P_i} s_{ij}
              - \frac{\epsilon}{N} \sum_j s_{ij}\Big]

    One positive per row is the usual loss of one statement (the multiclass log-loss of Lacroix et al. 2018);
    several share the target evenly. A smoothing that gives ``1 - eps`` to the positive and ``eps / (N - 1)`` to each
    of the others is that with ``label_smoothing = eps * N / (N - 1)``.

    The sum of exponentials is taken first, tile by tile as logarithms; where all scores of enough rows fit into one
    tile they are kept, so that a step costs three matrix products, else four. On CUDA a Triton kernel takes five and
    keeps none. Differentiable once.

    Args:
        query: ``[B, K]``, a floating dtype.
        candidates: ``[N, K]``, the same dtype and device.
        positives: CSR ``(ptr, index)`` of the true candidates of each query, at least one; an entry that stands twice
            in a row counts once.
        query_bias: ``[B]`` or ``None``; it cancels, and its gradient is zero.
        candidate_bias: ``[N]`` or ``None``.
        alpha: Factor of the product.
        label_smoothing: :math:`\epsilon` in ``[0, 1)``.

    Returns:
        A scalar in the dtype of ``query``; zero without a query.

    Raises:
        ShapeError: If the shapes above do not hold, or ``label_smoothing`` is outside ``[0, 1)``.
    """
    require_smoothing(label_smoothing, "eps/N")
    scores = Scores(query, candidates, query_bias, candidate_bias, alpha)
    check_csr("positives", positives, scores.num_queries, scores.num_candidates)
    positives = distinct_csr(positives, scores.num_candidates)
    counts = positives[0].diff()
    if bool((counts == 0).any()):
        row = int((counts == 0).nonzero()[0])
        raise ShapeError(f"positives: expected at least one candidate in every row, got none in row {row}")
    certain = (1 - label_smoothing) / counts.to(query.dtype)  # [B]
    uniform = label_smoothing / max(scores.num_candidates, 1)
    scale = 1.0 / max(scores.num_queries, 1)
    if choose("softmax_loss", scores.device, scores.dtype, triton=_KERNEL) == "triton":
        from relgraph.ops.kernels.softmax_loss import softmax_sum  # loads Triton

        return loss_of_scores(scores, partial(softmax_sum, positives, certain, uniform), scale)

    def tiles(scores: Scores, with_gradient: bool) -> Iterator[Tile]:
        for block in blocks(scores, positives, whole_rows=True):
            rows = block.rows
            parts: Block | list[ScoreTile] = list(block) if len(block) == 1 else block
            level = _log_sum_exp(parts, query.new_full((rows.stop - rows.start, 1), -torch.inf))
            once = level.sum()
            for columns, score, at in parts:
                targets = certain[rows][at[0]]
                value = once - (targets * score[at]).sum() - uniform * score.sum()
                once = torch.zeros_like(once)
                slope = None
                if with_gradient:
                    slope = score.sub_(level).exp_()
                    if uniform:
                        slope -= uniform
                    slope[at] -= targets
                yield Tile(rows, columns, value, slope)

    return tiled_loss(scores, tiles, scale)


def _log_sum_exp(parts: Block | list[ScoreTile], level: Tensor) -> Tensor:
    """``log(sum(exp(scores)))`` of each row, ``[rows, 1]``; ``level`` is minus infinity."""
    for _, score, _ in parts:
        level = torch.logaddexp(level, score.logsumexp(1, keepdim=True))
    return level
