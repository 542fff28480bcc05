"""Filtered ranking of statements against all candidates, with the protocol as part of the result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor

from relgraph.data.progress import track
from relgraph.data.statements import Statements, csr_ptr
from relgraph.errors import ProtocolError
from relgraph.kge.blocks import ScoreSource
from relgraph.kge.known import KnownAnswers
from relgraph.kge.metrics import HITS, Metrics
from relgraph.kge.protocol import Protocol, ProtocolOptions
from relgraph.kge.questions import Position, ask, question_keys
from relgraph.kge.ranks import Ranks
from relgraph.kge.scorers.base import Scorer
from relgraph.ops import rank_scores
from relgraph.ops.tiles import Csr, csr_rows, csr_select

__all__ = ["Evaluation", "evaluate"]


class Evaluation:
    """A ranking protocol on fixed statements, to be run on a scorer again and again; see :func:`evaluate`."""

    def __init__(
        self,
        statements: Statements,
        known: Sequence[Statements] | None = None,
        *,
        protocol: Protocol | None = None,
        hits: Sequence[int] = HITS,
        batch_size: int = 512,
        **options: Unpack[ProtocolOptions],
    ) -> None:
        asked = _protocol(protocol, known, options)
        if len(statements) == 0:
            raise ProtocolError("expected statements to rank, got none; is the test set empty?")
        if batch_size < 1:
            raise ProtocolError(f"batch_size: expected at least 1, got {batch_size}")
        if not all(isinstance(k, int) and k > 0 for k in hits):
            raise ProtocolError(f"hits: expected whole numbers of at least 1, got {tuple(hits)}")
        asked.require_shared_vocabulary(statements)
        unseen = asked.unseen_in(statements)
        if unseen is not None and asked.unseen == "drop":
            if bool(unseen.all()):
                raise ProtocolError(
                    f"unseen='drop' leaves nothing: each of the {len(statements):,} statements has an entity or "
                    "relation that is not in train; is it the right train set?"
                )
            statements = statements.select(~unseen)
        self.statements, self.batch_size, self.hits = statements, batch_size, tuple(hits)
        self.positions = asked.positions_for(statements)
        filter = asked.filter_for(statements)
        sources = [] if filter == "none" else list(asked.known)
        self.facts = [*asked.known] if asked.train is None else [asked.train]
        self.candidates = {position: asked.candidates_for(statements, position) for position in self.positions}
        self.asked: dict[Position, _Asked] = {}
        for position in self.positions:
            found = _Asked(statements, position, self.candidates[position], sources, filter)
            _require_among(found.answers, self.candidates[position], position, statements)
            self.asked[position] = found
        given = asked.candidates
        main = [self.candidates[p].numel() for p in self.positions if p != "qualifier"]
        values = [self.candidates[p].numel() for p in self.positions if p == "qualifier"]
        self.protocol = {
            "filter": filter,
            "candidates": given if isinstance(given, str) else "subset",
            **({"num_candidates": main[0]} if main else {}),
            **({"num_qualifier_candidates": values[0]} if values else {}),
            "ties": asked.ties,
            "positions": list(self.positions),
            "unseen": asked.unseen,
            **({} if unseen is None else {"num_unseen": int(unseen.sum())}),
            "num_statements": len(statements),
            "num_known": [len(part) for part in sources],
        }

    @torch.no_grad()
    def run(self, scorer: Scorer, progress: bool = True) -> Metrics:
        """Rank every statement at every position."""
        scorer.require_vocabulary(self.statements.vocabulary)
        scorer.require_positions(self.positions)
        training = scorer.training
        scorer.eval()
        try:
            source = ScoreSource(scorer)
            steps = [
                (position, start)
                for position in self.positions
                for start in range(0, len(self.asked[position].questions), self.batch_size)
            ]
            parts: dict[str, list[Ranks]] = {position: [] for position in self.positions}
            for position, start in track(steps, "ranking", progress):
                parts[position].append(self._rank(source, position, start))
        finally:
            scorer.train(training)
        ranks: dict[str, Ranks] = {
            position: asked.in_order(Ranks.cat(parts[position])) for position, asked in self.asked.items()
        }
        return Metrics(ranks, self.protocol, self.statements, self.facts, self.hits)

    def _rank(self, source: ScoreSource, position: Position, start: int) -> Ranks:
        asked, device = self.asked[position], source.device
        batch = torch.arange(start, min(start + self.batch_size, len(asked.questions)))
        ptr, chosen = csr_select(asked.targets, batch)
        known = asked.known.rows(batch)
        counts = rank_scores(
            source(asked.questions.select(batch)),
            asked.answers[chosen].to(device),
            (known[0].to(device), known[1].to(device)),
            self.candidates[position].to(device),
            csr_rows(ptr).to(device),
        )
        return Ranks(counts.greater.cpu(), counts.equal.cpu(), asked.left[chosen], asked.statement[chosen])


class _Asked:
    """What statements ask for at a position: each distinct question once, with all its answers.

    Args:
        statements: What is ranked.
        position: What is asked for.
        candidates: Who competes.
        known: Statements whose answers are filtered.
        filter: How; see :class:`~relgraph.kge.Protocol`.
    """

    def __init__(
        self,
        statements: Statements,
        position: Position,
        candidates: Tensor,
        known: Sequence[Statements],
        filter: str,
    ) -> None:
        every, self.answers, self.statement = ask(statements, position)
        key = question_keys(every, with_qualifiers=True, ordered=True)  # what some scorer may tell apart
        order = key.argsort(stable=True)
        self.targets: Csr = csr_ptr(torch.bincount(key)), order
        self.questions = every.select(order[self.targets[0][:-1]])
        self.known = KnownAnswers(known, self.questions, position, filter == "strict", both=filter == "loose-both")
        self.left = _left(self.known.rows(slice(None)), self.targets, self.answers, candidates)

    def in_order(self, ranks: Ranks) -> Ranks:
        """Ranks that were taken question by question, in the order of the statements."""
        return ranks.select(self.targets[1].argsort())


def evaluate(
    scorer: Scorer,
    statements: Statements,
    known: Sequence[Statements] | None = None,
    *,
    protocol: Protocol | None = None,
    hits: Sequence[int] = HITS,
    batch_size: int = 512,
    progress: bool = True,
    **options: Unpack[ProtocolOptions],
) -> Metrics:
    """Rank the answer of every statement among all candidates, at each position.

    Known answers other than the answer itself do not compete. Ranks are taken from raw scores. Statements with
    entities that training has not seen count like all others unless the protocol says otherwise, and so do repeated
    ones. ``evaluate(scorer, test, known, filter="loose")`` is short for
    ``evaluate(scorer, test, protocol=Protocol(known, filter="loose"))``.

    Args:
        scorer: Built for the vocabulary of the statements; also a model that is no product, see
            :class:`~relgraph.kge.blocks.ScoreBlocks`.
        statements: What is ranked.
        known: Statements whose answers are filtered, usually ``[train, valid, test]``; ``[]`` filters nothing.
        protocol: All of the protocol in one, instead of ``known`` and ``options``.
        hits: The ``k`` of hits@k that are shown; any other can be asked for as ``metrics["hits@5"]``.
        batch_size: Questions ranked at once.
        progress: Whether to show a bar on stderr.
        options: The other arguments of :class:`~relgraph.kge.Protocol`.

    Returns:
        Metrics by name, with ``protocol`` and the raw ``ranks`` beside them; see :class:`~relgraph.kge.Metrics`.

    Raises:
        ProtocolError: If there is nothing to rank, the protocol is impossible for these statements or this scorer, or
            a score is NaN.
        SchemaError: If the vocabularies differ or the scorer does not fit them.
    """
    run = Evaluation(statements, known, protocol=protocol, hits=hits, batch_size=batch_size, **options)
    return run.run(scorer, progress)


def _protocol(protocol: Protocol | None, known: Sequence[Statements] | None, options: ProtocolOptions) -> Protocol:
    if protocol is None:
        if known is None:
            raise ProtocolError(
                "expected known=[train, valid, test], known=[] for raw ranks, or protocol=Protocol(...)"
            )
        return Protocol(known, **options)
    if known is not None or options:
        words = ", ".join([*(["known"] if known is not None else []), *options])
        raise ProtocolError(f"give either protocol= or its parts, not both; got protocol and {words}")
    return protocol


def _require_among(answers: Tensor, candidates: Tensor, position: Position, statements: Statements) -> None:
    outside = ~torch.isin(answers, candidates)
    if bool(outside.any()):
        first = statements.vocabulary.entities[int(answers[outside][0])]
        raise ProtocolError(
            f"candidates: expected every answer among them, but {int(outside.sum()):,} of {len(answers):,} at position "
            f"{position!r} are not, such as {first!r}; rank with candidates='all', or leave such statements out"
        )


def _left(known: Csr, targets: Csr, answers: Tensor, candidates: Tensor) -> Tensor:
    """How many candidates each answer has after filtering, itself among them, int64 ``[T]``.

    Args:
        known: The known answers of each question.
        targets: Which answers are those of each question.
        answers: int64 ``[T]``.
        candidates: Who competes.
    """
    row, order = csr_rows(targets[0]), targets[1]
    inside = torch.isin(known[1], candidates)
    owner, index = csr_rows(known[0])[inside], known[1][inside]
    removed = torch.bincount(owner, minlength=len(known[0]) - 1)[row]
    size = int(torch.cat([index, answers]).max()) + 1
    itself = torch.isin(row * size + answers[order], owner * size + index)  # it is not removed
    left = torch.empty_like(answers)
    left[order] = candidates.numel() - removed + itself.long()
    return left
