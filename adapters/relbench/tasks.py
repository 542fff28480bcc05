"""The tasks of a RelBench v3 folder: label SQL and columns to fill in as tasks, label files as seeds."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from relgraph.adapters.files.runs import file_list
from relgraph.adapters.relbench.source import MANIFEST, Manifest
from relgraph.adapters.relbench.spec import TaskManifest
from relgraph.adapters.urls import as_path
from relgraph.errors import AdapterError, ProtocolError, RelGraphError

if TYPE_CHECKING:
    from relgraph.data.database import Database
    from relgraph.tasks import LinkSeeds, Seeds, Split, Task

__all__ = ["RelBenchTasks", "read_relbench_seeds", "read_relbench_tasks"]


class RelBenchTasks(dict[str, "Task"]):
    """The tasks of a folder that can be run here, by name.

    Attributes:
        left_out: Why each other task of the folder is not among them.
        notes: What to know, in sentences.
    """

    def __init__(self) -> None:
        super().__init__()
        self.left_out: dict[str, str] = {}
        self.notes: list[str] = []

    def __missing__(self, name: str) -> Task:
        if name in self.left_out:
            raise ProtocolError(f"task {name!r} cannot be taken: {self.left_out[name]}")
        raise KeyError(name)


def read_relbench_tasks(folder: str | Path, *, progress: bool = True) -> RelBenchTasks:
    """The tasks of a RelBench v3 folder whose labels are in its tables: by an SQL query, or as a column to fill in.

    An :class:`~relgraph.tasks.EntityTask` predicts rows, a :class:`~relgraph.tasks.LinkTask` recommends, a
    :class:`~relgraph.tasks.ColumnTask` fills in. The query, the label window ``(t, t + timedelta]``, the seed times and
    the times of the splits are RelBench's. As there, a row asked about must exist by the test time, and a test row sees
    the database of that time (regime ``"frozen"``; a column is filled in with what is known at its row's own time).
    RelBench stores no metric but MAP: training is steered by AUROC, the mean absolute error (its NMAE times a constant)
    or the accuracy. Rows without a time RelBench hides from labels of train and val; here SQL sees them.

    Args:
        folder: The folder.
        progress: Say on stderr which tasks are left out, and what to hide.

    Returns:
        The tasks; :attr:`RelBenchTasks.left_out` has the others: labels that come as files only, which
        :func:`read_relbench_seeds` reads, and columns of lists to fill in.

    Raises:
        AdapterError: If the folder is none of RelBench v3, or its manifest cannot be read.
    """
    path, manifest = _opened(folder)
    moments = manifest.moments()
    found = RelBenchTasks()
    for place in sorted((path / "tasks").glob(f"*/{MANIFEST}")):
        name = place.parent.name
        try:
            spec = TaskManifest.read(place, manifest)
            reason = spec.why_not()
            task = None if reason else spec.task(*moments)
        except RelGraphError as error:
            reason, task = f"its manifest does not fit: {error}", None
        if task is None:
            found.left_out[name] = reason
            continue
        found[name] = task
        if task.hidden:
            found.notes.append(
                f"task {name!r}: its label can be told from {', '.join(task.hidden)}; keep them out of the graph with "
                f"build_graph(db, hide=tasks[{name!r}].hidden)"
            )
    found.notes += [f"task {name!r} left out: {reason}" for name, reason in found.left_out.items()]
    if progress:
        sys.stderr.write("".join(f"{note}\n" for note in found.notes))
    return found


def read_relbench_seeds(db: Database, folder: str | Path, task: str, split: Split) -> Seeds | LinkSeeds:
    """The labels of a split as the folder ships them in ``tasks/<task>/<split>.parquet``.

    Args:
        db: The folder's database, ``relgraph.connect(folder)``.
        folder: The folder.
        task: A task of any kind.
        split: ``"train"``, ``"val"`` or ``"test"``.

    Returns:
        Rows, moments and labels, or links, ordered by time and row number; the notes say what the graph must not show.

    Raises:
        AdapterError: If there is no such file, or the task predicts something unknown.
        SchemaError: If the file does not fit the database, or a label or time is missing.
        ProtocolError: If no label belongs to a row, or labels do not fit the kind.
    """
    from relgraph.data.labels import LabelQuery, label_rows, link_rows
    from relgraph.tasks.rows import check_times, entity_seeds, link_seeds

    path, manifest = _opened(folder)
    spec = TaskManifest.read(path / "tasks" / task / MANIFEST, manifest)
    file = path / "tasks" / task / f"{split}.parquet"
    reason = spec.unreadable()
    if reason:
        raise AdapterError(f"task {task!r} of {folder}: {reason}")
    if not file.is_file():
        raise AdapterError(f"there is no {file}; the labels of task {task!r} are not shipped")
    sql = f"SELECT * FROM read_parquet({file_list([file])})"
    query = LabelQuery(sql, spec.entity_table, (spec.entity_column,), spec.time_column)
    where, given = (f"split {split!r}", f"task {task!r}"), str(file)
    seeds: Seeds | LinkSeeds
    if spec.is_link:
        rows = link_rows(db, db, query, [], spec.target_table, (spec.label_column,))
        check_times(rows, spec.time_column, None, given)
        seeds = link_seeds(rows, spec.entity_table, spec.target_table, True, *where, given)
    else:
        columns = (spec.label_column,)
        rows = label_rows(db, db, query, [], columns)
        check_times(rows, spec.time_column, None, given)
        seeds = entity_seeds(rows, spec.entity_table, spec.kind, columns, True, *where, given)
    if not spec.hidden:
        return seeds
    hidden = f"the label can be told from {', '.join(spec.hidden)}: build_graph(db, hide={list(spec.hidden)})"
    return replace(seeds, notes=(*seeds.notes, hidden))


def _opened(folder: str | Path) -> tuple[Path, Manifest]:
    path = as_path(folder)
    if path is None or not path.is_dir():
        raise AdapterError(f"there is no folder {folder}; expected a RelBench v3 folder, with a {MANIFEST}")
    return path.resolve(), Manifest.read(path.resolve())
