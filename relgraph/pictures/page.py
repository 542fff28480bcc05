"""One HTML page that needs nothing but itself: no script, no font, no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from relgraph.pictures.svg import escape

__all__ = ["Section", "page_html", "paragraph", "preformatted", "side_by_side"]

_STYLE = """
body{font:15px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif;color:#1d2733;background:#fff;margin:0}
main{max-width:1080px;margin:0 auto;padding:24px 28px 60px}
h1{font-size:28px;margin:8px 0 4px}h2{font-size:20px;margin:40px 0 8px;border-bottom:1px solid #dde3ec}
p{margin:8px 0;max-width:76ch}table{margin:10px 0;font-size:14px;border-collapse:collapse}th,td{padding:2px 10px}
thead th{border-bottom:1px solid #8794a8;text-align:left}tbody tr:nth-child(even){background:#f5f7fa}
pre{background:#f5f7fa;padding:10px 14px;overflow-x:auto;font-size:13px;line-height:1.4}
nav a{margin-right:16px;color:#1d4f91}.row{display:flex;flex-wrap:wrap;gap:24px}
summary{cursor:pointer;color:#1d4f91}footer{margin-top:48px;color:#66748a;font-size:13px}
"""


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Args:
        title: Its heading; shown as it is, escaped.
        parts: Finished HTML, one block each.
    """

    title: str
    parts: Sequence[str]


def paragraph(text: str) -> str:
    """Plain text as a paragraph."""
    return f"<p>{escape(text)}</p>"


def preformatted(text: str) -> str:
    """Plain text with its line breaks."""
    return f"<pre>{escape(text)}</pre>"


def side_by_side(*parts: str) -> str:
    """Blocks in one row where there is room."""
    return f'<div class="row">{"".join(f"<div>{part}</div>" for part in parts)}</div>'


def page_html(title: str, lead: str, sections: Sequence[Section], footer: str = "") -> str:
    """The whole page.

    Args:
        title: Heading and window title.
        lead: What the page is about, in a sentence or two.
        sections: The parts, in order; each gets an entry in the navigation.
        footer: A last line.

    Returns:
        An HTML document that is well-formed XML as well.
    """
    links = "".join(f'<a href="#part{i}">{escape(section.title)}</a>' for i, section in enumerate(sections))
    body = "\n".join(
        f'<section id="part{i}"><h2>{escape(section.title)}</h2>{"".join(section.parts)}</section>'
        for i, section in enumerate(sections)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{escape(title)}</h1>{paragraph(lead)}<nav>{links}</nav>\n{body}\n"
        f"<footer>{escape(footer)}</footer></main></body></html>\n"
    )
