"""ComplEx: DistMult in complex numbers, where a relation may also turn."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from relgraph.kge.embeddings import Embeddings, as_embeddings, require_positive
from relgraph.kge.layers.dropout import Dropout
from relgraph.kge.layers.moduli import moduli
from relgraph.kge.questions import Questions
from relgraph.kge.scorers.base import Scorer, require_share

__all__ = ["ComplEx"]


class ComplEx(Scorer):
    r"""ComplEx (Trouillon et al. 2016, ICML, arXiv 1606.06357, equation 9) with reciprocal relations.

    .. math:: s(h, r, t) = \mathrm{Re} \sum_j (e_h)_j (w_r)_j \overline{(e_t)_j}

    Rows hold the real parts, then the imaginary ones, so they have ``2 * dim`` numbers. The published scorer has one
    row per relation for both directions; here the inverse has its own (Lacroix et al. 2018, arXiv 1806.07297). It sees
    the main triple only: qualifiers are ignored.

    Args:
        num_entities: Entities of the vocabulary.
        num_relations: Relations of the vocabulary, without inverses.
        dim: Complex coordinates of a row.
        dropout: Share of a query's numbers that training drops, in ``[0, 1)``.
        entities: The entity rows, of length ``2 * dim``, if they are not to be new ones.
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
        self.entity = as_embeddings(entities, num_entities, 2 * dim, "entities", start)
        self.relation = nn.Parameter(start(torch.empty(2 * num_relations, 2 * dim)))
        self.dropout = Dropout(dropout)

    def encode(self, questions: Questions) -> tuple[Tensor, Tensor | None]:
        """Queries for the tails of ``(entity, relation, ?)``, ``[B, 2 * dim]``, without a bias."""
        real, imaginary = self.entity(questions.entity).chunk(2, 1)
        turn_real, turn_imaginary = self.relation[questions.relation].chunk(2, 1)
        parts = [real * turn_real - imaginary * turn_imaginary, real * turn_imaginary + imaginary * turn_real]
        return self.dropout(torch.cat(parts, 1)), None

    def candidates(self) -> tuple[Tensor, Tensor | None]:
        """The entity rows, ``[N, 2 * dim]``, without a bias."""
        return self.entity.table(), None

    def candidates_at(self, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """Some entity rows, ``[n, 2 * dim]``, without a bias."""
        return self.entity(index), None

    def factors(self, questions: Questions, answer: Tensor) -> tuple[Tensor, ...]:
        """The moduli of the three rows of each statement, each ``[B, dim]``."""
        return tuple(moduli(row) for row in super().factors(questions, answer))
