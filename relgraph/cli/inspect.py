"""``relgraph inspect``: what is in a source, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relgraph.cli.options import AsJson, Keys, Quiet, Refresh, Schemas, Snapshot, Source, Tables, Times, Views
from relgraph.cli.output import guarded, log, show_document, show_table, show_text
from relgraph.cli.sources import is_graph, open_database
from relgraph.errors import AdapterError

if TYPE_CHECKING:
    from relgraph.data.check.report import Report
    from relgraph.data.graph import HeteroGraph

__all__ = ["inspect"]


@guarded
def inspect(
    source: Source,
    keys: Keys = None,
    times: Times = None,
    table: Tables = None,
    schema: Schemas = None,
    views: Views = False,
    snapshot: Snapshot = None,
    refresh: Refresh = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the report as a page with a picture of the schema.")
    ] = None,
    declare: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the proposed keys and times as a file for --keys; look at it first."),
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Look for nothing that is not declared.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show tables, keys and times of a database, and check them: orphans, duplicates, missing values, leaks.

    Keys and times that are not declared but seem to be there are proposed, with the reasons.
    SOURCE may also be a folder that `relgraph convert` wrote.

    **Examples**

        relgraph inspect shop.sqlite
        relgraph inspect postgresql://localhost/shop --times orders=ordered_at --json
        relgraph inspect shop.sqlite --html report.html --declare shop.toml
    """
    if is_graph(source):
        from relgraph.data.graph import HeteroGraph

        graph = HeteroGraph.load(source)
        show_document(graph_summary(graph)) if as_json else show_text(repr(graph))
        return
    with open_database(
        source, keys, times, table, schemas=schema, views=views, snapshot=snapshot, refresh=refresh, progress=not quiet
    ) as db:
        report = db.check(propose=not fast, progress=not quiet)
        if html is not None:
            _write(html, report.to_html(), "the report as a page")
        if declare is not None:
            _write(declare, report.declarations(), "what is proposed, for --keys,")
        if as_json:
            show_document({**report.to_dict(), "schema": db.schema.to_dict()})
        else:
            _show_report(report)


def graph_summary(graph: HeteroGraph) -> dict[str, Any]:
    """Counts of a graph as JSON values."""
    from relgraph.data.time import format_time

    nodes = {
        name: {
            "nodes": store.num_nodes,
            "time": store.time is not None,
            "columns": 0 if store.features is None else store.features.num_columns,
        }
        for name, store in graph.nodes.items()
    }
    edges = [
        {"source": s, "relation": r, "target": t, "edges": store.num_edges} for (s, r, t), store in graph.edges.items()
    ]
    return {
        "num_nodes": graph.num_nodes,
        "num_edges": graph.num_edges,
        "fit_until": None if graph.fit_until is None else format_time(graph.fit_until),
        "node_types": nodes,
        "edge_types": edges,
    }


def _show_report(report: Report) -> None:
    from relgraph.data.check.report_text import headline, sections

    for title, (head, cells) in sections(report):
        show_table(title or headline(report), head, cells)
    for title, sentences in (("to look at", report.problems), ("notes", report.notes)):
        if sentences:
            show_text(f"{title}:")
            for sentence in sentences:
                show_text(f"  - {sentence}")


def _write(path: Path, text: str, what: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise AdapterError(f"cannot write {what} to {path}: {error.strerror or error}") from None
    log(f"{what} in {path}")
