"""``relgraph convert``: a database becomes a saved graph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from relgraph.cli.inspect import graph_summary
from relgraph.cli.options import AsJson, Keys, Quiet, Refresh, Schemas, Snapshot, Source, Tables, Times, Views
from relgraph.cli.output import guarded, log, show_document, show_text
from relgraph.cli.places import require_folder
from relgraph.cli.sources import open_database

__all__ = ["convert"]


@guarded
def convert(
    source: Source,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where the graph is saved.")],
    keys: Keys = None,
    times: Times = None,
    table: Tables = None,
    schema: Schemas = None,
    views: Views = False,
    snapshot: Snapshot = None,
    refresh: Refresh = False,
    fit_until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Column types and statistics see no later row (ISO 8601, inclusive)."),
    ] = None,
    text: Annotated[
        str,
        typer.Option(
            metavar="ENCODER",
            help="Text columns: hashed (n-grams), none, or the name of a sentence-transformers model.",
        ),
    ] = "hashed",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Turn a database into a graph: rows become nodes, foreign keys become edges.

    The folder holds safetensors and JSON; `relgraph.HeteroGraph.load` and `relgraph train` read
    it. A graph that is there already is replaced in one step.

    **Examples**

        relgraph convert shop.sqlite -o shop-graph
        relgraph convert shop.sqlite -o shop-graph --times orders=ordered_at --fit-until 2024-06-01
    """
    from relgraph.data.build import build_graph

    require_folder(out)
    with open_database(
        source, keys, times, table, schemas=schema, views=views, snapshot=snapshot, refresh=refresh, progress=not quiet
    ) as db:
        encoder: Any = {} if text == "hashed" else {"text": None if text == "none" else text}
        graph = build_graph(db, fit_until=fit_until, save_to=out, progress=not quiet, **encoder)
    log(f"saved in {out}")
    show_document({"folder": str(out), **graph_summary(graph)}) if as_json else show_text(repr(graph))
