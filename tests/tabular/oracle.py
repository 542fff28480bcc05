"""Every aggregate once more in plain Python: lists, loops and the rows as they were given."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

DAY = 86_400_000_000
_STEP = re.compile(r"(<-|->) (?:last )?([^\[]+)\[([^\]]+)\]")
NEVER, ALWAYS = math.inf, -math.inf


@dataclass
class Tables:
    """Rows as dicts; a row's own time in days under ``"time"``, ``None`` for not known.

    Args:
        rows: Rows by table.
        keys: ``(table, column) -> target table``; a key holds the target's row number or ``None``.
        timed: Tables with a time of their own.
        codes: Categories by ``table.column`` in the order of their codes.
        names: What keys of several columns are called here.
    """

    rows: Mapping[str, list[dict[str, Any]]]
    keys: Mapping[tuple[str, str], str]
    timed: set[str]
    codes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    def time(self, table: str, row: int) -> float:
        """When a row is known: its own time, or the latest of what it refers to."""
        if table in self.timed:
            own = self.rows[table][row]["time"]
            return NEVER if own is None else own
        found = [ALWAYS]
        for (source, key), target in self.keys.items():
            referred = self.rows[table][row].get(key) if source == table and target != table else None
            if referred is not None:
                found.append(self.time(target, referred))
        return max(found)

    def step(self, table: str, row: int, step: str) -> list[tuple[str, int]]:
        """Where one step of a path leads."""
        arrow, other, key = _STEP.findall(step)[0]
        key = self.names.get(key, key)
        if arrow == "<-":
            return [(other, i) for i, values in enumerate(self.rows[other]) if values[key] == row]
        referred = self.rows[table][row][key]
        return [] if referred is None else [(other, referred)]

    def walk(self, table: str, row: int, steps: Sequence[str]) -> list[tuple[float, tuple[int, ...], str]]:
        """All ends of a path by time, then rows on the way: ``(time, rows, table)``."""
        found = [(self.time(table, row), (), table, row)]
        for step in steps:
            found = [
                (max(time, self.time(*end)), (*way, end[1]), *end)
                for time, way, here, number in found
                for end in self.step(here, number, step)
            ]
        return sorted((time, way, here) for time, way, here, _ in found if time < NEVER)


def column(tables: Tables, table: str, name: str, row: int, now: float, windows: Sequence[int]) -> float:
    """The value of an aggregate by its name, NaN for none."""
    path, what = name.split(": ", 1)
    steps = [match.group() for match in _STEP.finditer(path)]
    if "last " in path:  # anchored at the last row of the first two steps
        way = [end for end in tables.walk(table, row, steps[:2]) if end[0] <= now]
        if not way:
            return 0.0 if what.startswith(("count", "rate")) or "sum" in what.split()[0] else math.nan
        table, row, steps = way[-1][2], way[-1][1][-1], steps[2:]
    elif steps[0].startswith("->") and len(steps) > 1 and steps[1].startswith("<-"):
        way = [end for end in tables.walk(table, row, steps[:1]) if end[0] <= now]
        if not way:
            return 0.0 if what.startswith(("count", "rate")) or "sum" in what.split()[0] else math.nan
        table, row, steps = way[-1][2], way[-1][1][-1], steps[1:]
    seen = [end for end in tables.walk(table, row, steps) if end[0] <= now]
    return _compute(tables, seen, what, now, windows, (table, row, steps))


def _window(seen: list[Any], period: str, now: float) -> list[Any]:
    if period.endswith(" d"):
        return [end for end in seen if end[0] > now - int(period[:-2])]
    if period.startswith("last"):
        return seen[-int(period[5:] or 1) :]
    return seen


def _compute(tables: Tables, seen: list[Any], what: str, now: float, windows: Sequence[int], start: Any) -> float:
    moments = [time for time, _, _ in seen if time > ALWAYS]
    if what.startswith("count, "):
        return len(_window(seen, what[7:], now))
    if what.startswith("rate"):
        short, long = (len(_window(seen, f"{days} d", now)) / days for days in (windows[0], windows[-1]))
        return short - long
    if what == "days since last":
        return now - moments[-1] if moments else math.nan
    if what == "days since first":
        return now - moments[0] if moments else math.nan
    if what == "mean days between":
        return (moments[-1] - moments[0]) / (len(seen) - 1) if len(seen) > 1 and moments else math.nan
    if ", " not in what:  # a path to one row
        return _value(tables, seen[-1], what, now, start, code=True) if seen else math.nan
    about, period = what.rsplit(", ", 1)
    less = period.endswith(" less all")
    ends = _window(seen, period.removesuffix(" less all"), now)
    head, _, rest = about.partition(" ")
    if head == "share":
        of, category = rest.split(" = ")
        given = [_value(tables, end, of, now, start, code=True) for end in ends]
        given = [value for value in given if not math.isnan(value)]
        code = tables.codes[f"{seen[0][2]}.{of}"].index(category) if seen else 0
        return given.count(code) / len(given) if given else math.nan
    if head == "mode":
        given = [_value(tables, end, rest, now, start, code=True) for end in ends]
        known = sorted({value for value in given if not math.isnan(value)})
        return max(known, key=lambda value: (given.count(value), -value)) if known else math.nan
    if head not in ("mean", "std", "min", "max", "sum", "slope"):
        return _value(tables, ends[-1], about, now, start, code=True) if ends else math.nan
    values = [(i, _value(tables, end, rest, now, start)) for i, end in enumerate(ends)]
    values = [(i, value) for i, value in values if not math.isnan(value)]
    found = _statistic(head, values)
    if less:
        whole = [_value(tables, end, rest, now, start) for end in seen]
        return found - _statistic("mean", [(0, value) for value in whole if not math.isnan(value)])
    return found


def _statistic(head: str, values: list[tuple[int, float]]) -> float:
    numbers = [value for _, value in values]
    if head == "sum":
        return math.fsum(numbers)
    if not numbers:
        return math.nan
    if head == "slope":
        if len(numbers) < 2:
            return math.nan
        return statistics.linear_regression([i for i, _ in values], numbers).slope
    return {"mean": statistics.fmean, "std": statistics.pstdev, "min": min, "max": max}[head](numbers)


def _value(tables: Tables, end: Any, name: str, now: float, start: Any, code: bool = False) -> float:
    time, way, table = end
    name, _, beside = name.partition(" beside -> ")
    own = tables.rows[table][way[-1]][name.removeprefix("days since ")]
    if own is None:
        return math.nan
    if name.startswith("days since "):
        return now - own
    if f"{table}.{name}" in tables.codes and code:
        return tables.codes[f"{table}.{name}"].index(own)
    if not beside:
        return float(own)
    key = beside.split("[")[1][:-1]
    group = tables.rows[table][way[-1]][key]
    if group is None:
        return math.nan
    # what rows of the same group, that refer to anything by the path's key, were by then
    path_key = start[2][0].split("[")[1][:-1]
    near = [
        float(values[name])
        for i, values in enumerate(tables.rows[table])
        if values[key] == group
        and values[path_key] is not None
        and values[name] is not None
        and max(tables.time(table, i), tables.time(start[0], values[path_key])) <= time
    ]
    return float(own) - statistics.fmean(near)
