"""Tasks in a RelBench v3 folder: label files, and the query that gives them where it gives the same there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np

from relgraph.adapters.relbench.manifests import gives_lists, task_manifest, why_unwritten
from relgraph.adapters.relbench.source import MANIFEST, RelBenchSource, dump_yaml
from relgraph.adapters.relbench.tasks import read_relbench_tasks
from relgraph.data.progress import track
from relgraph.data.source import Selection
from relgraph.errors import AdapterError, ProtocolError, RelGraphError

if TYPE_CHECKING:
    from relgraph.adapters.relbench.plan import PlannedTable
    from relgraph.adapters.relbench.rows import RowWriter
    from relgraph.data.database import Database
    from relgraph.tasks import LinkSeeds, Seeds, Split, Task

__all__ = ["dated", "write_tasks"]

_Given = int | str | datetime | None


def dated(
    db: Database, tasks: Mapping[str, Task], val_time: _Given, test_time: _Given
) -> tuple[dict[str, Task], tuple[str, str]]:
    """The tasks with the times that all of them share, and these times as ISO text.

    Raises:
        AdapterError: If the name of a task is no name of a folder.
        ProtocolError: If tasks have different times, or the database has none, or one is of a kind that cannot be
            written.
        SchemaError: If a given time cannot be read.
    """
    from relgraph.data.labels import time_quantiles
    from relgraph.data.time import format_time, to_moment
    from relgraph.tasks import ColumnTask, task_from_dict

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
        refused = why_unwritten(db.schema, task)
        if refused:
            raise ProtocolError(f"task {name!r} cannot be written: {refused}; got {task!r}")
        out[name] = task_from_dict({**task.to_dict(), **moments})
        if isinstance(task, ColumnTask):
            out[name] = cast("ColumnTask", out[name]).with_times(db, progress=False)
    return out, (format_time(moments["val_time"]), format_time(moments["test_time"]))


def write_tasks(
    db: Database,
    tasks: Mapping[str, Task],
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
    from relgraph.tasks import ColumnTask

    if not tasks:
        return []
    notes: list[str] = []
    with Database.from_source(RelBenchSource(folder, Selection()), progress=False) as written:
        for name, task in track(list(tasks.items()), "labels", progress, lambda item: item[0]):
            labels = {split: _labels(db, name, task, split, rows, notes) for split in _splits()}
            manifest = task_manifest(name, task, planned, gives_lists(db, task))
            place = folder / "tasks" / name
            dump_yaml(manifest, place / MANIFEST)
            why = _differs(folder, name, written, labels)
            if isinstance(task, ColumnTask):
                if why:
                    raise ProtocolError(f"task {name!r} cannot be written: {why}")
                continue  # its labels are in the table
            few = task.times(db, "train").numel()
            if few < 3:
                notes.append(f"task {name!r} has {few} training times; RelBench makes labels again only from three on")
            if why:
                notes.append(f"task {name!r} is of kind external, labels without a query, because {why}")
                manifest["kind"] = "external"
                dump_yaml(manifest, place / MANIFEST)
            for split, found in labels.items():
                found.write(manifest, place / f"{split}.parquet")
    return notes


@dataclass(frozen=True)
class _Labels:
    """The labels of a split, in the order of time and key; of links a row each.

    Args:
        key: Numbers of rows as they are written.
        time: Microseconds.
        label: One per row; of a link the number of its target.
    """

    key: np.ndarray
    time: np.ndarray
    label: np.ndarray

    @classmethod
    def ordered(cls, key: np.ndarray, time: np.ndarray, label: np.ndarray) -> _Labels:
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

        key, stamps, label = self.key, self.time, self.label
        links = manifest["task_type"] == "recommendation"
        if links:
            first = np.flatnonzero(np.r_[True, (np.diff(key) != 0) | (np.diff(stamps) != 0)])
            ends = pyarrow.array(np.r_[first, len(label)].astype(np.int32))
            key, stamps = key[first], stamps[first]
            label = pyarrow.ListArray.from_arrays(ends, pyarrow.array(label.astype(np.int64)))
        elif manifest["task_type"] != "regression":
            label = label.astype(np.int64)
        time = pyarrow.array(stamps, pyarrow.timestamp("us"))
        if abs(stamps).max() < 9_223_372_036_854_775:
            time = time.cast(pyarrow.timestamp("ns"))
        ends_of = ("src_entity_col", "dst_entity_col") if links else ("entity_col", "target_col")
        columns = {manifest["time_col"]: time, manifest[ends_of[0]]: key, manifest[ends_of[1]]: label}
        pyarrow.parquet.write_table(pyarrow.table(columns), file)


def _splits() -> tuple[Split, ...]:
    from relgraph.tasks import Split

    return get_args(Split)


def _labels(db: Database, name: str, task: Task, split: Split, rows: RowWriter, notes: list[str]) -> _Labels:
    """What the task gives here, under the numbers that its rows have there."""
    from relgraph.tasks import ColumnTask

    try:
        seeds = task.seeds(db, split)
    except RelGraphError as error:
        kind, message = type(error), f"task {name!r}: {error}"
    else:
        test_time = task.moments[1]
        node, time, label, target_table = _plain(task, seeds)
        if not isinstance(task, ColumnTask):
            keep = rows.known_by(task.entity_table, test_time)[node]
        else:
            keep = np.ones(len(node), dtype=bool)  # RelBench asks about every row that has a time
        if target_table is not None:
            keep &= rows.known_by(target_table, test_time)[label]
        if not keep.all():
            notes.append(
                f"task {name!r}: {int((~keep).sum()):,} of {len(keep):,} labels of {split} are about rows that do not "
                "exist by the test time, or have no time: left out, as RelBench does"
            )
        if not keep.any():
            raise ProtocolError(f"task {name!r}: no label of {split} is about a row that exists by the test time")
        if target_table is not None:
            label = rows.numbers(target_table)[label]
        return _Labels.ordered(rows.numbers(task.entity_table)[node][keep], time[keep], label[keep])
    raise kind(message)


def _plain(task: Task, seeds: Seeds | LinkSeeds) -> tuple[np.ndarray, np.ndarray, np.ndarray, str | None]:
    """Rows, moments and labels, all ``[n]``; of links a row each, and the table that they lead to."""
    from relgraph.tasks import LinkSeeds, LinkTask

    node, time = seeds.node.numpy(), seeds.moments.numpy()
    if not isinstance(seeds, LinkSeeds):
        return node, time, seeds.label.numpy(), None
    owner = np.repeat(np.arange(len(seeds)), seeds.ptr.diff().numpy())
    return node[owner], time[owner], seeds.target.numpy(), cast("LinkTask", task).target_table


def _differs(folder: Path, name: str, written: Database, labels: Mapping[Split, _Labels]) -> str:
    """Why the query does not give these labels on the written tables, or nothing."""
    found = read_relbench_tasks(folder, progress=False)
    if name not in found:
        return found.left_out[name]
    for split, expected in labels.items():
        try:
            seeds = found[name].seeds(written, split)
        except RelGraphError as error:
            return f"its query does not run on the written tables: {str(error).splitlines()[0]}"
        if not expected.equals(_Labels.ordered(*_plain(found[name], seeds)[:3])):
            return f"its query gives other labels of {split} on the written tables: does it name keys or rows?"
    return ""
