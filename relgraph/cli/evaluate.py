"""``relgraph evaluate``: the metrics of a trained run on its validation or test part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from relgraph.cli.options import AsJson, Quiet
from relgraph.cli.output import guarded, show_document, show_pairs, show_table
from relgraph.runs.folder import read_run

if TYPE_CHECKING:
    from relgraph.kge.groups import By
    from relgraph.kge.protocol import ProtocolOptions
    from relgraph.runs.folder import RunFolder

__all__ = ["evaluate"]

LINKS = "Link prediction"


@guarded
def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that relgraph train wrote.", show_default=False)],
    split: Annotated[Literal["test", "valid", "val", "train"], typer.Option(help="Which part.")] = "test",
    filter_: Annotated[
        Literal["auto", "strict", "loose", "loose-both", "none"],
        typer.Option("--filter", help="Which known answers do not compete.", rich_help_panel=LINKS),
    ] = "auto",
    candidates: Annotated[
        Literal["main", "all"],
        typer.Option(help="Entities that may be head or tail, or all.", rich_help_panel=LINKS),
    ] = "main",
    positions: Annotated[
        Literal["main", "all"],
        typer.Option(help="Ask for heads and tails, or for the values of qualifiers too.", rich_help_panel=LINKS),
    ] = "main",
    ties: Annotated[
        Literal["realistic", "optimistic", "pessimistic"],
        typer.Option(help="Which rank among equal scores is the headline.", rich_help_panel=LINKS),
    ] = "realistic",
    unseen: Annotated[
        Literal["keep", "drop"],
        typer.Option(help="What becomes of statements with entities that are not in train.", rich_help_panel=LINKS),
    ] = "keep",
    by: Annotated[
        Literal["relation", "category", "qualifiers"] | None,
        typer.Option(help="Metrics per group of statements as well.", rich_help_panel=LINKS, show_default=False),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure a trained run: filtered ranking for links, the task's metrics for rows.

    The run holds the statements, or the graph and the labels, that it was trained with: the source is not needed.

    **Examples**

        relgraph evaluate runs/lowfer
        relgraph evaluate runs/lowfer --filter strict --positions all --by relation --json
        relgraph evaluate runs/churn --split val --json
    """
    found = read_run(run)
    if found.kind == "links":
        protocol: ProtocolOptions = {
            "filter": filter_,
            "candidates": candidates,
            "positions": positions,
            "ties": ties,
            "unseen": unseen,
        }
        document = _links(found, "valid" if split == "val" else split, protocol, by, not quiet)
    else:
        _refuse_for_rows({"--by": by, "--positions": positions == "all", "--unseen": unseen == "drop"})
        document = _rows(found, "val" if split == "valid" else split, not quiet)
    if as_json:
        show_document(document)
        return
    context = {n: v for n, v in document.items() if n not in ("metrics", "protocol", "groups")}
    show_pairs(str(run), {**context, **document.get("protocol", {})})
    if found.kind == "links":
        _show_ranking(document["metrics"], document["protocol"]["ties"])
        if by is not None:
            _show_groups(by, document["groups"])
    else:
        show_pairs("metrics", document["metrics"])


def _show_ranking(metrics: dict[str, float], ties: str) -> None:
    """A row per metric; a column per way to break ties and per position."""
    names = [name for name in metrics if "." not in name]
    views = list(dict.fromkeys(name.partition(".")[0] for name in metrics if "." in name))
    rows = [[name, metrics[name], *(metrics[f"{view}.{name}"] for view in views)] for name in names]
    show_table("metrics", ["", ties, *views], rows)


def _show_groups(by: str, groups: dict[str, dict[str, float]]) -> None:
    names = list(dict.fromkeys(name for values in groups.values() for name in values if "." not in name))
    show_table(f"by {by}", [by, *names], [[label, *(x[name] for name in names)] for label, x in groups.items()])


def _refuse_for_rows(options: dict[str, Any]) -> None:
    for name, value in options.items():
        if value:
            raise typer.BadParameter("the run is a predictor of rows, which has no such option", param_hint=name)


def _links(found: RunFolder, split: str, protocol: ProtocolOptions, by: By | None, progress: bool) -> dict[str, Any]:
    from relgraph.runs import LinkRun

    metrics = LinkRun.read(found).evaluate(split, progress=progress, **protocol)
    groups = {} if by is None else {"by": by, "groups": metrics.by(by).to_dict()}
    return {"kind": "links", "split": split, **metrics.to_dict(), **groups}


def _rows(folder: RunFolder, split: str, progress: bool) -> dict[str, Any]:
    from relgraph.runs import RowRun

    run = RowRun.read(folder)
    found = run.evaluate(split, progress=progress)
    metrics = {name: value for name, value in found.items() if isinstance(value, float)}
    return {
        "kind": "rows",
        "table": run.task.entity_table,
        "split": split,
        "rows": found["rows"],
        "regime": found["regime"],
        "metrics": metrics,
    }
