"""What a scorer was trained on, by index on its device: the facts of an entity, and which of them are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from relgraph.data.statements import Qualifiers, Statements, csr_ptr
from relgraph.kge.questions import MISSING, Questions
from relgraph.ops.tiles import csr_rows
from relgraph.sampling.hashing import fold

__all__ = ["Facts", "first_pairs", "pair_sets"]


class Facts(nn.Module):
    """Statements as buffers: they move with the scorer that holds them, and are saved and loaded with it.

    Each of the ``S`` statements is there in both directions: edge ``i`` is ``(head, relation, tail)``, edge ``i + S``
    is ``(tail, relation + R, head)``. The edges of an entity are those it stands on the left of, the latest statement
    first, and in their own order where there is no time.

    Args:
        num_entities: Entities ``N``.
        num_relations: Relations ``R`` without inverses.
    """

    entity: Tensor
    relation: Tensor
    answer: Tensor
    set_hash: Tensor
    pair_ptr: Tensor
    pair_relation: Tensor
    pair_entity: Tensor
    edge_ptr: Tensor
    edge: Tensor

    def __init__(self, num_entities: int, num_relations: int) -> None:
        super().__init__()
        self.num_entities, self.num_relations = num_entities, num_relations
        none = torch.zeros(0, dtype=torch.int64)
        self._set(none, none, none, Qualifiers.empty(0))

    def learn(self, train: Statements, device: torch.device) -> None:
        """Hold these statements instead of those before."""
        if train.time is not None:
            train = train.select(train.time.argsort(descending=True, stable=True))
        pairs = train.qualifiers or Qualifiers.empty(len(train))
        self._set(train.head, train.relation, train.tail, pairs, device)

    def take_over(self, other: Facts, entity: Tensor, relation: Tensor) -> None:
        """Hold the statements of another vocabulary, whose entity ``i`` is ``entity[i]`` here, and so its relations."""
        entity, relation, half = entity.to(other.edge.device), relation.to(other.edge.device), other.num_statements
        pairs = Qualifiers(other.pair_ptr, relation[other.pair_relation], entity[other.pair_entity])
        head, tail = entity[other.entity[:half]], entity[other.answer[:half]]
        self._set(head, relation[other.relation[:half]], tail, pairs, other.edge.device)

    @property
    def num_statements(self) -> int:
        """``S``."""
        return self.entity.numel() // 2

    @property
    def qualifiers(self) -> Qualifiers:
        """The qualifiers of the statements."""
        return Qualifiers(self.pair_ptr, self.pair_relation, self.pair_entity)

    def around(self, questions: Questions, k: int, max_pairs: int, shuffle: bool) -> tuple[Questions, Tensor]:
        """Facts about the known entity of each question, as questions whose answer that entity is.

        The statements that answer a question are left out: those with its entity, relation and set of qualifiers in
        either direction, and, of a question for the value of a qualifier, all with its main triple.

        Args:
            questions: On the device of the facts.
            k: Facts per question at most; fewer where an entity has no more.
            max_pairs: Qualifiers of a fact at most, its first ones.
            shuffle: Draw with torch's generator of the device, without replacement; else take the first ones.

        Returns:
            ``M`` questions ``(neighbour, inverse relation, ?)``, and the question that each belongs to, int64 ``[M]``
            in rising order.
        """
        counts = self.edge_ptr.diff()[questions.entity]
        ptr = csr_ptr(counts)
        owner = csr_rows(ptr)
        place = torch.arange(owner.numel(), device=owner.device)
        edge = self.edge[place + (self.edge_ptr[questions.entity] - ptr[:-1])[owner]]
        usable = ~self._answers(questions, owner, edge)
        owner, edge = owner[usable], edge[usable]
        if shuffle:
            draw = torch.rand(owner.numel(), device=owner.device, dtype=torch.float64)
            edge = edge[(owner + draw).argsort()]  # owners keep their order
        counts = torch.bincount(owner, minlength=len(questions))
        place = torch.arange(owner.numel(), device=owner.device) - (counts.cumsum(0) - counts)[owner]
        owner, edge = owner[place < k], edge[place < k]
        statement = edge % max(self.num_statements, 1)
        inverse = (self.relation[edge] + self.num_relations) % (2 * self.num_relations)
        pairs = first_pairs(self.qualifiers.select(statement), max_pairs)
        return Questions(self.answer[edge], inverse, None, pairs), owner

    def _answers(self, questions: Questions, owner: Tensor, edge: Tensor) -> Tensor:
        """Whether an edge of a question's entity is a statement that answers it, bool per edge."""
        relation = questions.relation[owner]
        other = (edge + self.num_statements) % max(2 * self.num_statements, 1)
        along = self.relation[edge] == relation
        # only of a loop does the other direction start at the same entity
        back = (self.relation[other] == relation) & (self.entity[other] == questions.entity[owner])
        asked = torch.zeros_like(questions.entity) if questions.qualifiers is None else pair_sets(questions.qualifiers)
        same_set = asked[owner] == self.set_hash[edge % max(self.num_statements, 1)]
        if questions.tail is None:
            return (along | back) & same_set
        tail = questions.tail[owner]
        triple = (along & (self.answer[edge] == tail)) | (back & (self.answer[other] == tail))
        return torch.where(tail == MISSING, (along | back) & same_set, triple)

    def _set(
        self, head: Tensor, relation: Tensor, tail: Tensor, pairs: Qualifiers, device: torch.device | None = None
    ) -> None:
        entity = torch.cat([head, tail])
        # both directions of a statement beside each other
        edge = torch.arange(len(entity), device=entity.device).view(2, -1).T.flatten()
        edge = edge[entity[edge].argsort(stable=True)]
        content = {
            "entity": entity,
            "relation": torch.cat([relation, relation + self.num_relations]),
            "answer": torch.cat([tail, head]),
            "set_hash": pair_sets(pairs),
            "pair_ptr": pairs.ptr,
            "pair_relation": pairs.relation,
            "pair_entity": pairs.entity,
            "edge_ptr": csr_ptr(torch.bincount(entity, minlength=self.num_entities)),
            "edge": edge,
        }
        for name, value in content.items():
            self.register_buffer(name, value.to(device))

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        # as many facts as are saved, not as many as are here
        for name, buffer in list(self._buffers.items()):
            saved = state_dict.get(prefix + name)
            if (
                isinstance(saved, Tensor)
                and isinstance(buffer, Tensor)
                and saved.dtype == buffer.dtype
                and saved.dim() == 1
            ):
                self.register_buffer(name, torch.empty_like(saved, device=buffer.device))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def pair_sets(qualifiers: Qualifiers) -> Tensor:
    """A hash of each statement's set of qualifier pairs, int64 ``[S]``: 0 for none; order and repeats do not matter."""
    row = qualifiers.statement
    if not row.numel():
        return torch.zeros_like(qualifiers.counts)
    word = fold(fold(torch.zeros_like(row), qualifiers.relation), qualifiers.entity)
    distinct = torch.unique(torch.stack([row, word]), dim=1)
    return torch.zeros_like(qualifiers.counts).index_add_(0, distinct[0], distinct[1])


def first_pairs(qualifiers: Qualifiers, most: int) -> Qualifiers:
    """The first ``most`` pairs of each statement."""
    place = torch.arange(qualifiers.num_pairs, device=qualifiers.ptr.device) - qualifiers.ptr[qualifiers.statement]
    kept = place < most
    ptr = csr_ptr(qualifiers.counts.clamp(max=most))
    return Qualifiers(ptr, qualifiers.relation[kept], qualifiers.entity[kept])
