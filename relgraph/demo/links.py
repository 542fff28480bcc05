"""Learning line 2 of the demo: which facts of a database come next, by popularity and by a link predictor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from relgraph.data.facts import fact_tables
from relgraph.data.graph import HeteroGraph
from relgraph.data.statements import Statements, Vocabulary
from relgraph.data.time import STATIC
from relgraph.errors import ProtocolError
from relgraph.kge import DistMult, Frequency, Scorer, evaluate
from relgraph.kge import fit as fit_scorer
from relgraph.kge.metrics import Metrics
from relgraph.ops import top_k
from relgraph.training import History

__all__ = ["LinkOutcome", "choose_relation", "focus", "predict_links"]


@dataclass(frozen=True)
class LinkOutcome:
    """What learning on the statements of a database gave.

    Args:
        relation: The relation whose tails are predicted.
        example: The statement with the most qualifiers, in words.
        counts: Statements of the whole graph, then of train, validation and test as used here.
        unseen: Test statements left out because training has never seen one of their ends.
        scores: Name and test metrics, popularity first.
        history: The link predictor's training.
        top: Per head its predicted tails with scores, those known already left out.
    """

    relation: str
    example: tuple[str, ...]
    counts: tuple[int, int, int, int]
    unseen: int
    scores: list[tuple[str, Metrics]]
    history: History
    top: list[tuple[str, list[tuple[str, float]]]]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "relation": self.relation,
            "statements": dict(zip(("all", "train", "valid", "test"), self.counts, strict=True)),
            "test_unseen": self.unseen,
            "test": {name: {**metrics, "protocol": metrics.protocol} for name, metrics in self.scores},
            "epochs": list(self.history.epochs),
            "top": [{"head": head, "tails": [list(pair) for pair in tails]} for head, tails in self.top],
        }


def choose_relation(train: Statements, test: Statements) -> int:
    """The relation with the most test statements whose both ends training has seen.

    Raises:
        ProtocolError: If there is none.
    """
    known = test.relation[_known(train, test)]
    if not known.numel():
        raise ProtocolError("no test statement has two ends that training has seen; there is nothing to predict")
    return int(torch.bincount(known, minlength=test.num_relations).argmax())


def focus(parts: Sequence[Statements], relations: Tensor) -> list[Statements]:
    """The statements of some relations over a vocabulary of what they use, without qualifiers.

    Fewer entities are fewer candidates to train against; those that take part in other relations only are left out.

    Args:
        parts: Statements over one vocabulary.
        relations: The relations to keep, int64.

    Returns:
        As many parts over one new vocabulary.
    """
    chosen = [part.select(torch.isin(part.relation, relations)) for part in parts]
    old = parts[0].vocabulary
    ends = torch.cat([torch.cat([part.head, part.tail]) for part in chosen])
    entities, kept = ends.unique(), relations.unique()  # type: ignore[no-untyped-call]
    vocabulary = Vocabulary([old.entities[i] for i in entities.tolist()], [old.relations[i] for i in kept.tolist()])
    return [
        replace(
            part,
            head=torch.searchsorted(entities, part.head),
            relation=torch.searchsorted(kept, part.relation),
            tail=torch.searchsorted(entities, part.tail),
            vocabulary=vocabulary,
            qualifiers=None,
        )
        for part in chosen
    ]


def predict_links(
    graph: HeteroGraph,
    *,
    relation: str | None = None,
    dim: int = 64,
    epochs: int = 25,
    max_seconds: float | None = None,
    seed: int = 0,
    progress: bool = True,
) -> LinkOutcome:
    """Learn from the statements up to a moment and rank the later ones.

    Statements are split by time where there is time (80, 10 and 10 %), else by chance. Predicted are the tails of one
    relation among all entities of the tail's table. Relations whose ends are mostly new in the test (each order is new)
    cannot tell a link predictor anything about it and are left out of training.

    Args:
        graph: The graph of a database.
        relation: What to predict; by default :func:`choose_relation`.
        dim: Length of the entity rows.
        epochs: Passes over the questions at most; the best validated one counts.
        max_seconds: Stop training after this time.
        seed: Of everything random.
        progress: Show progress on stderr.

    Returns:
        Filtered realistic metrics of popularity and DistMult, and predictions for some heads.

    Raises:
        ProtocolError: If there is nothing to learn from.
        SchemaError: If there is no such relation.
    """
    whole = graph.statements()
    timed = whole.time is not None and bool((whole.time != STATIC).any())
    split = whole.split(by="time" if timed else "random", seed=seed)
    chosen = choose_relation(split[0], split[2]) if relation is None else whole.vocabulary.relation(relation)
    name = whole.vocabulary.relations[chosen]
    example = whole.labels(-1 % len(whole) if whole.qualifiers is None else int(whole.qualifiers.counts.argmax()))
    tails = _tail_candidates(graph, split[2].select(split[2].relation == chosen))
    parts = focus(split, _lasting_relations(split[0], split[2], chosen))
    train, valid, test = parts
    number = train.vocabulary.relation(name)
    asked = test.select(test.relation == number)
    seen = _known(train, asked)
    asked = asked.select(seen)
    watched = valid.select(valid.relation == number)
    watched = watched.select(_known(train, watched))
    if not len(asked):
        raise ProtocolError(f"no later statement of {name!r} has two ends that training has seen")
    scorer = DistMult(train.num_entities, train.num_relations, dim=dim, dropout=0.4, seed=seed)
    history = fit_scorer(
        scorer,
        train,
        valid=watched if len(watched) else None,
        valid_size=1000,
        epochs=epochs,
        batch_size=64,
        lr=0.01,
        decay=0.97,
        label_smoothing=0.0,
        validate_every=5,
        max_seconds=max_seconds,
        seed=seed,
        progress=progress,
    )
    candidates = _renumbered(whole.vocabulary, tails, train.vocabulary)
    scores = [
        (title, evaluate(s, asked, parts, candidates=candidates, positions=("tail",), filter="loose", progress=False))
        for title, s in (("popularity", Frequency.of(train)), (f"DistMult, {dim} dimensions", scorer))
    ]
    counts = (len(whole), len(train), len(watched), len(asked))
    top = _top(scorer, asked, parts, candidates)
    return LinkOutcome(name, example, counts, int((~seen).sum()), scores, history, top)


def _known(train: Statements, other: Statements) -> Tensor:
    """Whether both ends of each statement occur in training."""
    seen = torch.zeros(train.num_entities, dtype=torch.bool)
    seen[train.head] = True
    seen[train.tail] = True
    return seen[other.head] & seen[other.tail]


def _lasting_relations(train: Statements, test: Statements, chosen: int) -> Tensor:
    """The chosen relation and those that have no test statements or mostly such with two known ends."""
    total = torch.bincount(test.relation, minlength=test.num_relations)
    known = torch.bincount(test.relation[_known(train, test)], minlength=test.num_relations)
    used = torch.bincount(train.relation, minlength=test.num_relations) > 0
    lasting = used & ((total == 0) | (2 * known >= total))
    lasting[chosen] = True
    return lasting.nonzero().flatten()


def _tail_candidates(graph: HeteroGraph, statements: Statements) -> Tensor:
    """The entities of every table that a tail belongs to, in the numbers of the graph's statements."""
    facts = set(fact_tables(graph.schema)) if graph.schema is not None else set()
    found, start = [], 0
    for name, store in graph.nodes.items():
        if name in facts:
            continue
        end = start + store.num_nodes
        if bool(((statements.tail >= start) & (statements.tail < end)).any()):
            found.append(torch.arange(start, end))
        start = end
    return torch.cat(found) if found else torch.arange(statements.num_entities)


