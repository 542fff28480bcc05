"""``relgraph compare``: constants, histories, boosting and networks on one task, in one table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from relgraph.cli.options import AsJson, Keys, Quiet, Refresh, Schemas, Snapshot, Source, Tables, Times, Views
from relgraph.cli.output import guarded, log, show_document, show_table
from relgraph.cli.sources import open_database, read_task

__all__ = ["compare"]


@guarded
def compare(
    source: Source,
    task: Annotated[Path, typer.Option("--task", metavar="FILE", help="TOML or JSON: what to predict.")],
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="NAME", help="Compare only this model; repeatable. All that fit by default."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="MODEL.NAME=VALUE", help="A setting such as gnn.epochs=5; repeatable."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How often to train what depends on chance.")] = 1,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the table as HTML.")] = None,
    keys: Keys = None,
    times: Times = None,
    table: Tables = None,
    schema: Schemas = None,
    views: Views = False,
    snapshot: Snapshot = None,
    refresh: Refresh = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare models on a task: metrics on validation and test, side by side.

    From a constant and the entity's own history over gradient boosting to the GNN and both together; for links
    popularity and past visits. A model that cannot run is in the table with its reason.

    **Examples**

        relgraph compare shop.sqlite --task churn.toml --keys shop.toml
        relgraph compare shop.sqlite --task churn.toml --keys shop.toml --model constant --model boosting-past
    """
    from relgraph.baselines import compare as run
    from relgraph.data.build import build_graph

    options = _options(set_)
    progress = not quiet
    make = read_task(task)
    database: dict[str, Any] = {
        "keys": keys, "times": times, "tables": table, "schemas": schema, "views": views, "snapshot": snapshot,
        "refresh": refresh, "progress": progress,
    }  # fmt: skip
    with open_database(source, **database) as db:
        question = make(db, progress=progress).with_times(db, progress=progress)
        graph = build_graph(db, fit_until=question.val_time, hide=question.hidden, progress=progress)
        found = run(db, graph, question, model or None, seeds=range(seeds), options=options, progress=progress)
    if html is not None:
        try:
            html.parent.mkdir(parents=True, exist_ok=True)
            html.write_text(found.to_html(), encoding="utf-8")
        except OSError as error:
            raise typer.BadParameter(f"{html} cannot be written: {error}", param_hint="--html") from None
        log(f"table in {html}")
    if as_json:
        show_document(found.to_dict())
    else:
        show_table(found.title, found.columns, found.table())


def _options(pairs: list[str] | None) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for text in pairs or ():
        name, equals, value = text.partition("=")
        model, dot, setting = name.partition(".")
        if not (equals and dot and model and setting):
            raise typer.BadParameter(
                f"expected MODEL.NAME=VALUE such as gnn.epochs=5, got {text!r}", param_hint="--set"
            )
        try:
            found.setdefault(model, {})[setting] = json.loads(value)
        except ValueError:
            found.setdefault(model, {})[setting] = value
    return found
