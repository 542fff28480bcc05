"""LowFER: low-rank factorised bilinear pooling of entity and relation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from relgraph.kge.embeddings import Embeddings, as_embeddings, require_positive
from relgraph.kge.layers.dropout import Dropout
from relgraph.kge.layers.norm import BatchNorm
from relgraph.kge.questions import Questions
from relgraph.kge.scorers.base import Scorer, require_share
from relgraph.ops.pooled_product import pooled_product

__all__ = ["LowFER"]

_TABLE_BYTES = 2**29


class LowFER(Scorer):
    r"""LowFER (Amin et al. 2020, ICML, arXiv 2008.10858) with reciprocal relations.

    With rows :math:`E_h` (``dim``) and :math:`R_r` (``relation_dim``), and :math:`U` and :math:`V` of ``rank * dim``
    columns, the score is :math:`z \cdot E_t` with

    .. math:: e = D_{in}(BN_0(E_h)), \quad x = D_1((e U) \odot (R_r V)), \quad z_j = \sum_{i=0}^{k-1} x_{jk + i},

    .. math:: z \leftarrow \mathrm{sign}(z) \sqrt{|z| + 10^{-12}}, \quad z \leftarrow z / \lVert z \rVert_2, \quad
              z \leftarrow D_2(BN_1(z))

    ``normalize=False`` leaves out both batch norms and both normalisations, which is the bilinear form of the paper's
    theory: with fixed :math:`U` and :math:`V` it equals DistMult, ComplEx, SimplE, RESCAL and TuckER (section 4).
    It sees the main triple only: qualifiers are ignored. A training batch of one row has no statistics of its own, so
    the batch norms use their running ones for it.

    In evaluation mode and without gradients :math:`R V` is computed once and kept until a parameter changes,
    ``train()`` is called or the scorer moves (writing through ``.data`` is not noticed): ``2 R * rank * dim`` numbers,
    38 MB for FB15k-237 as published. What would take more than 512 MB is computed batch by batch, as in training.

    Args:
        num_entities: Entities of the vocabulary.
        num_relations: Relations of the vocabulary, without inverses.
        dim: Length of the entity rows.
        relation_dim: Length of the relation rows; ``dim`` by default.
        rank: Neighbours in one sum, ``k``.
        input_dropout: :math:`D_{in}`.
        product_dropout: :math:`D_1`.
        output_dropout: :math:`D_2`.
        normalize: Whether batch norms, power and L2 normalisation are there.
        entities: The entity rows, if they are not to be new ones.
        seed: Seed of the initialisation: rows Xavier normal, ``U`` and ``V`` uniform in (-1, 1).

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
        rank: int = 30,
        input_dropout: float = 0.3,
        product_dropout: float = 0.4,
        output_dropout: float = 0.5,
        normalize: bool = True,
        entities: Embeddings | Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        relation_dim = dim if relation_dim is None else relation_dim
        super().__init__(
            num_entities,
            num_relations,
            dim=dim,
            relation_dim=relation_dim,
            rank=rank,
            input_dropout=input_dropout,
            product_dropout=product_dropout,
            output_dropout=output_dropout,
            normalize=normalize,
            entities=entities,
            seed=seed,
        )
        require_positive(dim=dim, relation_dim=relation_dim, rank=rank)
        require_share(input_dropout=input_dropout, product_dropout=product_dropout, output_dropout=output_dropout)
        self.rank = rank
        generator = torch.Generator().manual_seed(seed)
        start = partial(nn.init.xavier_normal_, generator=generator)
        self.entity = as_embeddings(entities, num_entities, dim, "entities", start)
        self.relation = nn.Parameter(start(torch.empty(2 * num_relations, relation_dim)))
        self.U = nn.Parameter(torch.empty(dim, rank * dim).uniform_(-1, 1, generator=generator))
        self.V = nn.Parameter(torch.empty(relation_dim, rank * dim).uniform_(-1, 1, generator=generator))
        self.input_norm = BatchNorm(dim) if normalize else nn.Identity()
        self.output_norm = BatchNorm(dim) if normalize else nn.Identity()
        self.normalize = normalize
        self.input_dropout = Dropout(input_dropout)
        self.product_dropout = Dropout(product_dropout)
        self.output_dropout = Dropout(output_dropout)
        self._table: _Table | None = None

    def encode(self, questions: Questions) -> tuple[Tensor, Tensor | None]:
        """Queries for the tails of ``(entity, relation, ?)``, ``[B, dim]``, without a bias."""
        left = self.input_dropout(self.input_norm(self.entity(questions.entity))) @ self.U  # [B, rank * dim]
        factors, place = self._relation_factors(questions.relation)
        z = pooled_product(left, factors, place, self.rank, p=self.product_dropout.p if self.training else 0.0)
        if self.normalize:
            z = F.normalize(z.sign() * (z.abs() + 1e-12).sqrt(), dim=1)
        return self.output_dropout(self.output_norm(z)), None

    def candidates(self) -> tuple[Tensor, Tensor | None]:
        """The entity rows, ``[N, dim]``, without a bias."""
        return self.entity.table(), None

    def candidates_at(self, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """Some entity rows, ``[n, dim]``, without a bias."""
        return self.entity(index), None

    def train(self, mode: bool = True) -> LowFER:
        """Switch to training or evaluation; the table of :math:`R V` is dropped."""
        self._table = None
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> LowFER:
        self._table = None
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def _relation_factors(self, relation: Tensor) -> tuple[Tensor, Tensor]:
        """A table with ``R V`` of the relations in use, and the row of each; every one is multiplied once."""
        num_bytes = len(self.relation) * self.V.shape[1] * self.V.element_size()
        if not (self.training or torch.is_grad_enabled() or self.V.is_inference() or num_bytes > _TABLE_BYTES):
            return self._relation_table(), relation
        distinct, place = torch.unique(relation, return_inverse=True)
        return self.relation[distinct] @ self.V, place

    def _relation_table(self) -> Tensor:
        """``R V``, ``[2R, rank * dim]``, made anew if a parameter changed in place or was replaced."""
        made_of = ((self.relation, self.relation._version), (self.V, self.V._version))
        if self._table is None or not self._table.is_of(made_of):
            with torch.autocast(self.V.device.type, enabled=False):
                self._table = _Table(self.relation @ self.V, made_of)
        return self._table.value


class _Table(NamedTuple):
    """``R V`` and the versions of the parameters that it is the product of."""

    value: Tensor
    made_of: tuple[tuple[Tensor, int], ...]

    def is_of(self, made_of: tuple[tuple[Tensor, int], ...]) -> bool:
        return all(a is b and m == n for (a, m), (b, n) in zip(self.made_of, made_of, strict=True))
