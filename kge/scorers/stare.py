"""StarE: message passing over the train statements, then a transformer over the statement that is asked about."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from relgraph.data.statements import Statements
from relgraph.kge.embeddings import Embeddings, as_embeddings, require_positive
from relgraph.kge.facts import Facts
from relgraph.kge.layers.dropout import Dropout
from relgraph.kge.layers.messages import Composition, StatementConv
from relgraph.kge.layers.sequences import Sequences, interleave, read_in_groups
from relgraph.kge.layers.transformer import TransformerEncoder
from relgraph.kge.questions import MISSING, Questions
from relgraph.kge.scorers.base import Scorer, require_share
from relgraph.training.state import isolated_rng

__all__ = ["StarE"]

_Tables = tuple[Tensor, Tensor]


class StarE(Scorer):
    r"""StarE (Galkin et al. 2020, EMNLP, arXiv 2009.10847) with reciprocal relations.

    ``layers`` of :class:`~relgraph.kge.layers.messages.StatementConv` over the train statements turn the rows of
    entities and relations into :math:`H` and :math:`P`; a transformer reads the sequence ``entity, relation, MASK,
    (qualifier relation, qualifier value)*`` made of these, and its output at MASK, times one more matrix, is the query:

    .. math:: s = \big(W\,\mathrm{transformer}([H_h, P_r, m, P_q, H_v, \dots] + \mathrm{place})_{MASK} + b\big)
              \cdot H_t

    This is the published variant with a mask for the object, since the value of a qualifier is asked for in the same
    way. Deviations: pre-LN layers, and any number of qualifiers: those from the ``places``-th on share its place.

    As published, the statements of a training batch stay in the graph that their own questions are answered from:
    candidates and questions are of one pass, whose cost is that of all statements, whatever the batch. So training
    scores are better than those of statements it has not seen; use validation to stop.

    In evaluation the pass is kept until a parameter changes. The defaults are the paper's, which trains with 128
    questions in a batch, Adam, learning rate 1e-4 and BCE with smoothing 0.1 for 400 epochs.

    Args:
        num_entities: Entities of the vocabulary.
        num_relations: Relations of the vocabulary, without inverses.
        dim: Length of all vectors.
        layers: Layers of message passing.
        composition: How entity and relation become a message: ``"rotate"``, ``"mult"`` or ``"ccorr"``.
        share: How much a relation counts beside its qualifiers in a message.
        transformer_layers: Layers of the transformer.
        heads: Heads of its attention.
        hidden: Hidden units of its feed-forward part.
        places: Qualifiers whose places in the sequence are told apart.
        message_dropout: Of messages.
        entity_dropout: Of the entities that come out of each layer.
        transformer_dropout: Of attention weights and hidden units.
        entities: The entity rows, if they are not to be new ones.
        seed: Seed of the initialisation: Xavier normal; relations of ``"rotate"`` start as rotations.

    Raises:
        ShapeError: If a size is no whole number of at least 1, a share is outside ``[0, 1)``, or sizes do not fit.
    """

    reads_qualifiers = True

    def __init__(
        self,
        num_entities: int,
        num_relations: int,
        *,
        dim: int = 200,
        layers: int = 2,
        composition: Composition = "rotate",
        share: float = 0.8,
        transformer_layers: int = 2,
        heads: int = 4,
        hidden: int = 512,
        places: int = 6,
        message_dropout: float = 0.1,
        entity_dropout: float = 0.3,
        transformer_dropout: float = 0.1,
        entities: Embeddings | Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(**{k: x for k, x in locals().items() if k not in ("self", "__class__")})
        require_positive(dim=dim, layers=layers, heads=heads, hidden=hidden, places=places)
        require_positive(transformer_layers=transformer_layers)
        require_share(
            share=share,
            message_dropout=message_dropout,
            entity_dropout=entity_dropout,
            transformer_dropout=transformer_dropout,
        )
        self.places = places
        self.facts = Facts(num_entities, num_relations)
        with isolated_rng(torch.device("cpu"), seed):
            start: Callable[[Tensor], Tensor] = nn.init.xavier_normal_
            self.entity = as_embeddings(entities, num_entities, dim, "entities", start)
            self.convs = nn.ModuleList(StatementConv(dim, composition, share, message_dropout) for _ in range(layers))
            rows = _rotations if composition == "rotate" else partial(_rows, start)
            self.relation = nn.Parameter(rows(num_relations, dim))
            self.mask = nn.Parameter(start(torch.empty(1, dim)))
            self.place = nn.Parameter(start(torch.empty(3 + 2 * places, dim)))
            self.transformer = TransformerEncoder(
                dim,
                transformer_layers,
                heads,
                hidden,
                attention_dropout=transformer_dropout,
                dropout=transformer_dropout,
            )
            self.linear = nn.Linear(dim, dim)
        self.entity_dropout = Dropout(entity_dropout)
        self._kept: tuple[list[int], _Tables] | None = None

    def learn_from(self, train: Statements) -> None:
        """Keep the statements that messages are passed along."""
        self.facts.learn(train, self.mask.device)
        self._kept = None

    def encode(self, questions: Questions) -> tuple[Tensor, Tensor | None]:
        """Queries for what is missing in each statement, ``[B, dim]``, without a bias."""
        entity, relation = self._tables()
        if self.training:
            self._kept = None  # the next step has a pass of its own

        def read(group: Tensor, sequences: Sequences) -> Tensor:
            known = torch.where((sequences.entity == MISSING)[..., None], self.mask, entity[sequences.entity])
            tokens = interleave(known, relation[sequences.relation])
            place = torch.arange(tokens.shape[1], device=tokens.device)
            last = len(self.place) - 2 + (place + 1) % 2  # of relations and of values
            out = self.transformer(tokens + self.place[torch.minimum(place, last)], sequences.real)
            answer: Tensor = out[torch.arange(len(group), device=group.device), sequences.asked]
            return answer

        return self.linear(read_in_groups(questions, read)), None

    def candidates(self) -> tuple[Tensor, Tensor | None]:
        """The entities that come out of the graph, ``[N, dim]``, without a bias."""
        return self._tables()[0], None

    def train(self, mode: bool = True) -> StarE:
        """As of every module; a pass that was kept is forgotten."""
        self._kept = None
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> StarE:
        self._kept = None
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def _tables(self) -> _Tables:
        """Entities ``[N, dim]`` and relations ``[2 R, dim]`` after message passing.

        Kept where nothing can have changed: in evaluation without gradients, and from a training step's candidates to
        its questions.
        """
        versions = [parameter._version for parameter in self.parameters()]
        if self._kept is not None and self._kept[0] == versions and self.training == torch.is_grad_enabled():
            return self._kept[1]
        entity, relation = self.entity.table(), self.relation
        for conv in self.convs:
            entity, relation = conv(entity, relation, self.facts)
            entity = self.entity_dropout(entity)
        if self.training == torch.is_grad_enabled():
            self._kept = versions, (entity, relation)
            if entity.requires_grad:
                # a backward pass frees what it came from
                entity.register_hook(self._forget)  # type: ignore[no-untyped-call]
        return entity, relation

    def _forget(self, gradient: Tensor) -> None:
        self._kept = None


def _rows(start: Callable[[Tensor], Tensor], num_relations: int, dim: int) -> Tensor:
    return start(torch.empty(2 * num_relations, dim))


def _rotations(num_relations: int, dim: int) -> Tensor:
    """Rotations by random angles, and back."""
    angle = 2 * math.pi * torch.rand(num_relations, dim // 2)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([torch.cat([cos, sin], 1), torch.cat([cos, -sin], 1)])
