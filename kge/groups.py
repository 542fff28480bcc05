"""Ways to put statements in groups: by relation, by category of relation, by number of qualifiers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from relgraph.data.statements import Statements
from relgraph.errors import ProtocolError
from relgraph.kge.questions import group_answers

__all__ = ["CATEGORIES", "By", "Grouping", "group_statements", "relation_categories"]

By = Literal["relation", "category", "qualifiers"]
CATEGORIES = ("1-1", "1-N", "N-1", "N-N", "unknown")
_MANY = 1.5
_MOST_QUALIFIERS = 3


class Grouping(NamedTuple):
    """The group of every statement, int64 ``[S]``, and the names of the groups."""

    number: Tensor
    labels: tuple[str, ...]


def group_statements(statements: Statements, by: By, facts: Sequence[Statements]) -> Grouping:
    """Put statements in groups.

    Args:
        statements: What is grouped.
        by: ``"relation"``; ``"category"`` of the relation, see :func:`relation_categories`; ``"qualifiers"``: 0, 1, 2,
            or 3 and more.
        facts: What categories are taken from.

    Raises:
        ProtocolError: If there is no such grouping.
    """
    if by == "relation":
        return Grouping(statements.relation, tuple(statements.vocabulary.relations))
    if by == "category":
        return Grouping(relation_categories(facts, statements.num_relations)[statements.relation], CATEGORIES)
    if by == "qualifiers":
        pairs = statements.qualifiers
        counts = torch.zeros_like(statements.head) if pairs is None else pairs.counts
        return Grouping(counts.clamp(max=_MOST_QUALIFIERS), ("0", "1", "2", f"{_MOST_QUALIFIERS}+"))
    raise ProtocolError(f"by: expected one of {', '.join(map(repr, get_args(By)))}, got {by!r}")


def relation_categories(facts: Sequence[Statements], num_relations: int) -> Tensor:
    """The category of every relation as a place in ``CATEGORIES``, int64 ``[R]``.

    A side is "N" where an entity of the other side has on average 1.5 or more of it (Bordes et al. 2013, "Translating
    Embeddings for Modeling Multi-relational Data", section 4.3): in 1-N a head has many tails, a tail one head.
    Repeated triples count once; a relation without facts is unknown.
    """
    head = torch.cat([torch.empty(0, dtype=torch.int64), *(part.head for part in facts)])
    relation = torch.cat([head[:0], *(part.relation for part in facts)])
    tail = torch.cat([head[:0], *(part.tail for part in facts)])
    size = int(torch.cat([head, tail]).max()) + 1 if head.numel() else 1
    many = {}
    for side, entity, other in (("tail", head, tail), ("head", tail, head)):
        key, place = torch.unique(relation * size + entity, return_inverse=True)
        counts = group_answers(place, other, key.numel())[0].diff()
        owner = torch.div(key, size, rounding_mode="floor")
        total = torch.zeros(num_relations, dtype=torch.float64).index_add_(0, owner, counts.double())
        keys = torch.bincount(owner, minlength=num_relations)
        many[side] = total >= _MANY * keys
    known = torch.bincount(relation, minlength=num_relations) > 0
    return torch.where(known, 2 * many["head"].long() + many["tail"].long(), len(CATEGORIES) - 1)
