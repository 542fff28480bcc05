"""What a model could learn from the future: a task, its database and its graph looked through before training."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from relgraph.data.check.suspects import label_leaks
from relgraph.data.sql import quote
from relgraph.data.time import format_time
from relgraph.errors import RelGraphError
from relgraph.tasks.column import ColumnTask
from relgraph.tasks.entity import EntityTask
from relgraph.tasks.link import LinkTask
from relgraph.tasks.said import Said, has_rows_at, what_is_said
from relgraph.tasks.seeds import Seeds

if TYPE_CHECKING:
    from relgraph.data.database import Database
    from relgraph.data.graph import HeteroGraph
    from relgraph.tasks.base import Task

__all__ = ["Audit", "Finding", "audit"]

_MOMENTS = 5  # seed times at which the query is asked what it says of a database that ends there
_MICROSECOND = 1


@dataclass(frozen=True)
class Finding:
    """One way in which the future may be seen.

    Args:
        kind: ``"seeds from the future"``, ``"window not open"``, ``"label in a column"``, ``"unborn rows"``, ``"static
            table"``, ``"statistics"`` or ``"hidden column shown"``.
        where: The table, column or query meant.
        count: How many rows are concerned.
        total: Of how many looked at.
        explanation: What was found, and what follows.
        remedy: What to do.
        severity: ``"leak"`` where a model sees what it could not know, ``"caution"`` where that depends on how the data
            came about.
    """

    kind: str
    where: str
    count: int
    total: int
    explanation: str
    remedy: str
    severity: Literal["leak", "caution"] = "leak"

    def __str__(self) -> str:
        return f"{self.severity}: {self.kind} ({self.where}): {self.explanation} {self.remedy}"


@dataclass(frozen=True)
class Audit:
    """What :func:`audit` found.

    Args:
        task: The task in words.
        findings: What was found, leaks first; empty is good.
        looked_at: What was checked.
        failed: What could not be checked, each with the reason.
    """

    task: str
    findings: tuple[Finding, ...]
    looked_at: tuple[str, ...]
    failed: tuple[str, ...] = ()

    @property
    def leaks(self) -> tuple[Finding, ...]:
        """The findings that are leaks for certain."""
        return tuple(finding for finding in self.findings if finding.severity == "leak")

    def to_dict(self) -> dict[str, Any]:
        """The audit as plain JSON values."""
        return {
            "task": self.task,
            "findings": [asdict(f) for f in self.findings],
            "looked_at": list(self.looked_at),
            "failed": list(self.failed),
        }

    def to_json(self) -> str:
        """The audit as JSON text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=1)

    def __str__(self) -> str:
        leaks, cautions = len(self.leaks), len(self.findings) - len(self.leaks)
        counted = f"{leaks} leak{'s' * (leaks != 1)}, {cautions} caution{'s' * (cautions != 1)}"
        head = f"leakage audit of {self.task}: {counted}"
        failed = (f"  not checked: {reason}" for reason in self.failed)
        return "\n".join([head, *(f"  {finding}" for finding in self.findings), *failed])

    __repr__ = __str__


def audit(db: Database, task: Task, graph: HeteroGraph | None = None) -> Audit:
    """Look for ways in which a model would see the future.

    The query is tried, not read: what it says at a moment of a database that ends at that moment shows whether seeds
    are chosen by what comes later, and whether the label window holds the moment itself, which a model may see.

    Args:
        db: The whole database.
        task: With its times set, see :meth:`~relgraph.tasks.base.Task.with_times`.
        graph: What the model will see; without it, the checks of a graph are left out.

    Returns:
        The findings. A check that cannot run is named in ``failed`` with the reason; the others run all the same.

    Raises:
        ProtocolError: If the task's times are not set.
    """
    checks: list[tuple[tuple[str, ...], Callable[[], Iterable[Finding]]]] = []
    if isinstance(task, EntityTask | LinkTask) and task.regime != "static":
        checks.append((("seeds from the future", "window not open", "unborn rows"), lambda: _of_moments(db, task)))
    if isinstance(task, EntityTask | ColumnTask):
        checks.append((("label in a column",), lambda: _columns(db, task)))
    if task.regime != "static":
        checks.append((("static table",), lambda: _static_tables(db, task)))
    if graph is not None:
        checks.append((("statistics", "hidden column shown"), lambda: _of_graph(task, graph)))
    findings: list[Finding] = []
    looked_at: list[str] = []
    failed: list[str] = []
    for kinds, check in checks:
        try:
            findings += list(check())
            looked_at += kinds
        except (RelGraphError, _duckdb_error()) as error:
            reason = str(error).partition("\n")[0]
            failed.append(f"{', '.join(kinds)}: {type(error).__name__}: {reason}")
    findings.sort(key=lambda finding: finding.severity != "leak")
    return Audit(repr(task), tuple(findings), tuple(looked_at), tuple(failed))


