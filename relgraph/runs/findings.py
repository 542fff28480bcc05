"""What a report says, whatever it is about; as a page and as a model card."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from relgraph.data.html import table_html
from relgraph.data.text_table import value_text
from relgraph.pictures import Section, page_html, preformatted

__all__ = ["Findings", "card", "page"]

_PACKAGES = ("relgraph", "torch", "torch-geometric", "duckdb")
Pairs = Sequence[tuple[str, Any]]


@dataclass(frozen=True)
class Findings:
    """What was found out about a run.

    Args:
        title: What was trained, on what.
        lead: What it does, in a sentence or two.
        model: Names and values: class, arguments, parameters.
        data: Names and values: source, sizes, licence.
        training: Names and values: epochs, time, best validation.
        protocol: Names and values: what the metrics mean.
        metrics: Heads and rows of the table of metrics.
        limits: What a reader must know before using it.
        usage: Python that opens the run and predicts.
        tags: Words for a hub's search.
        sections: Pictures and tables of the page, beside the above.
    """

    title: str
    lead: str
    model: Pairs
    data: Pairs
    training: Pairs
    protocol: Pairs
    metrics: tuple[Sequence[str], Sequence[Sequence[Any]]]
    limits: Sequence[str]
    usage: str
    tags: Sequence[str]
    sections: Sequence[Section] = field(default=())


def page(found: Findings) -> str:
    """One HTML page that needs nothing else."""
    tables = (("model", found.model), ("data", found.data), ("training", found.training))
    sections = [
        Section("Metrics", [_pairs("what they mean", found.protocol), table_html(*found.metrics)]),
        *found.sections,
        Section("How it came about", [_pairs(name, pairs) for name, pairs in tables]),
        Section("Limits", [table_html(("", ""), [("•", line) for line in found.limits])]),
        Section("Use it", [preformatted(found.usage)]),
    ]
    return page_html(found.title, found.lead, sections, _versions())


def card(found: Findings) -> str:
    """A model card in Markdown, with the head that model hubs read."""
    lines = ["---", "library_name: relgraph", "tags:", *(f"- {tag}" for tag in found.tags), "---", ""]
    lines += [f"# {_plain(found.title)}", "", _plain(found.lead), "", "## Metrics", ""]
    lines += [*_table(("what they mean", ""), found.protocol), "", *_table(*found.metrics), ""]
    for name, pairs in (("Model", found.model), ("Data", found.data), ("Training", found.training)):
        lines += [f"## {name}", "", *_table(("", ""), pairs), ""]
    lines += ["## Limits", "", *(f"- {_plain(line)}" for line in found.limits), ""]
    lines += ["## Use it", "", "```python", found.usage, "```", "", f"Made with {_versions()}."]
    return "\n".join(lines) + "\n"


def _pairs(title: str, pairs: Pairs) -> str:
    return table_html(("", ""), [(name, _shown(value)) for name, value in pairs], caption=title)


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    cells = [[_plain(_shown(value)) for value in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in ([*heads], ["---"] * len(heads), *cells)]


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_shown(x)}" for name, x in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, value))
    return value_text(value)


def _plain(text: str) -> str:
    """Text in one line of Markdown that means only itself."""
    for sign in "\\`*_|<[":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())


def _versions() -> str:
    return ", ".join([f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in _PACKAGES)])
