"""HyperFormer: a transformer over a statement and its qualifiers, with experts, neighbours and a convolution."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from relgraph.data.statements import Qualifiers, Statements
from relgraph.errors import ProtocolError, ShapeError
from relgraph.kge.embeddings import Embeddings, as_embeddings, require_positive
from relgraph.kge.facts import Facts
from relgraph.kge.layers.dropout import Dropout
from relgraph.kge.layers.interaction import GatedFusion, Interaction
from relgraph.kge.layers.sequences import ENTITY_ROLES, RELATION_ROLES, Sequences, interleave, read_in_groups
from relgraph.kge.layers.transformer import TransformerEncoder
from relgraph.kge.questions import MISSING, Questions
from relgraph.kge.scorers.base import Scorer, Term, require_share
from relgraph.ops.tiles import Csr
from relgraph.training.state import isolated_rng

__all__ = ["HyperFormer"]


class HyperFormer(Scorer):
    r"""HyperFormer (Hu et al. 2023, CIKM, arXiv 2308.06512) with reciprocal relations.

    A question is the sequence ``entity, relation, MASK, (qualifier relation, qualifier value)*``; where the value of a
    qualifier is asked for, the tail stands in its place and MASK is that value. With rows :math:`E` and :math:`R`, one
    layer norm for both, and the encoder (pre-LN, experts as feed-forward part, :mod:`relgraph.kge.layers`) the plain
    query is its output at MASK,

    .. math:: x = D_{input}([D_{entity}(LN(E_h)), LN(R_r), m, LN(R_{q}), D_{entity}(LN(E_v)), \dots]), \quad
              s = \mathrm{encoder}(x)_{MASK} \cdot E_t + b_t

    Three modules help it to learn. The *neighbour aggregator* takes ``neighbors`` facts about the entity, each as a
    question whose answer that entity is, and is the mean :math:`u` of their plain queries. The *qualifier aggregator*
    is the mean :math:`v` of :math:`LN(R_q) \odot D_{entity}(LN(E_v))` over the qualifiers. :math:`u`, the encoder's
    output :math:`w` at the relation, and :math:`v` change each other in pairs by
    :class:`~relgraph.kge.layers.interaction.Interaction`, the two results of :math:`u` and those of :math:`v` are each
    fused by a gate, and in the *mixed* pass the first token is its mean with the new :math:`u`, the second with the new
    :math:`v`. Training adds up the loss of the plain query, that of the mixed one and half the mean one of the
    neighbours' questions.

    The published evaluation runs the plain pass alone; ``inference="full"`` adds the mixed query to the plain one, as
    the published training does for its own ranks. Deviations:

    - Each candidate has a bias, which starts at :math:`-\log N`. Without it (``bias=False``, as published) binary
      cross-entropy pushes all rows, which start small, in one direction, and the layer norm then sees equal entities.
    - Any number of qualifiers, and their mean over all of them, where six were drawn.
    - Facts are drawn without replacement, and the statement that is asked about is none of them. An entity without
      facts has one neighbour ``entity, NONE, MASK``, which is left out of the neighbours' loss.

    The defaults are the paper's, for a GPU; with 256 questions in a batch, AdamW, learning rate 6e-4, cross-entropy
    with smoothing 0.9 of 100 epochs. On a CPU, ``dim=128, layers=2, heads=4, hidden=256, experts=0, neighbors=0,
    input_dropout=0.2, entity_dropout=0.2`` is a plain transformer that learns in minutes.

    Args:
        num_entities: Entities of the vocabulary.
        num_relations: Relations of the vocabulary, without inverses.
        dim: Length of all vectors.
        layers: Layers of the encoder.
        heads: Heads of its attention.
        hidden: Hidden units of each expert.
        experts: Experts of each layer; 0 or 1 for one dense network.
        top: Experts that each token asks.
        neighbors: Facts about the entity in training; 0 leaves the three modules out.
        neighbor_qualifiers: Qualifiers of such a fact at most.
        channels: Filters of the convolution.
        kernel: Side of a filter.
        inference: ``"published"``, the plain query alone, or ``"full"``, both.
        bias: Whether each candidate has a bias.
        row_range: Rows start uniform between its negative and itself; the larger the learning rate, the larger.
        roles: Whether each token also says where it stands; without, a head and the value of a qualifier cannot be
            told apart.
        max_qualifiers: Refuse statements with more; any number by default.
        input_dropout: Of the whole sequence.
        entity_dropout: Of entities in it.
        attention_dropout: Of attention weights.
        hidden_dropout: Of the experts' hidden units and outputs.
        neighbor_dropout: Of :math:`u`.
        qualifier_dropout: Of :math:`v`.
        conv_dropout: Of the grid, of filters, and of what comes out.
        entities: The entity rows, if they are not to be new ones.
        seed: Seed of the initialisation: layers start as in PyTorch.

    Raises:
        ShapeError: If a size is no whole number of at least 1, a share is outside ``[0, 1)``, or sizes do not fit.
        ProtocolError: If ``inference`` is unknown, or needs the modules and there are none.
    """

    reads_qualifiers = True

    def __init__(
        self,
        num_entities: int,
        num_relations: int,
        *,
        dim: int = 400,
        layers: int = 8,
        heads: int = 2,
        hidden: int = 1024,
        experts: int = 64,
        top: int = 2,
        neighbors: int = 3,
        neighbor_qualifiers: int = 2,
        channels: int = 96,
        kernel: int = 9,
        inference: Literal["published", "full"] = "published",
        bias: bool = True,
        row_range: float = 0.02,
        roles: bool = False,
        max_qualifiers: int | None = None,
        input_dropout: float = 0.7,
        entity_dropout: float = 0.3,
        attention_dropout: float = 0.1,
        hidden_dropout: float = 0.1,
        neighbor_dropout: float = 0.1,
        qualifier_dropout: float = 0.3,
        conv_dropout: tuple[float, float, float] = (0.2, 0.5, 0.5),
        entities: Embeddings | Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        arguments = {k: x for k, x in locals().items() if k not in ("self", "__class__")}
        if not isinstance(conv_dropout, list | tuple) or len(conv_dropout) != 3:
            raise ShapeError(f"conv_dropout: expected three shares in [0, 1), got {conv_dropout!r}")
        super().__init__(**(arguments | {"conv_dropout": list(conv_dropout)}))
        require_positive(dim=dim, layers=layers, heads=heads, hidden=hidden, top=top, channels=channels, kernel=kernel)
        require_share(
            input_dropout=input_dropout,
            entity_dropout=entity_dropout,
            attention_dropout=attention_dropout,
            hidden_dropout=hidden_dropout,
            neighbor_dropout=neighbor_dropout,
            qualifier_dropout=qualifier_dropout,
            **{f"conv_dropout[{i}]": share for i, share in enumerate(conv_dropout)},
        )
        _require_counts(experts=experts, neighbors=neighbors, neighbor_qualifiers=neighbor_qualifiers)
        if max_qualifiers is not None:
            _require_counts(max_qualifiers=max_qualifiers)
        if not isinstance(row_range, int | float) or not 0 < row_range < math.inf:
            raise ShapeError(f"row_range: expected a number above 0, got {row_range!r}")
        if inference not in ("published", "full"):
            raise ProtocolError(f"inference: expected 'published' or 'full', got {inference!r}")
        if inference == "full" and not neighbors:
            raise ProtocolError(
                "inference='full' needs the neighbours' modules: expected neighbors of at least 1, got 0"
            )
        self.neighbors, self.neighbor_qualifiers = neighbors, neighbor_qualifiers
        self.inference, self.max_qualifiers = inference, max_qualifiers
        with isolated_rng(torch.device("cpu"), seed):
            start = partial(nn.init.uniform_, a=-row_range, b=row_range)
            self.entity = as_embeddings(entities, num_entities, dim, "entities", start)
            # the last row is the relation of an entity without facts
            self.relation = nn.Parameter(start(torch.empty(2 * num_relations + bool(neighbors), dim)))
            self.mask = nn.Parameter(start(torch.empty(1, dim)))
            self.bias = nn.Parameter(torch.full((num_entities,), -math.log(num_entities))) if bias else None
            self.entity_roles = nn.Parameter(start(torch.empty(len(ENTITY_ROLES), dim))) if roles else None
            self.relation_roles = nn.Parameter(start(torch.empty(len(RELATION_ROLES), dim))) if roles else None
            self.norm = nn.LayerNorm(dim)
            self.encoder = TransformerEncoder(
                dim,
                layers,
                heads,
                hidden,
                experts=experts,
                top=top,
                attention_dropout=attention_dropout,
                dropout=hidden_dropout,
            )
            self.entity_dropout, self.input_dropout = Dropout(entity_dropout), Dropout(input_dropout)
            if neighbors:
                self.facts = Facts(num_entities, num_relations)
                self.no_qualifier = nn.Parameter(start(torch.empty(1, dim)))
                self.interaction = Interaction(dim, channels, kernel, conv_dropout)
                self.fusion = GatedFusion(dim)
                self.neighbor_dropout = Dropout(neighbor_dropout)
                self.qualifier_dropout = Dropout(qualifier_dropout)

    def learn_from(self, train: Statements) -> None:
        """Keep the facts that neighbours are drawn from.

        Raises:
            ProtocolError: If a statement has more than ``max_qualifiers``.
        """
        self._require_few(train.qualifiers)
        if self.neighbors:
            self.facts.learn(train, self.mask.device)

    def encode(self, questions: Questions) -> tuple[Tensor, Tensor | None]:
        """Queries for what is missing in each statement, ``[B, dim]``, without a bias.

        Raises:
            ProtocolError: If a statement has more than ``max_qualifiers``.
        """
        self._require_few(questions.qualifiers)
        plain, relation = self._read(questions)
        if self.inference == "published":
            return plain, None
        neighbor, _, _ = self._neighbors(questions)
        return plain + self._mixed(questions, neighbor, relation), None

    def candidates(self) -> tuple[Tensor, Tensor | None]:
        """The entity rows, ``[N, dim]``, and their bias ``[N]``, or ``None``."""
        return self.entity.table(), self.bias

    def training_terms(self, questions: Questions, answers: Csr) -> list[Term]:
        """The plain queries, the mixed ones, and the neighbours' with weight 0.5."""
        self._require_few(questions.qualifiers)
        plain, relation = self._read(questions)
        if not self.neighbors:
            return [Term(plain, None, answers)]
        neighbor, found, owner = self._neighbors(questions)
        mixed = self._mixed(questions, neighbor, relation)
        known = torch.arange(len(owner) + 1, device=owner.device), questions.entity[owner]
        return [Term(plain, None, answers), Term(mixed, None, answers), Term(found, None, known, 0.5)]

    def _read(self, questions: Questions, change: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """The encoder's outputs where the answer is missing and at the relation, ``[B, dim]`` each.

        ``change`` are vectors that the first and the second token are averaged with.
        """
        numbers, local = questions.renumbered()
        rows = self.entity(numbers)  # once, so that the gradient of the table is made once

        def read(group: Tensor, sequences: Sequences) -> Tensor:
            tokens = self._tokens(sequences, rows)
            if change is not None:
                first, second = (x[group, None] for x in change)
                tokens = torch.cat([(tokens[:, :1] + first) / 2, (tokens[:, 1:2] + second) / 2, tokens[:, 2:]], 1)
            out = self.encoder(self.input_dropout(tokens), sequences.real)
            return torch.stack([out[torch.arange(len(group), device=group.device), sequences.asked], out[:, 1]], 1)

        answer, relation = read_in_groups(local, read).unbind(1)
        return answer, relation

    def _tokens(self, sequences: Sequences, rows: Tensor) -> Tensor:
        missing = sequences.entity == MISSING
        known = self._entity_tokens(F.embedding(sequences.entity.clamp(min=0), rows))
        entity = torch.where(missing[..., None], self.mask, known)
        relation = self.norm(F.embedding(sequences.relation, self.relation))
        if self.entity_roles is not None and self.relation_roles is not None:
            entity_role, relation_role = sequences.roles
            entity, relation = entity + self.entity_roles[entity_role], relation + self.relation_roles[relation_role]
        return interleave(entity, relation)

    def _entity_tokens(self, rows: Tensor) -> Tensor:
        tokens: Tensor = self.entity_dropout(self.norm(rows))
        return tokens

    def _neighbors(self, questions: Questions) -> tuple[Tensor, Tensor, Tensor]:
        """What the neighbours say of each entity ``[B, dim]``, the queries of the facts ``[M, dim]``, and whose."""
        facts, owner = self.facts.around(questions, self.neighbors, self.neighbor_qualifiers, self.training)
        counts = torch.bincount(owner, minlength=len(questions))
        lonely = (counts == 0).nonzero().flatten()
        none = torch.full_like(lonely, 2 * self.num_relations)
        found, _ = self._read(Questions.cat([facts, Questions(questions.entity[lonely], none)]))
        mean = found.new_zeros(len(questions), found.shape[1]).index_add(0, torch.cat([owner, lonely]), found)
        return mean / counts.clamp(min=1)[:, None], found[: len(owner)], owner

    def _mixed(self, questions: Questions, neighbor: Tensor, relation: Tensor) -> Tensor:
        qualifier = self._qualifiers(questions)
        neighbor_by_relation, _ = self.interaction(neighbor, relation)
        neighbor_by_qualifier, qualifier_by_neighbor = self.interaction(neighbor, qualifier)
        _, qualifier_by_relation = self.interaction(relation, qualifier)
        neighbor = self.neighbor_dropout(self.fusion(neighbor_by_relation, neighbor_by_qualifier))
        qualifier = self.qualifier_dropout(self.fusion(qualifier_by_neighbor, qualifier_by_relation))
        return self._read(questions, (neighbor, qualifier))[0]

    def _qualifiers(self, questions: Questions) -> Tensor:
        """The mean of relation times value over the qualifiers of each question that have a value, ``[B, dim]``."""
        none = self.no_qualifier.expand(len(questions), -1)
        if questions.qualifiers is None:
            return none
        known = questions.qualifiers.entity != MISSING
        row = questions.qualifiers.statement[known]
        product = self.norm(self.relation[questions.qualifiers.relation[known]])
        product = product * self._entity_tokens(self.entity(questions.qualifiers.entity[known]))
        counts = torch.bincount(row, minlength=len(questions))[:, None]
        total = product.new_zeros(len(questions), product.shape[1]).index_add(0, row, product)
        return torch.where(counts > 0, total / counts.clamp(min=1), none)

    def _require_few(self, qualifiers: Qualifiers | None) -> None:
        if self.max_qualifiers is None or qualifiers is None or not len(qualifiers):
            return
        most = int(qualifiers.counts.max())
        if most > self.max_qualifiers:
            raise ProtocolError(
                f"expected at most {self.max_qualifiers} qualifiers in a statement (max_qualifiers), got {most} in "
                f"statement {int(qualifiers.counts.argmax())}; build the {type(self).__name__} with "
                "max_qualifiers=None to take them all"
            )


def _require_counts(**counts: int) -> None:
    for name, count in counts.items():
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise ShapeError(f"{name}: expected a whole number of at least 0, got {count!r}")
