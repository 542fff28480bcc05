"""Lines: what a training did from epoch to epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from relgraph.pictures.svg import SOFT, TEXT, Svg, clip, escape, svg, ticks, width_of

__all__ = ["curves"]

_LINES = (("#1d4f91", ""), ("#a4541c", "6 3"), ("#2f7d4f", "2 3"), ("#7a3f8f", "8 3 2 3"))


def curves(title: str, series: Mapping[str, tuple[Sequence[float], Sequence[float]]], along: str = "epoch") -> Svg:
    """Lines over epochs or another quantity, each named at its end.

    Args:
        title: What the picture shows; written above it.
        series: Epochs and values of each line; those that are not finite are left out.
        along: What the first of both is.
    """
    lines = {
        name: [(float(x), float(y)) for x, y in zip(*points, strict=True) if math.isfinite(y)]
        for name, points in series.items()
    }
    every = [point for points in lines.values() for point in points]
    head = f'<text x="8" y="16" {TEXT} font-weight="600">{escape(title)}</text>'
    if not every:
        return svg(420, 60, title, [head, f'<text x="8" y="40" {SOFT}>nothing was recorded</text>'])
    xs, ys = [x for x, _ in every], [y for _, y in every]
    marks = ticks(min(ys), max(ys))
    low, high = min(*ys, marks[0]), max(*ys, marks[-1])
    left, right, top, bottom = 56.0, 330.0, 30.0, 190.0

    def at_x(x: float) -> float:
        return left + (right - left) * (x - min(xs)) / ((max(xs) - min(xs)) or 1.0)

    def at_y(y: float) -> float:
        return bottom - (bottom - top) * (y - low) / ((high - low) or 1.0)

    parts = [head]
    for mark in marks:
        parts.append(
            f'<line x1="{left}" x2="{right}" y1="{at_y(mark):.1f}" y2="{at_y(mark):.1f}" stroke="#dde3ec"/>'
            f'<text x="{left - 6}" y="{at_y(mark) + 4:.1f}" text-anchor="end" {SOFT}>{mark:.4g}</text>'
        )
    for x in sorted({min(xs), max(xs)}):
        parts.append(
            f'<text x="{at_x(x):.1f}" y="{bottom + 18}" text-anchor="middle" {SOFT}>{escape(along)} {x:g}</text>'
        )
    ends: list[float] = []
    for (name, points), (colour, dash) in zip(lines.items(), _LINES * len(lines), strict=False):
        if points:
            parts += _line(name, [(at_x(x), at_y(y)) for x, y in points], colour, dash, ends)
    widest = max(width_of(clip(name, 30)) for name in lines)
    return svg(362 + widest, 216, title, parts)


def _line(name: str, points: Sequence[tuple[float, float]], colour: str, dash: str, ends: list[float]) -> list[str]:
    """One line, its dots, and its name beside its end, moved down where another name already stands."""
    y = points[-1][1]
    while any(abs(y - other) < 13 for other in ends):
        y += 13
    ends.append(y)
    path = " ".join(f"{x:.1f},{y_:.1f}" for x, y_ in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y_:.1f}" r="2.2" fill="{colour}"/>' for x, y_ in points)
    return [
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8" stroke-dasharray="{dash}"/>{dots}',
        f'<text x="338" y="{y + 4:.1f}" font-family="system-ui,sans-serif" font-size="12" fill="{colour}">'
        f"{escape(clip(name, 30))}</text>",
    ]
