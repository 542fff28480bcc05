"""The 1-N loss: every query against every candidate, without the score matrix."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from relgraph.errors import ShapeError
from relgraph.ops.backends import choose
from relgraph.ops.loss_function import loss_of_scores
from relgraph.ops.tiled_loss import Smoothing, Tile, blocks, require_smoothing, tiled_loss
from relgraph.ops.tiles import Csr, Scores, check_csr, distinct_csr

__all__ = ["one_to_n_loss"]

_KERNEL = (torch.float32, torch.float16, torch.bfloat16)


def one_to_n_loss(
    query: Tensor,
    candidates: Tensor,
    positives: Csr,
    *,
    query_bias: Tensor | None = None,
    candidate_bias: Tensor | None = None,
    alpha: float = 1.0,
    label_smoothing: float = 0.0,
    smoothing: Smoothing = "1/N",
    reduction: Literal["mean", "batchmean"] = "mean",
) -> Tensor:
    r"""Binary cross-entropy of all ``B * N`` scores, computed tile by tile.

    With :math:`s_{ij} = \alpha\, q_i \cdot k_j + a_i + b_j`, labels :math:`y^0_{ij} = 1` at the positives, and
    targets :math:`y = (1 - \epsilon) y^0 + u`, it is

    .. math:: \frac{1}{BN} \Big[\sum_{ij} \mathrm{softplus}(s_{ij}) - u \sum_{ij} s_{ij}
              - (1 - \epsilon) \sum_{ij: y^0_{ij} = 1} s_{ij}\Big]

    where :math:`u` is :math:`1/N` (``smoothing="1/N"``: ConvE, TuckER and LowFER) or :math:`\epsilon/N`
    (``smoothing="eps/N"``: the textbook), and zero if :math:`\epsilon = 0`. ``reduction="batchmean"`` divides by
    :math:`B` only; with one positive in each row that is the 1-vs-All loss
    :math:`\frac{1}{B} \sum_{ij} \mathrm{softplus}((1 - 2 y_{ij}) s_{ij})`.

    The gradients are taken in the same pass, so a training step costs three matrix products and neither the
    ``[B, N]`` scores nor a label matrix ever exist. Differentiable once. On CUDA a Triton kernel computes each tile
    anew for each gradient, four products, and keeps the labels as bits beside it.

    Args:
        query: ``[B, K]``, a floating dtype.
        candidates: ``[N, K]``, the same dtype and device.
        positives: CSR ``(ptr, index)`` of the true candidates of each query; an entry that stands twice in a row
            counts once.
        query_bias: ``[B]`` or ``None``.
        candidate_bias: ``[N]`` or ``None``.
        alpha: Factor of the product.
        label_smoothing: :math:`\epsilon` in ``[0, 1)``.
        smoothing: What smoothing adds to every target.
        reduction: ``"mean"`` over all ``B * N`` scores, or ``"batchmean"``: the sum over the candidates, mean over
            the queries.

    Returns:
        A scalar in the dtype of ``query``; zero without a query or without a candidate.

    Raises:
        ShapeError: If the shapes above do not hold, or an option is none of those above.
    """
    require_smoothing(label_smoothing, smoothing)
    if reduction not in ("mean", "batchmean"):
        raise ShapeError(f"reduction: expected 'mean' or 'batchmean', got {reduction!r}")
    scores = Scores(query, candidates, query_bias, candidate_bias, alpha)
    check_csr("positives", positives, scores.num_queries, scores.num_candidates)
    certain = 1 - label_smoothing
    share = 0.0 if label_smoothing == 0 else 1.0 if smoothing == "1/N" else label_smoothing
    uniform = share / max(scores.num_candidates, 1)
    each = scores.num_queries * (scores.num_candidates if reduction == "mean" else 1)
    scale = 1.0 / max(each, 1)
    backend = choose("one_to_n_loss", scores.device, scores.dtype, numba=(torch.float32,), triton=_KERNEL)
    if backend == "triton":
        from relgraph.ops.kernels.one_to_n_loss import one_to_n_sum  # loads Triton

        return loss_of_scores(scores, partial(one_to_n_sum, positives, certain, uniform), scale)
    positives = distinct_csr(positives, scores.num_candidates)

    def tiles(scores: Scores, with_gradient: bool) -> Iterator[Tile]:
        for block in blocks(scores, positives):
            for columns, score, at in block:
                found = certain * score[at].sum()
                value, slope = _softplus_and_slope(score, uniform, with_gradient, backend == "numba")
                if slope is not None:
                    slope[at] -= certain
                yield Tile(block.rows, columns, value - found, slope)

    return tiled_loss(scores, tiles, scale)


def _softplus_and_slope(
    score: Tensor, uniform: float, with_slope: bool, compiled: bool
) -> tuple[Tensor, Tensor | None]:
    """``sum(softplus(s) - uniform s)``, and its derivative in the place of the scores."""
    if compiled:
        from relgraph.ops.one_to_n_numba import softplus_and_slope  # loads Numba

        return score.new_tensor(softplus_and_slope(score, uniform), dtype=torch.float64), score if with_slope else None
    value = F.softplus(score).sum() - uniform * score.sum()
    if not with_slope:
        return value, None
    slope = score.sigmoid_()
    if uniform:
        slope -= uniform
    return value, slope
