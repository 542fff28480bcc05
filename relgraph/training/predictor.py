"""A trained entity model with the graph it reads: evaluate, predict, explain."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import pyarrow
import torch
from torch import Tensor
from torch_geometric.data import HeteroData
from torch_geometric.loader import NodeLoader

from relgraph.data.graph import HeteroGraph
from relgraph.data.keys import Key, key_table
from relgraph.data.progress import track
from relgraph.errors import ProtocolError
from relgraph.nn.entity_model import EntityModel
from relgraph.tasks import ColumnTask, EntityTask, Seeds, Split, task_from_dict
from relgraph.tasks.node import NodeTask
from relgraph.training.graph_predictor import GraphPredictor, sampling_from_dict
from relgraph.training.history import History
from relgraph.training.outputs import LabelScale, to_prediction
from relgraph.training.predictions import prediction_table
from relgraph.training.seed_columns import SeedColumns

if TYPE_CHECKING:
    from relgraph.data.database import Database
    from relgraph.training.explanation import PredictionExplanation

__all__ = ["EntityPredictor", "RowTask"]

RowTask = EntityTask | ColumnTask | NodeTask


class EntityPredictor(GraphPredictor):
    """A trained model with the graph it reads and the task it was trained for; made by :func:`fit` or :meth:`load`."""

    folder_kind = "entity_predictor"

    def __init__(
        self,
        model: EntityModel,
        graph: HeteroGraph,
        task: RowTask,
        settings: Mapping[str, Any],
        sampling: Mapping[str, Any],
        scale: LabelScale | None = None,
        batch_size: int = 512,
        num_workers: int = 0,
        history: History | None = None,
        seed_columns: SeedColumns | None = None,
    ) -> None:
        super().__init__(model, graph, task, settings, sampling, batch_size, num_workers, history)
        self.model = model
        self.task = task
        self.scale = LabelScale() if scale is None else scale
        self.seed_columns = seed_columns
        self._saved_columns: dict[str, Any] | None = None  # what says how to make them, where there are no rows

    def loader(
        self, node: Tensor, time: Tensor | None, input_id: Tensor | None = None, batch_size: int | None = None
    ) -> NodeLoader:
        """PyG's loader over seeds, in the order given."""
        size = self.batch_size if batch_size is None else batch_size
        return self.seed_loader(self.task.entity_table, node, time, input_id=input_id, batch_size=size)

    @contextmanager
    def unfrozen(self) -> Iterator[None]:
        """A block in which all that is known at a moment is seen, by the seeds' own columns too."""
        own = nullcontext() if self.seed_columns is None else self.seed_columns.unfrozen(self.task.until)
        with super().unfrozen(), own:
            yield

    def seed_matrix(self, node: Tensor, time: Tensor | None) -> Tensor | None:
        """The seeds' own columns as the model reads them, float32 ``[n, seed_width]``; ``None`` if it reads none."""
        if self.seed_columns is None:
            return None
        return self.seed_columns.matrix(node, time, self.sampler.until)

    def scores(self, node: Tensor, time: Tensor | None, progress: bool = False, seed_x: Tensor | None = None) -> Tensor:
        """Predictions for rows at moments.

        Args:
            node: Row numbers in the entity table, int64 ``[n]``.
            time: Seed times, int64 ``[n]`` microseconds; ``None`` for a task without time.
            progress: Show progress on stderr.
            seed_x: What :meth:`seed_matrix` gives, if it is at hand.

        Returns:
            Probability of 1 ``[n]``, value ``[n]``, class probabilities ``[n, classes]``, or a probability for each of
            several labels ``[n, labels]``.
        """
        given = self.seed_matrix(node, time) if seed_x is None else seed_x

        def predict(batch: HeteroData) -> Tensor:
            chosen = None if given is None else given[batch[self.task.entity_table].input_id.cpu()].to(self.device)
            out: Tensor = self.model(batch, chosen)
            return out

        raw = self._each_batch(predict, self.settings["out_channels"], node, time, progress)
        return to_prediction(self.task.kind, raw, self.scale)

    def embeddings(self, node: Tensor, time: Tensor | None, progress: bool = False) -> Tensor:
        """The vectors of seeds before the head, float32 ``[n, channels]``; arguments as in :meth:`scores`."""
        return self._each_batch(self.model.embed, self.settings["channels"], node, time, progress)

    @torch.no_grad()
    def _each_batch(
        self, run: Callable[[HeteroData], Tensor], width: int, node: Tensor, time: Tensor | None, progress: bool
    ) -> Tensor:
        """What the model gives for seeds in evaluation mode, ``[n, width]`` on the CPU."""
        with self.evaluating():
            batches = track(self.loader(node, time), "predicting", progress)
            out = [run(batch.to(self.device)).float().cpu() for batch in batches]
        return torch.cat(out) if out else torch.empty(0, width)

    def evaluate(
        self, source: Database | Seeds | None = None, split: Split = "test", progress: bool = True
    ) -> dict[str, Any]:
        """Metrics on a split.

        Args:
            source: The database, or seeds of one's own; not needed where the task has its labels (``NodeTask``).
            split: Which split of the task, when ``source`` is a database.
            progress: Show progress on stderr.

        Returns:
            The metrics of the task's kind, and ``regime``, ``split`` and ``rows``.

        Raises:
            SchemaError: If the database is not the one of the predictor's graph.
        """
        if source is not None and not isinstance(source, Seeds) and self.has_no_rows:
            return self.on(source, progress=progress).evaluate(source, split, progress)
        seeds = self._seeds(source, split)
        found = self.task.metrics(seeds.label, self.scores(seeds.node, seeds.time, progress))
        name = "given" if isinstance(source, Seeds) else split
        return {**found, "regime": self.task.regime, "split": name, "rows": len(seeds)}

    def predict(
        self,
        source: Database | Seeds | None = None,
        split: Split = "test",
        *,
        keys: Sequence[Key] | Literal["all"] | None = None,
        time: int | str | datetime | Sequence[int | str | datetime] | None = None,
        progress: bool = True,
    ) -> pyarrow.Table:
        """Predictions with the database's own keys.

        Args:
            source: The database whose split is predicted, or seeds of one's own. With ``keys`` or ``time`` a database
                in any later state: its graph is built with the statistics of the one trained on, see :meth:`on`.
            split: Which split of the task, when ``source`` is a database.
            keys: Instead of a split: keys of the entity table, or ``"all"`` that are known at ``time``. They are seen
                with all that is known at that moment: the frozen regime is a rule for test rows.
            time: Moment of the prediction, one for all keys or one each: int microseconds, ISO text or datetime.
                Without ``keys`` it means all of them. A task without time takes none.
            progress: Show progress on stderr.

        Returns:
            The key columns, ``timestamp``, ``prediction`` (probability of 1, which of two named classes is
            ``task.classes[1]``; value; or likeliest class), and with several classes or labels
            ``probability_0, probability_1, ...``; classes with names are called by them. A split, like seeds, also has
            its ``label``.

        Raises:
            ProtocolError: If neither a database nor keys with a time are given.
            SchemaError: If a key does not exist, or tables, columns or keys of the database are others than in
                training; each is named.
        """
        asked = keys is not None or time is not None
        if source is not None and not isinstance(source, Seeds) and (asked or self.has_no_rows):
            return self.on(source, progress=progress).predict(
                None if asked else source, split, keys=keys, time=time, progress=progress
            )
        if asked:
            return self._predict_keys("all" if keys is None else keys, time, progress)
        if source is None and not isinstance(self.task, NodeTask):
            raise ProtocolError("predict: expected a database and a split, or keys= with time=; got neither")
        seeds = self._seeds(source, split)
        scores = self.scores(seeds.node, seeds.time, progress)
        return prediction_table(self.task.kind, seeds.keys, seeds.time, scores, seeds.label, self._classes)

    def _seeds(self, source: Database | Seeds | None, split: Split) -> Seeds:
        if isinstance(source, Seeds):
            return source
        if isinstance(self.task, NodeTask):
            return self.task.seeds(None, split)
        if source is None:
            raise ProtocolError("expected the database that labels come from, or seeds; got None")
        self.require_rows_of(source, self.task.entity_table)
        return self.task.seeds(source, split)

    def _predict_keys(self, keys: Sequence[Key] | Literal["all"], time: Any, progress: bool) -> pyarrow.Table:
        node, moment = self.rows(keys, time)
        with self.unfrozen():
            scores = self.scores(node, moment, progress)
        table = self.task.entity_table
        found = key_table(self.graph.nodes[table].keys, self.graph.node_keys(table, node))
        return prediction_table(self.task.kind, found, moment, scores, classes=self._classes)

    @property
    def _classes(self) -> tuple[str, ...] | None:
        if isinstance(self.task, EntityTask):
            return self.task.label_columns if len(self.task.label_columns) > 1 else None
        return self.task.classes

    def explain(
        self,
        db: Database | None = None,
        *,
        key: Key,
        time: int | str | datetime | None = None,
        output: int | None = None,
        algorithm: Any = None,
    ) -> PredictionExplanation:
        """Name the tables, columns and rows that moved a prediction; see :func:`relgraph.training.explain`."""
        from relgraph.training.explainer import explain

        return explain(self, db, key=key, time=time, output=output, algorithm=algorithm)

    def describe(self) -> dict[str, Any]:
        """What a saved predictor must find again, as JSON values."""
        return {
            **super().describe(),
            "scale": list(self.scale),
            "seed_features": self._saved_columns if self.seed_columns is None else self.seed_columns.describe(),
        }

    @classmethod
    def _unpack(
        cls,
        meta: Mapping[str, Any],
        state: Mapping[str, Tensor],
        graph: HeteroGraph,
        db: Database | None,
        bare: bool = False,
    ) -> EntityPredictor:
        task = task_from_dict(meta["task"])
        if not isinstance(task, RowTask):
            raise TypeError(f"expected a task about rows, got {type(task).__name__}")
        model = EntityModel(graph, task.entity_table, **meta["settings"])
        model.load_state_dict(state)
        model.eval()
        columns = None
        if meta["seed_features"] is not None and not bare:
            from relgraph.tabular import seed_features_from_dict

            columns = SeedColumns.from_dict(
                meta["seed_features"], lambda values: seed_features_from_dict(values, graph, db, task)
            )
        history, scale = History(**meta["history"]), LabelScale(*meta["scale"])
        sampling = sampling_from_dict(meta, graph)
        found = cls(
            model, graph, task, meta["settings"], sampling, scale, meta["batch_size"], 0, history, seed_columns=columns
        )
        found._saved_columns = meta["seed_features"]
        return found

    def __repr__(self) -> str:
        return f"EntityPredictor({self.task!r}, {self.history!r})"
