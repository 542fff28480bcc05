"""Which columns are made of a path: a name, how telling it is, and what it is computed from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from relgraph.tabular.paths import Path
from relgraph.tabular.series import Value
from relgraph.tabular.windows import SHARES

__all__ = ["Plan", "Stat", "plan_path", "within"]

Scope = Literal["time", "last"]


@dataclass(frozen=True)
class Stat:
    """One column.

    Args:
        name: What a person reads.
        rank: 0 is the most telling; where there are too many columns the last ranks go first.
        what: What is computed: ``count``, ``rate``, ``since last``, ``since first``, ``gap``; of a value ``mean``,
            ``sum``, ``std``, ``min``, ``max``, ``slope``, ``trend``, ``share``, ``mode``, ``only`` (of a path to one
            row, or the value of the last row).
        value: Which value of the series, or ``None``.
        scope: Whether ``window`` counts windows of time or of last rows.
        window: Its number.
        code: For ``share``, of which category.
        categorical: Whether the column holds codes.
    """

    name: str
    rank: int
    what: str
    value: Value | None = None
    scope: Scope = "time"
    window: int = 0
    code: int = 0
    categorical: bool = False


@dataclass(frozen=True)
class Plan:
    """The columns of a path."""

    path: Path
    values: tuple[Value, ...]
    stats: tuple[Stat, ...]


def plan_path(path: Path, values: Sequence[Value], windows: Sequence[int], last: Sequence[int]) -> Plan:
    """All columns that a path can give.

    Args:
        path: Where it leads.
        values: What is looked at there.
        windows: Days, short to long.
        last: Numbers of last rows, few to many.
    """
    if not any(step.back for step in path.tail):
        return Plan(path, tuple(values), tuple(_single(path, values)))
    stats: list[Stat] = []
    periods: list[tuple[Scope, int, str]] = [("time", i, f"{days} d") for i, days in enumerate(windows)]
    periods.append(("time", len(windows), "all"))
    periods += [("last", i, f"last {k}" if k > 1 else "last") for i, k in enumerate(last)]
    far = path.anchor > 0
    if len(path.steps) == 1 or path.tail[-1].back:
        stats += _counts(path, windows, 2 if far else 0)
    for value in values:
        if value.form == "category":
            stats += _category(path, value, windows, last, len(path.steps) == 1)
        elif value.form == "time":
            if last and last[0] == 1:
                stats.append(Stat(f"{path}: days since {value.name}, last", 2, "only", value, "last", 0))
        else:
            stats += _number(path, value, periods, len(path.steps) == 1, far)
    return Plan(path, tuple(values), tuple(stats))


def _single(path: Path, values: Sequence[Value]) -> Iterator[Stat]:
    for value in values:
        what = f"days since {value.name}" if value.form == "time" else value.name
        twice = value.form == "number" and value.column.kind == "category"
        if not twice:
            yield Stat(f"{path}: {what}", 1, "only", value, categorical=value.form == "category")


def _counts(path: Path, windows: Sequence[int], rank: int) -> Iterator[Stat]:
    yield Stat(f"{path}: count, all", rank, "count", window=len(windows))
    for i, days in enumerate(windows):
        yield Stat(f"{path}: count, {days} d", rank, "count", window=i)
    yield Stat(f"{path}: days since last", rank, "since last")
    yield Stat(f"{path}: days since first", rank, "since first")
    yield Stat(f"{path}: mean days between", rank + 1, "gap")
    if len(windows) > 1:
        yield Stat(f"{path}: rate {windows[0]} d less rate {windows[-1]} d", rank + 1, "rate")


def _number(
    path: Path, value: Value, periods: Sequence[tuple[Scope, int, str]], near: bool, far: bool
) -> Iterator[Stat]:
    whole = next(i for scope, i, text in periods if text == "all")
    most = max((i for scope, i, _ in periods if scope == "last"), default=-1)
    direct = near and value.beside is None
    base = 1 if direct else 3 if far else 2
    for scope, i, text in periods:
        rank = base if scope == "last" or i == whole else base + 1
        yield Stat(f"{path}: mean {value.name}, {text}", rank, "mean", value, scope, i)
        if not direct:
            continue
        for what in ("std", "min", "max", "sum"):
            if text == "last" or (scope == "last" and (i != most or what == "sum")):
                continue
            yield Stat(f"{path}: {what} {value.name}, {text}", 2 if i == whole else 3, what, value, scope, i)
        if i != whole and text != "last" and not (scope == "last" and i == most):
            yield Stat(f"{path}: mean {value.name}, {text} less all", 3, "trend", value, scope, i)
    if direct and most >= 0:
        yield Stat(f"{path}: slope {value.name}, {periods[-1][2]}", 2, "slope", value, "last", most)


def _category(path: Path, value: Value, windows: Sequence[int], last: Sequence[int], near: bool) -> Iterator[Stat]:
    texts = value.column.categories
    counted = 1 if len(texts) == 2 else min(SHARES, len(texts))
    scopes: list[tuple[Scope, int, str]] = [("time", len(windows), "all")]
    if last and near:
        scopes.append(("last", len(last) - 1, f"last {last[-1]}"))
    if last and last[0] == 1:
        yield Stat(f"{path}: {value.name}, last", 1 if near else 2, "only", value, "last", 0, categorical=True)
    for scope, i, text in scopes:
        for code in range(counted):
            name = f"{path}: share {value.name} = {texts[code]}, {text}"
            yield Stat(name, 2 if near else 3, "share", value, scope, i, code)
        if near and counted > 1:
            yield Stat(f"{path}: mode {value.name}, {text}", 3, "mode", value, scope, i, categorical=True)


def within(plans: Sequence[Plan], most: int) -> list[Plan]:
    """At most so many columns: the most telling ranks, within a rank those that come first."""
    ranked = sorted((stat.rank, i, j) for i, plan in enumerate(plans) for j, stat in enumerate(plan.stats))[:most]
    kept = {(i, j) for _, i, j in ranked}
    out = []
    for i, plan in enumerate(plans):
        stats = tuple(stat for j, stat in enumerate(plan.stats) if (i, j) in kept)
        needed = {stat.value.sql for stat in stats if stat.value is not None}
        needed |= {sql.split("_", 1)[1] for sql in needed if "_" in sql}  # what a number beside others is made of
        if stats:
            out.append(Plan(plan.path, tuple(v for v in plan.values if v.sql in needed), stats))
    return out
