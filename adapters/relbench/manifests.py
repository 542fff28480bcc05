"""What a task here is called in the manifest of a RelBench task; :mod:`.spec` reads it back."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from relgraph.adapters.relbench.source import VERSION
from relgraph.adapters.relbench.spec import KINDS
from relgraph.data.interval import format_interval
from relgraph.data.labels import gives_lists as _query_gives_lists
from relgraph.data.sql import quote

if TYPE_CHECKING:
    from relgraph.adapters.relbench.plan import PlannedTable
    from relgraph.data.database import Database
    from relgraph.data.schema import Schema
    from relgraph.tasks import EntityTask, LinkTask, Task

__all__ = ["gives_lists", "task_manifest", "why_unwritten"]

_TYPES = {ours: theirs for theirs, ours in KINDS.items()}


def why_unwritten(schema: Schema, task: Task) -> str:
    """Why RelBench has no such task, or nothing."""
    from relgraph.tasks import ColumnTask, EntityTask, LinkTask

    if not isinstance(task, EntityTask | LinkTask | ColumnTask):
        return "expected a task about rows, links or a column"
    if task.to_dict()["regime"] == "static":
        return "RelBench has no tasks without time"
    if isinstance(task, EntityTask) and task.kind == "multilabel":
        return "RelBench has one column for the label, and this task has several"
    if isinstance(task, LinkTask) and task.num_eval_times != 1:
        return "RelBench recommends at one moment of a split, so num_eval_times must be 1"
    if isinstance(task, ColumnTask) and schema[task.entity_table].time_column is None:
        return f"RelBench splits rows by their own time, and table {task.entity_table!r} has none"
    return ""


def gives_lists(db: Database, task: Task) -> bool:
    """Whether the query of a task about links gives lists of targets, as RelBench has them, and no row per link."""
    from relgraph.tasks import LinkTask
    from relgraph.tasks.rows import query_sql

    if not isinstance(task, LinkTask) or len(task.target_columns) > 1:
        return False
    column = task.target_columns[0] if task.target_columns else db.schema[task.target_table].primary_key[0]
    return _query_gives_lists(db, query_sql(task.sql, task.horizon), column)


def task_manifest(name: str, task: Task, planned: Mapping[str, PlannedTable], lists: bool = False) -> dict[str, Any]:
    """The manifest of a task that :func:`why_unwritten` has nothing against, as YAML values.

    Args:
        name: The task's name.
        task: With its times set.
        planned: What becomes of each table.
        lists: What :func:`gives_lists` says.
    """
    from relgraph.tasks import ColumnTask, EntityTask, LinkTask

    table = planned[task.entity_table]
    manifest: dict[str, Any] = {"name": name, "kind": "forecast", "task_type": _TYPES[task.kind]}
    if isinstance(task, ColumnTask):
        written = {column.source: column.name for column in table.columns}
        manifest |= {"kind": "autocomplete", "entity_table": table.file, "target_col": written[task.column]}
    elif isinstance(task, LinkTask):
        manifest |= _link(task, table, planned[task.target_table], lists)
    elif isinstance(task, EntityTask):
        manifest |= {
            "entity_table": table.file,
            "entity_col": _key(task.entity_columns, table),
            "target_col": task.label_column,
            **_window(task, task.sql),
        }
    if task.hide:
        manifest["remove_columns"] = [_column(planned, entry) for entry in task.hide]
    return {**manifest, "relgraph": {"metric": task.metric, "regime": task.regime}, "manifest_version": VERSION}


def _link(task: LinkTask, source: PlannedTable, target: PlannedTable, lists: bool) -> dict[str, Any]:
    key, end = _key(task.entity_columns, source), _key(task.target_columns, target)
    sql = task.sql
    if not lists:
        time = quote(task.time_column)
        inner = textwrap.indent(textwrap.dedent(sql).strip().rstrip(";"), "    ")
        sql = (
            f"SELECT {time}, {quote(key)}, list(DISTINCT {quote(end)}) AS {quote(end)}\nFROM (\n{inner}\n)\n"
            f"GROUP BY {time}, {quote(key)}"
        )
    return {
        "src_entity_table": source.file,
        "src_entity_col": key,
        "dst_entity_table": target.file,
        "dst_entity_col": end,
        "eval_k": task.k,
        **_window(task, sql),
    }


def _window(task: EntityTask | LinkTask, sql: str) -> dict[str, Any]:
    return {
        "time_col": task.time_column,
        "timedelta": format_interval(task.horizon),
        "num_eval_timestamps": task.num_eval_times,
        "sql": textwrap.dedent(sql).strip().replace("{horizon}", "INTERVAL '{timedelta}'"),
    }


def _key(columns: Sequence[str], table: PlannedTable) -> str:
    """The label file's column with rows of a table: the query's, if it has one, else the table's own."""
    return columns[0] if len(columns) == 1 else str(table.key)


def _column(planned: Mapping[str, PlannedTable], entry: str) -> list[str]:
    """A hidden column ``table.column`` under the names that are written."""
    for table in planned.values():
        for column in table.columns:
            if column.source is not None and f"{table.source.name}.{column.source}" == entry:
                return [table.file, column.name]
    name, _, column_name = entry.rpartition(".")
    return [planned[name].file if name in planned else name, column_name]