def _renumbered(old: Vocabulary, entities: Tensor, new: Vocabulary) -> Tensor:
    number = {label: i for i, label in enumerate(new.entities)}
    labels = [old.entities[i] for i in entities.tolist()]
    return torch.tensor([number[label] for label in labels if label in number], dtype=torch.int64)


@torch.no_grad()
def _top(
    scorer: Scorer, asked: Statements, parts: Sequence[Statements], candidates: Tensor, heads: int = 5, k: int = 3
) -> list[tuple[str, list[tuple[str, float]]]]:
    """The best new tails for the heads with the most facts in training."""
    train = parts[0]
    number = int(asked.relation[0])
    facts = torch.bincount(train.head[train.relation == number], minlength=train.num_entities)
    head = asked.head.unique()  # type: ignore[no-untyped-call]
    head = head[facts[head].argsort(descending=True, stable=True)][:heads]
    taken = [torch.cat([p.tail[(p.head == h) & (p.relation == number)] for p in parts[:2]]) for h in head]
    ptr = torch.tensor([0, *(len(row) for row in taken)]).cumsum(0)
    query, query_bias = scorer.query(head, torch.full_like(head, number))
    rows, bias = scorer.candidates()
    score, tail = top_k(
        query,
        rows,
        k,
        (ptr, torch.cat(taken)),
        query_bias=query_bias,
        candidate_bias=bias,
        alpha=scorer.alpha,
        candidate_subset=candidates,
    )
    label = train.vocabulary.entities
    return [
        (label[h], [(label[t], s) for t, s in zip(tails, values, strict=True) if t >= 0])
        for h, tails, values in zip(head.tolist(), tail.tolist(), score.tolist(), strict=True)
    ]
