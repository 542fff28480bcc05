"""Where the tables of a schema picture stand: layers along the foreign keys, no box on another, no line through a box.

The method is the layered one of Sugiyama, Tagawa and Toda (1981): layers by longest path, long lines led through a
reserved slot in each layer they cross, and the order within a layer improved by barycentres.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Layout", "layered_layout"]

SLOT_HEIGHT = 16.0  # what a line needs to pass between boxes


@dataclass(frozen=True)
class Layout:
    """Boxes and lines of a layered drawing, in pixels; targets stand left of what refers to them.

    Args:
        boxes: Left edge and top of every node.
        lines: For every edge that was given the points it passes, from its source's layer to its target's, as pairs
            ``(x_right, x_left)`` of a slot and its ``y``; empty where source and target stand in neighbouring layers.
        width: Of the whole drawing.
        height: Of the whole drawing.
    """

    boxes: Mapping[str, tuple[float, float]]
    lines: Sequence[Sequence[tuple[float, float, float]]]
    width: float
    height: float


def layered_layout(
    sizes: Mapping[str, tuple[float, float]],
    edges: Sequence[tuple[str, str]],
    gap: tuple[float, float] = (90.0, 26.0),
    margin: float = 40.0,
) -> Layout:
    """Place boxes in layers so that edges run from right to left.

    Args:
        sizes: Width and height of every node, pixels.
        edges: ``(source, target)`` pairs; a node may refer to itself, and circles are allowed.
        gap: Room between layers and between the boxes of one layer, pixels.
        margin: Room around everything, pixels.

    Returns:
        The layout; the same input gives the same one.
    """
    level = _levels(sizes, edges)
    layers: list[list[Hashable]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for name in sizes:
        layers[level[name]].append(name)
    links: list[tuple[Hashable, Hashable]] = []  # between neighbouring layers, low to high
    slots: list[list[Hashable]] = []  # per edge, from its source on
    for number, (source, target) in enumerate(edges):
        low, high = sorted((level[source], level[target]))
        chain: list[Hashable] = [(number, at) for at in range(low + 1, high)]
        for at, slot in enumerate(chain, start=low + 1):
            layers[at].append(slot)
        ends = (target, source) if level[target] <= level[source] else (source, target)
        stops: list[Hashable] = [ends[0], *chain, ends[1]]
        if source != target:
            links += pairwise(stops)
        slots.append(chain[::-1] if ends[1] == source else chain)
    _order(layers, links)
    return _coordinates(sizes, layers, slots, gap, margin)


def _levels(nodes: Mapping[str, object], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Longest way to a node that refers to nothing; an edge that would close a circle does not count."""
    targets: dict[str, list[str]] = {node: [] for node in nodes}
    for source, target in edges:
        if source != target:
            targets[source].append(target)
    level: dict[str, int] = {}
    for root in nodes:
        # depth first without recursion: a chain of tables may be longer than Python's stack
        stack, active = [(root, iter(targets[root]))], {root}
        while stack:
            node, rest = stack[-1]
            child = next((c for c in rest if c not in level and c not in active), None)
            if child is not None:
                active.add(child)
                stack.append((child, iter(targets[child])))
            else:
                stack.pop()
                active.discard(node)
                known = [level[c] for c in targets[node] if c in level]
                level.setdefault(node, 1 + max(known, default=-1))
    return level


def _order(layers: list[list[Hashable]], links: list[tuple[Hashable, Hashable]], sweeps: int = 6) -> None:
    """Sort each layer by the mean position of its neighbours, to and fro."""
    near: dict[Hashable, list[Hashable]] = {}
    for low, high in links:
        near.setdefault(low, []).append(high)
        near.setdefault(high, []).append(low)
    place = {node: (i + 0.5) / len(layer) for layer in layers for i, node in enumerate(layer)}
    for sweep in range(sweeps):
        for layer in layers if sweep % 2 else layers[::-1]:
            mean = {n: sum(place[m] for m in near[n]) / len(near[n]) if n in near else place[n] for n in layer}
            layer.sort(key=mean.__getitem__)
            place.update({node: (i + 0.5) / len(layer) for i, node in enumerate(layer)})


def _coordinates(
    sizes: Mapping[str, tuple[float, float]],
    layers: list[list[Hashable]],
    slots: list[list[Hashable]],
    gap: tuple[float, float],
    margin: float,
) -> Layout:
    boxes: dict[str, tuple[float, float]] = {}
    slot_at: dict[Hashable, tuple[float, float, float]] = {}
    heights = [
        sum(sizes[n][1] if isinstance(n, str) else SLOT_HEIGHT for n in layer) + gap[1] * (len(layer) - 1)
        for layer in layers
    ]
    total = max(heights, default=0.0)
    x = margin
    for layer, height in zip(layers, heights, strict=True):
        width = max((sizes[n][0] for n in layer if isinstance(n, str)), default=0.0)
        y = margin + (total - height) / 2
        for node in layer:
            if isinstance(node, str):
                boxes[node] = (x, y)
                y += sizes[node][1] + gap[1]
            else:
                slot_at[node] = (x + width, x, y + SLOT_HEIGHT / 2)
                y += SLOT_HEIGHT + gap[1]
        x += width + gap[0]
    lines = [[slot_at[slot] for slot in chain] for chain in slots]
    return Layout(boxes, lines, x - gap[0] + margin if layers else 2 * margin, total + 2 * margin)
