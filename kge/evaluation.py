"""Filtered ranking of statements against all candidates, with the protocol as part of the result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor

from relgraph.data.progress import track
from relgraph.data.statements import Statements
from relgraph.errors import ProtocolError
from relgraph.kge.blocks import ScoreSource
from relgraph.kge.known import KnownAnswers
from relgraph.kge.metrics import HITS, Metrics
from relgraph.kge.protocol import Protocol, ProtocolOptions
from relgraph.kge.questions import Position, ask
from relgraph.kge.ranks import Ranks
from relgraph.kge.scorers.base import Scorer
from relgraph.ops import rank_scores
from relgraph.ops.tiles import Csr, csr_rows

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
        self.asked = {position: ask(statements, position) for position in self.positions}
        self.candidates = {position: asked.candidates_for(statements, position) for position in self.positions}
        self.known = {
            position: KnownAnswers(
                sources, self.asked[position][0], position, filter == "strict", both=filter == "loose-both"
            )
            for position in self.positions
        }
        for position in self.positions:
            _require_among(self.asked[position][1], self.candidates[position], position, statements)
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
                for start in range(0, len(self.asked[position][0]), self.batch_size)
            ]
            parts: dict[str, list[Ranks]] = {position: [] for position in self.positions}
            for position, start in track(steps, "ranking", progress):
                parts[position].append(self._rank(source, position, start))
        finally:
            scorer.train(training)
        ranks = {position: Ranks.cat(part) for position, part in parts.items()}
        return Metrics(ranks, self.protocol, self.statements, self.facts, self.hits)

    def _rank(self, source: ScoreSource, position: Position, start: int) -> Ranks:
        questions, answers, statement = self.asked[position]
        batch = torch.arange(start, min(start + self.batch_size, len(questions)))
        known, answer, candidates = self.known[position].rows(batch), answers[batch], self.candidates[position]
        device = source.device
        filter = known[0].to(device), known[1].to(device)
        counts = rank_scores(source(questions.select(batch)), answer.to(device), filter, candidates.to(device))
        return Ranks(counts.greater.cpu(), counts.equal.cpu(), _left(known, answer, candidates), statement[batch])


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


def _left(known: Csr, answers: Tensor, candidates: Tensor) -> Tensor:
    """How many candidates each question has after filtering, the answer among them."""
    row, index = csr_rows(known[0]), known[1]
    removed = torch.isin(index, candidates) & (index != answers[row])
    counts = torch.zeros_like(answers).index_add_(0, row, removed.long())
    return candidates.numel() - counts