def _duckdb_error() -> type[Exception]:
    import duckdb

    return duckdb.Error


def _of_moments(db: Database, task: EntityTask | LinkTask) -> Iterator[Finding]:
    """What the query says at some moments of the database, and of what it was then."""
    future = window = unborn = asked = 0
    examples: list[str] = []
    for moment in _moments(db, task):
        whole, then = what_is_said(db, task, None, moment), what_is_said(db, task, moment, moment)
        asked += whole.node.size
        unborn += whole.early
        chosen = whole.without(then).size
        future += chosen
        if chosen:
            examples.append(f"{chosen:,} of {whole.node.size:,} at {format_time(moment)}")
        if has_rows_at(db, moment):
            window += _in_window(db, task, whole, then, moment)
    links = isinstance(task, LinkTask)
    if future:
        yield Finding(
            "seeds from the future",
            f"the query about {task.entity_table!r}",
            future,
            asked,
            f"{future:,} of {asked:,} rows that it asks about are only chosen because of rows after the moment of "
            f"prediction ({'; '.join(examples[:3])}), so who is asked about already tells something about the answer.",
            "Choose rows by what is known at the timestamp (LEFT JOIN the window), or say so beside every result."
            if not links
            else "Usual for recommendation, where only rows with a link are asked about; say so beside results.",
            "caution" if links else "leak",
        )
    if window:
        yield Finding(
            "window not open",
            f"the query about {task.entity_table!r}",
            window,
            asked,
            f"the label of {window:,} of {asked:,} rows counts rows whose time is the very moment of prediction; a "
            "model sees these, since the cut-off is inclusive.",
            "Begin the window after the timestamp (> instead of >=).",
        )
    if unborn:
        yield Finding(
            "unborn rows",
            task.entity_table,
            unborn,
            asked,
            f"{unborn:,} of {asked:,} rows are asked about before they exist (their own time is later than the "
            "timestamp), so a model sees columns from the future.",
            "Leave such rows out in the query.",
        )


