"""TuckER: every relation mixes the slices of one core tensor into its own matrix."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from relgraph.kge.embeddings import Embeddings, as_embeddings, require_positive
from relgraph.kge.layers.dropout import Dropout
from relgraph.kge.layers.norm import BatchNorm
from relgraph.kge.questions import Questions
from relgraph.kge.scorers.base import Scorer, require_share

__all__ = ["TuckER"]


class TuckER(Scorer):
    r"""TuckER (Balazevic et al. 2019, EMNLP, arXiv 1901.09590, equation 2) with reciprocal relations.

    With the core :math:`W` (``relation_dim`` slices of ``dim x dim``), batch norms and dropouts as in the published
    code, the score is :math:`z \cdot e_t` with

    .. math:: e = D_{in}(BN_0(e_h)), \quad M = D_1\Big(\sum_a (w_r)_a W_a\Big), \quad z = D_2(BN_1(e M))

    It sees the main triple only: qualifiers are ignored. A batch holds one matrix :math:`M` per question,
    ``B * dim * dim`` numbers: 82 MB for 512 questions of 200 dimensions in float32.

    Args:
        num_entities: Entities of the vocabulary.
        num_relations: Relations of the vocabulary, without inverses.
        dim: Length of the entity rows.
        relation_dim: Length of the relation rows; ``dim`` by default.
        input_dropout: :math:`D_{in}`.
        matrix_dropout: :math:`D_1`.
        output_dropout: :math:`D_2`.
        entities: The entity rows, if they are not to be new ones.
        seed: Seed of the initialisation: rows Xavier normal, the core uniform in (-1, 1).

    Raises:
        ShapeError: If a size is no whole number of at least 1, or a dropout is outside ``[0, 1)``.
    """

    def __init__(
        self,
        num_entities: int,
        num_relations: int,
        *,
        dim: int = 200,
        relation_dim: int | None = None,
        input_dropout: float = 0.3,
        matrix_dropout: float = 0.4,
        output_dropout: float = 0.5,
        entities: Embeddings | Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        relation_dim = dim if relation_dim is None else relation_dim
        super().__init__(
            num_entities,
            num_relations,
            dim=dim,
            relation_dim=relation_dim,
            input_dropout=input_dropout,
            matrix_dropout=matrix_dropout,
            output_dropout=output_dropout,
            entities=entities,
            seed=seed,
        )
        require_positive(dim=dim, relation_dim=relation_dim)
        require_share(input_dropout=input_dropout, matrix_dropout=matrix_dropout, output_dropout=output_dropout)
        generator = torch.Generator().manual_seed(seed)
        start = partial(nn.init.xavier_normal_, generator=generator)
        self.entity = as_embeddings(entities, num_entities, dim, "entities", start)
        self.relation = nn.Parameter(start(torch.empty(2 * num_relations, relation_dim)))
        self.core = nn.Parameter(torch.empty(relation_dim, dim, dim).uniform_(-1, 1, generator=generator))
        self.input_norm = BatchNorm(dim)
        self.output_norm = BatchNorm(dim)
        self.input_dropout = Dropout(input_dropout)
        self.matrix_dropout = Dropout(matrix_dropout)
        self.output_dropout = Dropout(output_dropout)

    def encode(self, questions: Questions) -> tuple[Tensor, Tensor | None]:
        """Queries for the tails of ``(entity, relation, ?)``, ``[B, dim]``, without a bias."""
        left = self.input_dropout(self.input_norm(self.entity(questions.entity)))
        distinct, place = torch.unique(questions.relation, return_inverse=True)
        matrix = torch.tensordot(self.relation[distinct], self.core, 1)[place]  # [B, dim, dim]
        z = torch.bmm(left[:, None], self.matrix_dropout(matrix))[:, 0]  # [B, dim]
        return self.output_dropout(self.output_norm(z)), None

    def candidates(self) -> tuple[Tensor, Tensor | None]:
        """The entity rows, ``[N, dim]``, without a bias."""
        return self.entity.table(), None

    def candidates_at(self, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """Some entity rows, ``[n, dim]``, without a bias."""
        return self.entity(index), None
