"""Any database as a RelBench v3 folder."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relgraph.adapters.relbench.labels import dated, write_tasks
from relgraph.adapters.relbench.plan import PlannedTable, plan, untimed
from relgraph.adapters.relbench.rows import RowWriter
from relgraph.adapters.relbench.source import MANIFEST, VERSION, dump_yaml
from relgraph.data.progress import track
from relgraph.errors import AdapterError

if TYPE_CHECKING:
    from relgraph.data.database import Database
    from relgraph.tasks import Task

__all__ = ["write_relbench"]


def write_relbench(
    db: Database,
    folder: str | Path,
    tasks: Mapping[str, Task] | None = None,
    *,
    val_time: int | str | datetime | None = None,
    test_time: int | str | datetime | None = None,
    name: str | None = None,
    description: str | None = None,
    progress: bool = True,
) -> tuple[str, ...]:
    """Write a database and its tasks as a folder that ``relbench.load_dataset`` and :func:`relgraph.connect` read.

    RelBench wants every primary key to be the row numbers of its table, in the order of time: keys become such numbers,
    foreign keys follow, and a file ``keys/<table>.parquet`` keeps what they were (``__key`` is the number, ``__row``
    the row here). A composite key gets a column, its own columns stay. Times become UTC timestamps in nanoseconds; a
    column with years outside 1678 to 2261 stays in microseconds, which RelBench 3.0.2 misreads as times.

    Labels of each task are made here and once more by the query on what was written. Where both are equal, the task is
    of RelBench's kind ``forecast``; else (a query that names keys, an entity with a composite key) it is ``external``,
    labels without a query. A :class:`~relgraph.tasks.LinkTask` becomes a recommendation, a
    :class:`~relgraph.tasks.ColumnTask` RelBench's ``autocomplete``, whose labels are in the table.

    Args:
        db: The database.
        folder: Where to write; it may not exist yet, or be empty. It appears in one step, when it is complete.
        tasks: Tasks by name.
        val_time: RelBench has one for all tasks; by default that of the tasks, or the 80 % quantile of all row times.
        test_time: The same, 90 %.
        name: The name of the data set; the folder's by default.
        description: What is in it, in a sentence.
        progress: Show progress on stderr.

    Returns:
        What could not be kept as it was, in sentences; the folder's README.md has them too.

    Raises:
        AdapterError: If the folder has something in it, or cannot be written.
        SchemaError: If a primary key is not unique, or a time column holds no times.
        ProtocolError: If the database has no time, the times of the tasks differ, a task has no rows, or RelBench has
            no such task (one without time, with several labels, or with several moments of recommendation).
    """
    import duckdb

    from relgraph.tasks import LinkTask

    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise AdapterError(f"{target} is there already and not empty; name another folder, or remove it first")
    if not target.parent.is_dir():
        raise AdapterError(f"the folder {target.parent} does not exist")
    dated_tasks, moments = dated(db, dict(tasks or {}), val_time, test_time)
    db.validate_keys()
    ends = {task.entity_table for task in dated_tasks.values()}
    ends |= {task.target_table for task in dated_tasks.values() if isinstance(task, LinkTask)}
    planned = plan(db.schema, ends)
    notes = [note for table in planned.values() for note in table.notes]
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        (temporary / "db").mkdir(parents=True)
        with RowWriter(db, planned, temporary) as rows:
            for table in track(list(db.schema), "tables to Parquet", progress, lambda table: table.name):
                notes += rows.write(table.name)
            notes += _about_all(planned, untimed(db.schema), rows.renumbered)
            manifest: dict[str, Any] = {"name": name or target.resolve().name, "manifest_version": VERSION}
            manifest |= {"description": description} if description else {}
            manifest |= {"val_timestamp": moments[0], "test_timestamp": moments[1]}
            manifest["tables"] = {table.file: _spec(table, planned) for table in planned.values()}
            dump_yaml(manifest, temporary / MANIFEST)
            notes += write_tasks(db, dated_tasks, planned, rows, temporary, progress)
        (temporary / "README.md").write_text(_readme(manifest, notes), encoding="utf-8")
        db.require_unchanged()
        os.rename(temporary, target)
        return tuple(notes)
    except (duckdb.Error, OSError) as error:
        message = str(error).splitlines()[0]
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    raise AdapterError(f"{target} cannot be written: {message}; nothing is left of it")


def _spec(table: PlannedTable, planned: Mapping[str, PlannedTable]) -> dict[str, Any]:
    keys = {column.name: planned[column.key.table].file for column in table.columns if column.key is not None}
    return {"pkey": table.key, "time_col": table.time, "fkeys": keys}


def _about_all(planned: Mapping[str, PlannedTable], timeless: list[str], renumbered: list[str]) -> list[str]:
    notes = []
    if renumbered:
        keys = ", ".join(renumbered)
        notes.append(f"primary keys are row numbers; the folder keys has what they were, a file per table: {keys}")
    if timeless:
        tables = ", ".join(planned[name].file for name in timeless)
        notes.append(
            f"tables without a time of their own: {tables}; RelBench shows all their rows from the start, where here "
            "they come with the rows that they refer to"
        )
    return notes


def _readme(manifest: Mapping[str, Any], notes: list[str]) -> str:
    lines = [f"# {manifest['name']}", "", manifest.get("description") or "A data set in the format of RelBench 3.", ""]
    if notes:
        lines += ["What differs from the database that it was made of:", "", *(f"- {note}" for note in notes), ""]
    return "\n".join(lines)
