"""Which answers of questions are known, as CSR."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from relgraph.data.statements import Statements, Vocabulary
from relgraph.errors import ProtocolError, SchemaError
from relgraph.kge.questions import Position, Questions, ask, group_answers, question_keys
from relgraph.ops.tiles import Csr, csr_select

__all__ = ["KnownAnswers", "grouped_answers", "require_shared_vocabulary"]


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
    """The known answers of questions.

    Args:
        known: Statements taken as known.
        questions: What is asked, numbered as ``known``.
        position: What they ask for.
        strict: Whether qualifiers belong to a question, or only the main triple (and the relation of the qualifier
            that is asked for).
        both: Whether the answers of the other direction are taken as known too: of ``(h, r, ?)`` also the entities
            from which ``r`` leads to ``h``. See :class:`~relgraph.kge.Protocol`.
    """

    def __init__(
        self,
        known: Sequence[Statements],
        questions: Questions,
        position: Position,
        strict: bool,
        both: bool = False,
    ) -> None:
        asked = [ask(part, position)[:2] for part in known]
        if both and position != "qualifier":
            asked += [_other_direction(part, position) for part in known]
        self._groups, self._key = grouped_answers(asked, questions, strict)

    def rows(self, index: Tensor | slice) -> Csr:
        """The known answers of some of the questions, as CSR: sorted and distinct."""
        return csr_select(self._groups, self._key[index])


def grouped_answers(
    asked: Sequence[tuple[Questions, Tensor]], questions: Questions, strict: bool
) -> tuple[Csr, Tensor]:
    """The answers of distinct questions as CSR, and which of its rows belongs to each of some other questions.

    Args:
        asked: Questions with an answer each.
        questions: Those whose answers are looked for.
        strict: Whether qualifiers belong to a question.
    """
    key = question_keys(Questions.cat([*(part[0] for part in asked), questions]), with_qualifiers=strict)
    num_known = len(key) - len(questions)
    answer = torch.cat([part[1] for part in asked]) if asked else key[:0]
    num_keys = int(key.max()) + 1 if len(key) else 0
    # of all that is known few answer a small set of questions: the others need not be sorted
    wanted = torch.zeros(num_keys, dtype=torch.bool)
    wanted[key[num_known:]] = True
    kept = wanted[key[:num_known]].nonzero()[:, 0]
    return group_answers(key[:num_known][kept], answer[kept], num_keys), key[num_known:]


def _other_direction(part: Statements, position: Position) -> tuple[Questions, Tensor]:
    """What the statements answer at the other end, put as questions for this one."""
    other: Position = "head" if position == "tail" else "tail"
    questions, answer, _ = ask(part, other)
    shift = part.num_relations if position == "head" else -part.num_relations
    return replace(questions, relation=questions.relation + shift), answer
