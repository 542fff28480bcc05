"""One way to open whatever a training left on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from relgraph.errors import AdapterError, ProtocolError
from relgraph.runs.folder import KIND, read_run
from relgraph.runs.links import LinkRun
from relgraph.runs.rows import RowRun, predictor_class

if TYPE_CHECKING:
    from relgraph.data.database import Database
    from relgraph.data.graph import HeteroGraph

__all__ = ["load"]


def load(
    path: str | Path, *, graph: HeteroGraph | None = None, db: Database | None = None, progress: bool = True
) -> LinkRun | RowRun:
    """Open a run, or a scorer or a predictor that was saved alone.

    Args:
        path: A folder that ``relgraph train``, :meth:`LinkRun.save`, :meth:`RowRun.save`,
            :func:`relgraph.kge.save_scorer` or ``predictor.save()`` wrote.
        graph: Of a run about rows: the graph to predict on instead of the run's own, with the same statistics.
        db: Of a run about rows: the database as it is now, whose graph is built to predict on.
        progress: Show on stderr how a graph is built.

    Returns:
        A :class:`~relgraph.LinkRun` (``.scorer``, ``.vocabulary``, ``.statements``) or a :class:`~relgraph.RowRun`
        (``.predictor``, ``.graph``, ``.schema``, ``.task``); both evaluate, predict and report.

    Raises:
        AdapterError: If the folder is missing, damaged, or holds nothing of the kind.
        ProtocolError: If a graph or a database is given for a link predictor, or both are given.
        SchemaError: If a graph or a database is another than the one trained on.
    """
    folder = Path(path)
    if graph is not None and db is not None:
        raise ProtocolError("load: give a newer graph or the database it would be built from, not both")
    if (folder / f"{KIND}.json").exists() or (folder / "checkpoint").is_dir():
        run = read_run(folder)
        if run.kind == "rows":
            return RowRun.read(run, graph, db, progress)
        _refuse(graph, db)
        return LinkRun.read(run)
    if (folder / "scorer.json").exists():
        _refuse(graph, db)
        return LinkRun.of_scorer(folder)
    for kind in ("entity_predictor", "link_predictor"):
        if (folder / f"{kind}.json").exists():
            predictor = predictor_class(kind == "link_predictor").load(folder, graph)
            return RowRun(predictor if db is None else predictor.on(db, progress=progress), source=folder)
    if (folder / "graph.json").exists():
        raise AdapterError(f"{folder} holds a graph and no model; read it with relgraph.HeteroGraph.load")
    read_run(folder)  # says what is wrong with it
    raise AdapterError(f"{folder} holds no run")


def _refuse(graph: HeteroGraph | None, db: Database | None) -> None:
    if graph is not None or db is not None:
        raise ProtocolError("load: the run is a link predictor, which reads no graph and no database")
