"""Filtered ranking of statements against all candidates, with the protocol as part of the result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from relgraph.data.progress import track
from relgraph.data.statements import Statements
from relgraph.errors import ProtocolError
from relgraph.kge.known import KnownAnswers, require_shared_vocabulary
from relgraph.kge.questions import Position, ask
from relgraph.kge.scorers.base import Scorer
from relgraph.ops import RankCounts, rank

__all__ = ["Evaluation", "Filter", "Metrics", "evaluate", "rank_metrics"]

Filter = Literal["auto", "strict", "loose", "none"]
HITS = (1, 3, 10)


class Metrics(Mapping[str, float]):
    """The metrics of a ranking by name, the protocol they were measured with, and the ranks themselves.

    ``"mr"``, ``"mrr"``, ``"hits@1"``, ``"hits@3"`` and ``"hits@10"`` take realistic ranks over all positions.
    ``"optimistic.mrr"`` and ``"pessimistic.mrr"`` break ties for and against the answer, ``"head.mrr"`` and
    ``"tail.mrr"`` are those of one position (realistic); so for each of the five.

    Args:
        ranks: Counters per position, each in the order of the statements.
        protocol: What the numbers mean: filter, candidates, ties, positions, counts.
    """

    def __init__(self, ranks: Mapping[str, RankCounts], protocol: Mapping[str, Any]) -> None:
        self.ranks = dict(ranks)
        self.protocol = dict(protocol)
        both = RankCounts(*(torch.cat(part) for part in zip(*ranks.values(), strict=True)))
        self._values = rank_metrics(both.realistic)
        for ties in ("optimistic", "pessimistic"):
            self._values |= {f"{ties}.{name}": x for name, x in rank_metrics(getattr(both, ties)).items()}
        for position, counts in self.ranks.items():
            self._values |= {f"{position}.{name}": x for name, x in rank_metrics(counts.realistic).items()}

    def __getitem__(self, name: str) -> float:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        main = ", ".join(f"{name} {self[name]:.4g}" for name in rank_metrics(torch.ones(1)))
        protocol = ", ".join(f"{name} {value}" for name, value in self.protocol.items())
        return f"Metrics({main}; {protocol})"


def rank_metrics(ranks: Tensor) -> dict[str, float]:
    """Mean rank, mean reciprocal rank, and the shares of ranks up to 1, 3 and 10.

    Args:
        ranks: From 1; halves are possible.
    """
    ranks = ranks.double()
    hits = {f"hits@{k}": float((ranks <= k).double().mean()) for k in HITS}
    return {"mr": float(ranks.mean()), "mrr": float(ranks.reciprocal().mean()), **hits}


class Evaluation:
    """A ranking protocol on fixed statements, to be run on a scorer again and again; see :func:`evaluate`."""

    def __init__(
        self,
        statements: Statements,
        known: Sequence[Statements],
        *,
        candidates: Literal["main", "all"] | Tensor = "main",
        positions: Sequence[Position] = ("head", "tail"),
        filter: Filter = "auto",
        batch_size: int = 512,
    ) -> None:
        if len(statements) == 0:
            raise ProtocolError("expected statements to rank, got none; is the test set empty?")
        if batch_size < 1:
            raise ProtocolError(f"batch_size: expected at least 1, got {batch_size}")
        require_shared_vocabulary(statements.vocabulary, known, "known")
        self.statements, self.batch_size, self.positions = statements, batch_size, tuple(positions)
        self.candidates = _candidate_numbers(candidates, statements)
        filter = _chosen_filter(filter, [statements, *known])
        sources = [] if filter == "none" else known
        self.asked = {p: ask(statements, p)[:2] for p in positions}
        self.known = {p: KnownAnswers(sources, self.asked[p][0], p, filter == "strict") for p in positions}
        self.protocol = {
            "filter": filter,
            "candidates": candidates if isinstance(candidates, str) else "subset",
            "num_candidates": self.candidates.numel(),
            "ties": "realistic",
            "positions": list(positions),
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
            steps = [
                (position, start)
                for position in self.positions
                for start in range(0, len(self.asked[position][0]), self.batch_size)
            ]
            parts: dict[str, list[RankCounts]] = {position: [] for position in self.positions}
            candidates = scorer.candidates()
            for position, start in track(steps, "ranking", progress):
                parts[position].append(self._rank(scorer, candidates, position, start))
        finally:
            scorer.train(training)
        ranks = {p: RankCounts(*(torch.cat(c) for c in zip(*part, strict=True))) for p, part in parts.items()}
        return Metrics(ranks, self.protocol)

    def _rank(
        self, scorer: Scorer, candidates: tuple[Tensor, Tensor | None], position: Position, start: int
    ) -> RankCounts:
        questions, answers = self.asked[position]
        batch = torch.arange(start, min(start + self.batch_size, len(questions)))
        device = candidates[0].device
        query, query_bias = scorer.encode(questions.select(batch).to(device))
        ptr, index = self.known[position].rows(batch)
        counts = rank(
            query,
            candidates[0],
            answers[batch].to(device),
            (ptr.to(device), index.to(device)),
            query_bias=query_bias,
            candidate_bias=candidates[1],
            alpha=scorer.alpha,
            candidate_subset=self.candidates.to(device),
        )
        return RankCounts(counts.greater.cpu(), counts.equal.cpu())


def evaluate(
    scorer: Scorer,
    statements: Statements,
    known: Sequence[Statements],
    *,
    candidates: Literal["main", "all"] | Tensor = "main",
    positions: Sequence[Position] = ("head", "tail"),
    filter: Filter = "auto",
    batch_size: int = 512,
    progress: bool = True,
) -> Metrics:
    """Rank the answer of every statement among all candidates, at each position.

    Known answers other than the answer itself do not compete. Ranks are taken from raw scores; the headline breaks
    ties by the mean of the best and the worst rank. Statements with entities that training has not seen count like all
    others, and so do repeated ones.

    Args:
        scorer: Built for the vocabulary of the statements.
        statements: What is ranked.
        known: Statements whose answers are filtered, usually ``[train, valid, test]``; ``[]`` filters nothing.
        candidates: ``"main"`` ranks among the entities that may be a head or a tail, ``"all"`` among all entities, an
            int64 tensor among those numbers.
        positions: What is asked for: ``"head"``, ``"tail"`` or both.
        filter: ``"strict"``: an answer is known if a statement has the same entity, relation and set of qualifiers;
            ``"loose"``: the same entity and relation, whatever the qualifiers (of plain triples both are the same);
            ``"auto"``: strict if any statement has qualifiers; ``"none"``: no filter.
        batch_size: Statements ranked at once.
        progress: Whether to show a bar on stderr.

    Returns:
        Metrics by name, with ``protocol`` and the raw ``ranks`` beside them.

    Raises:
        ProtocolError: If there is nothing to rank, ``known`` is no list of statements, an answer is no candidate, or a
            score is NaN.
        SchemaError: If the vocabularies differ or the scorer does not fit them.
    """
    run = Evaluation(
        statements, known, candidates=candidates, positions=positions, filter=filter, batch_size=batch_size
    )
    return run.run(scorer, progress)


def _candidate_numbers(candidates: str | Tensor, statements: Statements) -> Tensor:
    if isinstance(candidates, Tensor):
        return candidates
    if candidates not in ("main", "all"):
        raise ProtocolError(f"candidates: expected 'main', 'all' or a tensor of entity numbers, got {candidates!r}")
    return torch.arange(statements.num_entities if candidates == "all" else statements.vocabulary.num_main_entities)


def _chosen_filter(filter: Filter, parts: Sequence[Statements]) -> Literal["strict", "loose", "none"]:
    if filter not in ("auto", "strict", "loose", "none"):
        raise ProtocolError(f"filter: expected 'auto', 'strict', 'loose' or 'none', got {filter!r}")
    if filter != "auto":
        return filter
    if len(parts) == 1:
        return "none"
    qualified = any(part.qualifiers is not None and part.qualifiers.num_pairs for part in parts)
    return "strict" if qualified else "loose"
