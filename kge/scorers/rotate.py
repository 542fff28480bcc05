"""RotatE: a relation is a rotation of every complex coordinate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from relgraph.kge.embeddings import Embeddings, as_embeddings, require_positive
from relgraph.kge.layers.moduli import moduli
from relgraph.kge.questions import Questions
from relgraph.kge.scorers.base import Scorer
from relgraph.kge.scorers.distance import (
    accurate,
    accurate_rows,
    distance_candidates,
    distance_query,
    require_number,
)

__all__ = ["RotatE"]


class RotatE(Scorer):
    r"""RotatE (Sun et al. 2019, ICLR, arXiv 1902.10197, equation 4) with squared moduli and reciprocal relations.

    .. math:: s(h, r, t) = \gamma - \sum_j \big| (e_h)_j\, e^{i (\theta_r)_j} - (e_t)_j \big|^2

    The published distance sums the moduli themselves; their squares make it a matrix product with biases. Entity rows
    hold the real parts, then the imaginary ones, so they have ``2 * dim`` numbers. The inverse has phases of its own.
    It sees the main triple only: qualifiers are ignored.

    Args:
        num_entities: Entities of the vocabulary.
        num_relations: Relations of the vocabulary, without inverses.
        dim: Complex coordinates of a row.
        gamma: Score at distance zero, at least 0.
        entities: The entity rows, of length ``2 * dim``, if they are not to be new ones.
        seed: Seed of the initialisation: phases uniform in :math:`(-\pi, \pi)`, rows uniform within
            :math:`\sqrt{(\gamma + 2) / dim}` of zero, the published :math:`(\gamma + 2) / dim` for squares.

    Raises:
        ShapeError: If a size is no whole number of at least 1, or ``gamma`` no finite number of at least 0.
    """

    alpha = 2.0

    def __init__(
        self,
        num_entities: int,
        num_relations: int,
        *,
        dim: int = 200,
        gamma: float = 9.0,
        entities: Embeddings | Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(num_entities, num_relations, dim=dim, gamma=gamma, entities=entities, seed=seed)
        require_positive(dim=dim)
        require_number(gamma=gamma, at_least=0.0)
        self.gamma = gamma
        generator = torch.Generator().manual_seed(seed)
        reach = math.sqrt((gamma + 2) / dim)
        start = partial(nn.init.uniform_, a=-reach, b=reach, generator=generator)
        self.entity = as_embeddings(entities, num_entities, 2 * dim, "entities", start)
        phase = torch.empty(2 * num_relations, dim)
        self.phase = nn.Parameter(nn.init.uniform_(phase, -math.pi, math.pi, generator=generator))

    def encode(self, questions: Questions) -> tuple[Tensor, Tensor | None]:
        """The rotated rows of the entities, ``[B, 2 * dim]``, and a bias ``[B]``."""
        real, imaginary = accurate_rows(self.entity, questions.entity).chunk(2, 1)
        phase = accurate(self.phase[questions.relation])
        cos, sin = phase.cos(), phase.sin()
        return distance_query(torch.cat([real * cos - imaginary * sin, real * sin + imaginary * cos], 1), self.gamma)

    def candidates(self) -> tuple[Tensor, Tensor | None]:
        """The entity rows, ``[N, 2 * dim]``, and biases ``[N]``."""
        return distance_candidates(accurate_rows(self.entity))

    def candidates_at(self, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """Some entity rows, ``[n, 2 * dim]``, and biases ``[n]``."""
        return distance_candidates(accurate_rows(self.entity, index))

    def factors(self, questions: Questions, answer: Tensor) -> tuple[Tensor, ...]:
        """The moduli of the rows of entity and answer, each ``[B, dim]``; those of a rotation are all 1."""
        return tuple(moduli(row) for row in super().factors(questions, answer))
