"""Which answers are known: statements grouped by question, as CSR."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from relgraph.data.statements import Qualifiers, Statements, Vocabulary, csr_ptr
from relgraph.errors import ProtocolError, SchemaError
from relgraph.kge.scorers.base import Position
from relgraph.ops.tiles import Csr, csr_rows, csr_select

__all__ = ["KnownAnswers", "group_answers", "qualifier_sets", "require_shared_vocabulary", "sides"]


def sides(statements: Statements, position: Position) -> tuple[Tensor, Tensor]:
    """The known entity and the answer of each statement, both int64 ``[S]``."""
    if position == "tail":
        return statements.head, statements.tail
    return statements.tail, statements.head


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


def qualifier_sets(qualifiers: Qualifiers) -> Tensor:
    """A number for the set of qualifier pairs of each statement, int64 ``[S]``; equal sets, equal numbers.

    Order and repeats of pairs make no difference. The empty set is 0.
    """
    span = int(qualifiers.entity.max()) + 1 if qualifiers.num_pairs else 1
    distinct, pair_id = torch.unique(qualifiers.relation * span + qualifiers.entity, return_inverse=True)
    num_pairs = max(distinct.numel(), 1)
    ptr, pair_id = group_answers(csr_rows(qualifiers.ptr), pair_id, len(qualifiers))
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


def require_shared_vocabulary(vocabulary: Vocabulary, others: Sequence[Statements], what: str) -> None:
    """Check that a list holds statements, and that all of them speak about the entities and relations of a vocabulary.

    Raises:
        ProtocolError: If it is no list of statements.
        SchemaError: If they speak about others.
    """
    if not isinstance(others, list | tuple):
        raise ProtocolError(
            f"{what}: expected a list of statements, such as [train, valid, test], got {type(others).__name__}; "
            "write [...] around it"
        )
    for other in others:
        if not isinstance(other, Statements):
            raise ProtocolError(
                f"{what}: expected a list of statements, such as [train, valid, test], got a list with a "
                f"{type(other).__name__} in it"
            )
        if other.vocabulary is not vocabulary and other.vocabulary != vocabulary:
            raise SchemaError(
                f"{what}: expected one shared vocabulary, got {vocabulary!r} and {other.vocabulary!r} with other "
                "numbers; read the files together with read_statements(folder)"
            )


class KnownAnswers:
    """The known answers of each question in ``statements``.

    Args:
        known: Statements taken as known.
        statements: The questions, over the same vocabulary.
        position: What they ask for.
        strict: Whether a question is (entity, relation, set of qualifiers) or only (entity, relation).
    """

    def __init__(self, known: Sequence[Statements], statements: Statements, position: Position, strict: bool) -> None:
        every = [*known, statements]
        entity = torch.cat([sides(part, position)[0] for part in every])
        key = entity * statements.num_relations + torch.cat([part.relation for part in every])
        if strict:
            parts = [part.qualifiers or Qualifiers.empty(len(part)) for part in every]
            number = qualifier_sets(Qualifiers.cat(parts))
            # both numbers may be large: make the first one dense before they are put together
            key = torch.unique(key, return_inverse=True)[1] * (int(number.max()) + 1 if len(number) else 1) + number
        distinct, key = torch.unique(key, return_inverse=True)
        num_known = len(key) - len(statements)
        answer = torch.cat([sides(part, position)[1] for part in every])[:num_known]
        self._groups = group_answers(key[:num_known], answer, distinct.numel())
        self._key = key[num_known:]

    def rows(self, index: Tensor | slice) -> Csr:
        """The known answers of some of the questions, as CSR."""
        return csr_select(self._groups, self._key[index])
