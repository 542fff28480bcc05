"""Answers to questions in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from relgraph.data.statements import Statements, Vocabulary
from relgraph.errors import ProtocolError, SchemaError
from relgraph.kge.known import require_shared_vocabulary
from relgraph.kge.questions import Position
from relgraph.kge.scorers.base import Scorer
from relgraph.ops import top_k
from relgraph.ops.tiles import Csr

__all__ = ["Prediction", "predict"]


class Prediction(NamedTuple):
    """An answer and its score; scores order answers and are no probabilities."""

    label: str
    score: float


@torch.no_grad()
def predict(
    scorer: Scorer,
    vocabulary: Vocabulary,
    head: str | None = None,
    relation: str | None = None,
    tail: str | None = None,
    *,
    k: int = 10,
    known: Sequence[Statements] | None = None,
) -> list[Prediction]:
    """The best answers for the one part of a statement that is left out.

    Entities are chosen among those that may be a head or a tail; relations by scoring each of them.

    Args:
        scorer: A trained scorer of that vocabulary.
        vocabulary: What the numbers mean.
        head: A label, or ``None`` to ask for it.
        relation: A label, or ``None`` to ask for it.
        tail: A label, or ``None`` to ask for it.
        k: How many answers at most.
        known: Statements whose answers are left out, whatever their qualifiers.

    Returns:
        Labels and scores, the best first; fewer than ``k`` where there are no more.

    Raises:
        SchemaError: If a label is unknown or no text, or the scorer was built for another vocabulary.
        ProtocolError: If not exactly one part is left out, ``k`` is no whole number of at least 1, ``known`` is no
            list of statements, or a score is NaN.
    """
    missing = [name for name, x in (("head", head), ("relation", relation), ("tail", tail)) if x is None]
    if len(missing) != 1:
        raise ProtocolError(
            "expected exactly one of head, relation and tail to be left out, got "
            f"{' and '.join(missing) or 'none of them'} left out"
        )
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise ProtocolError(f"k: expected a whole number of at least 1, got {k!r}")
    known = () if known is None else known
    scorer.require_vocabulary(vocabulary)
    require_shared_vocabulary(vocabulary, known, "known")
    for name, part in (("head", head), ("relation", relation), ("tail", tail)):
        if part is not None and not isinstance(part, str):
            raise SchemaError(f"{name}: expected a label of the vocabulary as text, got {part!r}")
    ask: dict[str, Tensor] = {}
    device = scorer.candidates()[0].device
    for name, label in (("head", head), ("tail", tail)):
        if label is not None:
            ask[name] = torch.tensor([vocabulary.entity(label)], device=device)
    if relation is not None:
        ask["relation"] = torch.tensor([vocabulary.relation(relation)], device=device)
    taken = _taken(ask, missing[0], known)
    training = scorer.training
    scorer.eval()
    try:
        if missing[0] == "relation":
            score, number = _relations(scorer, ask, k, taken)
        else:
            score, number = _entities(scorer, ask, missing[0], k, taken, vocabulary.num_main_entities)
    finally:
        scorer.train(training)
    labels = vocabulary.relations if missing[0] == "relation" else vocabulary.entities
    pairs = zip(number.flatten().tolist(), score.flatten().tolist(), strict=True)
    return [Prediction(labels[i], value) for i, value in pairs if i >= 0]


def _entities(
    scorer: Scorer, ask: dict[str, Tensor], missing: str, k: int, taken: Csr, num_main: int
) -> tuple[Tensor, Tensor]:
    position: Position = "head" if missing == "head" else "tail"
    query, query_bias = scorer.query(ask.get("head"), ask["relation"], ask.get("tail"), position=position)
    candidates, candidate_bias = scorer.candidates()
    return top_k(
        query,
        candidates,
        k,
        taken,
        query_bias=query_bias,
        candidate_bias=candidate_bias,
        alpha=scorer.alpha,
        candidate_subset=torch.arange(num_main, device=candidates.device),
    )


def _relations(scorer: Scorer, ask: dict[str, Tensor], k: int, taken: Csr) -> tuple[Tensor, Tensor]:
    every = torch.arange(scorer.num_relations, device=ask["head"].device)
    score = scorer.score(ask["head"].expand_as(every), every, ask["tail"].expand_as(every))
    # as a product with one coordinate, so that ties, NaN and the filter are treated as for entities
    return top_k(score.new_ones(1, 1), score[:, None], k, taken)


def _taken(ask: dict[str, Tensor], missing: str, known: Sequence[Statements]) -> Csr:
    """The answers that are known already, as one CSR row."""
    device = next(iter(ask.values())).device
    found = [torch.empty(0, dtype=torch.int64)]
    for part in known:
        match = torch.ones(len(part), dtype=torch.bool)
        for name, number in ask.items():
            match &= getattr(part, name) == int(number)
        found.append(getattr(part, missing)[match])
    index = torch.cat(found).to(device)
    return torch.tensor([0, index.numel()], device=device), index
