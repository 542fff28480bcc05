r"""NFE: entities are random variables, and relations are the flows that carry a head's to a tail's.

Knowledge Graph Embedding by Normalizing Flows (AAAI 2023, arXiv 2409.19977). An entity has a base distribution (means
:math:`\mu`, scales :math:`\sigma`), a relation an affine flow :math:`x \mapsto r_\sigma x + r_\mu`, and the score is
:math:`\gamma` less the distance of the head's distribution, carried along, and the tail's. Each is one matrix product
with biases. Where the published form differs from the exact composed flow the published one is taken, and the class
says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from relgraph.kge.embeddings import Embeddings, as_embeddings, require_positive
from relgraph.kge.questions import Questions
from relgraph.kge.scorers.base import Scorer
from relgraph.kge.scorers.distance import (
    accurate,
    accurate_rows,
    distance_candidates,
    distance_query,
    require_number,
)

__all__ = ["NFE1", "NFE2", "NFE3", "NFEMu", "NFESigma"]


class _Flows(Scorer):
    """Rows of entities and relations as parts of ``dim`` numbers each, uniform in (-0.1, 0.1) at first."""

    alpha = 2.0
    entity_parts: ClassVar[int] = 2
    relation_parts: ClassVar[int] = 2

    def __init__(
        self,
        num_entities: int,
        num_relations: int,
        *,
        dim: int = 1024,
        gamma: float = 1.0,
        entities: Embeddings | Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(num_entities, num_relations, dim=dim, gamma=gamma, entities=entities, seed=seed)
        require_positive(dim=dim)
        require_number(gamma=gamma)
        self.gamma = gamma
        start = partial(nn.init.uniform_, a=-0.1, b=0.1, generator=torch.Generator().manual_seed(seed))
        self.entity = as_embeddings(entities, num_entities, self.entity_parts * dim, "entities", start)
        self.relation = nn.Parameter(start(torch.empty(2 * num_relations, self.relation_parts * dim)))

    def answers(self, *parts: Tensor) -> tuple[Tensor, Tensor]:
        """Entities as answers, given the parts of their rows: ``[n, K]`` and biases ``[n]``."""
        raise NotImplementedError

    def candidates(self) -> tuple[Tensor, Tensor | None]:
        """All entities as answers, ``[N, K]``, and biases ``[N]``."""
        return self.answers(*self.entity_rows())

    def candidates_at(self, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """Some entities as answers, ``[n, K]``, and biases ``[n]``."""
        return self.answers(*self.entity_rows(index))

    def entity_rows(self, index: Tensor | None = None) -> tuple[Tensor, ...]:
        """The parts of some entity rows or of all, each ``[B, dim]`` in float32 or float64."""
        return accurate_rows(self.entity, index).chunk(self.entity_parts, 1)

    def relation_rows(self, index: Tensor) -> tuple[Tensor, ...]:
        """The parts of some relation rows, each ``[B, dim]`` in float32 or float64."""
        return accurate(self.relation[index]).chunk(self.relation_parts, 1)


class NFE1(_Flows):
    r"""NFE-1: normal distributions, affine flows, squared 2-Wasserstein distance; with reciprocal relations.

    With entity rows :math:`[\mu; \sigma]` and relation rows :math:`[r_\mu; r_\sigma]`,

    .. math:: s(h, r, t) = \gamma - \lVert r_\sigma \odot h_\mu + r_\mu - t_\mu \rVert^2
              - \big\lVert |r_\sigma \odot h_\sigma| - |t_\sigma| \big\rVert^2

    A normal distribution is symmetric about its mean, so the published form is the exact flow. It sees the main triple
    only: qualifiers are ignored.

    Args:
        num_entities: Entities of the vocabulary.
        num_relations: Relations of the vocabulary, without inverses.
        dim: Length of each part of a row.
        gamma: Score at distance zero.
        entities: The entity rows, of length ``2 * dim``, if they are not to be new ones.
        seed: Seed of the initialisation, uniform in (-0.1, 0.1).

    Raises:
        ShapeError: If a size is no whole number of at least 1, or ``gamma`` no finite number.
    """

    def encode(self, questions: Questions) -> tuple[Tensor, Tensor | None]:
        """Means and scales of the heads carried along, ``[B, 2 * dim]``, and a bias ``[B]``."""
        (mu, sigma), (shift, scale) = self.entity_rows(questions.entity), self.relation_rows(questions.relation)
        return distance_query(torch.cat([scale * mu + shift, (scale * sigma).abs()], 1), self.gamma)

    def answers(self, *parts: Tensor) -> tuple[Tensor, Tensor]:
        """Means and scales, ``[n, 2 * dim]``, and biases ``[n]``."""
        mu, sigma = parts
        return distance_candidates(torch.cat([mu, sigma.abs()], 1))


class NFEMu(_Flows):
    r"""NFE without uncertainty, an ablation of the paper: means and affine flows only; with reciprocal relations.

    .. math:: s(h, r, t) = \gamma - \lVert r_\sigma \odot h_\mu + r_\mu - t_\mu \rVert^2

    The paper's second ablation of this kind, without :math:`r_\sigma`, is :class:`~relgraph.kge.TransE`. Arguments and
    errors are those of :class:`NFE1`; entity rows have length ``dim``.
    """

    entity_parts = 1

    def encode(self, questions: Questions) -> tuple[Tensor, Tensor | None]:
        """Means of the heads carried along, ``[B, dim]``, and a bias ``[B]``."""
        (mu,), (shift, scale) = self.entity_rows(questions.entity), self.relation_rows(questions.relation)
        return distance_query(scale * mu + shift, self.gamma)

    def answers(self, *parts: Tensor) -> tuple[Tensor, Tensor]:
        """Means, ``[n, dim]``, and biases ``[n]``."""
        return distance_candidates(*parts)


class NFESigma(_Flows):
    r"""NFE with uncertainty alone, an ablation of the paper: scales and their factors only; with reciprocal relations.

    .. math:: s(h, r, t) = \gamma - \big\lVert |r_\sigma \odot h_\sigma| - |t_\sigma| \big\rVert^2

    Arguments and errors are those of :class:`NFE1`; entity and relation rows have length ``dim``.
    """

    entity_parts = 1
    relation_parts = 1

    def encode(self, questions: Questions) -> tuple[Tensor, Tensor | None]:
        """Scales of the heads carried along, ``[B, dim]``, and a bias ``[B]``."""
        (sigma,), (scale,) = self.entity_rows(questions.entity), self.relation_rows(questions.relation)
        return distance_query((scale * sigma).abs(), self.gamma)

    def answers(self, *parts: Tensor) -> tuple[Tensor, Tensor]:
        """Scales, ``[n, dim]``, and biases ``[n]``."""
        (sigma,) = parts
        return distance_candidates(sigma.abs())


class NFE2(_Flows):
    r"""NFE-2: distributions made by a flow of two linear pieces, squared 2-Wasserstein distance.

    An entity has a scale for each half of the line, rows :math:`[\mu; \sigma_1; \sigma_2]`; relation rows are
    :math:`[r_\mu; r_\sigma]`. With :math:`u = r_\sigma h_\mu + r_\mu - t_\mu`, :math:`v_i = |r_\sigma h_{\sigma_i}| -
    |t_{\sigma_i}|` and :math:`c = \sqrt{2 / \pi}`,

    .. math:: s(h, r, t) = \gamma - \sum_j u^2 + \tfrac12 v_1^2 + \tfrac12 v_2^2 + c\, u (v_2 - v_1)

    The summand is :math:`(1 - c^2) u^2 + \frac12 (v_1 - c u)^2 + \frac12 (v_2 + c u)^2`, the squared distance of points
    :math:`[\sqrt{1 - c^2} \mu; (\sigma_1 - c \mu) / \sqrt 2; (\sigma_2 + c \mu) / \sqrt 2]`, and so a matrix product.

    As published, :math:`|\cdot|` forgets that a negative :math:`r_\sigma` turns the line around: the exact flow would
    also swap :math:`\sigma_1` and :math:`\sigma_2` there. Inverses are reciprocal relations; qualifiers are ignored.
    Arguments and errors are those of :class:`NFE1`; entity rows have length ``3 * dim``.
    """

    entity_parts = 3

    def encode(self, questions: Questions) -> tuple[Tensor, Tensor | None]:
        """The points of the heads carried along, ``[B, 3 * dim]``, and a bias ``[B]``."""
        mu, below, above = self.entity_rows(questions.entity)
        shift, scale = self.relation_rows(questions.relation)
        return distance_query(_two_piece_point(scale * mu + shift, scale * below, scale * above), self.gamma)

    def answers(self, *parts: Tensor) -> tuple[Tensor, Tensor]:
        """Points of the distributions, ``[n, 3 * dim]``, and biases ``[n]``."""
        return distance_candidates(_two_piece_point(*parts))


class NFE3(_Flows):
    r"""NFE-3: normal distributions, affine flows, Kullback-Leibler divergence; with reciprocal relations.

    With entity rows :math:`[\mu; \sigma]`, relation rows :math:`[r_\mu; r_\sigma]` and, per coordinate,
    :math:`m = r_\sigma h_\mu + r_\mu`, :math:`s = \mathrm{softplus}(r_\sigma)\, \mathrm{softplus}(h_\sigma)` and
    :math:`\tau = \mathrm{softplus}(t_\sigma)`,

    .. math:: s(h, r, t) = \gamma - \sum_j \mathrm{KL}\big(N(m, s^2) \,\|\, N(t_\mu, \tau^2)\big)
        = \gamma - \sum_j \log \frac{\tau}{s} + \frac{s^2 + (m - t_\mu)^2}{2 \tau^2} - \frac12

    As published, the flow scales the mean by the raw :math:`r_\sigma` and the deviation by its softplus; the exact flow
    would scale both by one number. Qualifiers are ignored. Arguments and errors are those of :class:`NFE1`; entity rows
    have length ``2 * dim``.
    """

    alpha = -1.0

    def encode(self, questions: Questions) -> tuple[Tensor, Tensor | None]:
        """What the heads carried along add to the divergence, ``[B, 2 * dim]``, and a bias ``[B]``."""
        (mu, sigma), (shift, scale) = self.entity_rows(questions.entity), self.relation_rows(questions.relation)
        mean, deviation = scale * mu + shift, F.softplus(scale) * F.softplus(sigma)
        query = torch.cat([(deviation.square() + mean.square()) / 2, -mean], 1)
        return query, self.gamma + (deviation.log() + 0.5).sum(1)

    def answers(self, *parts: Tensor) -> tuple[Tensor, Tensor]:
        """Inverse variances, and means over variances, ``[n, 2 * dim]``, and biases ``[n]``."""
        mean, sigma = parts
        deviation = F.softplus(sigma)
        precision = deviation.square().reciprocal()
        bias = -(deviation.log() + mean.square() * precision / 2).sum(1)
        return torch.cat([precision, mean * precision], 1), bias


def _two_piece_point(mu: Tensor, below: Tensor, above: Tensor) -> Tensor:
    """Points whose squared distance is that of NFE-2."""
    drift = math.sqrt(2 / math.pi) * mu
    flat = math.sqrt(1 - 2 / math.pi) * mu
    return torch.cat([flat, (below.abs() - drift) / math.sqrt(2), (above.abs() + drift) / math.sqrt(2)], 1)
