"""The best targets of each source: a matrix product for most, exact scores for the pairs reached in a subgraph."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from relgraph.data.statements import csr_ptr
from relgraph.nn.link_model import Sources
from relgraph.ops.tiles import Csr, csr_rows
from relgraph.ops.top_k import top_k

__all__ = ["Candidates", "best_targets", "pair_scores"]


@dataclass(frozen=True, eq=False)
class Candidates:
    """The target rows that may be ranked at a moment.

    Args:
        rows: Their numbers, ascending, int64 ``[V]``.
        vector: float ``[V, K]``.
        bias: float ``[V]``.
    """

    rows: Tensor
    vector: Tensor
    bias: Tensor

    def find(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """Places of target rows in ``rows``, and whether they are there; both ``[n]``."""
        if not self.rows.numel():
            return torch.zeros_like(target), torch.zeros_like(target, dtype=torch.bool)
        place = torch.searchsorted(self.rows, target).clamp(max=self.rows.numel() - 1)
        return place, self.rows[place] == target


def best_targets(sources: Sources, candidates: Candidates, k: int, exclude: Csr | None = None) -> tuple[Tensor, Tensor]:
    """The ``k`` candidates with the highest scores of each source, the best first; of equals the lower row first.

    Memory is that of tiles and of the reached pairs, never sources times candidates.

    Args:
        sources: From :meth:`relgraph.nn.link_model.LinkModel.sources`.
        candidates: What may be ranked.
        k: How many, at least 1.
        exclude: Target rows that each source must not get, CSR of row numbers.

    Returns:
        Target rows int64 and scores float, ``[B, k]``; where there are fewer candidates, -1 and ``-inf``.
    """
    size, width = sources.query.size(0), candidates.rows.numel()
    place, known = candidates.find(sources.target)
    row, place, extra = sources.batch[known], place[known], sources.extra[known]
    none = row.new_empty(0)
    banned = none if exclude is None else _pairs(candidates, exclude, width)
    reached = row * width + place
    outside = torch.unique(torch.cat([reached, banned]))
    filter = (csr_ptr(torch.bincount(outside // max(width, 1), minlength=size)), outside % max(width, 1))
    found_score, found = (
        top_k(sources.query, candidates.vector, k, filter, candidate_bias=candidates.bias)
        if width
        else (sources.query.new_empty(size, 0), none.view(size, 0))
    )
    allowed = ~torch.isin(reached, banned)
    row, place = row[allowed], place[allowed]
    inside = (pair_scores(sources, candidates, row, place) + extra[allowed]).to(found_score.dtype)
    there = found >= 0
    owner = torch.arange(size, device=row.device).unsqueeze(1).expand_as(found)[there]
    return _merge(
        torch.cat([owner, row]),
        candidates.rows[torch.cat([found[there], place])],
        torch.cat([found_score[there], inside]),
        size,
        k,
    )


def pair_scores(sources: Sources, candidates: Candidates, row: Tensor, place: Tensor) -> Tensor:
    """Scores of pairs without what their subgraph adds, ``[n]``: source ``row[i]``, candidate ``place[i]``."""
    return (sources.query[row] * candidates.vector[place]).sum(1) + candidates.bias[place]


def _pairs(candidates: Candidates, exclude: Csr, width: int) -> Tensor:
    """The entries of a CSR that are candidates, as numbers ``row * width + place``."""
    place, known = candidates.find(exclude[1])
    return (csr_rows(exclude[0]) * width + place)[known]


def _merge(row: Tensor, target: Tensor, score: Tensor, size: int, k: int) -> tuple[Tensor, Tensor]:
    """The best ``k`` entries of each row, ordered by score and then by target."""
    order = target.argsort(stable=True)
    order = order[score[order].argsort(descending=True, stable=True)]
    order = order[row[order].argsort(stable=True)]
    row, target, score = row[order], target[order], score[order]
    start = csr_ptr(torch.bincount(row, minlength=size))
    rank = torch.arange(row.numel(), device=row.device) - start[row]
    kept = rank < k
    best = target.new_full((size, k), -1)
    value = score.new_full((size, k), -torch.inf)
    best[row[kept], rank[kept]], value[row[kept], rank[kept]] = target[kept], score[kept]
    return best, value
