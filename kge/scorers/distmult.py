"""DistMult: one weight per coordinate and relation."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from relgraph.kge.embeddings import Embeddings, as_embeddings, require_positive
from relgraph.kge.layers.dropout import Dropout
from relgraph.kge.questions import Questions
from relgraph.kge.scorers.base import Scorer, require_share

__all__ = ["DistMult"]


class DistMult(Scorer):
    r"""DistMult with reciprocal relations (Yang et al. 2015, "Embedding Entities and Relations", section 3.1).

    .. math:: s(h, r, t) = \sum_j \mathrm{dropout}(e_h \odot w_r)_j \, (e_t)_j

    The published score is symmetric in head and tail; here the inverse has a row of its own, and the symmetry holds
    within each of the two directions. It sees the main triple only: qualifiers are ignored.

    Args:
        num_entities: Entities of the vocabulary.
        num_relations: Relations of the vocabulary, without inverses.
        dim: Length ``K`` of the rows.
        dropout: Share of a query's coordinates that training drops, in ``[0, 1)``.
        entities: The entity rows, if they are not to be new ones.
        seed: Seed of the Xavier normal initialisation.

    Raises:
        ShapeError: If a size is no whole number of at least 1, or ``dropout`` is outside ``[0, 1)``.
    """

    def __init__(
        self,
        num_entities: int,
        num_relations: int,
        *,
        dim: int = 200,
        dropout: float = 0.0,
        entities: Embeddings | Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(num_entities, num_relations, dim=dim, dropout=dropout, entities=entities, seed=seed)
        require_positive(dim=dim)
        require_share(dropout=dropout)
        start = partial(nn.init.xavier_normal_, generator=torch.Generator().manual_seed(seed))
        self.entity = as_embeddings(entities, num_entities, dim, "entities", start)
        self.relation = nn.Parameter(start(torch.empty(2 * num_relations, dim)))
        self.dropout = Dropout(dropout)

    def encode(self, questions: Questions) -> tuple[Tensor, Tensor | None]:
        """Queries for the tails of ``(entity, relation, ?)``, ``[B, dim]``, without a bias."""
        return self.dropout(self.entity(questions.entity) * self.relation[questions.relation]), None

    def candidates(self) -> tuple[Tensor, Tensor | None]:
        """The entity rows, ``[N, dim]``, without a bias."""
        return self.entity.table(), None

    def candidates_at(self, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """Some entity rows, ``[n, dim]``, without a bias."""
        return self.entity(index), None
