"""Ranks of known answers among all candidates: two counters per query, no sort, no score matrix."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from relgraph.data.statements import csr_ptr
from relgraph.errors import ProtocolError, ShapeError
from relgraph.ops.backends import choose
from relgraph.ops.blocks import TiledScores
from relgraph.ops.tiles import (
    Csr,
    RowBlock,
    Scores,
    check_csr,
    check_numbers,
    csr_rows,
    csr_select,
    distinct_csr,
    full_precision,
    refuse_nan,
    spans,
)

__all__ = ["RankCounts", "rank", "rank_scores"]

_ROWS = 256
_COLUMNS = 65_536
_TILE = 2**22  # scores at once
_KERNEL = (torch.float32, torch.float16, torch.bfloat16)


class RankCounts(NamedTuple):
    """How many other candidates stand above and beside each answer; both int64 ``[T]``."""

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
    row: Tensor | None = None,
    query_bias: Tensor | None = None,
    candidate_bias: Tensor | None = None,
    alpha: float = 1.0,
    candidate_subset: Tensor | None = None,
) -> RankCounts:
    r"""Count the candidates that score above each target, and those that score the same.

    .. math:: g_n = |\{j \in C_n : s_{ij} > s_{i t_n}\}|, \quad e_n = |\{j \in C_n : s_{ij} = s_{i t_n}\}|, \quad
              C_n = C \setminus F_i \setminus \{t_n\}, \quad i = r_n

    with :math:`s_{ij} = \alpha\, q_i \cdot k_j + a_i + b_j` and the query :math:`r_n` of target :math:`n`. Each query
    is scored once, however many targets it has. Scores exist in tiles of at most 4 million. The target's own score is
    read from the tile that holds it, never computed apart, so ties are exact. Queries are walked in the order of their
    targets: where there are several tiles of candidates, few of them are computed twice. Half precision is raised to
    float32, and float32 products are never shortened to TF32 or bfloat16. On CUDA a Triton kernel takes one pass over
    the candidates for all targets.

    Args:
        query: ``[B, K]``, a floating dtype.
        candidates: ``[N, K]``, the same dtype and device.
        target: Answers, int64 ``[T]``, candidate numbers.
        filter: CSR ``(ptr, index)`` of the known answers of each query, which do not compete. Any order; repeats
            count once; whether the target is among them makes no difference.
        row: The query of each target, int64 ``[T]``; by default target ``i`` is that of query ``i``, and ``T = B``.
        query_bias: ``[B]`` or ``None``.
        candidate_bias: ``[N]`` or ``None``.
        alpha: Factor of the product.
        candidate_subset: int64 numbers of the candidates that compete, in any order; all by default.

    Returns:
        ``greater`` and ``equal``, int64 ``[T]``.

    Raises:
        ShapeError: If the shapes above do not hold.
        ProtocolError: If a score is NaN, or a target is not in ``candidate_subset``.
    """
    scores = Scores(query, candidates, query_bias, candidate_bias, alpha)
    return rank_scores(scores, target, filter, candidate_subset, row)


@torch.no_grad()
def rank_scores(
    scores: TiledScores,
    target: Tensor,
    filter: Csr | None = None,
    candidate_subset: Tensor | None = None,
    row: Tensor | None = None,
) -> RankCounts:
    """:func:`rank` of scores that need not be a product.

    Args:
        scores: :class:`~relgraph.ops.tiles.Scores` or a :class:`~relgraph.ops.blocks.ScoreMatrix`.
        target: As in :func:`rank`.
        filter: As in :func:`rank`.
        candidate_subset: As in :func:`rank`.
        row: As in :func:`rank`.

    Returns:
        As :func:`rank`.

    Raises:
        ShapeError: If shapes do not fit.
        ProtocolError: If a score is NaN, or a target is not in ``candidate_subset``.
    """
    kernel = _KERNEL if isinstance(scores, Scores) else ()
    picked = choose("rank", scores.device, scores.dtype, numba=(*_KERNEL, torch.float64), triton=kernel)
    scores = scores.accurate()
    _check_targets(target, row, scores)
    filter = checked_filter(filter, scores)
    if candidate_subset is not None:
        scores, place = subset_scores(scores, candidate_subset)
        target = _placed_target(target, place)
        filter = place_filter(filter, place)
    if picked == "triton" and isinstance(scores, Scores):
        from relgraph.ops.kernels.rank import rank_counts  # loads Triton

        if row is not None:
            scores, filter = scores.select(row, slice(None)), csr_select(filter, row)
        return RankCounts(*rank_counts(scores, target, filter))
    if row is None:
        row = torch.arange(len(target), device=target.device)
    by_query = csr_ptr(torch.bincount(row, minlength=scores.num_queries)), row.argsort(stable=True)
    asked = (by_query[0].diff() > 0).nonzero()[:, 0]
    walk = asked[target[by_query[1][by_query[0][asked]]].argsort(stable=True)]
    num_rows = min(_ROWS, max(_TILE // max(min(scores.num_candidates, _COLUMNS), 1), 1))
    greater, equal = torch.zeros_like(target), torch.zeros_like(target)
    with full_precision(scores.device):
        for span in spans(len(walk), num_rows):
            queries = walk[span]
            ptr, chosen = csr_select(by_query, queries)
            part = scores.select(queries, slice(None))
            counts = _count(part, (ptr, target[chosen]), csr_select(filter, queries), picked == "numba")
            greater[chosen], equal[chosen] = counts
    return RankCounts(greater, equal)


def _check_targets(target: Tensor, row: Tensor | None, scores: TiledScores) -> None:
    size = scores.num_queries if row is None else row.numel()
    if target.dtype != torch.int64 or target.shape != (size,):
        raise ShapeError(f"target: expected int64 [{size}], got {target.dtype} {list(target.shape)}")
    check_numbers("target", target, scores.num_candidates)
    if row is not None:
        if row.dtype != torch.int64 or row.dim() != 1:
            raise ShapeError(f"row: expected int64 [T], got {row.dtype} {list(row.shape)}")
        check_numbers("row", row, scores.num_queries)


def _count(scores: TiledScores, targets: Csr, filter: Csr, compiled: bool) -> RankCounts:
    """The counters of the targets of one block of queries."""
    rows = slice(0, scores.num_queries)
    row, target = csr_rows(targets[0]), targets[1]
    columns = list(spans(scores.num_candidates, _COLUMNS))
    known = RowBlock(filter, rows, scores.num_candidates, _COLUMNS)
    home = torch.div(target, _COLUMNS, rounding_mode="floor")
    own = torch.empty(len(target), dtype=scores.dtype, device=scores.device)  # the target's score
    kept: dict[int, Tensor] = {}
    for number in torch.unique(home).tolist():
        score = scores.tile(rows, columns[number])
        mine = (home == number).nonzero()[:, 0]
        own[mine] = score[row[mine], target[mine] - columns[number].start]
        kept = {number: score}
    refuse_nan(own)
    count = _count_tile
    if compiled:
        from relgraph.ops.rank_numba import count_tile  # loads Numba

        count = count_tile
    counts = RankCounts(torch.zeros_like(target), torch.zeros_like(target))
    for number, part in enumerate(columns):
        score = kept.pop(number) if number in kept else scores.tile(rows, part)
        count(score, own, targets, part.start, known.positions(number, part), counts)
    return counts


def _count_tile(
    score: Tensor, own: Tensor, targets: Csr, start: int, known: tuple[Tensor, Tensor], counts: RankCounts
) -> None:
    """What :func:`relgraph.ops.rank_numba.count_tile` does, on any device; ``score`` is changed."""
    refuse_nan(score)
    row, target = csr_rows(targets[0]), targets[1]
    score[known] = torch.nan  # neither above nor beside anything: it takes a candidate out of both counts
    inside = ((target >= start) & (target < start + score.shape[1])).nonzero()[:, 0]
    counts.equal[inside] -= (score[row[inside], target[inside] - start] == own[inside]).long()
    for part in spans(len(target), max(len(score), 1)):  # so many rows at once as a tile has
        rivals, mine = score[row[part]], own[part, None]
        counts.greater[part] += (rivals > mine).sum(1)
        counts.equal[part] += (rivals == mine).sum(1)


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
