"""``relgraph inspect``: what is in a source, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relgraph.cli.options import AsJson, Keys, Quiet, Source, Tables, Times
from relgraph.cli.output import guarded, show_document, show_table, show_text
from relgraph.cli.sources import is_graph, open_database

if TYPE_CHECKING:
    from relgraph.data.graph import HeteroGraph
    from relgraph.data.report import Report
    from relgraph.data.schema import Schema

__all__ = ["inspect"]


@guarded
def inspect(
    source: Source,
    keys: Keys = None,
    times: Times = None,
    table: Tables = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show tables, keys and times of a database, and check them: orphans, duplicates, missing values, leaks.

    SOURCE may also be a folder that `relgraph convert` wrote.

    **Examples**

        relgraph inspect shop.sqlite
        relgraph inspect postgresql://localhost/shop --times orders=ordered_at --json
    """
    if is_graph(source):
        from relgraph.data.graph import HeteroGraph

        graph = HeteroGraph.load(source)
        show_document(graph_summary(graph)) if as_json else show_text(repr(graph))
        return
    with open_database(source, keys, times, table, progress=not quiet) as db:
        report = db.check()
        if as_json:
            show_document({**report.to_dict(), "schema": db.schema.to_dict()})
        else:
            _show_report(report, db.schema)


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


def _show_report(report: Report, schema: Schema) -> None:
    rows = []
    for table in report.tables:
        time = table.time_column and f"{table.time_column}: {' to '.join(table.time_range or ('none',))}"
        key = ", ".join(table.primary_key) or None
        rows.append([table.table, table.rows, len(schema[table.table].columns), key, time])
    title = f"{report.name}: {len(report.tables)} tables, {sum(t.rows for t in report.tables):,} rows"
    show_table(title, ["table", "rows", "columns", "primary key", "time"], rows)
    links = [
        [f"{key.table}.{key.key}", key.target, key.rows, key.null, key.dangling, key.future]
        for key in report.foreign_keys
    ]
    if links:
        show_table(
            f"{len(links)} foreign keys",
            ["foreign key", "refers to", "rows", "NULL", "dangling", "to the future"],
            links,
        )
    for title, sentences in (("to look at", report.problems), ("notes", report.notes)):
        if sentences:
            show_text(f"{title}:")
            for sentence in sentences:
                show_text(f"  - {sentence}")
