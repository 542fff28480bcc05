"""What is found out about a link predictor: metrics, ranks, relations, a map, and answers in words."""

from __future__ import annotations

from typing import Any

import torch

from relgraph.data.html import table_html
from relgraph.kge.groups import By
from relgraph.kge.maps import entity_map
from relgraph.kge.metrics import Metrics
from relgraph.pictures import Section, paragraph, side_by_side
from relgraph.runs.findings import Findings
from relgraph.runs.links import LinkRun

__all__ = ["link_findings"]

_GROUPS = 20
_EXAMPLES = 8


def link_findings(run: LinkRun, split: str, licence: str | None, seed: int, progress: bool) -> Findings:
    """Evaluate the run and look at it from several sides."""
    metrics = run.evaluate(split, progress=progress)
    name, source = type(run.scorer).__name__, run.meta.get("source")
    interval = metrics.interval("mrr", resamples=200)
    where = f" on {source}" if source else ""
    rows = [[title, *values] for title, *values in metrics.table()[1]]
    return Findings(
        title=f"{name}{where}",
        lead=(
            "A link predictor: which entity completes a statement. "
            f"On {metrics.protocol['num_statements']:,} statements of {split} its MRR is {metrics['mrr']:.4f} "
            f"(95 % interval {interval.low:.4f} to {interval.high:.4f}, bootstrapped over statements), "
            f"among {metrics.protocol['candidates']} candidates, filter {metrics.protocol['filter']}."
        ),
        model=[
            ("scorer", name),
            (
                "arguments",
                {n: x for n, x in run.scorer.arguments.items() if not n.startswith("num_") and x is not None},
            ),
            ("parameters", sum(p.numel() for p in run.scorer.parameters())),
        ],
        data=[
            ("source", source),
            ("entities", run.scorer.num_entities),
            ("relations", run.scorer.num_relations),
            *((f"statements, {part}", len(found)) for part, found in run.statements.items()),
            ("licence", licence or "not stated"),
        ],
        training=_training(run),
        protocol=[("split", split), *metrics.protocol.items()],
        metrics=(metrics.table()[0], rows),
        limits=_limits(run, metrics),
        usage=_usage(run, split),
        tags=["link-prediction", "knowledge-graph", run.name],
        sections=[*_pictures(run, metrics, split), _map(run, seed), _examples(run, metrics, split)],
    )


def _training(run: LinkRun) -> list[tuple[str, Any]]:
    history = run.history
    best = history.best_epoch
    return [
        ("epochs", len(history)),
        ("ended by", history.stopped if len(history) else None),
        ("seconds", round(sum(row["seconds"] for row in history.epochs), 1)),
        ("best epoch", best),
        ("its validation", None if best is None else {history.metric or "metric": history.best}),
    ]


def _limits(run: LinkRun, metrics: Metrics) -> list[str]:
    train = run.statements.get("train")
    lines = ["Scores order answers and are no probabilities; relgraph.kge.calibrate makes probabilities of them."]
    if train is not None:
        seen = torch.unique(torch.cat([train.head, train.tail])).numel()
        lines.append(
            f"{seen:,} of {run.scorer.num_entities:,} entities stand in a training statement as head or tail; of the "
            "others it knows nothing."
        )
    if metrics.protocol["filter"] != "none":
        lines.append("What is missing from the data counts as wrong, also where it is true: ranks are pessimistic.")
    if not run.scorer.reads_qualifiers and any(p.qualifiers is not None for p in run.statements.values()):
        lines.append("The statements have qualifiers; this scorer does not read them.")
    return lines


def _usage(run: LinkRun, split: str) -> str:
    head, relation, *_ = run.statements[split].labels(0)
    place = str(run.source or "RUN")
    return f"import relgraph\n\nrun = relgraph.load({place!r})\nrun.predict(head={head!r}, relation={relation!r}, k=5)"


def _pictures(run: LinkRun, metrics: Metrics, split: str) -> list[Section]:
    sections = []
    if len(run.history):
        names = ["loss", *([] if run.history.metric is None else [run.history.metric])]
        sections.append(Section("Training", [side_by_side(*map(run.history.picture, names))]))
    ranks = [
        metrics.picture(),
        paragraph("Rank 1 means that the answer scored above all other candidates that are not known to be true."),
    ]
    sections.append(Section("Ranks", ranks))
    parts: list[str] = []
    relations = metrics.by("relation")
    if len(relations) > 1:
        parts.append(relations.picture(most=_GROUPS))
        left = len(relations) - _GROUPS
        if left > 0:
            parts.append(
                paragraph(f"The {_GROUPS} relations with the most statements of {split}; {left:,} more exist.")
            )
    finer: tuple[By, ...] = ("category", "qualifiers")
    for what in finer:
        groups = metrics.by(what)
        if len(groups) > 1:
            parts.append(groups.picture())
    if parts:
        sections.append(Section("Relation by relation", parts))
    return sections


def _map(run: LinkRun, seed: int) -> Section:
    shown = run.statements.get("train") or next(iter(run.statements.values()))
    return Section(
        "A map of entities",
        [
            entity_map(run.scorer, run.vocabulary, shown, seed=seed),
            paragraph(
                "The entities in the most statements, placed by t-SNE: near ones answer alike. Groups are the relation "
                "that an entity answers most often (⁻: only ever as the head)."
            ),
        ],
    )


def _examples(run: LinkRun, metrics: Metrics, split: str) -> Section:
    """Questions spread over the split with their true answers, where those stood, and what stood first."""
    statements, ranks = metrics.statements, metrics.ranks.get("tail")
    rows = []
    count = len(statements)
    for i in sorted({round(j * (count - 1) / max(_EXAMPLES - 1, 1)) for j in range(min(_EXAMPLES, count))}):
        head, relation, tail, *pairs = statements.labels(i)
        words: dict[str, str | None] = dict(zip(pairs[::2], pairs[1::2], strict=True))
        answers = run.predict(head, relation, qualifiers=(words or None) if run.scorer.reads_qualifiers else None, k=3)
        place = None if ranks is None else (ranks.statement == i).nonzero()
        rank = None if place is None or not len(place) else f"{float(ranks.realistic[place[0, 0]]):g}"  # type: ignore[union-attr]
        question = f"{head}  {relation}  ?" + "".join(f"  ({n}: {v})" for n, v in words.items())
        rows.append((question, tail, rank, ", ".join(answer.label for answer in answers)))
    return Section(
        "Questions and answers",
        [
            table_html(("question", "true answer", "its rank", "the three best, known ones included"), rows),
            paragraph(f"Spread evenly over {split}, not chosen."),
        ],
    )
