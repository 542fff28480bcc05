"""Frequency: how often an entity has answered before, whoever asks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from relgraph.data.statements import Statements
from relgraph.kge.questions import MISSING, POSITIONS, Questions, ask
from relgraph.kge.scorers.base import Scorer

__all__ = ["Frequency"]


class Frequency(Scorer):
    r"""What a link predictor has to beat: counts of the train statements, without any parameter.

    .. math:: s(h, r, t) = |\{(h', r, t) \in \mathrm{train}\}|

    The value of a qualifier is scored by how often the train set has it with that qualifier relation, in whatever
    statement. It counts repeated statements as often as they stand there. As every scorer it is a product, of a count
    per entity and relation with a relation: ``[N, C]`` numbers for the ``C`` relations (inverses and qualifier
    relations apart) that train uses.

    Args:
        num_entities: Entities of the vocabulary.
        num_relations: Relations of the vocabulary, without inverses.
    """

    reads_qualifiers = True
    column: Tensor
    counts: Tensor

    def __init__(self, num_entities: int, num_relations: int) -> None:
        super().__init__(num_entities, num_relations)
        # the last column is that of relations that were never seen
        self.register_buffer("column", torch.zeros(3 * num_relations, dtype=torch.int64))
        self.register_buffer("counts", torch.zeros(num_entities, 1))

    @classmethod
    def of(cls, train: Statements) -> Frequency:
        """The frequencies of some statements."""
        scorer = cls(train.num_entities, train.num_relations)
        scorer.learn_from(train)
        return scorer

    def learn_from(self, train: Statements) -> None:
        """Count instead of what was counted before."""
        asked = [ask(train, position)[:2] for position in POSITIONS]
        slot = torch.cat([self._slot(questions) for questions, _ in asked])
        answer = torch.cat([answer for _, answer in asked])
        used, place = torch.unique(slot, return_inverse=True)
        column = torch.full((3 * self.num_relations,), len(used))
        column[used] = torch.arange(len(used))
        counts = torch.zeros(self.num_entities, len(used) + 1)
        counts.index_put_((answer, place), torch.ones(len(answer)), accumulate=True)
        self.column, self.counts = column.to(self.column.device), counts.to(self.counts.device)

    def encode(self, questions: Questions) -> tuple[Tensor, Tensor | None]:
        """The relation alone, one-hot ``[B, C + 1]``."""
        column = self.column[self._slot(questions)]
        return one_hot(column, self.counts.shape[1]).to(self.counts.dtype), None

    def candidates(self) -> tuple[Tensor, Tensor | None]:
        """Counts ``[N, C + 1]``."""
        return self.counts, None

    def _slot(self, questions: Questions) -> Tensor:
        """``r`` where a tail is asked for, ``2 R + q`` where the value of a qualifier is."""
        slot = questions.relation.clone()
        pairs = questions.qualifiers
        if pairs is not None:
            missing = pairs.entity == MISSING
            slot[pairs.statement[missing]] = 2 * self.num_relations + pairs.relation[missing]
        return slot
