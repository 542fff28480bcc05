"""What a ranking means: filter, candidates, ties, positions, and what becomes of unseen entities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, get_args

import torch
from torch import Tensor

from relgraph.data.statements import Statements
from relgraph.errors import ProtocolError
from relgraph.kge.known import require_shared_vocabulary
from relgraph.kge.questions import POSITIONS, Position

__all__ = ["Filter", "Protocol", "ProtocolOptions", "Ties", "has_qualifiers"]

Filter = Literal["auto", "strict", "loose", "loose-both", "none"]
Ties = Literal["realistic", "optimistic", "pessimistic"]


class ProtocolOptions(TypedDict, total=False):
    """The arguments of :class:`Protocol` other than ``known``, for functions that take them as their own."""

    filter: Filter | None
    candidates: Literal["main", "all"] | Tensor
    positions: Literal["main", "all"] | Sequence[Position]
    ties: Ties
    unseen: Literal["keep", "drop"]
    train: Statements | None


@dataclass(frozen=True, eq=False, repr=False)
class Protocol:
    """How statements are ranked; without it a number means nothing.

    Of the filters, ``"strict"`` and ``"loose"`` take as known what answers the same question. ``"loose-both"`` is what
    the published code of HyperFormer does: its loose filter of ``(h, r, ?)`` also drops the entities from which ``r``
    leads to ``h``, the answers of the other direction, which answer another question. On average it removes 129.1,
    50.7 and 85.9 candidates per question of WD50K, WD50K_100 and JF17K, the loose filter 128.9, 50.4 and 85.9. It is
    here to compare with numbers that were measured so.

    Args:
        known: Statements whose answers do not compete, usually ``[train, valid, test]``; ``[]`` filters nothing.
        filter: ``"strict"``: an answer is known if a statement has the same entity, relation and set of qualifiers;
            ``"loose"``: the same entity and relation, whatever the qualifiers (of plain triples both are the same);
            ``"loose-both"``: see above; ``"auto"``: strict if any statement has qualifiers; ``"none"`` or ``None``: no
            filter. Where the value of a qualifier is asked for, strict compares everything else in the statement,
            loose head, relation, tail and the qualifier's relation.
        candidates: ``"main"`` ranks heads and tails among the entities that may be one, ``"all"`` among all entities;
            values of qualifiers are ranked among all entities by both. An int64 tensor: among those numbers.
        positions: ``"main"`` asks for heads and tails, ``"all"`` also for the values of qualifiers, where the
            statements have any; or a sequence of ``"head"``, ``"tail"`` and ``"qualifier"``.
        ties: Which rank of an answer among candidates of the same score is the headline: the mean of best and worst
            (``"realistic"``), the best or the worst. All three are in every result.
        unseen: ``"drop"`` leaves out statements with an entity or relation, qualifiers included, that is nowhere in
            ``train``; this makes numbers look better. ``"keep"`` counts them like all others.
        train: What the scorer has seen; needed by ``unseen="drop"``, and where given, unseen statements are counted
            and relations are put in categories by it.

    Raises:
        ProtocolError: If a word is none of the above.
    """

    known: Sequence[Statements] = ()
    filter: Filter | None = "auto"
    candidates: Literal["main", "all"] | Tensor = "main"
    positions: Literal["main", "all"] | Sequence[Position] = "main"
    ties: Ties = "realistic"
    unseen: Literal["keep", "drop"] = "keep"
    train: Statements | None = None

    def __post_init__(self) -> None:
        if self.filter is None:
            object.__setattr__(self, "filter", "none")
        _require_word("filter", self.filter, get_args(Filter))
        _require_word("ties", self.ties, get_args(Ties))
        _require_word("unseen", self.unseen, ("keep", "drop"))
        if not isinstance(self.candidates, Tensor) and self.candidates not in ("main", "all"):
            raise ProtocolError(
                f"candidates: expected 'main', 'all' or a tensor of entity numbers, got {self.candidates!r}"
            )
        named = POSITIONS if self.positions in ("main", "all") else tuple(self.positions)
        if not named or len(set(named)) != len(named) or not set(named) <= set(POSITIONS):
            raise ProtocolError(
                f"positions: expected 'main', 'all' or some of {', '.join(map(repr, POSITIONS))}, each once, got "
                f"{self.positions!r}"
            )
        if self.unseen == "drop" and self.train is None:
            raise ProtocolError("unseen='drop' needs train=, the statements that the scorer was trained on")
        if self.filter in ("strict", "loose", "loose-both") and not self.known:
            raise ProtocolError(
                f"filter={self.filter!r} needs known answers: pass known=[train, valid, test], or filter=None for raw "
                "ranks"
            )

    def __repr__(self) -> str:
        return f"Protocol({', '.join(f'{name}={value!r}' for name, value in self.to_dict().items())})"

    def to_dict(self) -> dict[str, Any]:
        """JSON values; of statements and candidates their number."""
        candidates = self.candidates
        return {
            "known": [len(part) for part in self.known],
            "filter": self.filter,
            "candidates": f"{candidates.numel()} given" if isinstance(candidates, Tensor) else candidates,
            "positions": self.positions if isinstance(self.positions, str) else list(self.positions),
            "ties": self.ties,
            "unseen": self.unseen,
            "train": None if self.train is None else len(self.train),
        }

    def require_shared_vocabulary(self, statements: Statements) -> None:
        """Check that what is known and trained on speaks about the entities and relations of the statements.

        Raises:
            ProtocolError: If ``known`` is no list of statements.
            SchemaError: If it speaks about others.
        """
        require_shared_vocabulary(statements.vocabulary, self.known, "known")
        if self.train is not None:
            require_shared_vocabulary(statements.vocabulary, [self.train], "train")

    def filter_for(self, statements: Statements) -> Literal["strict", "loose", "loose-both", "none"]:
        """The filter that ``"auto"`` stands for, or the one that was asked for."""
        if self.filter != "auto":
            return self.filter or "none"
        if not self.known:
            return "none"
        return "strict" if any(has_qualifiers(part) for part in [statements, *self.known]) else "loose"

    def positions_for(self, statements: Statements) -> tuple[Position, ...]:
        """What is asked for.

        Raises:
            ProtocolError: If it is the value of a qualifier, and no statement has any.
        """
        if self.positions == "main" or (self.positions == "all" and not has_qualifiers(statements)):
            return ("head", "tail")
        if self.positions == "all":
            return ("head", "tail", "qualifier")
        if "qualifier" in self.positions and not has_qualifiers(statements):
            raise ProtocolError(
                f"positions: 'qualifier' asks for the values of qualifiers, but none of the {len(statements):,} "
                "statements has any; ask for 'head' and 'tail'"
            )
        return tuple(self.positions)

    def candidates_for(self, statements: Statements, position: Position) -> Tensor:
        """The numbers of the entities that compete at a position, int64, distinct and sorted.

        Raises:
            ProtocolError: If a given number is no entity.
        """
        if isinstance(self.candidates, Tensor):
            numbers: Tensor = torch.unique(self.candidates.long())
            if numbers.numel() and not 0 <= int(numbers[0]) <= int(numbers[-1]) < statements.num_entities:
                raise ProtocolError(
                    f"candidates: expected entity numbers in 0..{statements.num_entities - 1}, got "
                    f"{int(numbers[0])}..{int(numbers[-1])}"
                )
            return numbers
        every = self.candidates == "all" or position == "qualifier"
        return torch.arange(statements.num_entities if every else statements.vocabulary.num_main_entities)

    def unseen_in(self, statements: Statements) -> Tensor | None:
        """Which statements have an entity or relation that is nowhere in ``train``, bool ``[S]``; ``None`` without."""
        if self.train is None:
            return None
        entity = torch.zeros(statements.num_entities, dtype=torch.bool)
        relation = torch.zeros(statements.num_relations, dtype=torch.bool)
        entity[torch.cat([self.train.head, self.train.tail])] = True
        relation[self.train.relation] = True
        pairs = self.train.qualifiers
        if pairs is not None:
            entity[pairs.entity], relation[pairs.relation] = True, True
        seen = entity[statements.head] & entity[statements.tail] & relation[statements.relation]
        pairs = statements.qualifiers
        if pairs is not None:
            seen[pairs.statement[~(entity[pairs.entity] & relation[pairs.relation])]] = False
        unseen: Tensor = ~seen
        return unseen


def has_qualifiers(statements: Statements) -> bool:
    """Whether any statement has a qualifier."""
    return statements.qualifiers is not None and statements.qualifiers.num_pairs > 0


def _require_word(name: str, value: object, words: Sequence[str]) -> None:
    if value not in words:
        raise ProtocolError(f"{name}: expected {', '.join(map(repr, words[:-1]))} or {words[-1]!r}, got {value!r}")
