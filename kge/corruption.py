"""False statements made of true ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from relgraph.data.statements import Statements
from relgraph.errors import ProtocolError

__all__ = ["corrupt"]

_TRIES = 50


def corrupt(
    statements: Statements, known: Sequence[Statements], *, negatives: int = 1, seed: int = 0
) -> tuple[Statements, Tensor]:
    """Statements with another head or tail, none of which is known.

    Head or tail is replaced with equal chance by an entity that stands at that place of the relation in ``known`` (so
    that negatives are not told apart by type alone, Socher et al. 2013, "Reasoning With Neural Tensor Networks"), or,
    where every such entity makes a known triple, by any entity that may be a head or a tail.

    Args:
        statements: True ones; their qualifiers stay as they are.
        known: What no negative may repeat, whatever the qualifiers; the statements themselves are always known.
        negatives: How many are made of each.
        seed: Of the draws.

    Returns:
        The negatives, and the statement each is made of, int64.

    Raises:
        ProtocolError: If ``negatives`` is below 1, or a statement has no false neighbour.
    """
    if negatives < 1:
        raise ProtocolError(f"negatives: expected at least 1, got {negatives}")
    generator = torch.Generator().manual_seed(seed)
    facts = [statements, *known]
    size, names = statements.num_entities, statements.vocabulary
    taken = torch.unique(torch.cat([_keys(part.head, part.relation, part.tail, size) for part in facts]))
    source = torch.arange(len(statements)).repeat_interleave(negatives)
    head, relation, tail = (getattr(statements, name)[source].clone() for name in ("head", "relation", "tail"))
    at_head = torch.rand(len(source), generator=generator) < 0.5
    pools = [_Pool(facts, side, statements.num_relations) for side in ("head", "tail")]
    open_rows = torch.arange(len(source))
    for attempt in range(_TRIES):
        heads, tails = (pool.draw(relation[open_rows], generator) for pool in pools)
        drawn = torch.where(at_head[open_rows], heads, tails)
        if attempt >= _TRIES // 2:
            drawn = torch.randint(names.num_main_entities, (len(open_rows),), generator=generator)
            at_head[open_rows] = torch.rand(len(open_rows), generator=generator) < 0.5
        original = source[open_rows]
        head[open_rows] = torch.where(at_head[open_rows], drawn, statements.head[original])
        tail[open_rows] = torch.where(at_head[open_rows], statements.tail[original], drawn)
        wrong = torch.isin(_keys(head[open_rows], relation[open_rows], tail[open_rows], size), taken)
        open_rows = open_rows[wrong]
        if not len(open_rows):
            break
    else:
        words = statements.labels(int(source[open_rows[0]]))
        raise ProtocolError(f"found no false statement near {words}: nearly every other head and tail of it is known")
    made = statements.select(source)
    return replace(made, head=head, relation=relation, tail=tail), source


class _Pool:
    """The entities at one side of each relation, as often as they stand there."""

    def __init__(self, facts: Sequence[Statements], side: str, num_relations: int) -> None:
        relation = torch.cat([part.relation for part in facts])
        order = relation.argsort(stable=True)
        self._entity = torch.cat([getattr(part, side) for part in facts])[order]
        counts = torch.bincount(relation, minlength=num_relations)
        self._start, self._counts = counts.cumsum(0) - counts, counts

    def draw(self, relation: Tensor, generator: torch.Generator) -> Tensor:
        """One entity for each relation."""
        place = (torch.rand(len(relation), generator=generator) * self._counts[relation]).long()
        return self._entity[self._start[relation] + place]


def _keys(head: Tensor, relation: Tensor, tail: Tensor, num_entities: int) -> Tensor:
    return (relation * num_entities + head) * num_entities + tail
