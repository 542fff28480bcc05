"""What the rows of a scorer's tables stand for, found by growing small scorers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Size

from relgraph.errors import SchemaError

if TYPE_CHECKING:
    from relgraph.kge.scorers.base import Scorer

__all__ = ["RowKind", "row_kinds"]

RowKind = Literal["entity", "relation", "inverse"]
"""A row per entity, per relation, or per relation and then per inverse relation."""

_SIZES = (3, 2)


def row_kinds(scorer: Scorer) -> dict[str, RowKind]:
    """The tables of a scorer that grow with the number of entities or of relations.

    Raises:
        SchemaError: If a table grows in another way than by one row per entity, or one or two per relation.
    """
    entities, relations = _SIZES
    plain = _shapes(scorer, entities, relations)
    more_entities, more_relations = _shapes(scorer, entities + 1, relations), _shapes(scorer, entities, relations + 1)
    kinds: dict[str, RowKind] = {}
    for name, shape in plain.items():
        growth = [grown[name][0] - shape[0] if shape else 0 for grown in (more_entities, more_relations)]
        same_rows = all(grown[name][1:] == shape[1:] for grown in (more_entities, more_relations))
        known: dict[tuple[int, int], RowKind | None] = {
            (0, 0): None,
            (1, 0): "entity",
            (0, 1): "relation",
            (0, 2): "inverse",
        }
        if (growth[0], growth[1]) not in known or not same_rows:
            raise SchemaError(
                f"{type(scorer).__name__}.{name} is {list(shape)} for {entities} entities and {relations} relations, "
                f"{list(more_entities[name])} for one entity and {list(more_relations[name])} for one relation more; "
                "expected one row per entity, or one or two per relation: say in row_kinds what it is"
            )
        kind = known[growth[0], growth[1]]
        if kind is not None:
            kinds[name] = kind
    return kinds


def _shapes(scorer: Scorer, num_entities: int, num_relations: int) -> dict[str, Size]:
    with torch.random.fork_rng(devices=[]):
        return {name: x.shape for name, x in scorer.resized(num_entities, num_relations).state_dict().items()}
