"""Questions as sequences of tokens: where each entity and relation stands, and where the answer is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from relgraph.kge.questions import MISSING, Questions
from relgraph.ops.tiles import csr_rows

__all__ = ["ENTITY_ROLES", "RELATION_ROLES", "Sequences", "by_length", "interleave", "read_in_groups"]

ENTITY_ROLES = ("known entity", "other entity", "value of a qualifier")
RELATION_ROLES = ("relation", "relation of a qualifier")


@dataclass(frozen=True)
class Sequences:
    """``entity, relation, other entity, (qualifier relation, qualifier value)*`` of each question, padded.

    Every second token is a relation, so entities and relations are kept apart until :func:`interleave`.

    Args:
        entity: int64 ``[B, 2 + P]`` for ``P`` qualifiers at most; ``MISSING`` where it is asked for, 0 as padding.
        relation: int64 ``[B, 1 + P]``, 0 as padding.
        real: Which of the ``L = 3 + 2 P`` tokens are no padding, bool ``[B, L]``.
    """

    entity: Tensor
    relation: Tensor
    real: Tensor

    @classmethod
    def of(cls, questions: Questions) -> Sequences:
        """The sequences of questions, as long as the longest of them."""
        pairs = questions.qualifiers
        most = int(pairs.counts.max()) if pairs is not None and pairs.num_pairs else 0
        entity = questions.entity.new_zeros(len(questions), 2 + most)
        relation = questions.entity.new_zeros(len(questions), 1 + most)
        real = torch.ones(len(questions), 3 + 2 * most, dtype=torch.bool, device=entity.device)
        entity[:, 0], relation[:, 0] = questions.entity, questions.relation
        entity[:, 1] = MISSING if questions.tail is None else questions.tail
        if pairs is not None and most:
            row = csr_rows(pairs.ptr)
            place = torch.arange(row.numel(), device=row.device) - pairs.ptr[row]
            entity[row, 2 + place], relation[row, 1 + place] = pairs.entity, pairs.relation
            real[:, 3:] = torch.arange(2 * most, device=row.device) < 2 * pairs.counts[:, None]
        return cls(entity, relation, real)

    @property
    def asked(self) -> Tensor:
        """The token at which each question's answer is missing, int64 ``[B]``."""
        return 2 * (self.entity == MISSING).int().argmax(1)

    @property
    def roles(self) -> tuple[Tensor, Tensor]:
        """Numbers in ``ENTITY_ROLES``, int64 ``[2 + P]``, and in ``RELATION_ROLES``, int64 ``[1 + P]``."""
        entity = torch.arange(self.entity.shape[1], device=self.entity.device)
        relation = torch.arange(self.relation.shape[1], device=self.entity.device)
        return entity.clamp(max=2), relation.clamp(max=1)


def interleave(entity: Tensor, relation: Tensor) -> Tensor:
    """Tokens ``[B, 3 + 2 P, d]`` of entities ``[B, 2 + P, d]`` and relations ``[B, 1 + P, d]``."""
    pairs = torch.stack([relation, entity[:, 1:]], 2)  # each relation stands before an entity
    return torch.cat([entity[:, :1], pairs.flatten(1, 2)], 1)


def by_length(questions: Questions) -> Iterator[Tensor]:
    """The questions in groups of like numbers of qualifiers, so that few of their tokens are padding.

    Groups have 0, 1, 2-3, 4-7, 8-15, ... qualifiers. A few statements have dozens of them and most have none: padded
    to one length, nearly all tokens would be padding.

    Yields:
        Places of a group's questions, int64; each place once, groups that are empty left out.
    """
    if questions.qualifiers is None or not len(questions):
        yield torch.arange(len(questions), device=questions.entity.device)
        return
    size = torch.frexp(questions.qualifiers.counts.double())[1]  # 0, 1, 2, 2, 3, 3, 3, 3, ...
    for number in torch.unique(size).tolist():
        yield (size == number).nonzero().flatten()


def read_in_groups(questions: Questions, read: Callable[[Tensor, Sequences], Tensor]) -> Tensor:
    """What is read from each question's sequence, in the order of the questions.

    Args:
        questions: The questions.
        read: Gives ``[n, ...]`` for the places of ``n`` questions, int64, and their sequences.
    """
    groups = list(by_length(questions))
    parts = [read(group, Sequences.of(questions.select(group))) for group in groups]
    return torch.cat(parts)[torch.cat(groups).argsort()]
