"""Small charts as inline SVG, readable without colour and without any script."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

__all__ = ["bars_svg", "curves_svg"]

_TEXT = 'font-family="system-ui,sans-serif" font-size="12" fill="#1d2733"'
_SOFT = 'font-family="system-ui,sans-serif" font-size="11" fill="#66748a"'
_LINES = (("#1d4f91", ""), ("#a4541c", "6 3"), ("#2f7d4f", "2 3"), ("#7a3f8f", "8 3 2 3"))


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" style="max-width:100%;height:auto">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def bars_svg(title: str, rows: Sequence[tuple[str, float]], base: float = 0.0) -> str:
    """Horizontal bars with their values written out.

    Args:
        title: What the picture shows, for those who hear it.
        rows: Label and finite value, from top to bottom.
        base: Value at which bars start, such as 0.5 for an AUROC; what is below it has no bar.

    Returns:
        One ``<svg>`` element; labels are escaped.
    """
    left = 16 + 6.6 * max((len(label) for label, _ in rows), default=0)
    span = max([value - base for _, value in rows if value > base], default=1.0)
    parts = []
    for i, (label, value) in enumerate(rows):
        y = 8 + 28 * i
        width = 320 * max(value - base, 0.0) / span
        parts.append(
            f'<text x="{left - 8:.1f}" y="{y + 15}" text-anchor="end" {_TEXT}>{escape(label)}</text>'
            f'<rect x="{left:.1f}" y="{y}" width="{width:.1f}" height="20" rx="2" fill="#5b80b5"/>'
            f'<text x="{left + width + 8:.1f}" y="{y + 15}" {_TEXT}>{value:.4f}</text>'
        )
    return _svg(left + 400, 16 + 28 * len(rows), title, parts)


def curves_svg(title: str, series: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> str:
    """Lines over epochs, each named at its end.

    Args:
        title: What the picture shows; written above it.
        series: Epochs and values of each line; values that are not finite are left out.

    Returns:
        One ``<svg>`` element; an empty picture says so.
    """
    lines = {
        name: [(float(x), float(y)) for x, y in zip(*points, strict=True) if math.isfinite(y)]
        for name, points in series.items()
    }
    every = [point for points in lines.values() for point in points]
    head = f'<text x="8" y="16" {_TEXT} font-weight="600">{escape(title)}</text>'
    if not every:
        return _svg(420, 60, title, [head, f'<text x="8" y="40" {_SOFT}>nothing was recorded</text>'])
    xs, ys = [x for x, _ in every], [y for _, y in every]
    ticks = _ticks(min(ys), max(ys))
    low, high = min(*ys, ticks[0]), max(*ys, ticks[-1])
    left, right, top, bottom = 56.0, 330.0, 30.0, 190.0

    def at_x(x: float) -> float:
        return left + (right - left) * (x - min(xs)) / ((max(xs) - min(xs)) or 1.0)

    def at_y(y: float) -> float:
        return bottom - (bottom - top) * (y - low) / ((high - low) or 1.0)

    parts = [head]
    for tick in ticks:
        parts.append(
            f'<line x1="{left}" x2="{right}" y1="{at_y(tick):.1f}" y2="{at_y(tick):.1f}" stroke="#dde3ec"/>'
            f'<text x="{left - 6}" y="{at_y(tick) + 4:.1f}" text-anchor="end" {_SOFT}>{tick:.4g}</text>'
        )
    for x in sorted({min(xs), max(xs)}):
        parts.append(f'<text x="{at_x(x):.1f}" y="{bottom + 18}" text-anchor="middle" {_SOFT}>epoch {x:g}</text>')
    ends: list[float] = []
    for (name, points), (colour, dash) in zip(lines.items(), _LINES * len(lines), strict=False):
        if points:
            parts += _line(name, [(at_x(x), at_y(y)) for x, y in points], colour, dash, ends)
    return _svg(460, 216, title, parts)


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
        f"{escape(name)}</text>",
    ]


def _ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers that span the values: steps of 1, 2 or 5 times a power of ten."""
    if high <= low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [i * step for i in range(first, last + 1)]
