"""The questions of a train set, numbered once, and the batches that an epoch makes of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from relgraph.data.statements import Statements
from relgraph.errors import ProtocolError
from relgraph.kge.losses import CE, Loss, Sampled
from relgraph.kge.questions import Position, Questions, ask, group_answers, question_keys
from relgraph.ops.tiles import Csr, csr_rows, csr_select

__all__ = ["Batch", "Batches"]


class Batch(NamedTuple):
    """Questions and the answers that are positives, with what sampling draws for them."""

    questions: Questions
    answers: Csr
    negatives: Tensor | None = None  # int64 [M], the same for all questions, or [B, M]
    known: Csr | None = None  # all answers of each question, sorted
    log_weight: Tensor | None = None  # [M], the logarithm of how many candidates a negative stands for
    pair_weight: float = 1.0  # of a mean over pairs: their share of a divided batch beside that of the questions
    counts: bool = True  # else it only keeps a process in step with the others

    @classmethod
    def of(cls, statements: Statements, positions: Sequence[Position], with_qualifiers: bool) -> Batch:
        """The questions of every statement at some positions, each distinct one once, with all its answers.

        Args:
            statements: What is known.
            positions: What is asked for.
            with_qualifiers: Whether qualifiers belong to a question; without them only main triples are left.
        """
        if not with_qualifiers:
            statements = replace(statements, qualifiers=None)
        asked = [ask(statements, position) for position in positions]
        questions = Questions.cat([part[0] for part in asked])
        key = question_keys(questions, with_qualifiers=with_qualifiers)
        num_keys = int(key.max()) + 1
        first = key.new_full((num_keys,), len(key)).scatter_reduce_(0, key, torch.arange(len(key)), "amin")
        return cls(questions.select(first), group_answers(key, torch.cat([part[1] for part in asked]), num_keys))

    def __len__(self) -> int:
        return len(self.questions)

    def select(self, index: Tensor) -> Batch:
        """Some of the questions, in the order of ``index``."""
        return Batch(self.questions.select(index), csr_select(self.answers, index))

    def part(self, rank: int, size: int) -> Batch | None:
        """Every ``size``-th question from ``rank`` on, with what was drawn for it; ``None`` if there is none."""
        rows = torch.arange(rank, len(self), size)
        return self._share(rows) if len(rows) else None

    def idle(self) -> Batch:
        """The first question, for a process that has none: it looks up what the others do, and does not count."""
        part = self._share(torch.tensor([0]))
        return Batch(part.questions, part.answers, part.negatives, part.known, part.log_weight, 0.0, False)

    def _share(self, rows: Tensor) -> Batch:
        negatives = self.negatives
        if negatives is not None and negatives.dim() == 2:
            negatives = negatives[rows]
        known = None if self.known is None else csr_select(self.known, rows)
        chosen = self.select(rows)
        pairs = len(chosen.answers[1]) / max(len(self.answers[1]), 1)
        weight = self.pair_weight * pairs / (len(chosen) / len(self))
        return Batch(chosen.questions, chosen.answers, negatives, known, self.log_weight, weight)

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        negatives, log_weight = (None if x is None else x.to(device) for x in (self.negatives, self.log_weight))
        known = None if self.known is None else (self.known[0].to(device), self.known[1].to(device))
        ptr, index = self.answers
        answers = ptr.to(device), index.to(device)
        return Batch(self.questions.to(device), answers, negatives, known, log_weight, self.pair_weight, self.counts)


class Batches:
    """The batches of a training: distinct questions, or pairs of a question and an answer, as the loss wants them.

    Args:
        train: What is learnt; a repeated fact counts once.
        positions: What is asked for.
        loss: What is trained by.
        batch_size: Questions or pairs in a batch.
        with_qualifiers: Whether qualifiers belong to a question.
        seed: Of the order and of what sampling draws.
    """

    def __init__(
        self,
        train: Statements,
        positions: Sequence[Position],
        loss: Loss,
        *,
        batch_size: int,
        with_qualifiers: bool,
        seed: int,
    ) -> None:
        self.distinct = Batch.of(train, positions, with_qualifiers)
        self._loss, self._batch_size, self._seed = loss, batch_size, seed
        self._row = csr_rows(self.distinct.answers[0])  # the question of each pair
        self._num_drawn = train.num_entities if "qualifier" in positions else train.vocabulary.num_main_entities
        self._num_rows = len(self.distinct) if loss.answers == "all" else len(self._row)
        self._sides: tuple[Tensor, Tensor, Tensor] | None = None
        if isinstance(loss, Sampled) and loss.corruption == "bernoulli":
            self._sides = _two_sides(train, positions, with_qualifiers, self.distinct)
            self._num_rows = len(self._sides[0])

    def __len__(self) -> int:
        return -(-self._num_rows // self._batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch ``start`` on; they depend on seed, epoch and place only."""
        order = torch.randperm(self._num_rows, generator=self._generator(epoch))
        if self._sides is not None:
            head, tail, share = self._sides
            ask_head = torch.rand(len(share), generator=self._generator(epoch, 1)) < share
            order = torch.where(ask_head, head, tail)[order]
        for number in range(start, len(self)):
            rows = order[number * self._batch_size : (number + 1) * self._batch_size]
            yield self._batch(rows, epoch, number)

    def _batch(self, rows: Tensor, epoch: int, number: int) -> Batch:
        if self._loss.answers == "all":
            batch = self.distinct.select(rows)
        else:
            place = self._row[rows]
            answers = (torch.arange(len(rows) + 1), self.distinct.answers[1][rows])
            batch = Batch(self.distinct.questions.select(place), answers)
        if isinstance(self._loss, CE) and self._loss.negatives is not None:
            return self._with_others(batch, self._loss.negatives, self._generator(epoch, number + 2))
        if not isinstance(self._loss, Sampled):
            return batch
        shape = (self._loss.negatives,) if self._loss.shared else (len(rows), self._loss.negatives)
        negatives = torch.randint(self._num_drawn, shape, generator=self._generator(epoch, number + 2))
        known = csr_select(self.distinct.answers, place) if self._loss.mask_known else None
        return Batch(batch.questions, batch.answers, negatives, known)

    def _with_others(self, batch: Batch, number: int, generator: torch.Generator) -> Batch:
        """The answers of the batch, each for itself, and others drawn for all the rest."""
        own = torch.unique(batch.answers[1])
        drawn = torch.unique(torch.randint(self._num_drawn, (number,), generator=generator))
        drawn = drawn[~torch.isin(drawn, own)]
        rest = self._num_drawn - int((own < self._num_drawn).sum())
        weight = torch.zeros(len(own) + len(drawn))
        if len(drawn):
            weight[len(own) :] = math.log(rest / len(drawn))
        return Batch(batch.questions, batch.answers, torch.cat([own, drawn]), log_weight=weight)

    def _generator(self, *place: int) -> torch.Generator:
        # a last 0 would make no difference to the sequence
        number = np.random.SeedSequence([self._seed, *place]).generate_state(1, np.uint64)[0] >> np.uint64(1)
        return torch.Generator().manual_seed(int(number))


