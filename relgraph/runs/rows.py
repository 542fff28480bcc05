"""A trained predictor of rows of a table, with the graph it reads and the seeds it is tested on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from relgraph.data.graph import HeteroGraph
from relgraph.data.keys import Key, key_table
from relgraph.data.schema import Schema
from relgraph.errors import ProtocolError
from relgraph.pictures import escape
from relgraph.runs.folder import SEEDS, RunFolder, write_run
from relgraph.tasks import LinkSeeds, LinkTask, Seeds
from relgraph.training.history import History
from relgraph.training.link_predictor import LinkPredictor
from relgraph.training.predictor import EntityPredictor

if TYPE_CHECKING:
    import pyarrow

    from relgraph.data.database import Database
    from relgraph.tasks import Task
    from relgraph.training.explanation import PredictionExplanation

__all__ = ["RowRun", "predictor_class"]

Predictor = EntityPredictor | LinkPredictor


def predictor_class(recommends: bool) -> type[EntityPredictor] | type[LinkPredictor]:
    """The class of a predictor of links, or of values."""
    return LinkPredictor if recommends else EntityPredictor


class RowRun:
    """A trained predictor of rows: what :func:`relgraph.load` gives of a run with a task.

    Args:
        predictor: What was trained, with its graph.
        seeds: By the name of their split: ``"val"``, ``"test"``; over the rows of the predictor's graph.
        meta: Whatever else is kept with it, JSON values; ``"source"`` names the database.
        source: The folder it was read from.
    """

    kind: Literal["rows"] = "rows"

    def __init__(
        self,
        predictor: Predictor,
        seeds: Mapping[str, Seeds | LinkSeeds] | None = None,
        meta: Mapping[str, Any] | None = None,
        source: Path | None = None,
    ) -> None:
        self.predictor = predictor
        self.seeds = dict(seeds or {})
        self.meta, self.source = dict(meta or {}), source

    @classmethod
    def of(cls, predictor: Predictor, db: Database, meta: Mapping[str, Any] | None = None) -> Self:
        """The run of a predictor and the database it was trained on: the seeds of validation and test go with it.

        A split that has no rows is left out; ``meta["left_out"]`` says why.
        """
        seeds: dict[str, Seeds | LinkSeeds] = {}
        left_out = {}
        for split in ("val", "test"):
            try:
                seeds[split] = predictor.task.seeds(db, split)
            except ProtocolError as error:
                left_out[split] = str(error)
        return cls(predictor, seeds, {"source": db.name, **(meta or {}), "left_out": left_out})

    @classmethod
    def read(
        cls, folder: RunFolder, graph: HeteroGraph | None = None, db: Database | None = None, progress: bool = True
    ) -> Self:
        """The run of a folder that was read, on its own graph, another one, or the one built of a database."""
        kind = predictor_class(folder.meta["task"].get("task") == "link")
        if db is not None:
            predictor: Predictor = kind.load(folder.path / "model").on(db, progress=progress)
        else:
            own = HeteroGraph.load(folder.path / "graph") if graph is None else graph
            predictor = kind.load(folder.path / "model", own)
        seeds = (
            {} if db is not None else {name: _seeds(folder, name, predictor.graph) for name in folder.meta["splits"]}
        )
        return cls(predictor, seeds, folder.meta, folder.path)

    def save(self, path: str | Path) -> Path:
        """Write everything to a folder, the graph too, which :func:`relgraph.load` and the shell take.

        Raises:
            AdapterError: If it cannot be written.
        """
        folder = Path(path)
        self.graph.save(folder / "graph")
        self.predictor.save(folder / "model")
        meta = {**self.meta, **self.describe(), "task": self.task.to_dict(), "history": asdict(self.history)}
        write_run(folder, "rows", meta, self.seeds)
        return folder

    @property
    def graph(self) -> HeteroGraph:
        """What the predictor reads."""
        return self.predictor.graph

    @property
    def schema(self) -> Schema | None:
        """The tables of the graph, where it is of a database."""
        return self.graph.schema

    @property
    def task(self) -> Task:
        """What was trained for."""
        return self.predictor.task

    @property
    def history(self) -> History:
        """What the training did."""
        return self.predictor.history

    @property
    def recommends(self) -> bool:
        """Whether rows of another table are ranked, instead of a value predicted."""
        return isinstance(self.task, LinkTask)

    @property
    def target_table(self) -> str:
        """Of a recommender the table whose rows are ranked.

        Raises:
            ProtocolError: If the run recommends nothing.
        """
        if isinstance(self.task, LinkTask):
            return self.task.target_table
        raise ProtocolError(f"the run predicts values of {self.task.entity_table!r} and recommends no rows")

    def describe(self) -> dict[str, Any]:
        """Kind, table, metric, regime and numbers of seeds, as JSON values."""
        return {
            "kind": self.kind,
            "table": self.task.entity_table,
            "metric": self.task.metric,
            "regime": self.task.regime,
            "rows": {name: len(part) for name, part in self.seeds.items()},
        }

    def part(self, split: str) -> Seeds | LinkSeeds:
        """The seeds of a split.

        Raises:
            ProtocolError: If the run has no such split.
        """
        if split not in self.seeds:
            place = "the run" if self.source is None else self.source
            raise ProtocolError(f"{place} has no split {split!r}; it has {', '.join(self.seeds) or 'none'}")
        return self.seeds[split]

    def evaluate(self, split: str = "test", *, progress: bool = True) -> dict[str, Any]:
        """The metrics of the task on a split, with ``regime``, ``split`` and ``rows``.

        Raises:
            ProtocolError: If the run has no such split.
        """
        found = self.predictor.evaluate(self.part(split), progress=progress)  # type: ignore[arg-type]
        return {**found, "split": split}

    def predict(
        self,
        db: Database | None = None,
        *,
        split: str = "test",
        keys: Sequence[Key] | Literal["all"] | None = None,
        time: int | str | datetime | Sequence[int | str | datetime] | None = None,
        progress: bool = True,
        **options: Any,
    ) -> pyarrow.Table:
        """Predictions with the database's own keys.

        Args:
            db: The database as it is now; the run's own graph by default.
            split: The split that is predicted where neither keys nor a time are given.
            keys: Keys of the entity table, or ``"all"`` that are known at ``time``.
            time: Moment of the prediction, one for all keys or one each.
            progress: Show progress on stderr.
            **options: Of a recommender: ``k``, ``exclude``.

        Raises:
            ProtocolError: If the run has no such split, or a database is given without keys or a time.
            SchemaError: If a key does not exist, or the database is another than in training.
        """
        if db is None and keys is None and time is None:
            return self.predictor.predict(self.part(split), progress=progress, **options)  # type: ignore[arg-type]
        return self.predictor.predict(db, keys=keys, time=time, progress=progress, **options)

    def explain(self, **options: Any) -> PredictionExplanation:
        """What moved a prediction, see :func:`relgraph.explain`: ``key=``, ``time=``, ``target=`` or ``output=``."""
        return self.predictor.explain(**options)

    def report(self, path: str | Path, split: str = "test", **options: Any) -> Path:
        """Write a page (``.html``) or a model card (``.md``); see :func:`relgraph.runs.report.write_report`."""
        from relgraph.runs.report import write_report

        return write_report(self, path, split, **options)

    def __repr__(self) -> str:
        parts = ", ".join(f"{name} {len(part):,}" for name, part in self.seeds.items())
        return f"RowRun({self.task!r}; rows: {parts or 'none'}; {self.history!r})"

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self))}</p>{self.history._repr_html_() if len(self.history) else ''}"


def _seeds(folder: RunFolder, split: str, graph: HeteroGraph) -> Seeds | LinkSeeds:
    part = {name: folder.tensors[f"{split}.{name}"] for name in SEEDS if f"{split}.{name}" in folder.tensors}
    table = folder.meta["task"]["entity_table"]
    keys = key_table(graph.nodes[table].keys, graph.node_keys(table, part["node"]))
    if "ptr" in part:
        return LinkSeeds(part["node"], part.get("time"), part["ptr"], part["target"], keys)
    return Seeds(part["node"], part.get("time"), part["label"], keys)
