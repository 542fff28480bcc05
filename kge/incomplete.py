"""Statements in words with one part left out, checked and turned into numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from relgraph.data.statements import Qualifiers, Vocabulary, csr_ptr
from relgraph.errors import ProtocolError, SchemaError
from relgraph.kge.questions import MISSING, Questions

__all__ = ["Given", "Incomplete", "QualifierWords", "require_count"]

Given = str | Sequence[str | None] | None
QualifierWords = Mapping[str, str | None]
Asked = Literal["head", "relation", "tail", "qualifier"]


@dataclass(frozen=True)
class Incomplete:
    """A batch of statements that all lack the same part.

    Args:
        asked: The part.
        columns: Numbers of the given ones of ``head``, ``relation`` and ``tail``, int64 ``[B]``.
        qualifiers: Their qualifiers, ``MISSING`` as the value that is asked for; ``None`` if there are none.
        words: The statements as they were given, for tables.
        single: Whether one was asked for by itself, not in a list.
    """

    asked: Asked
    columns: Mapping[str, Tensor]
    qualifiers: Qualifiers | None
    words: Mapping[str, Sequence[str | None]]
    single: bool

    def __len__(self) -> int:
        return len(next(iter(self.words.values())))

    @classmethod
    def read(
        cls,
        vocabulary: Vocabulary,
        head: Given,
        relation: Given,
        tail: Given,
        qualifiers: QualifierWords | Sequence[QualifierWords] | None,
    ) -> Incomplete:
        """Look labels up; lists must be of one length, what is no list is the same for all.

        Raises:
            SchemaError: If a label is unknown or no text.
            ProtocolError: If not exactly one part is left out, or the lists differ in length.
        """
        given = {"head": head, "relation": relation, "tail": tail}
        for name, x in given.items():
            if not (x is None or isinstance(x, str | list | tuple)):
                raise SchemaError(f"{name}: expected a label of the vocabulary as text, got {x!r}")
        lists = {n: x for n, x in (*given.items(), ("qualifiers", qualifiers)) if isinstance(x, list | tuple)}
        lengths = {name: len(x) for name, x in lists.items()}
        if len(set(lengths.values())) > 1 or 0 in lengths.values():
            found = ", ".join(f"{name} {n}" for name, n in lengths.items())
            raise ProtocolError(f"expected lists of one length, at least 1, got {found}")
        size = next(iter(lengths.values()), 1)
        pairs = _pairs(qualifiers, size)
        open_pairs = [sum(value is None for value in pair.values()) for pair in pairs]
        missing = [name for name, x in given.items() if x is None]
        if max(open_pairs) and not missing:
            if set(open_pairs) != {1}:
                raise ProtocolError(
                    f"qualifiers: expected one value of None, the one that is asked for, in each, got {open_pairs}"
                )
            asked: Asked = "qualifier"
        elif len(missing) != 1 or max(open_pairs):
            left_out = [*missing, *(["the value of a qualifier"] if max(open_pairs) else [])]
            raise ProtocolError(
                "expected exactly one of head, relation and tail (or the value of a qualifier) to be left out, got "
                f"{' and '.join(left_out) or 'none of them'} left out"
            )
        else:
            asked = missing[0]  # type: ignore[assignment]
        words = {name: _repeated(x, size) for name, x in given.items()}
        columns = {
            name: torch.tensor([_number(vocabulary, name, label) for label in words[name]])
            for name in given
            if name != asked
        }
        return cls(asked, columns, _packed(vocabulary, pairs), words, not lists)

    def questions(self, num_relations: int) -> Questions:
        """What a scorer is asked; of relations, the pairs of head and tail under relation 0."""
        columns, pairs = self.columns, self.qualifiers
        if self.asked == "tail":
            return Questions(columns["head"], columns["relation"], None, pairs)
        if self.asked == "head":
            return Questions(columns["tail"], columns["relation"] + num_relations, None, pairs)
        relation = torch.zeros_like(columns["head"]) if self.asked == "relation" else columns["relation"]
        return Questions(columns["head"], relation, columns["tail"], pairs)


def require_count(k: object) -> int:
    """Check how many answers are wanted.

    Raises:
        ProtocolError: If it is no whole number of at least 1.
    """
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise ProtocolError(f"k: expected a whole number of at least 1, got {k!r}")
    return k


def _repeated(given: Given, size: int) -> list[str | None]:
    return [given] * size if given is None or isinstance(given, str) else list(given)


def _number(vocabulary: Vocabulary, name: str, label: object) -> int:
    if not isinstance(label, str):
        raise SchemaError(f"{name}: expected a label of the vocabulary as text, got {label!r}")
    return vocabulary.relation(label) if name == "relation" else vocabulary.entity(label)


def _pairs(qualifiers: QualifierWords | Sequence[QualifierWords] | None, size: int) -> list[QualifierWords]:
    given = qualifiers if isinstance(qualifiers, Sequence) else [qualifiers or {}] * size
    pairs: list[QualifierWords] = [*given]
    for pair in pairs:
        if not isinstance(pair, Mapping):
            raise ProtocolError(
                f"qualifiers: expected a mapping from relations to values (None for the one asked for), got {pair!r}"
            )
    return pairs


def _packed(vocabulary: Vocabulary, pairs: Sequence[QualifierWords]) -> Qualifiers | None:
    if not any(pairs):
        return None
    relation = [_number(vocabulary, "relation", name) for pair in pairs for name in pair]
    entity = [
        MISSING if value is None else _number(vocabulary, "qualifiers", value)
        for pair in pairs
        for value in pair.values()
    ]
    counts = torch.tensor([len(pair) for pair in pairs])
    return Qualifiers(csr_ptr(counts), torch.tensor(relation), torch.tensor(entity))