def _two_sides(
    train: Statements, positions: Sequence[Position], with_qualifiers: bool, distinct: Batch
) -> tuple[Tensor, Tensor, Tensor]:
    """For each distinct statement its pair that asks for the head, the one for the tail, and how often the head."""
    if set(positions) != {"head", "tail"}:
        raise ProtocolError(f"corruption='bernoulli' asks for heads or tails; expected both positions, got {positions}")
    if not with_qualifiers:
        train = replace(train, qualifiers=None)
    pairs = {}
    for position in ("head", "tail"):
        questions, answer, _ = ask(train, position)
        every = Questions.cat([distinct.questions, questions])
        key = question_keys(every, with_qualifiers=with_qualifiers)
        number = torch.empty_like(key).scatter_(0, key[: len(distinct)], torch.arange(len(distinct)))
        pairs[position] = _pair_numbers(distinct.answers, number[key[len(distinct) :]], answer)
    # the tail pair names a statement: head, relation and qualifiers, and the tail
    tail, first = _firsts(pairs["tail"])
    relation = train.relation[first]
    count = torch.bincount(relation, minlength=train.num_relations).double()
    heads, tails = (
        torch.bincount(torch.unique(torch.stack([relation, side[first]]), dim=1)[0], minlength=train.num_relations)
        for side in (train.head, train.tail)
    )
    per_head, per_tail = count / heads.clamp(min=1), count / tails.clamp(min=1)  # tph, hpt
    share = (per_head / (per_head + per_tail).clamp(min=1))[relation]
    return pairs["head"][first], tail, share


def _pair_numbers(answers: Csr, question: Tensor, answer: Tensor) -> Tensor:
    """Where the pairs of a question and an answer stand in a CSR of distinct, sorted answers."""
    size = int(answers[1].max()) + 1
    return torch.searchsorted(csr_rows(answers[0]) * size + answers[1], question * size + answer)


def _firsts(number: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct values, and the first place of each."""
    distinct, inverse = torch.unique(number, return_inverse=True)
    first = number.new_full((len(distinct),), len(number))
    return distinct, first.scatter_reduce_(0, inverse, torch.arange(len(number)), "amin")
