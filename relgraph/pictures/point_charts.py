"""Points on a plane with names: maps of vectors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from relgraph.errors import ShapeError
from relgraph.pictures.svg import COLOURS, SOFT, TEXT, Svg, clip, escape, svg, width_of

__all__ = ["scatter"]

_SIDE = 520.0
_REST = "other"
# shapes as well as colours tell groups apart; each around (x, y)
_SHAPES: tuple[Callable[[float, float, str], str], ...] = (
    lambda x, y, s: f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" {s}>',
    lambda x, y, s: f'<rect x="{x - 3.6:.1f}" y="{y - 3.6:.1f}" width="7.2" height="7.2" {s}>',
    lambda x, y, s: f'<path d="M{x:.1f},{y - 5:.1f} l4.8,8.4 h-9.6 z" {s}>',
    lambda x, y, s: f'<path d="M{x:.1f},{y - 5:.1f} l5,5 l-5,5 l-5,-5 z" {s}>',
    lambda x, y, s: f'<path d="M{x:.1f},{y + 5:.1f} l4.8,-8.4 h-9.6 z" {s}>',
    lambda x, y, s: f'<path d="M{x - 5:.1f},{y - 1.5:.1f} h10 v3 h-10 z" {s}>',
)
_CLOSE = ("</circle>", "</rect>", "</path>", "</path>", "</path>", "</path>")


def scatter(
    title: str, points: Sequence[tuple[float, float]], labels: Sequence[str], groups: Sequence[str] | None = None
) -> Svg:
    """Points, with a legend of their groups, and names where there is room.

    Args:
        title: What the picture shows; written above it.
        points: Places ``[n]``; both directions have the same scale. Those that are not finite are left out.
        labels: A name for each ``[n]``; the first ones are written first, all are seen when pointed at.
        groups: A group for each ``[n]``; the largest five keep their name, the rest become "other".

    Raises:
        ShapeError: If there are not as many labels or groups as points.
    """
    for name, values in (("labels", labels), ("groups", groups)):
        if values is not None and len(values) != len(points):
            raise ShapeError(f"{name}: expected {len(points)}, one a point, got {len(values)}")
    head = f'<text x="8" y="16" {TEXT} font-weight="600">{escape(title)}</text>'
    finite = [i for i, (x, y) in enumerate(points) if math.isfinite(x) and math.isfinite(y)]
    if not finite:
        return svg(420, 60, title, [head, f'<text x="8" y="40" {SOFT}>there is nothing to show</text>'])
    legend = _legend(groups, finite)
    place = _places(points, finite)
    parts = [head, f'<rect x="8" y="28" width="{_SIDE:.0f}" height="{_SIDE:.0f}" fill="#fbfcfe" stroke="#dde3ec"/>']
    for i in finite:
        number = 0 if groups is None else legend.index(groups[i] if groups[i] in legend else _REST)
        parts.append(_mark(number, *place[i], labels[i] if groups is None else f"{labels[i]} ({groups[i]})"))
    parts += _names(place, labels, finite)
    for number, name in enumerate(legend):
        y = 40.0 + 20 * number
        parts += [_mark(number, _SIDE + 26, y, name), f'<text x="{_SIDE + 36:.0f}" y="{y + 4:.0f}" {TEXT}>']
        parts.append(f"{escape(clip(name))}</text>")
    widest = max((width_of(clip(name)) for name in legend), default=0.0)
    return svg(_SIDE + (16 if not legend else 48 + widest), _SIDE + 38, title, parts)


def _legend(groups: Sequence[str] | None, finite: Sequence[int]) -> list[str]:
    if groups is None:
        return []
    counts: dict[str, int] = {}
    for i in finite:
        counts[groups[i]] = counts.get(groups[i], 0) + 1
    ordered = sorted(counts, key=lambda name: (-counts[name], name))
    if len(ordered) <= len(COLOURS):
        return ordered
    named = [name for name in ordered if name != _REST]
    return [*named[: len(COLOURS) - 1], _REST]


def _places(points: Sequence[tuple[float, float]], finite: Sequence[int]) -> dict[int, tuple[float, float]]:
    xs, ys = [points[i][0] for i in finite], [points[i][1] for i in finite]
    span = max(max(xs) - min(xs), max(ys) - min(ys)) or 1.0
    scale = (_SIDE - 60) / span
    middle_x, middle_y = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2
    centre_x, centre_y = 8 + _SIDE / 2, 28 + _SIDE / 2
    return {
        i: (centre_x + scale * (points[i][0] - middle_x), centre_y - scale * (points[i][1] - middle_y)) for i in finite
    }


def _mark(number: int, x: float, y: float, name: str) -> str:
    number %= len(_SHAPES)
    style = f'fill="{COLOURS[number]}" fill-opacity="0.75"'
    return f"{_SHAPES[number](x, y, style)}<title>{escape(name)}</title>{_CLOSE[number]}"


def _names(place: dict[int, tuple[float, float]], labels: Sequence[str], finite: Sequence[int]) -> list[str]:
    """Names to the right of their points, or to the left at the border, where no other name stands."""
    taken: list[tuple[float, float, float]] = []
    parts = []
    for i in finite:
        text = clip(labels[i], 22)
        x, y = place[i]
        wide = width_of(text) * 11 / 12
        left = x + 7 if x + 9 + wide <= 8 + _SIDE else x - 7 - wide
        if left < 8 or any(abs(y - b) < 12 and left < b_right and left + wide > b_left for b_left, b_right, b in taken):
            continue
        taken.append((left, left + wide, y))
        parts.append(f'<text x="{left:.1f}" y="{y + 4:.1f}" {SOFT}>{escape(text)}</text>')
    return parts
