"""Ranks of known answers among all candidates: two counters per query, no sort, no score matrix."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from relgraph.errors import ProtocolError, ShapeError
from relgraph.ops.backends import choose
from relgraph.ops.blocks import TiledScores
from relgraph.ops.tiles import (
    Csr,
    RowBlock,
    Scores,
    check_csr,
    csr_select,
    distinct_csr,
    full_precision,
    refuse_nan,
    spans,
)

__all__ = ["RankCounts", "rank", "rank_scores"]

_ROWS = 256
_COLUMNS = 16_384
_KERNEL = (torch.float32, torch.float16, torch.bfloat16)


class RankCounts(NamedTuple):
    """How many other candidates stand above and beside the answer; both int64 ``[B]``."""

    greater: Tensor
    equal: Tensor

    @property
    def optimistic(self) -> Tensor:
        """The rank if the answer stood first among its equals: ``1 + greater``, float64."""
        return 1.0 + self.greater.double()

    @property
    def pessimistic(self) -> Tensor:
        """The rank if the answer stood last among its equals: ``1 + greater + equal``, float64."""
        return self.optimistic + self.equal

    @property
    def realistic(self) -> Tensor:
        """The mean of both, the expected rank if ties are broken at random, float64."""
        return self.optimistic + 0.5 * self.equal


@torch.no_grad()
def rank(
    query: Tensor,
    candidates: Tensor,
    target: Tensor,
    filter: Csr | None = None,
    *,
    query_bias: Tensor | None = None,
    candidate_bias: Tensor | None = None,
    alpha: float = 1.0,
    candidate_subset: Tensor | None = None,
) -> RankCounts:
    r"""Count the candidates that score above the target of each query, and those that score the same.

    .. math:: g_i = |\{j \in C_i : s_{ij} > s_{i t_i}\}|, \quad e_i = |\{j \in C_i : s_{ij} = s_{i t_i}\}|, \quad
              C_i = C \setminus F_i \setminus \{t_i\}

    with :math:`s_{ij} = \alpha\, q_i \cdot k_j + a_i + b_j`. Scores exist in tiles of at most 256 x 16,384. The
    target's own score is read from the tile that holds it, never computed apart, so ties are exact. Queries are
    walked in the order of their targets: where there are several tiles of candidates, few of them are computed
    twice. Half precision is raised to float32, and float32 products are never shortened to TF32 or bfloat16. On CUDA
    a Triton kernel takes one pass over the candidates for all queries.

    Args:
        query: ``[B, K]``, a floating dtype.
        candidates: ``[N, K]``, the same dtype and device.
        target: The answer of each query, int64 ``[B]``, a candidate number.
        filter: CSR ``(ptr, index)`` of the known answers of each query, which do not compete. Any order; repeats
            count once; whether the target is among them makes no difference.
        query_bias: ``[B]`` or ``None``.
        candidate_bias: ``[N]`` or ``None``.
        alpha: Factor of the product.
        candidate_subset: int64 numbers of the candidates that compete, in any order; all by default.

    Returns:
        ``greater`` and ``equal``, int64 ``[B]``.

    Raises:
        ShapeError: If the shapes above do not hold.
        ProtocolError: If a score is NaN, or a target is not in ``candidate_subset``.
    """
    return rank_scores(Scores(query, candidates, query_bias, candidate_bias, alpha), target, filter, candidate_subset)


@torch.no_grad()
def rank_scores(
    scores: TiledScores, target: Tensor, filter: Csr | None = None, candidate_subset: Tensor | None = None
) -> RankCounts:
    """:func:`rank` of scores that need not be a product.

    Args:
        scores: :class:`~relgraph.ops.tiles.Scores` or a :class:`~relgraph.ops.blocks.ScoreMatrix`.
        target: As in :func:`rank`.
        filter: As in :func:`rank`.
        candidate_subset: As in :func:`rank`.

    Returns:
        As :func:`rank`.

    Raises:
        ShapeError: If shapes do not fit.
        ProtocolError: If a score is NaN, or a target is not in ``candidate_subset``.
    """
    kernel = _KERNEL if isinstance(scores, Scores) else ()
    picked = choose("rank", scores.device, scores.dtype, numba=(*_KERNEL, torch.float64), triton=kernel)
    scores = scores.accurate()
    if target.dtype != torch.int64 or target.shape != (scores.num_queries,):
        raise ShapeError(f"target: expected int64 [{scores.num_queries}], got {target.dtype} {list(target.shape)}")
    one_each = torch.arange(len(target) + 1, device=target.device)
    check_csr("target", (one_each, target), len(target), scores.num_candidates)
    filter = checked_filter(filter, scores)
    if candidate_subset is not None:
        scores, place = subset_scores(scores, candidate_subset)
        target = _placed_target(target, place)
        filter = place_filter(filter, place)
    if picked == "triton" and isinstance(scores, Scores):
        from relgraph.ops.kernels.rank import rank_counts  # loads Triton

        return RankCounts(*rank_counts(scores, target, filter))
    order = target.argsort(stable=True)
    greater, equal = torch.zeros_like(target), torch.zeros_like(target)
    with full_precision(scores.device):
        for span in spans(len(target), _ROWS):
            rows = order[span]
            counts = _count(scores.select(rows, slice(None)), target[rows], csr_select(filter, rows), picked == "numba")
            greater[rows], equal[rows] = counts
    return RankCounts(greater, equal)


def _count(scores: TiledScores, target: Tensor, filter: Csr, compiled: bool) -> RankCounts:
    """The counters of one block of queries."""
    rows = slice(0, scores.num_queries)
    row = torch.arange(scores.num_queries, device=target.device)
    columns = list(spans(scores.num_candidates, _COLUMNS))
    known = RowBlock(filter, rows, scores.num_candidates, _COLUMNS)
    home = torch.div(target, _COLUMNS, rounding_mode="floor")
    own = torch.empty(scores.num_queries, dtype=scores.dtype, device=scores.device)  # the target's score
    kept: dict[int, Tensor] = {}
    for number in torch.unique(home).tolist():
        score = scores.tile(rows, columns[number])
        mine = row[home == number]
        own[mine] = score[mine, target[mine] - columns[number].start]
        kept = {number: score}
    refuse_nan(own)
    count = _count_tile
    if compiled:
        from relgraph.ops.rank_numba import count_tile  # loads Numba

        count = count_tile
    counts = RankCounts(torch.zeros_like(target), torch.zeros_like(target))
    for number, part in enumerate(columns):
        score = kept.pop(number) if number in kept else scores.tile(rows, part)
        count(score, own, target, part.start, known.positions(number, part), counts)
    return counts


def _count_tile(
    score: Tensor, own: Tensor, target: Tensor, start: int, known: tuple[Tensor, Tensor], counts: RankCounts
) -> None:
    """What :func:`relgraph.ops.rank_numba.count_tile` does, on any device; ``score`` is changed."""
    refuse_nan(score)
    inside = ((target >= start) & (target < start + score.shape[1])).nonzero()[:, 0]
    # a NaN is neither above nor beside anything: it takes a candidate out of both counts
    score[known] = torch.nan
    score[inside, target[inside] - start] = torch.nan
    counts.greater.add_((score > own[:, None]).sum(1))
    counts.equal.add_((score == own[:, None]).sum(1))


def subset_scores(scores: TiledScores, subset: Tensor) -> tuple[TiledScores, Tensor]:
    """The scores of some candidates, and the place of every candidate among them, -1 for those left out.

    Raises:
        ShapeError: If ``subset`` is no vector of candidate numbers.
    """
    ends = torch.tensor([0, subset.numel()], device=subset.device)
    check_csr("candidate_subset", (ends, subset), 1, scores.num_candidates)
    subset = torch.unique(subset)
    place = torch.full((scores.num_candidates,), -1, dtype=torch.int64, device=subset.device)
    place[subset] = torch.arange(subset.numel(), device=subset.device)
    leading = subset.numel() == 0 or int(subset[-1]) == subset.numel() - 1
    return scores.select(slice(None), slice(0, subset.numel()) if leading else subset), place


def place_filter(filter: Csr, place: Tensor) -> Csr:
    """The filter in the numbers of a subset; entries outside it are gone."""
    ptr, index = filter
    placed = place[index]
    inside = placed >= 0
    before = torch.cat([ptr.new_zeros(1), inside.cumsum(0)])
    return before[ptr], placed[inside]


def _placed_target(target: Tensor, place: Tensor) -> Tensor:
    placed = place[target]
    outside = placed < 0
    if bool(outside.any()):
        raise ProtocolError(
            f"expected every target among the candidates, got {int(outside.sum())} outside them, the first is entity "
            f"{int(target[outside][0])}: rank among all candidates, or leave such statements out"
        )
    return placed


def checked_filter(filter: Csr | None, scores: TiledScores) -> Csr:
    """The filter with sorted, distinct entries; empty for ``None``.

    Raises:
        ShapeError: If it does not fit the scores.
    """
    if filter is None:
        none = torch.zeros(scores.num_queries + 1, dtype=torch.int64, device=scores.device)
        return none, none[:0]
    check_csr("filter", filter, scores.num_queries, scores.num_candidates)
    return distinct_csr(filter, scores.num_candidates)