def _moments(db: Database, task: Task) -> list[int]:
    """Some seed times of training, the latest among them, and the first of the test."""
    train: list[int] = task.times(db, "train").tolist()
    step = max(len(train) // (_MOMENTS - 1), 1)
    return [*train[::-1][::step][: _MOMENTS - 1], *task.times(db, "test").tolist()[:1]]


def _in_window(db: Database, task: EntityTask | LinkTask, whole: Said, then: Said, moment: int) -> int:
    """About how many rows the query says something else because of rows at the very moment."""
    node = np.intersect1d(then.node, whole.node, assume_unique=True)
    there, before = what_is_said(db, task, moment - _MICROSECOND, moment).of(node)
    moved = node[~there | (before != then.of(node)[1])]
    if not moved.size:
        return 0
    # if a window that opens a microsecond later is not moved by them, they are in the window, not before it
    with_them = what_is_said(db, task, moment, moment + _MICROSECOND).of(moved)
    without = what_is_said(db, task, moment - _MICROSECOND, moment + _MICROSECOND).of(moved)
    same = (with_them[0] == without[0]) & (with_them[1] == without[1])
    return int(same.sum())


def _columns(db: Database, task: EntityTask | ColumnTask) -> Iterator[Finding]:
    """Columns of the entity's row, or of rows that refer to it, that are as good as the label, or one of several."""
    seeds = task.seeds(db, "train")
    labels = [seeds.label] if seeds.label.dim() == 1 else list(seeds.label.unbind(1))
    told: set[tuple[str, str]] = set()
    for number, label in enumerate(labels):
        for found in label_leaks(db, _Given(task.entity_table, replace(seeds, label=label))):
            place = found.table, found.column
            if ".".join(place) in task.hidden or place in told:
                continue
            told.add(place)
            which = "the label" if len(labels) == 1 else f"label {number}"
            yield Finding(
                "label in a column",
                f"{found.table}.{found.column}",
                found.rows,
                found.rows,
                f"in {found.rows:,} training rows it is {_HOW[found.how]} {which}: "
                + (
                    "who knows it knows both."
                    if isinstance(task, ColumnTask)
                    else "it was probably written afterwards."
                ),
                f"Leave it out of the features, with hide=[{'.'.join(place)!r}] of the task and "
                "build_graph(db, hide=task.hidden), unless it is truly known at the timestamp.",
            )


@dataclass
class _Given:
    """Training rows as :func:`~relgraph.data.check.suspects.label_leaks` asks a task for them."""

    entity_table: str
    given: Seeds

    def seeds(self, db: Database, split: Any) -> Seeds:
        return self.given


_HOW = {"equal": "equal to", "one to one": "one to one with", "correlated": "perfectly correlated with"}


def _static_tables(db: Database, task: Task) -> Iterator[Finding]:
    """Tables without time whose rows are first referred to after the test began: they may be younger than they look."""
    test_time = task.test_time
    if test_time is None:
        return
    for table in db.schema:
        if table.time_column is not None or not table.primary_key or _inherits(db, table.name):
            continue
        first = _first_use(db, table.name)
        if first is None:
            continue
        total = db.num_rows(table.name)
        late = db.cursor().execute(f"SELECT count(*) FILTER (first > {test_time}) FROM ({first})").fetchall()[0][0]
        if late:
            yield Finding(
                "static table",
                table.name,
                late,
                total,
                f"it has no time, so all {total:,} rows are always visible, but {late:,} are first referred to after "
                f"the test began ({format_time(test_time)}): they may not have existed before.",
                "Name its time column (times=) if it has one; else take care with what only such rows tell.",
                "caution",
            )


def _inherits(db: Database, table: str, above: frozenset[str] = frozenset()) -> bool:
    """Whether rows of a table without time take their time from rows they refer to."""
    for key in db.schema[table].foreign_keys:
        if key.table == table or key.table in above:
            continue
        if db.schema[key.table].time_column is not None or _inherits(db, key.table, above | {table}):
            return True
    return False


def _first_use(db: Database, name: str) -> str | None:
    """SQL of the first time that each row of a table is referred to."""
    parts = []
    for table, key in db.schema.foreign_keys:
        if key.table != name or table.name == name or table.time_column is None:
            continue
        columns = ", ".join(f"{quote(column)} AS k{i}" for i, column in enumerate(key.columns))
        parts.append(f"SELECT {columns}, {db.time_sql(table.name)} AS t FROM {quote(table.name)}")
    if not parts:
        return None
    width = range(len(db.schema[name].primary_key))
    if any(len(k.columns) != len(width) for _, k in db.schema.foreign_keys if k.table == name):
        return None
    keys = ", ".join(f"k{i}" for i in width)
    whole = " AND ".join(f"k{i} IS NOT NULL" for i in width)
    return f"SELECT min(t) AS first FROM ({' UNION ALL BY NAME '.join(parts)}) WHERE {whole} GROUP BY {keys}"


def _of_graph(task: Task, graph: HeteroGraph) -> Iterator[Finding]:
    timed = [store.time for store in graph.nodes.values() if store.time is not None]
    val_time = None if task.regime == "static" else task.val_time
    if timed and val_time is not None and (graph.fit_until is None or graph.fit_until > val_time):
        seen = "all rows" if graph.fit_until is None else f"rows up to {format_time(graph.fit_until)}"
        late = sum(int((time > val_time).sum()) for time in timed)
        yield Finding(
            "statistics",
            "the graph",
            late,
            graph.num_nodes,
            f"its column statistics saw {seen}, but validation begins at {format_time(val_time)}.",
            "Build it with build_graph(db, fit_until=task.val_time).",
        )
    for name in task.hidden:
        table, _, column = name.rpartition(".")
        store = graph.nodes.get(table)
        if store is not None and store.features is not None and column in store.features.column_names:
            yield Finding(
                "hidden column shown",
                name,
                store.num_nodes,
                store.num_nodes,
                "the task hides it because it tells the label, but it is a feature of the graph.",
                "Build the graph with build_graph(db, hide=task.hidden).",
            )
