"""The tasks of a RelBench v3 folder: label SQL as an :class:`~relgraph.tasks.EntityTask`, label files as seeds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from relgraph.adapters.files.runs import file_list
from relgraph.adapters.relbench.source import MANIFEST, Manifest
from relgraph.adapters.relbench.spec import TaskManifest
from relgraph.adapters.urls import as_path
from relgraph.errors import AdapterError, ProtocolError, RelGraphError

if TYPE_CHECKING:
    from relgraph.data.database import Database
    from relgraph.tasks import EntityTask, Seeds, Split

__all__ = ["RelBenchTasks", "read_relbench_seeds", "read_relbench_tasks"]


class RelBenchTasks(dict[str, "EntityTask"]):
    """The tasks of a folder that can be run here, by name.

    Attributes:
        left_out: Why each other task of the folder is not among them.
        hidden: Per task the columns from which its label can be told, as ``types`` of
            :func:`~relgraph.data.build.build_graph` that keep them out of the features.
        notes: What to know, in sentences.
    """

    def __init__(self) -> None:
        super().__init__()
        self.left_out: dict[str, str] = {}
        self.hidden: dict[str, dict[str, str]] = {}
        self.notes: list[str] = []

    def __missing__(self, name: str) -> EntityTask:
        if name in self.left_out:
            raise ProtocolError(f"task {name!r} cannot be taken: {self.left_out[name]}")
        raise KeyError(name)


def read_relbench_tasks(folder: str | Path, *, progress: bool = True) -> RelBenchTasks:
    """The tasks of a RelBench v3 folder whose labels an SQL query over its tables gives.

    The query, the label window ``(t, t + timedelta]``, the seed times and the times of the splits are RelBench's. As
    there, a row asked about must exist by the test time, and a test row sees the database of that time (regime
    ``"frozen"``). RelBench stores no metric: training is steered by AUROC, the mean absolute error (its NMAE times a
    constant) or the accuracy. Rows without a time RelBench hides from labels of train and val; here SQL sees them.

    Args:
        folder: The folder.
        progress: Say on stderr which tasks are left out, and what to hide.

    Returns:
        The tasks; :attr:`RelBenchTasks.left_out` has the others: links, several labels, an existing column to fill in,
        and labels that come as files only, which :func:`read_relbench_seeds` reads.

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
            reason, hidden = spec.why_not(), spec.hidden
            task = None if reason else spec.task(*moments)
        except RelGraphError as error:
            reason, task = f"its manifest does not fit: {error}", None
        if task is None:
            found.left_out[name] = reason
            continue
        found[name] = task
        if hidden:
            found.hidden[name] = hidden
            found.notes.append(
                f"task {name!r}: its label can be told from {', '.join(hidden)}; keep them out of the graph with "
                f"build_graph(db, types=tasks.hidden[{name!r}])"
            )
    found.notes += [f"task {name!r} left out: {reason}" for name, reason in found.left_out.items()]
    if progress:
        sys.stderr.write("".join(f"{note}\n" for note in found.notes))
    return found


def read_relbench_seeds(db: Database, folder: str | Path, task: str, split: Split) -> Seeds:
    """The labels of a split as the folder ships them in ``tasks/<task>/<split>.parquet``.

    Args:
        db: The folder's database, ``relgraph.connect(folder)``.
        folder: The folder.
        task: A task about the rows of one table, of any kind.
        split: ``"train"``, ``"val"`` or ``"test"``.

    Returns:
        Rows, moments and labels, ordered by time and row number; its notes say what the graph must not show.

    Raises:
        AdapterError: If there is no such file, or the task predicts something else than a number per row and moment.
        SchemaError: If the file does not fit the database.
        ProtocolError: If a label or time is missing, or no label belongs to a row.
    """
    import torch

    from relgraph.data.labels import label_rows
    from relgraph.tasks import Seeds

    path, manifest = _opened(folder)
    spec = TaskManifest.read(path / "tasks" / task / MANIFEST, manifest)
    file = path / "tasks" / task / f"{split}.parquet"
    reason = spec.unreadable()
    if reason:
        raise AdapterError(f"task {task!r} of {folder}: {reason}")
    if not file.is_file():
        raise AdapterError(f"there is no {file}; the labels of task {task!r} are not shipped")
    columns = ((spec.entity_column,), spec.time_column, spec.text("target_col"))
    query = f"SELECT * FROM read_parquet({file_list([file])})"
    rows = label_rows(db, db, spec.entity_table, query, [], *columns)
    for what in ("time", "label"):
        nulls = rows[f"__{what}"].null_count
        if nulls:
            raise ProtocolError(f"{file}: {nulls} of {len(rows)} rows have a {what} that is missing or no {what}")
    known = rows.filter(rows["__node"].is_valid())
    if not len(known):
        raise ProtocolError(f"{file}: none of {len(rows)} rows has a key of table {spec.entity_table!r}")
    node, time, label = (torch.from_numpy(known[f"__{c}"].to_numpy().copy()) for c in ("node", "time", "label"))
    notes = (
        [f"{len(rows) - len(known)} rows have a key that the table lacks: dropped"] if len(known) < len(rows) else []
    )
    if spec.hidden:
        notes.append(f"the label can be told from {', '.join(spec.hidden)}: build_graph(db, types={spec.hidden})")
    if spec.kind == "multiclass":
        label = label.to(torch.int64)
    return Seeds(node, time, label, known.drop_columns(["__node", "__time", "__label", "__early"]), tuple(notes))


def _opened(folder: str | Path) -> tuple[Path, Manifest]:
    path = as_path(folder)
    if path is None or not path.is_dir():
        raise AdapterError(f"there is no folder {folder}; expected a RelBench v3 folder, with a {MANIFEST}")
    return path.resolve(), Manifest.read(path.resolve())
