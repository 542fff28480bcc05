"""Bars: values by name from left to right, and shares by class from bottom to top."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from relgraph.errors import ShapeError
from relgraph.pictures.svg import COLOURS, SOFT, TEXT, Svg, clip, escape, svg, ticks, width_of

__all__ = ["bars", "columns"]


def bars(title: str, rows: Sequence[tuple[str, float]], base: float = 0.0) -> Svg:
    """Horizontal bars with their values written out.

    Args:
        title: What the picture shows, for those who hear it.
        rows: Label and finite value, from top to bottom; a long label is cut, and whole when pointed at.
        base: Value at which bars start, such as 0.5 for an AUROC; what is below it has no bar.
    """
    shown = [(clip(label), label, value) for label, value in rows]
    left = 16 + max((width_of(short) for short, _, _ in shown), default=0)
    span = max([value - base for _, value in rows if value > base], default=1.0)
    parts = []
    for i, (short, label, value) in enumerate(shown):
        y = 8 + 28 * i
        width = 320 * max(value - base, 0.0) / span
        whole = "" if short == label else f"<title>{escape(label)}</title>"
        parts.append(
            f'<text x="{left - 8:.1f}" y="{y + 15}" text-anchor="end" {TEXT}>{escape(short)}{whole}</text>'
            f'<rect x="{left:.1f}" y="{y}" width="{width:.1f}" height="20" rx="2" fill="#5b80b5"/>'
            f'<text x="{left + width + 8:.1f}" y="{y + 15}" {TEXT}>{value:.4f}</text>'
        )
    return svg(left + 400, 16 + 28 * len(rows), title, parts)


def columns(title: str, classes: Sequence[str], series: Mapping[str, Sequence[float]]) -> Svg:
    """Vertical bars side by side: the value of every class, in every series.

    Args:
        title: What the picture shows; written above it.
        classes: Names below the bars, from left to right.
        series: Finite values of at least 0 per name, as many as there are classes.

    Raises:
        ShapeError: If a series has another number of values.
    """
    for name, values in series.items():
        if len(values) != len(classes):
            raise ShapeError(f"{name!r}: expected {len(classes)} values, one a class, got {len(values)}")
    head = f'<text x="8" y="16" {TEXT} font-weight="600">{escape(title)}</text>'
    if not classes or not series:
        return svg(420, 60, title, [head, f'<text x="8" y="40" {SOFT}>there is nothing to show</text>'])
    marks = ticks(0.0, max(max(max(values), 0.0) for values in series.values()))
    top = marks[-1] or 1.0
    left, floor, height = 56.0, 200.0, 160.0
    slot = max(18.0 * len(series) + 14, max(width_of(name) for name in classes) + 8)
    right = left + slot * len(classes)
    parts = [head]
    for mark in marks:
        y = floor - height * mark / top
        parts.append(
            f'<line x1="{left}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dde3ec"/>'
            f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end" {SOFT}>{mark:.4g}</text>'
        )
    for j, (name, values) in enumerate(series.items()):
        colour = COLOURS[j % len(COLOURS)]
        for i, value in enumerate(values):
            x = left + slot * i + (slot - 18 * len(series)) / 2 + 18 * j
            tall = height * max(value, 0.0) / top
            parts.append(
                f'<rect x="{x:.1f}" y="{floor - tall:.1f}" width="15" height="{tall:.1f}" fill="{colour}" '
                f'fill-opacity="{0.9 if j % 2 == 0 else 0.55}">'
                f"<title>{escape(f'{name}, {classes[i]}: {value:.4g}')}</title></rect>"
            )
    for i, name in enumerate(classes):
        x = left + slot * (i + 0.5)
        parts.append(f'<text x="{x:.1f}" y="{floor + 17:.0f}" text-anchor="middle" {SOFT}>{escape(name)}</text>')
    x = left
    for j, name in enumerate(series) if len(series) > 1 else ():
        parts.append(
            f'<rect x="{x:.1f}" y="{floor + 28:.0f}" width="11" height="11" fill="{COLOURS[j % len(COLOURS)]}" '
            f'fill-opacity="{0.9 if j % 2 == 0 else 0.55}"/>'
            f'<text x="{x + 16:.1f}" y="{floor + 38:.0f}" {TEXT}>{escape(name)}</text>'
        )
        x += 34 + width_of(name)
    return svg(max(right, x, width_of(title) + 16) + 16, floor + (48 if len(series) > 1 else 26), title, parts)
