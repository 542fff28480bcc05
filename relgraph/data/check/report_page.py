"""The integrity report as HTML: a part for notebooks, and a page that needs nothing else."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from relgraph.data.check.report_text import NUMBERS, sections
from relgraph.data.declarations import apply_declarations
from relgraph.data.picture import schema_svg

if TYPE_CHECKING:
    from relgraph.data.check.report import Report

__all__ = ["body", "page"]

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;color:#1d2733;max-width:80em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;margin:.5em 0 1.5em;font-size:14px}th,td{padding:3px 12px 3px 0;text-align:left;"
    "vertical-align:top;border-bottom:1px solid #e3e8ef}.n{text-align:right;font-variant-numeric:tabular-nums}"
    "pre{background:#f4f6fa;padding:1em;overflow:auto}figure{margin:1em 0;overflow:auto}"
)


def body(report: Report) -> str:
    """The report without a picture, for a notebook."""
    return f"<h4>{escape(report.name)}</h4>{_tables(report)}{_sentences(report)}"


def page(report: Report) -> str:
    """The report as a whole page: problems first, then the picture, the counts, and the proposals to copy."""
    counts = {table.table: table.rows for table in report.tables}
    rows, keys = sum(counts.values()), len(report.foreign_keys)
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(report.name)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(report.name)}</h1>"
        f"<p>{len(report.tables)} tables, {rows:,} rows, {keys} foreign keys</p>{_sentences(report)}",
    ]
    if len(report.schema):
        parts.append(f"<figure>{schema_svg(report.schema, counts)}</figure>")
    parts.append(_tables(report))
    declarations = report.declarations()
    if declarations:
        proposed = apply_declarations(report.schema, report.proposed_keys, report.proposed_times)
        parts.append(
            f"<h2>With the proposals</h2><figure>{schema_svg(proposed, counts)}</figure>"
            f"<p>As a file for <code>--keys</code>:</p><pre>{escape(declarations)}</pre>"
        )
    return "".join([*parts, "</body></html>\n"])


def _tables(report: Report) -> str:
    parts = []
    for title, (head, cells) in sections(report):
        styles = [' class="n"' if name in NUMBERS else "" for name in head]
        names = "".join(f"<th{style}>{escape(name)}</th>" for name, style in zip(head, styles, strict=True))
        rows = "".join(
            f"<tr>{''.join(f'<td{s}>{escape(t)}</td>' for t, s in zip(row, styles, strict=True))}</tr>" for row in cells
        )
        heading = f"<b>{escape(title)}</b>" if title else ""
        parts.append(f"{heading}<table><thead><tr>{names}</tr></thead><tbody>{rows}</tbody></table>")
    return "".join(parts)


def _sentences(report: Report) -> str:
    parts = []
    for title, sentences in (("to look at", report.problems), ("notes", report.notes)):
        if sentences:
            items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
            parts.append(f"<b>{title}</b><ul>{items}</ul>")
    return "".join(parts)
