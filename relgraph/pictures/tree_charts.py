"""A tree from left to right: what led to a result, and how much each part moved it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from relgraph.pictures.svg import SOFT, TEXT, Svg, clip, escape, svg, width_of

__all__ = ["Branch", "tree"]

_TALL, _GAP, _BETWEEN = 38.0, 12.0, 44.0
_UP, _DOWN = "#1d4f91", "#a4541c"
_OUTLINE = 'stroke="#fff" stroke-width="3" paint-order="stroke"'  # keeps words apart from lines below them


@dataclass(frozen=True)
class Branch:
    """A node with those that hang on it.

    Args:
        label: What it is.
        value: How much it moved the result, signed; ``None`` for one that is only on the way.
        via: What leads to it from its parent; written on the line.
        lines: More about it, seen when pointed at.
        children: From top to bottom.
    """

    label: str
    value: float | None = None
    via: str = ""
    lines: Sequence[str] = ()
    children: Sequence[Branch] = ()


def tree(title: str, root: Branch) -> Svg:
    """The root on the left, its children to the right of it, and so on; the stronger a value the darker its box.

    Values are written out with their sign, so it reads without colour: blue raised the result, brown lowered it.
    """
    placed = list(_places(root))
    most = max((abs(b.value) for b, *_ in placed if b.value is not None), default=0.0) or 1.0
    widths: dict[int, float] = {}
    vias: dict[int, float] = {}
    for branch, depth, *_ in placed:
        widths[depth] = max(widths.get(depth, 0.0), 20 + width_of(clip(branch.label, 34)), 80)
        vias[depth] = max(vias.get(depth, 0.0), width_of(clip(branch.via, 26)) * 11 / 12 + 24)
    left = {0: 8.0}
    for depth in range(1, len(widths)):
        left[depth] = left[depth - 1] + widths[depth - 1] + max(_BETWEEN, vias[depth])
    parts = [f'<text x="8" y="16" {TEXT} font-weight="600">{escape(title)}</text>']
    for branch, depth, y, parent_y in placed:
        x = left[depth]
        if parent_y is not None:
            start = left[depth - 1] + widths[depth - 1]
            middle = (start + x) / 2
            line = f"M{start:.1f},{parent_y:.1f} C{middle:.1f},{parent_y:.1f} {middle:.1f},{y:.1f} {x:.1f},{y:.1f}"
            parts.append(
                f'<path d="{line}" fill="none" stroke="#8794a8"/>'
                f'<text x="{x - 6:.1f}" y="{y - 5:.1f}" text-anchor="end" {SOFT} {_OUTLINE}>'
                f"{escape(clip(branch.via, 26))}</text>"
            )
        parts.append(_box(branch, x, y, widths[depth], most))
    bottom = max(y for _, _, y, _ in placed) + _TALL / 2
    right = max(left[depth] + widths[depth] for depth in widths)
    return svg(max(right + 8, width_of(title) * 1.1 + 16), bottom + 10, title, parts)


def _places(root: Branch) -> Iterator[tuple[Branch, int, float, float | None]]:
    """Every branch with its depth, the middle of its height, and that of its parent; parents first."""
    heights: dict[int, float] = {}
    used = 28.0

    def lay(branch: Branch) -> float:
        nonlocal used
        if branch.children:
            inner = [lay(child) for child in branch.children]
            heights[id(branch)] = (inner[0] + inner[-1]) / 2
        else:
            heights[id(branch)] = used + _TALL / 2
            used += _TALL + _GAP
        return heights[id(branch)]

    def walk(branch: Branch, depth: int, above: float | None) -> Iterator[tuple[Branch, int, float, float | None]]:
        yield branch, depth, heights[id(branch)], above
        for child in branch.children:
            yield from walk(child, depth + 1, heights[id(branch)])

    lay(root)
    return walk(root, 0, None)


def _box(branch: Branch, x: float, y: float, width: float, most: float) -> str:
    colour = _UP if branch.value is None or branch.value >= 0 else _DOWN
    strength = 0.0 if branch.value is None else 0.08 + 0.32 * abs(branch.value) / most
    told = "\n".join([branch.label, *branch.lines])
    value = "" if branch.value is None else f"{branch.value:+.4f}"
    top = y - _TALL / 2
    return (
        f'<g><title>{escape(told)}</title><rect x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{_TALL:.0f}" '
        f'rx="4" fill="{colour}" fill-opacity="{strength:.2f}" stroke="#8794a8"/>'
        f'<text x="{x + 8:.1f}" y="{top + (16 if value else 23):.1f}" {TEXT}>{escape(clip(branch.label, 34))}</text>'
        f'<text x="{x + 8:.1f}" y="{top + 31:.1f}" {SOFT}>{value}</text></g>'
    )
