"""Tasks in a RelBench v3 folder: label files, and the query that gives them where it gives the same there."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np

from relgraph.adapters.relbench.plan import PlannedTable
from relgraph.adapters.relbench.source import MANIFEST, VERSION, RelBenchSource, dump_yaml
from relgraph.adapters.relbench.spec import KINDS
from relgraph.adapters.relbench.tasks import read_relbench_tasks
from relgraph.data.interval import format_interval
from relgraph.data.progress import track
from relgraph.data.source import Selection
from relgraph.errors import AdapterError, ProtocolError, RelGraphError

if TYPE_CHECKING:
    from relgraph.adapters.relbench.rows import RowWriter
    from relgraph.data.database import Database
    from relgraph.tasks import EntityTask, Seeds, Split

__all__ = ["dated", "write_tasks"]

_Given = int | str | datetime | None


def dated(
    db: Database, tasks: Mapping[str, EntityTask], val_time: _Given, test_time: _Given
) -> tuple[dict[str, EntityTask], tuple[str, str]]:
    """The tasks with the times that all of them share, and these times as ISO text.

    Raises:
        AdapterError: If the name of a task is no name of a folder.
        ProtocolError: If tasks have different times, or the database has none, or one is of a kind that cannot be
            written.
        SchemaError: If a given time cannot be read.
    """
    from relgraph.data.labels import time_quantiles
    from relgraph.data.time import format_time, to_moment
    from relgraph.tasks import EntityTask, task_from_dict

    moments = {}
    for name, given, share in (("val_time", val_time, 0.8), ("test_time", test_time, 0.9)):
        said = {} if given is None else {f"{name}=": to_moment(given, name)}
        said |= {task: value for task in tasks if (value := tasks[task].to_dict()[name]) is not None}
        if len(set(said.values())) > 1:
            shown = ", ".join(f"{who} {format_time(value)}" for who, value in said.items())
            raise ProtocolError(f"a RelBench folder has one {name} for all tasks, got {shown}; write several folders")
        moments[name] = next(iter(said.values())) if said else time_quantiles(db, (share,))[0]
    if moments["val_time"] >= moments["test_time"]:
        shown = " and ".join(format_time(moment) for moment in moments.values())
        raise ProtocolError(f"val_time must be before test_time, got {shown}")
    for name in tasks:
        if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
            raise AdapterError(f"task {name!r}: this is no name of a folder; use letters, digits and dashes")
    out = {}
    for name, task in tasks.items():
        if not isinstance(task, EntityTask) or task.kind == "multilabel" or task.regime == "static":
            raise ProtocolError(
                f"task {name!r} cannot be written: expected an EntityTask with a time and one label, got {task!r}"
            )
        out[name] = cast("EntityTask", task_from_dict({**task.to_dict(), **moments}))
    return out, (format_time(moments["val_time"]), format_time(moments["test_time"]))


def write_tasks(
    db: Database,
    tasks: Mapping[str, EntityTask],
    planned: Mapping[str, PlannedTable],
    rows: RowWriter,
    folder: Path,
    progress: bool,
) -> list[str]:
    """Write manifest and label files of every task into a folder that has its tables already.

    Args:
        db: The database that the tasks are about.
        tasks: With their times set.
        planned: What became of each table.
        rows: Wrote them.
        folder: The folder.
        progress: Show progress on stderr.

    Returns:
        What is not as it was.

    Raises:
        ProtocolError: If a split of a task has no rows or labels that do not fit.
        SchemaError: If the query of a task cannot run on ``db``.
    """
    from relgraph.data.database import Database

    if not tasks:
        return []
    notes: list[str] = []
    with Database.from_source(RelBenchSource(folder, Selection()), progress=False) as written:
        for name, task in track(list(tasks.items()), "labels", progress, lambda item: item[0]):
            labels = {split: _labels(db, name, task, split, rows, notes) for split in _splits()}
            few = task.times(db, "train").numel()
            if few < 3:
                notes.append(f"task {name!r} has {few} training times; RelBench makes labels again only from three on")
            manifest = _manifest(name, task, planned[task.entity_table])
            dump_yaml(manifest, folder / "tasks" / name / MANIFEST)
            why = _differs(folder, name, written, labels)
            if why:
                notes.append(f"task {name!r} is of kind external, labels without a query, because {why}")
                manifest["kind"] = "external"
                dump_yaml(manifest, folder / "tasks" / name / MANIFEST)
            for split, found in labels.items():
                found.write(manifest, folder / "tasks" / name / f"{split}.parquet")
    return notes


@dataclass(frozen=True)
class _Labels:
    """The labels of a split, in the order of time and key.

    Args:
        key: Numbers of rows as they are written.
        time: Microseconds.
        label: One per row.
    """

    key: np.ndarray
    time: np.ndarray
    label: np.ndarray

    @classmethod
    def of(cls, key: np.ndarray, seeds: Seeds, keep: np.ndarray) -> _Labels:
        key, time, label = key[keep], seeds.moments.numpy()[keep], seeds.label.numpy()[keep]
        order = np.lexsort((label, key, time))
        return cls(key[order], time[order], label[order])

    def equals(self, other: _Labels) -> bool:
        """Sums of floats may differ in their last digits, whose order no engine promises."""
        same = np.array_equal(self.key, other.key) and np.array_equal(self.time, other.time)
        return same and np.allclose(self.label, other.label, rtol=1e-9, atol=1e-12)

    def write(self, manifest: Mapping[str, Any], file: Path) -> None:
        """As a Parquet file with the columns that the manifest names."""
        import pyarrow
        import pyarrow.parquet

        whole = manifest["task_type"] != "regression"
        time = pyarrow.array(self.time, pyarrow.timestamp("us"))
        if abs(self.time).max() < 9_223_372_036_854_775:
            time = time.cast(pyarrow.timestamp("ns"))
        columns = {
            manifest["time_col"]: time,
            manifest["entity_col"]: self.key,
            manifest["target_col"]: self.label.astype(np.int64) if whole else self.label,
        }
        pyarrow.parquet.write_table(pyarrow.table(columns), file)


def _splits() -> tuple[Split, ...]:
    from relgraph.tasks import Split

    return get_args(Split)


def _labels(db: Database, name: str, task: EntityTask, split: Split, rows: RowWriter, notes: list[str]) -> _Labels:
    """What the task gives here, under the numbers that its rows have there."""
    try:
        seeds = task.seeds(db, split)
    except RelGraphError as error:
        kind, message = type(error), f"task {name!r}: {error}"
    else:
        node = seeds.node.numpy()
        keep = rows.known_by(task.entity_table, task.moments[1])[node]
        if not keep.all():
            notes.append(
                f"task {name!r}: {int((~keep).sum()):,} of {len(keep):,} labels of {split} are about rows that do not "
                "exist by the test time, or have no time: left out, as RelBench does"
            )
        if not keep.any():
            raise ProtocolError(f"task {name!r}: no label of {split} is about a row that exists by the test time")
        return _Labels.of(rows.numbers(task.entity_table)[node], seeds, keep)
    raise kind(message)


def _manifest(name: str, task: EntityTask, table: PlannedTable) -> dict[str, Any]:
    types = {ours: theirs for theirs, ours in KINDS.items()}
    single = len(task.entity_columns) == 1
    return {
        "name": name,
        "kind": "forecast",
        "task_type": types[task.kind],
        "entity_table": table.file,
        "entity_col": task.entity_columns[0] if single else table.key,
        "target_col": task.label_column,
        "time_col": task.time_column,
        "timedelta": format_interval(task.horizon),
        "num_eval_timestamps": task.num_eval_times,
        "sql": textwrap.dedent(task.sql).strip().replace("{horizon}", "INTERVAL '{timedelta}'"),
        "relgraph": {"metric": task.metric, "regime": task.regime},
        "manifest_version": VERSION,
    }


def _differs(folder: Path, name: str, written: Database, labels: Mapping[Split, _Labels]) -> str:
    """Why the query does not give these labels on the written tables, or nothing."""
    found = read_relbench_tasks(folder, progress=False)
    if name not in found:
        return found.left_out[name]
    for split, expected in labels.items():
        try:
            seeds = cast("Seeds", found[name].seeds(written, split))
        except RelGraphError as error:
            return f"its query does not run on the written tables: {str(error).splitlines()[0]}"
        node = seeds.node.numpy()
        if not expected.equals(_Labels.of(node, seeds, np.ones(len(node), dtype=bool))):
            return f"its query gives other labels of {split} on the written tables: does it name keys or rows?"
    return ""
