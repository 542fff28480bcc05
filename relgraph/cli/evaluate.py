"""``relgraph evaluate``: the metrics of a trained run on its validation or test part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from relgraph.cli.options import AsJson, Quiet
from relgraph.cli.output import guarded, show_document, show_pairs, show_table
from relgraph.cli.rows import open_predictor
from relgraph.cli.runs import read_run, read_seeds, read_statement_parts
from relgraph.errors import ProtocolError

if TYPE_CHECKING:
    from relgraph.cli.runs import Run

__all__ = ["evaluate"]


@guarded
def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that relgraph train wrote.", show_default=False)],
    split: Annotated[Literal["test", "valid", "val", "train"], typer.Option(help="Which part.")] = "test",
    filter_: Annotated[
        Literal["auto", "strict", "loose", "none"],
        typer.Option("--filter", help="Links: which known answers do not compete.", rich_help_panel="Link prediction"),
    ] = "auto",
    candidates: Annotated[
        Literal["main", "all"],
        typer.Option(help="Links: entities that may be head or tail, or all.", rich_help_panel="Link prediction"),
    ] = "main",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure a trained run: filtered ranking for links, the task's metrics for rows.

    The run holds the statements, or the graph and the labels, that it was trained with: the source is not needed.

    **Examples**

        relgraph evaluate runs/lowfer
        relgraph evaluate runs/churn --split val --json
    """
    found = read_run(run)
    if found.kind == "links":
        document = _links(found, "valid" if split == "val" else split, filter_, candidates, not quiet)
    else:
        document = _rows(found, "val" if split == "valid" else split, not quiet)
    if as_json:
        show_document(document)
        return
    context = {n: v for n, v in document.items() if n not in ("metrics", "protocol")}
    show_pairs(str(run), {**context, **document.get("protocol", {})})
    if found.kind == "links":
        _show_ranking(document["metrics"])
    else:
        show_pairs("metrics", document["metrics"])


def _show_ranking(metrics: dict[str, float]) -> None:
    """A row per metric; a column per way to break ties and per position."""
    names = [name for name in metrics if "." not in name]
    views = list(dict.fromkeys(name.partition(".")[0] for name in metrics if "." in name))
    rows = [[name, metrics[name], *(metrics[f"{view}.{name}"] for view in views)] for name in names]
    show_table("metrics", ["", "realistic", *views], rows)


def _links(run: Run, split: str, filter_: Any, candidates: Any, progress: bool) -> dict[str, Any]:
    from relgraph import kge

    scorer, vocabulary, _ = kge.load_scorer(run.path / "model")
    parts = read_statement_parts(run, vocabulary)
    if split not in parts:
        raise ProtocolError(f"{run.path} has no split {split!r}; it has {', '.join(parts)}")
    metrics = kge.evaluate(
        scorer, parts[split], list(parts.values()), filter=filter_, candidates=candidates, progress=progress
    )
    return {"kind": "links", "split": split, "metrics": dict(metrics), "protocol": metrics.protocol}


def _rows(run: Run, split: str, progress: bool) -> dict[str, Any]:
    with open_predictor(run, progress=progress) as predictor:
        seeds = read_seeds(run, split, predictor.graph)
        found = predictor.evaluate(seeds, progress=progress)
    metrics = {name: value for name, value in found.items() if isinstance(value, float)}
    return {
        "kind": "rows",
        "table": predictor.task.entity_table,
        "split": split,
        "rows": len(seeds),
        "regime": predictor.task.regime,
        "metrics": metrics,
    }
