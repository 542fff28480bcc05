"""Ranks of answers, and the metrics that are taken from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from relgraph.errors import ProtocolError
from relgraph.ops import RankCounts

__all__ = ["Interval", "Ranks", "bootstrap", "mean_metric", "require_metric"]

_DRAWS = 4_000_000  # numbers drawn at a time


@dataclass(frozen=True)
class Ranks:
    """The rank of the answer of every question, with ties open.

    Args:
        greater: How many other candidates score above the answer, int64 ``[Q]``.
        equal: How many score the same, int64 ``[Q]``.
        candidates: How many compete, the answer among them, after filtering, int64 ``[Q]``.
        statement: The statement that the question is taken from, int64 ``[Q]``.
    """

    greater: Tensor
    equal: Tensor
    candidates: Tensor
    statement: Tensor

    def __len__(self) -> int:
        return self.greater.numel()

    @property
    def optimistic(self) -> Tensor:
        """The rank if the answer stood first among its equals, float64 ``[Q]``."""
        return RankCounts(self.greater, self.equal).optimistic

    @property
    def pessimistic(self) -> Tensor:
        """The rank if the answer stood last among its equals, float64 ``[Q]``."""
        return RankCounts(self.greater, self.equal).pessimistic

    @property
    def realistic(self) -> Tensor:
        """The mean of both, float64 ``[Q]``."""
        return RankCounts(self.greater, self.equal).realistic

    def select(self, index: Tensor) -> Ranks:
        """Some of the questions, by number or bool mask."""
        return Ranks(self.greater[index], self.equal[index], self.candidates[index], self.statement[index])

    @classmethod
    def cat(cls, parts: Sequence[Ranks]) -> Ranks:
        """Several as one."""
        names = ("greater", "equal", "candidates", "statement")
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


class Interval(NamedTuple):
    """Ends of a confidence interval."""

    low: float
    high: float


def require_metric(name: str) -> str:
    """Check the name of a metric: ``"mr"``, ``"mrr"``, ``"amr"``, ``"amri"`` or ``"hits@k"`` for a whole ``k``.

    Raises:
        KeyError: If there is no such metric.
    """
    k = name.removeprefix("hits@")
    if name in ("mr", "mrr", "amr", "amri") or (k != name and k.isdecimal() and int(k) > 0):
        return name
    raise KeyError(f"{name!r}; metrics are 'mr', 'mrr', 'amr', 'amri' and 'hits@k' for any k from 1")


def mean_metric(name: str, rank: Tensor, candidates: Tensor) -> float:
    r"""A metric of ranks.

    With :math:`E_i = (|C_i| + 1) / 2`, the expected rank among the candidates that are left after filtering
    (Berrendorf et al. 2020, "On the Ambiguity of Rank-Based Evaluation of Entity Alignment or Link Prediction
    Methods", arXiv 2002.06914):

    .. math:: \mathrm{MR} = \frac1n \sum_i r_i, \quad \mathrm{MRR} = \frac1n \sum_i \frac1{r_i}, \quad
              \mathrm{Hits@}k = \frac1n |\{i : r_i \le k\}|

    .. math:: \mathrm{AMR} = \frac{\sum_i r_i}{\sum_i E_i}, \quad
              \mathrm{AMRI} = 1 - \frac{\sum_i (r_i - 1)}{\sum_i (E_i - 1)}

    AMR is 1 and AMRI 0 where ranks are as good as random; the best are near 0 and 1. Where no question has a second
    candidate AMRI is 0: nothing was told apart.

    Args:
        name: See :func:`require_metric`.
        rank: From 1; halves are possible, float64 ``[Q]``.
        candidates: See :class:`Ranks`.
    """
    numerator, denominator = _terms(name, rank, candidates)
    return float(_ratio(name, numerator.sum(), denominator.sum()))


def bootstrap(
    name: str, rank: Tensor, ranks: Ranks, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Interval:
    """A percentile bootstrap interval of a metric; whole statements are drawn, so the questions of one stay together.

    Args:
        name: See :func:`require_metric`.
        rank: The ranks, ties decided, float64 ``[Q]``.
        ranks: The questions they belong to.
        level: The share of resamples inside the interval.
        resamples: How often as many statements as there are are drawn with replacement.
        seed: Of the draws.

    Raises:
        ProtocolError: If the level is no share between 0 and 1, or there is no resample.
    """
    if not 0 < level < 1:
        raise ProtocolError(f"level: expected a share between 0 and 1, such as 0.95, got {level!r}")
    if resamples < 1:
        raise ProtocolError(f"resamples: expected at least 1, got {resamples!r}")
    numbers, owner = torch.unique(ranks.statement, return_inverse=True)
    size = numbers.numel()
    # every metric is a ratio of sums over questions: first per statement, then per resample
    sums = [
        torch.zeros(size, dtype=torch.float64).index_add_(0, owner, x) for x in _terms(name, rank, ranks.candidates)
    ]
    generator = torch.Generator().manual_seed(seed)
    at_once = max(1, _DRAWS // size)
    values = []
    for start in range(0, resamples, at_once):
        drawn = torch.randint(size, (min(at_once, resamples - start), size), generator=generator)
        values.append(_ratio(name, *(x[drawn].sum(1) for x in sums)))
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = torch.quantile(torch.cat(values), tails).tolist()
    return Interval(low, high)


def _terms(name: str, rank: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
    """A metric as numerators and denominators, one of each per question."""
    rank = rank.double()
    if name in ("amr", "amri"):
        expected = (candidates.double() + 1) / 2
        return (rank, expected) if name == "amr" else (rank - 1, expected - 1)
    one = torch.ones_like(rank)
    if name == "mr":
        return rank, one
    if name == "mrr":
        return rank.reciprocal(), one
    return (rank <= int(require_metric(name).removeprefix("hits@"))).double(), one


def _ratio(name: str, numerator: Tensor, denominator: Tensor) -> Tensor:
    if name != "amri":
        return numerator / denominator
    return torch.where(denominator > 0, 1 - numerator / denominator, 0.0)
