"""Facts with qualifiers: the knowledge-graph view, and the names of what it speaks about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from relgraph.data.time import STATIC, UNKNOWN
from relgraph.errors import ProtocolError, SchemaError, ShapeError

__all__ = ["Qualifiers", "Statements", "Vocabulary", "csr_ptr"]


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The names of entities and relations; position is number.

    Entities in a main position (head or tail) come first; the rest (qualifier values and literals) follow.

    Args:
        entities: Entity labels.
        relations: Relation labels, qualifier relations among them.
        num_main_entities: How many leading entities may be a head or a tail; all of them by default.
    """

    entities: Sequence[str]
    relations: Sequence[str]
    num_main_entities: int = -1

    def __post_init__(self) -> None:
        if self.num_main_entities < 0:
            object.__setattr__(self, "num_main_entities", len(self.entities))
        if self.num_main_entities > len(self.entities):
            raise SchemaError(
                f"num_main_entities is {self.num_main_entities}, but there are {len(self.entities)} entities"
            )

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return (
            isinstance(other, Vocabulary)
            and self.num_main_entities == other.num_main_entities
            and list(self.entities) == list(other.entities)
            and list(self.relations) == list(other.relations)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Vocabulary({len(self.entities):,} entities, {len(self.relations):,} relations)"

    @cached_property
    def _entity_index(self) -> dict[str, int]:
        return _index(self.entities, "entity")

    @cached_property
    def _relation_index(self) -> dict[str, int]:
        return _index(self.relations, "relation")

    def entity(self, label: str) -> int:
        """The number of an entity.

        Raises:
            SchemaError: If the label is unknown; the message names close ones.
        """
        return _lookup(self._entity_index, label, "entity")

    def relation(self, label: str) -> int:
        """The number of a relation.

        Raises:
            SchemaError: If the label is unknown; the message names close ones.
        """
        return _lookup(self._relation_index, label, "relation")


@dataclass(frozen=True, eq=False)
class Qualifiers:
    """Key-value pairs of statements in CSR form: those of statement ``i`` are ``ptr[i]:ptr[i + 1]``.

    Args:
        ptr: int64 ``[S + 1]``, starting at 0, not decreasing.
        relation: Qualifier relations, int64 ``[Q]``.
        entity: Qualifier values, int64 ``[Q]``.
    """

    ptr: Tensor
    relation: Tensor
    entity: Tensor

    def __post_init__(self) -> None:
        for name in ("ptr", "relation", "entity"):
            _require_index(f"qualifiers.{name}", getattr(self, name))
        if self.ptr.numel() < 1 or int(self.ptr[0]) != 0 or bool((self.ptr.diff() < 0).any()):
            raise ShapeError("qualifiers.ptr must start at 0 and not decrease")
        if not self.relation.numel() == self.entity.numel() == int(self.ptr[-1]):
            raise ShapeError(
                f"qualifiers: expected {int(self.ptr[-1])} pairs from ptr, got {self.relation.numel()} relations "
                f"and {self.entity.numel()} entities"
            )

    @classmethod
    def empty(cls, num_statements: int, device: torch.device | None = None) -> Qualifiers:
        """No qualifiers for ``num_statements`` statements."""
        none = torch.empty(0, dtype=torch.int64, device=device)
        return cls(torch.zeros(num_statements + 1, dtype=torch.int64, device=device), none, none)

    @classmethod
    def cat(cls, parts: Sequence[Qualifiers]) -> Qualifiers:
        """The qualifiers of several blocks of statements, one after the other."""
        counts = torch.cat([part.counts for part in parts])
        return cls(csr_ptr(counts), torch.cat([p.relation for p in parts]), torch.cat([p.entity for p in parts]))

    def __len__(self) -> int:
        return self.ptr.numel() - 1

    @property
    def num_pairs(self) -> int:
        """All pairs together."""
        return self.relation.numel()

    @property
    def counts(self) -> Tensor:
        """Pairs per statement, int64 ``[S]``."""
        return self.ptr.diff()

    @property
    def statement(self) -> Tensor:
        """The statement each pair belongs to, int64 ``[Q]``."""
        return torch.repeat_interleave(torch.arange(len(self), device=self.ptr.device), self.counts)

    def select(self, index: Tensor) -> Qualifiers:
        """The qualifiers of the statements ``index`` (int64 ``[n]``), in that order."""
        counts = self.counts[index]
        ptr = csr_ptr(counts)
        pair = torch.arange(int(ptr[-1]), device=ptr.device)
        pair = pair + torch.repeat_interleave(self.ptr[:-1][index] - ptr[:-1], counts)
        return Qualifiers(ptr, self.relation[pair], self.entity[pair])


@dataclass(frozen=True, eq=False)
class Statements:
    """Facts ``(head, relation, tail)``, each with an optional time and any number of qualifiers.

    Args:
        head: int64 ``[S]``, entity numbers.
        relation: int64 ``[S]``, relation numbers.
        tail: int64 ``[S]``, entity numbers.
        vocabulary: What the numbers mean; shared by train, validation and test.
        time: int64 ``[S]`` microseconds since 1970-01-01 UTC, or ``None``.
        qualifiers: CSR pairs, or ``None`` when no statement has any.
        dropped: How many rows of each source gave no statement, and why.

    Raises:
        ShapeError: If the tensors differ in length or a number is outside the vocabulary.
    """

    head: Tensor
    relation: Tensor
    tail: Tensor
    vocabulary: Vocabulary
    time: Tensor | None = None
    qualifiers: Qualifiers | None = None
    dropped: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        for name in ("head", "relation", "tail", "time"):
            value = getattr(self, name)
            if value is not None:
                _require_index(name, value)
                if value.numel() != self.head.numel():
                    raise ShapeError(f"{name}: expected {self.head.numel()} values as in head, got {value.numel()}")
        _require_range("head", self.head, self.num_entities)
        _require_range("tail", self.tail, self.num_entities)
        _require_range("relation", self.relation, self.num_relations)
        if self.qualifiers is not None:
            if len(self.qualifiers) != len(self):
                raise ShapeError(f"qualifiers: expected {len(self)} statements, got {len(self.qualifiers)}")
            _require_range("qualifiers.relation", self.qualifiers.relation, self.num_relations)
            _require_range("qualifiers.entity", self.qualifiers.entity, self.num_entities)

    def __len__(self) -> int:
        return self.head.numel()

    def __repr__(self) -> str:
        parts = [f"{len(self):,} statements", f"{self.num_entities:,} entities", f"{self.num_relations:,} relations"]
        if self.qualifiers is not None:
            parts.append(f"{self.qualifiers.num_pairs:,} qualifiers")
        if self.time is not None:
            parts.append("time")
        return f"Statements({', '.join(parts)})"

    @property
    def num_entities(self) -> int:
        """Entities of the vocabulary, used here or not."""
        return len(self.vocabulary.entities)

    @property
    def num_relations(self) -> int:
        """Relations of the vocabulary, without inverses."""
        return len(self.vocabulary.relations)

    def select(self, index: Tensor) -> Statements:
        """The statements ``index`` (int64 ``[n]`` or a bool mask ``[S]``), in that order."""
        if index.dtype == torch.bool:
            index = index.nonzero().flatten()
        return replace(
            self,
            head=self.head[index],
            relation=self.relation[index],
            tail=self.tail[index],
            time=None if self.time is None else self.time[index],
            qualifiers=None if self.qualifiers is None else self.qualifiers.select(index),
        )

    def split(
        self,
        by: Literal["random", "time"] = "random",
        fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
        seed: int = 0,
    ) -> tuple[Statements, Statements, Statements]:
        """Train, validation and test statements over the same vocabulary.

        Args:
            by: ``"random"`` shuffles; ``"time"`` puts the latest statements into test, the ones before into
                validation; static statements are all for training, those of unknown time for the test; one moment is
                never cut in two, so a part can be empty.
            fractions: Shares of the three parts, of the statements that have a time where it is by time; must add up
                to 1.
            seed: Seed of the shuffle.

        Raises:
            ProtocolError: If the fractions do not add up to 1 or no statement has a time to split by.
        """
        if len(fractions) != 3 or not min(fractions) >= 0 or not abs(sum(fractions) - 1) <= 1e-9:
            raise ProtocolError(f"fractions must be three shares that add up to 1, got {fractions}")
        if by == "random":
            order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
            first, second = _cuts(fractions, len(self))
        elif by == "time":
            order, first, second = self._time_order(fractions)
        else:
            raise ProtocolError(f"split by {by!r}: expected 'random' or 'time'")
        parts = order[:first], order[first:second], order[second:]
        return self.select(parts[0]), self.select(parts[1]), self.select(parts[2])

    def _time_order(self, fractions: tuple[float, float, float]) -> tuple[Tensor, int, int]:
        """All statements by time and the two places to cut; static ones are all before the first."""
        dated = None if self.time is None else (self.time != STATIC) & (self.time != UNKNOWN)
        if self.time is None or dated is None or not bool(dated.any()):
            raise ProtocolError("split by time: these statements have no time; use by='random'")
        order = self.time.argsort(stable=True)
        ordered = self.time[order]
        num_static = int((self.time == STATIC).sum())
        # a moment is never cut in two: the boundary moves behind the statements that share its time
        cuts = [
            int(torch.searchsorted(ordered, ordered[num_static + cut - 1], right=True)) if cut else num_static
            for cut in _cuts(fractions, int(dated.sum()))
        ]
        return order, cuts[0], cuts[1]

    def labels(self, index: int) -> tuple[str, ...]:
        """One statement in words: head, relation, tail, then qualifier relation and value in turn."""
        entity, relation = self.vocabulary.entities, self.vocabulary.relations
        words = [entity[int(self.head[index])], relation[int(self.relation[index])], entity[int(self.tail[index])]]
        if self.qualifiers is not None:
            for pair in range(int(self.qualifiers.ptr[index]), int(self.qualifiers.ptr[index + 1])):
                words += [relation[int(self.qualifiers.relation[pair])], entity[int(self.qualifiers.entity[pair])]]
        return tuple(words)


def _index(labels: Iterable[str], what: str) -> dict[str, int]:
    index: dict[str, int] = {}
    for number, label in enumerate(labels):
        if index.setdefault(label, number) != number:
            raise SchemaError(f"{what} {label!r} stands twice in the vocabulary; labels must be unique")
    return index


def _lookup(index: dict[str, int], label: str, what: str) -> int:
    number = index.get(label)
    if number is None:
        import difflib

        # difflib is quadratic: only look among the names that share a beginning
        near = [known for known in index if known[:2].lower() == label[:2].lower()][:2000]
        close = difflib.get_close_matches(label, near, n=3)
        hint = f"; did you mean {', '.join(map(repr, close))}?" if close else f"; {len(index):,} are known"
        raise SchemaError(f"{what} {label!r} is not in the vocabulary{hint}")
    return number


def _cuts(fractions: tuple[float, float, float], count: int) -> tuple[int, int]:
    return round(fractions[0] * count), round((fractions[0] + fractions[1]) * count)


def csr_ptr(counts: Tensor) -> Tensor:
    """Where each row of a CSR layout starts and ends, int64 ``[n + 1]``, from how many entries each has, ``[n]``."""
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def _require_index(name: str, value: Tensor) -> None:
    if value.dtype != torch.int64 or value.dim() != 1:
        raise ShapeError(f"{name}: expected int64 [n], got {value.dtype} {list(value.shape)}")


def _require_range(name: str, value: Tensor, size: int) -> None:
    if value.numel() and (int(value.min()) < 0 or int(value.max()) >= size):
        raise ShapeError(f"{name}: expected numbers in 0..{size - 1}, got {int(value.min())}..{int(value.max())}")
