"""TransE: a relation is a step from head to tail."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
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

__all__ = ["TransE"]


class TransE(Scorer):
    r"""TransE (Bordes et al. 2013, NeurIPS, "Translating Embeddings", section 2) with reciprocal relations.

    .. math:: s(h, r, t) = \gamma - \lVert e_h + w_r - e_t \rVert_2^2

    The paper leaves the norm open (L1 or L2); this is the squared L2 distance, which is a matrix product with biases.
    Entities are not held to length 1: the loss here has all entities as negatives, so growing rows win nothing. The
    inverse has a step of its own. It sees the main triple only: qualifiers are ignored.

    Args:
        num_entities: Entities of the vocabulary.
        num_relations: Relations of the vocabulary, without inverses.
        dim: Length of the rows.
        gamma: Score at distance zero.
        entities: The entity rows, if they are not to be new ones.
        seed: Seed of the initialisation, uniform within :math:`6 / \sqrt{dim}` of zero.

    Raises:
        ShapeError: If a size is no whole number of at least 1, or ``gamma`` no finite number.
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
        require_number(gamma=gamma)
        self.gamma = gamma
        reach = 6 / dim**0.5
        start = partial(nn.init.uniform_, a=-reach, b=reach, generator=torch.Generator().manual_seed(seed))
        self.entity = as_embeddings(entities, num_entities, dim, "entities", start)
        self.relation = nn.Parameter(start(torch.empty(2 * num_relations, dim)))

    def encode(self, questions: Questions) -> tuple[Tensor, Tensor | None]:
        """Where the step from the entity leads, ``[B, dim]``, and a bias ``[B]``."""
        step = accurate(self.relation[questions.relation])
        return distance_query(accurate_rows(self.entity, questions.entity) + step, self.gamma)

    def candidates(self) -> tuple[Tensor, Tensor | None]:
        """The entity rows, ``[N, dim]``, and biases ``[N]``."""
        return distance_candidates(accurate_rows(self.entity))

    def candidates_at(self, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """Some entity rows, ``[n, dim]``, and biases ``[n]``."""
        return distance_candidates(accurate_rows(self.entity, index))
