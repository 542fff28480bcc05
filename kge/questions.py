"""Statements with one entity missing: what scorers are asked, in training, in ranking and in prediction alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from relgraph.data.statements import Qualifiers, Statements, csr_ptr
from relgraph.errors import ProtocolError
from relgraph.ops.tiles import Csr, csr_rows

__all__ = ["MISSING", "POSITIONS", "Position", "Questions", "ask", "group_answers", "qualifier_sets", "question_keys"]

Position = Literal["tail", "head", "qualifier"]
POSITIONS: tuple[Position, ...] = ("tail", "head", "qualifier")

MISSING = -1
"""Stands where the entity is that is asked for."""


@dataclass(frozen=True)
class Questions:
    """A batch of statements in which one entity is missing.

    Heads are asked for through the inverse relation, so the missing entity is the tail, or the value of one qualifier.

    Args:
        entity: The entity on the left, int64 ``[B]``: the head, or the tail where the relation is an inverse.
        relation: int64 ``[B]`` in ``0..2R-1``; from ``R`` on they are inverses.
        tail: The entity on the right, int64 ``[B]``, ``MISSING`` where it is asked for; ``None`` if it always is.
        qualifiers: The qualifiers of each statement, their relations without inverses; the value that is asked for is
            ``MISSING``. ``None`` if no statement has any.
    """

    entity: Tensor
    relation: Tensor
    tail: Tensor | None = None
    qualifiers: Qualifiers | None = None

    def __len__(self) -> int:
        return self.entity.numel()

    def select(self, index: Tensor) -> Questions:
        """The questions ``index`` (int64 ``[n]``), in that order."""
        return Questions(
            self.entity[index],
            self.relation[index],
            None if self.tail is None else self.tail[index],
            None if self.qualifiers is None else self.qualifiers.select(index),
        )

    def renumbered(self) -> tuple[Tensor, Questions]:
        """The different entities that are named, ascending, and the questions with places among them as numbers."""
        pairs = self.qualifiers
        parts = [self.entity, *([] if self.tail is None else [self.tail]), *([] if pairs is None else [pairs.entity])]
        named = torch.cat(parts)
        known = named != MISSING
        numbers, place = torch.unique(named[known], return_inverse=True)
        named = named.masked_scatter(known, place)
        new = list(torch.split(named, [part.numel() for part in parts]))
        if pairs is not None:
            pairs = replace(pairs, entity=new.pop())
        return numbers, Questions(new[0], self.relation, None if self.tail is None else new[1], pairs)

    def to(self, device: torch.device) -> Questions:
        """The same on a device."""
        pairs = self.qualifiers
        if pairs is not None:
            pairs = Qualifiers(pairs.ptr.to(device), pairs.relation.to(device), pairs.entity.to(device))
        tail = None if self.tail is None else self.tail.to(device)
        return Questions(self.entity.to(device), self.relation.to(device), tail, pairs)

    @classmethod
    def cat(cls, parts: Sequence[Questions]) -> Questions:
        """Several batches as one."""
        tails = [part.tail for part in parts]
        pairs = [part.qualifiers for part in parts]
        return cls(
            torch.cat([part.entity for part in parts]),
            torch.cat([part.relation for part in parts]),
            None
            if all(tail is None for tail in tails)
            else torch.cat([p.entity.new_full((len(p),), MISSING) if p.tail is None else p.tail for p in parts]),
            None
            if all(pair is None for pair in pairs)
            else Qualifiers.cat([p.qualifiers or Qualifiers.empty(len(p), p.entity.device) for p in parts]),
        )


def ask(statements: Statements, position: Position) -> tuple[Questions, Tensor, Tensor]:
    """The questions that statements answer at a position.

    Args:
        statements: What is known.
        position: ``"tail"`` and ``"head"`` give one question per statement, ``"qualifier"`` one per qualifier pair.

    Returns:
        The questions, the answer of each, int64 ``[B]``, and the statement it is taken from, int64 ``[B]``.

    Raises:
        ProtocolError: If there is no such position.
    """
    head, relation, tail, pairs = statements.head, statements.relation, statements.tail, statements.qualifiers
    every = torch.arange(len(statements))
    if position == "tail":
        return Questions(head, relation, None, pairs), tail, every
    if position == "head":
        return Questions(tail, relation + statements.num_relations, None, pairs), head, every
    if position != "qualifier":
        raise ProtocolError(f"position: expected one of {', '.join(map(repr, POSITIONS))}, got {position!r}")
    pairs = pairs or Qualifiers.empty(len(statements))
    owner = pairs.statement
    asked = pairs.select(owner)  # every statement as often as it has pairs
    place = asked.ptr[:-1] + torch.arange(pairs.num_pairs) - pairs.ptr[owner]
    entity = asked.entity.clone()
    entity[place] = MISSING
    return Questions(head[owner], relation[owner], tail[owner], replace(asked, entity=entity)), pairs.entity, owner


def question_keys(questions: Questions, *, with_qualifiers: bool, ordered: bool = False) -> Tensor:
    """A number for each question, int64 ``[B]`` from 0 without gaps; equal questions, equal numbers.

    Args:
        questions: All questions that are to be told apart.
        with_qualifiers: Whether qualifiers count. Without them a question for a qualifier's value still has its
            relation.
        ordered: Whether order and repeats of pairs make a difference.
    """
    parts = [questions.entity, questions.relation]
    if questions.tail is not None:
        parts.append(questions.tail)
    if questions.qualifiers is not None:
        pairs = questions.qualifiers
        parts.append(qualifier_sets(pairs if with_qualifiers else _only_asked(pairs), ordered))
    key = torch.zeros_like(questions.entity)
    for part in parts:
        # numbers may be large: each is made dense before the next is put beside it
        part = torch.unique(part, return_inverse=True)[1]
        size = int(part.max()) + 1 if part.numel() else 1
        key = torch.unique(key * size + part, return_inverse=True)[1]
    return key


def group_answers(key: Tensor, answer: Tensor, num_keys: int) -> Csr:
    """The sorted, distinct answers of every key.

    Args:
        key: int64 ``[S]`` in ``0..num_keys-1``.
        answer: int64 ``[S]``.
        num_keys: Rows of the result.

    Returns:
        CSR ``(ptr [num_keys + 1], index)``.
    """
    order = answer.argsort(stable=True)
    order = order[key[order].argsort(stable=True)]
    key, answer = key[order], answer[order]
    new = torch.ones_like(key, dtype=torch.bool)
    new[1:] = (key.diff() != 0) | (answer.diff() != 0)
    counts = torch.bincount(key[new], minlength=num_keys)
    return csr_ptr(counts), answer[new]


def qualifier_sets(qualifiers: Qualifiers, ordered: bool = False) -> Tensor:
    """A number for the set of qualifier pairs of each statement, int64 ``[S]``; equal sets, equal numbers.

    Order and repeats of pairs make no difference, unless ``ordered``. The empty set is 0.
    """
    value = qualifiers.entity - MISSING  # a missing one is a value of its own
    span = int(value.max()) + 1 if qualifiers.num_pairs else 1
    distinct, pair_id = torch.unique(qualifiers.relation * span + value, return_inverse=True)
    num_pairs = max(distinct.numel(), 1)
    ptr = qualifiers.ptr
    if not ordered:
        ptr, pair_id = group_answers(csr_rows(ptr), pair_id, len(qualifiers))
    counts = ptr.diff()
    number = torch.zeros_like(counts)
    used = 1
    # the number of a set is found pair by pair: (number so far, next pair) -> a number not used before
    for place in range(int(counts.max()) if counts.numel() else 0):
        longer = (counts > place).nonzero().flatten()
        prefix = number[longer] * num_pairs + pair_id[ptr[longer] + place]
        new, inverse = torch.unique(prefix, return_inverse=True)
        number[longer] = used + inverse
        used += new.numel()
    return number


def _only_asked(pairs: Qualifiers) -> Qualifiers:
    asked = pairs.entity == MISSING
    counts = torch.zeros_like(pairs.counts).index_add_(0, pairs.statement[asked], torch.ones_like(pairs.entity[asked]))
    return Qualifiers(csr_ptr(counts), pairs.relation[asked], pairs.entity[asked])
