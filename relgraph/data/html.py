"""Tables and graphs as HTML that needs nothing else: inline style, inline SVG, everything escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from relgraph.data.picture import schema_svg

if TYPE_CHECKING:
    from relgraph.data.graph import HeteroGraph

__all__ = ["graph_html", "schema_svg", "table_html"]


def table_html(columns: Sequence[str], rows: Sequence[Sequence[Any]], caption: str | None = None) -> str:
    """An HTML table; numbers stand right, floats are shown with four digits, ``None`` as a dash.

    Args:
        columns: Column heads.
        rows: One sequence of values per row.
        caption: A line above the table.

    Returns:
        One ``<table>`` element; all values in it are escaped.
    """
    head = "".join(f'<th style="text-align:left;padding:2px 10px">{escape(c)}</th>' for c in columns)
    body = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows)
    title = "" if caption is None else f'<caption style="text-align:left">{escape(caption)}</caption>'
    return f'<table style="border-collapse:collapse">{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _cell(value: Any) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is None:
        text = "-"
    elif isinstance(value, float):
        text = f"{value:.4f}"
    elif number:
        text = f"{value:,}"
    else:
        text = str(value)
    return f'<td style="text-align:{"right" if number else "left"};padding:2px 10px">{escape(text)}</td>'


def graph_html(graph: HeteroGraph) -> str:
    """A graph for a notebook: node types, edge types, and the schema picture where the graph has a schema.

    Args:
        graph: What to show.

    Returns:
        One ``<div>`` element; all names in it are escaped.
    """
    nodes = [
        (
            name,
            store.num_nodes,
            "+".join(store.keys.names) if store.keys is not None else None,
            "yes" if store.time is not None else None,
            store.features.num_columns if store.features is not None else 0,
        )
        for name, store in graph.nodes.items()
    ]
    edges = [(*edge_type, store.num_edges) for edge_type, store in graph.edges.items()]
    unfolded = ' open="open"' if len(edges) <= 12 else ""
    parts = [
        f"<div><b>HeteroGraph</b>: {graph.num_nodes:,} nodes, {graph.num_edges:,} edges",
        table_html(("node type", "nodes", "key", "time", "columns"), nodes),
        f"<details{unfolded}><summary>{len(edges)} edge types</summary>",
        table_html(("source", "relation", "target", "edges"), edges),
        "</details>",
    ]
    if graph.schema is not None:
        counts = {name: store.num_nodes for name, store in graph.nodes.items()}
        parts.append(f"<details><summary>schema</summary>{schema_svg(graph.schema, counts)}</details>")
    return "".join([*parts, "</div>"])
