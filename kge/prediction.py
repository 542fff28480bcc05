"""Answers to questions in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, overload

import torch
from torch import Tensor

from relgraph.data.statements import Statements, Vocabulary
from relgraph.errors import ProtocolError
from relgraph.kge.blocks import ScoreSource
from relgraph.kge.incomplete import Given, Incomplete, QualifierWords, require_count
from relgraph.kge.known import KnownAnswers, grouped_answers, require_shared_vocabulary
from relgraph.kge.questions import Position, Questions
from relgraph.kge.scorers.base import Scorer
from relgraph.ops import top_k_scores
from relgraph.ops.blocks import ScoreMatrix
from relgraph.ops.tiles import Csr, csr_rows, csr_select, spans

if TYPE_CHECKING:
    import pyarrow

    from relgraph.kge.entity_index import EntityIndex

__all__ = ["Prediction", "predict"]

_BATCH = 1024
_PAIRS = 16_384  # statements scored at once where relations are asked for


class Prediction(NamedTuple):
    """An answer and its score; scores order answers and are no probabilities."""

    label: str
    score: float


@overload
def predict(
    scorer: Scorer,
    vocabulary: Vocabulary,
    head: str | None = None,
    relation: str | None = None,
    tail: str | None = None,
    *,
    qualifiers: QualifierWords | None = None,
    k: int = 10,
    known: Sequence[Statements] | None = None,
    filter: Literal["loose", "strict"] = "loose",
    index: EntityIndex | None = None,
) -> list[Prediction]: ...


@overload
def predict(
    scorer: Scorer,
    vocabulary: Vocabulary,
    head: Given = None,
    relation: Given = None,
    tail: Given = None,
    *,
    qualifiers: QualifierWords | Sequence[QualifierWords] | None = None,
    k: int = 10,
    known: Sequence[Statements] | None = None,
    filter: Literal["loose", "strict"] = "loose",
    index: EntityIndex | None = None,
) -> pyarrow.Table: ...


@torch.no_grad()
def predict(
    scorer: Scorer,
    vocabulary: Vocabulary,
    head: Given = None,
    relation: Given = None,
    tail: Given = None,
    *,
    qualifiers: QualifierWords | Sequence[QualifierWords] | None = None,
    k: int = 10,
    known: Sequence[Statements] | None = None,
    filter: Literal["loose", "strict"] = "loose",
    index: EntityIndex | None = None,
) -> list[Prediction] | pyarrow.Table:
    """The best answers for the one part of a statement that is left out.

    Heads and tails are chosen among the entities that may be one, values of qualifiers among all entities, relations by
    scoring each of them. Any of the parts may be a list: then many statements are asked about at once.

    Args:
        scorer: A trained scorer of that vocabulary.
        vocabulary: What the numbers mean.
        head: A label, a list of them, or ``None`` to ask for it.
        relation: A label, a list of them, or ``None`` to ask for it.
        tail: A label, a list of them, or ``None`` to ask for it.
        qualifiers: Values by relation, such as ``{"position": "chancellor"}``, for a scorer that reads qualifiers; the
            value ``None`` is the one that is asked for. Or a list of such mappings.
        k: How many answers at most.
        known: Statements whose answers are left out.
        filter: ``"loose"`` leaves known answers out whatever their qualifiers, ``"strict"`` those with the same ones.
        index: Finds the answers approximately, see :func:`relgraph.kge.export_index`; not for relations.

    Returns:
        Labels and scores, the best first; fewer than ``k`` where there are no more. With a list anywhere, a table with
        a row per answer: ``question`` (its place in the lists), ``head``, ``relation``, ``tail``, the answer among
        them, ``rank`` and ``score``; where qualifiers are asked for, the answer is in ``value``.

    Raises:
        SchemaError: If a label is unknown or no text, or the scorer was built for another vocabulary.
        ProtocolError: If not exactly one part is left out, lists differ in length, ``k`` is no whole number of at least
            1, the scorer does not read the qualifiers that are given, ``known`` is no list of statements, or a score
            is NaN.
    """
    asked = Incomplete.read(vocabulary, head, relation, tail, qualifiers)
    require_count(k)
    if filter not in ("loose", "strict"):
        raise ProtocolError(f"filter: expected 'loose' or 'strict', got {filter!r}")
    scorer.require_vocabulary(vocabulary)
    if asked.qualifiers is not None and not scorer.reads_qualifiers:
        raise ProtocolError(f"{type(scorer).__name__} sees the main triple only; leave qualifiers= out")
    if index is not None:
        index.require_fit(scorer, asked.asked)
    known = () if known is None else known
    require_shared_vocabulary(vocabulary, known, "known")
    questions = asked.questions(scorer.num_relations)
    taken = _taken(asked, questions, known, filter == "strict")
    training = scorer.training
    scorer.eval()
    try:
        if asked.asked == "relation":
            parts = list(_best_relations(scorer, questions, k, taken))
        else:
            every = asked.asked == "qualifier"
            size = len(vocabulary.entities) if every else vocabulary.num_main_entities
            parts = list(_best_entities(scorer, questions, k, taken, size, index))
    finally:
        scorer.train(training)
    score, number = (torch.cat(part).cpu() for part in zip(*parts, strict=True))
    labels = vocabulary.relations if asked.asked == "relation" else vocabulary.entities
    if not asked.single:
        return _table(asked, labels, score, number)
    return [Prediction(labels[i], x) for i, x in zip(number[0].tolist(), score[0].tolist(), strict=True) if i >= 0]


def _best_entities(
    scorer: Scorer, questions: Questions, k: int, taken: Csr, size: int, index: EntityIndex | None
) -> Iterator[tuple[Tensor, Tensor]]:
    source = ScoreSource(scorer)
    candidates = torch.arange(size, device=source.device)
    for span in spans(len(questions), _BATCH):
        rows = torch.arange(span.start, span.stop)
        ptr, found = csr_select(taken, rows)
        filter = ptr.to(source.device), found.to(source.device)
        scores = source(questions.select(rows))
        if index is None:
            yield top_k_scores(scores, k, filter, candidates)
        else:
            yield index.top_k(scores, k, filter, size)


def _best_relations(scorer: Scorer, questions: Questions, k: int, taken: Csr) -> Iterator[tuple[Tensor, Tensor]]:
    size = scorer.num_relations
    device = next((x.device for x in scorer.parameters()), torch.device("cpu"))
    for span in spans(len(questions), max(1, _PAIRS // size)):
        rows = torch.arange(span.start, span.stop)
        ptr, found = csr_select(taken, rows)
        repeated = questions.select(rows.repeat_interleave(size)).to(device)
        every = torch.arange(size, device=device).repeat(len(rows))
        if repeated.tail is None:
            raise ProtocolError("relations are asked for of a head and a tail")
        score = scorer.score(repeated.entity, every, repeated.tail, repeated.qualifiers)
        yield top_k_scores(ScoreMatrix(score.view(-1, size)), k, (ptr.to(device), found.to(device)))


def _taken(asked: Incomplete, questions: Questions, known: Sequence[Statements], strict: bool) -> Csr:
    """The known answers of every question."""
    # only statements that can be about the same are looked at
    parts = []
    for part in known:
        match = torch.ones(len(part), dtype=torch.bool)
        for name, number in asked.columns.items():
            match &= torch.isin(getattr(part, name), number)
        parts.append(part.select(match))
    if asked.asked == "relation":
        facts = [(Questions(p.head, torch.zeros_like(p.head), p.tail, p.qualifiers), p.relation) for p in parts]
        return csr_select(*grouped_answers(facts, questions, strict))
    position: Position = asked.asked
    return KnownAnswers(parts, questions, position, strict).rows(slice(None))


def _table(asked: Incomplete, labels: Sequence[str], score: Tensor, number: Tensor) -> pyarrow.Table:
    import pyarrow

    found = number >= 0
    question = csr_rows(torch.cat([number.new_zeros(1), found.sum(1).cumsum(0)])).tolist()
    columns = {name: [words[i] for i in question] for name, words in asked.words.items()}
    answers = [labels[i] for i in number[found].tolist()]
    columns["value" if asked.asked == "qualifier" else asked.asked] = answers
    rank = torch.arange(1, number.shape[1] + 1).expand_as(number)[found]
    return pyarrow.table(
        {"question": question, **columns, "rank": rank.numpy(), "score": score[found].double().numpy()}
    )
