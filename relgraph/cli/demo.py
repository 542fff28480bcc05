"""``relgraph demo``: the whole way from a database to predictions, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from relgraph.cli.options import AsJson, Keys, Quiet, Refresh, Schemas, Snapshot, Tables, Times, Views
from relgraph.cli.output import guarded, log, show_document, show_text
from relgraph.cli.places import require_folder
from relgraph.cli.sources import open_database, read_task

__all__ = ["demo"]


@guarded
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where the page goes.")] = Path("demo-out"),
    url: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="A database of your own, with --task.", show_default=False)
    ] = None,
    task: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML or JSON: what to predict, as in relgraph train.")
    ] = None,
    keys: Keys = None,
    times: Times = None,
    table: Tables = None,
    schema: Schemas = None,
    views: Views = False,
    snapshot: Snapshot = None,
    refresh: Refresh = False,
    relation: Annotated[
        str | None, typer.Option(help="Which facts to predict: a fact table, or TABLE.COLUMN.", show_default=False)
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes of each GNN at most.")] = 10,
    link_epochs: Annotated[int, typer.Option(min=1, help="Passes of the link predictor at most.")] = 25,
    max_seconds: Annotated[
        float | None, typer.Option(help="Time of each of the two trainings at most.", show_default=False)
    ] = None,
    customers: Annotated[
        int | None, typer.Option(min=1, help="Size of the generated shop.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Go from a database to predictions and write one HTML page about it.

    Without --url a shop is generated: which customers will stop buying, and what will be bought next?

    **Examples**

        relgraph demo
        relgraph demo --out my-demo --url shop.sqlite --keys shop.toml --task churn.toml
    """
    from relgraph.demo.run import run_demo

    require_folder(out)
    options: dict[str, Any] = {
        "relation": relation, "out": out, "epochs": epochs, "link_epochs": link_epochs, "max_seconds": max_seconds,
        "seed": seed, "progress": not quiet,
    }  # fmt: skip
    if url is None:
        given = {"--task": task, "--keys": keys, "--times": times, "--table": table, "--schema": schema}
        for name, value in {**given, "--views": views, "--snapshot": snapshot, "--refresh": refresh}.items():
            if value:
                raise typer.BadParameter("needs --url, the database it is about", param_hint=name)
        result = run_demo(customers=customers, **options)
    else:
        if task is None:
            raise typer.BadParameter("needs --task, a file that says what to predict", param_hint="--url")
        if customers is not None:
            raise typer.BadParameter("is for the generated shop, without --url", param_hint="--customers")
        make_task = read_task(task)
        with open_database(
            url, keys, times, table, schemas=schema, views=views, snapshot=snapshot, refresh=refresh, progress=not quiet
        ) as db:
            chosen: Any = make_task(db, progress=not quiet)
            if chosen.family != "entity":
                raise typer.BadParameter("the demo predicts rows: expected a task about an entity", param_hint="--task")
            result = run_demo(db, task=chosen, **options)
    log(f"page: {result.page}")
    show_document(result.to_dict()) if as_json else show_text(str(result))
