"""A picture of a schema as one inline SVG element: tables, keys, time columns, an arrow per foreign key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from relgraph.data.layout import Layout, layered_layout
from relgraph.data.schema import ForeignKey, Schema, TableSchema
from relgraph.pictures.svg import Svg, escape, svg

__all__ = ["schema_svg"]

CHARACTER = 7.3  # width of a 12 px monospace character, with a little room
LINE = 18.0
HEAD = 26.0
LONGEST = 26  # characters of a name that are shown
MANY_TABLES = 14  # beyond this only keys and times are drawn

_SVG_STYLE = (
    ".rg-box{fill:#fff;stroke:#8794a8}.rg-head{fill:#e8eef7;stroke:#8794a8}"
    ".rg-line{fill:none;stroke:#4d6a94;stroke-width:1.3}.rg-tip{fill:#4d6a94}"
    ".rg-text{font:12px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#1d2733}"
    ".rg-name{font-weight:700}.rg-soft{fill:#66748a}.rg-time{fill:#a4541c}.rg-key{fill:#1d4f91}"
)


def schema_svg(schema: Schema, num_rows: Mapping[str, int] | None = None) -> Svg:
    """A picture of the tables, their keys and time columns, with an arrow for every foreign key.

    Args:
        schema: What to draw.
        num_rows: Row count per table, shown in its head where given.

    Returns:
        One ``<svg>`` element; all names in it are escaped.
    """
    counts = num_rows or {}
    full = len(schema) <= MANY_TABLES
    columns = {table.name: _shown_columns(table, full) for table in schema}
    sizes = {table.name: _box_size(table, columns[table.name], counts.get(table.name)) for table in schema}
    keys = list(schema.foreign_keys)
    layout = layered_layout(sizes, [(table.name, key.table) for table, key in keys])
    parts = [f"<style>{_SVG_STYLE}</style>"]
    parts += [_box(table, columns[table.name], counts.get(table.name), layout, sizes) for table in schema]
    parts += [_arrow(i, table, key, columns, layout, sizes) for i, (table, key) in enumerate(keys)]
    return svg(layout.width, layout.height, f"{len(schema)} tables, {len(keys)} foreign keys", parts)


def _shown_columns(table: TableSchema, full: bool) -> list[tuple[str, str, str]]:
    """``(text, style class, key name)`` per line; a foreign key of several columns is one line."""
    lines = []
    primary = set(table.primary_key)
    foreign = {key.columns[0]: key for key in table.foreign_keys}
    within = {name for key in table.foreign_keys for name in key.columns}
    hidden = 0
    for name in table.column_names:
        if name in foreign:
            key = foreign[name]
            lines.append((f"{'◆ ' if primary & set(key.columns) else '→ '}{key.name}", "rg-key", key.name))
        elif name in within:
            continue
        elif name in primary:
            lines.append((f"◆ {name}", "rg-key", ""))
        elif name == table.time_column:
            lines.append((f"◷ {name}", "rg-time", ""))
        elif full and len(lines) < 16:
            lines.append((f"  {name}", "rg-soft", ""))
        else:
            hidden += 1
    # two keys may start with one column; each still needs a line to start from
    drawn = {key for _, _, key in lines}
    lines += [(f"→ {key.name}", "rg-key", key.name) for key in table.foreign_keys if key.name not in drawn]
    if hidden:
        lines.append((f"  … {hidden} more", "rg-soft", ""))
    return lines


def _clip(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _head_text(table: TableSchema, rows: int | None) -> tuple[str, str]:
    return _clip(table.name), "" if rows is None else f"{rows:,}"


def _box_size(table: TableSchema, lines: Sequence[tuple[str, str, str]], rows: int | None) -> tuple[float, float]:
    name, count = _head_text(table, rows)
    longest = max([len(name) + len(count) + 2, *(len(_clip(text)) for text, _, _ in lines)])
    return 20 + CHARACTER * longest, HEAD + LINE * len(lines) + (6 if lines else 0)


def _box(
    table: TableSchema,
    lines: Sequence[tuple[str, str, str]],
    rows: int | None,
    layout: Layout,
    sizes: Mapping[str, tuple[float, float]],
) -> str:
    (x, y), (width, height) = layout.boxes[table.name], sizes[table.name]
    name, count = _head_text(table, rows)
    parts = [
        f'<g><title>{escape(table.name)}</title><rect class="rg-box" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
        f'height="{height:.1f}" rx="4"/><rect class="rg-head" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
        f'height="{HEAD}" rx="4"/>',
        f'<text class="rg-text rg-name" x="{x + 8:.1f}" y="{y + 17:.1f}">{escape(name)}</text>',
    ]
    if count:
        parts.append(
            f'<text class="rg-text rg-soft" x="{x + width - 8:.1f}" y="{y + 17:.1f}" text-anchor="end">{count}</text>'
        )
    for i, (text, style, _) in enumerate(lines):
        at = y + HEAD + LINE * i + 15
        parts.append(
            f'<text class="rg-text {style}" x="{x + 8:.1f}" y="{at:.1f}" '
            f'xml:space="preserve">{escape(_clip(text))}</text>'
        )
    return "".join([*parts, "</g>"])


def _arrow(
    number: int,
    table: TableSchema,
    key: ForeignKey,
    columns: Mapping[str, Sequence[tuple[str, str, str]]],
    layout: Layout,
    sizes: Mapping[str, tuple[float, float]],
) -> str:
    (x, y), (to_x, to_y) = layout.boxes[table.name], layout.boxes[key.table]
    line = next(i for i, (_, _, name) in enumerate(columns[table.name]) if name == key.name)
    start_y, end_y = y + HEAD + LINE * line + 11, to_y + HEAD / 2
    title = f"<title>{escape(f'{table.name}.{key.name} → {key.table}')}</title>"
    if table.name == key.table:
        right = x + sizes[table.name][0]
        path = f"M{right:.1f},{start_y:.1f} c34,0 34,{end_y - start_y:.1f} 7,{end_y - start_y:.1f}"
        tip = _tip(right + 1, end_y, -1)
        return f'<g>{title}<path class="rg-line" d="{path}"/>{tip}</g>'
    leftwards = to_x < x
    way = -1 if leftwards else 1
    at_x = x if leftwards else x + sizes[table.name][0]
    end_x = to_x + sizes[key.table][0] + 7 if leftwards else to_x - 7
    path = f"M{at_x:.1f},{start_y:.1f}"
    at_y = start_y
    for right, left, slot_y in layout.lines[number]:
        enter, leave = (right, left) if leftwards else (left, right)
        path += f" {_curve(at_x, at_y, enter, slot_y)} H{leave:.1f}"
        at_x, at_y = leave, slot_y
    path += f" {_curve(at_x, at_y, end_x, end_y)}"
    return f'<g>{title}<path class="rg-line" d="{path}"/>{_tip(end_x + 6 * way, end_y, way)}</g>'


def _curve(x: float, y: float, to_x: float, to_y: float) -> str:
    middle = (x + to_x) / 2
    return f"C{middle:.1f},{y:.1f} {middle:.1f},{to_y:.1f} {to_x:.1f},{to_y:.1f}"


def _tip(x: float, y: float, way: int) -> str:
    """An arrow head whose point is at ``x``; ``way`` is -1 to the left, 1 to the right."""
    return f'<path class="rg-tip" d="M{x:.1f},{y:.1f} l{-9 * way},-4.5 v9 z"/>'
