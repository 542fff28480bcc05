"""Predictors of rows in a run: on the run's own graph, a newer one, or the source as it is now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from relgraph.cli.output import log
from relgraph.cli.sources import open_database

if TYPE_CHECKING:
    from relgraph.data.graph import HeteroGraph
    from relgraph.runs.folder import RunFolder
    from relgraph.runs.rows import RowRun

__all__ = ["moment_for", "open_rows", "parse_key", "source_file"]


@contextmanager
def open_rows(
    folder: RunFolder, graph: Path | None = None, source: str | None = None, progress: bool = True
) -> Iterator[RowRun]:
    """A run about rows on its own graph, a newer one, or the database as it is now.

    Args:
        folder: The run as it was read.
        graph: A folder with a newer graph; the run's own by default.
        source: A database to read instead, with the keys and times that the run was trained with.
        progress: Show progress on stderr.

    Raises:
        SchemaError: If the schema of the source is another than in training.
    """
    from relgraph.data.graph import HeteroGraph
    from relgraph.runs.rows import RowRun

    if source is None:
        yield RowRun.read(folder, None if graph is None else HeteroGraph.load(graph))
        return
    if graph is not None:
        raise typer.BadParameter(
            "give a newer graph or the source it would be built from, not both", param_hint="--graph"
        )
    with open_database(source, **folder.meta.get("connect", {}), progress=progress) as db:
        run = RowRun.read(folder, db=db, progress=progress)
        for note in run.graph.report["notes"]:
            log(note)
        yield run


def moment_for(run: RowRun, time: str | None) -> int | None:
    """The moment to predict at: the one given, else the last one in the data; ``None`` for a task without time.

    Raises:
        ProtocolError: If a task without time is given one.
        SchemaError: If the text is no moment.
    """
    from relgraph.data.time import STATIC, UNKNOWN, format_time, to_moment
    from relgraph.errors import ProtocolError

    if run.task.regime == "static":
        if time is not None:
            raise ProtocolError("the run's task has no time; leave --time out")
        return None
    if time is not None:
        return to_moment(time, "--time")
    known = [store.time for store in run.graph.nodes.values() if store.time is not None]
    moments = [int(t.max()) for times in known if (t := times[(times != STATIC) & (times != UNKNOWN)]).numel()]
    if not moments:
        raise ProtocolError("no row of the source has a time; say with --time at which moment to predict")
    log(f"predicting at {format_time(max(moments))}, the last moment in the data; --time names another one")
    return max(moments)


def parse_key(graph: HeteroGraph, table: str, text: str, option: str = "--key") -> Any:
    """A key as the graph has it: whole numbers, text, or a tuple of them."""
    from torch import Tensor

    keys = graph.nodes[table].keys
    numeric = [True] if keys is None else [isinstance(column, Tensor) for column in keys.columns]
    if len(numeric) > 1:
        try:
            values = json.loads(text)
        except ValueError:
            values = None
        if not isinstance(values, list) or len(values) != len(numeric):
            names = ", ".join(keys.names) if keys is not None else ""
            raise typer.BadParameter(f"expected a JSON list for ({names}), got {text!r}", param_hint=option)
        if any(whole and type(value) is not int for value, whole in zip(values, numeric, strict=True)):
            raise typer.BadParameter(f"expected whole numbers where the key has them, got {text!r}", param_hint=option)
        return tuple(value if whole else str(value) for value, whole in zip(values, numeric, strict=True))
    if not numeric[0]:
        return text
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"the keys of {table!r} are whole numbers, got {text!r}", param_hint=option) from None


def source_file(source: str | None) -> Path | None:
    """The file or folder that a source is, if it is one."""
    if source is None:
        return None
    if "://" not in source:
        return Path(source)
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(source)
    except ArgumentError:
        return None
    local = url.get_backend_name() in ("sqlite", "duckdb") and url.database
    return Path(url.database) if local and url.database else None
