"""A trained entity model with the graph it reads: evaluate, predict, save, load."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow
import torch
from torch import Tensor
from torch_geometric.loader import NodeLoader

from relgraph.data.folder import read_folder, write_folder
from relgraph.data.graph import HeteroGraph
from relgraph.data.keys import Key, key_table
from relgraph.data.progress import track
from relgraph.data.time import to_microseconds
from relgraph.errors import AdapterError, ProtocolError, RelGraphError, SchemaError
from relgraph.nn.entity_model import EntityModel
from relgraph.sampling.sampler import TemporalSampler
from relgraph.tasks import EntityTask, Seeds, Split
from relgraph.training.history import History

if TYPE_CHECKING:
    from relgraph.data.database import Database

__all__ = ["EntityPredictor"]

_KIND = "entity_predictor"
_EVALUATION = -1  # the epoch that evaluation samples are drawn for


class EntityPredictor:
    """A trained model with the graph it reads and the task it was trained for; made by :func:`fit` or :meth:`load`."""

    def __init__(
        self,
        model: EntityModel,
        graph: HeteroGraph,
        task: EntityTask,
        settings: Mapping[str, Any],
        sampling: Mapping[str, Any],
        scale: tuple[float, float] = (0.0, 1.0),
        batch_size: int = 512,
        num_workers: int = 0,
        history: History | None = None,
    ) -> None:
        self.model = model
        self.graph = graph
        self.task = task
        self.settings = dict(settings)
        self.scale = scale
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.history = History() if history is None else history
        self.sampler = TemporalSampler(graph, **sampling, until=task.until)
        self._data = graph.to_hetero_data(features=False)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def loader(self, node: Tensor, time: Tensor | None, input_id: Tensor | None = None) -> NodeLoader:
        """PyG's loader over seeds, in the order given."""
        return NodeLoader(
            self._data,
            node_sampler=self.sampler,
            input_nodes=(self.task.entity_table, node),
            input_time=time,
            input_id=input_id,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
        )

    @torch.no_grad()
    def scores(self, node: Tensor, time: Tensor | None, progress: bool = False) -> Tensor:
        """Predictions for rows at moments.

        Args:
            node: Row numbers in the entity table, int64 ``[n]``.
            time: Seed times, int64 ``[n]`` microseconds; ``None`` for a task without time.
            progress: Show progress on stderr.

        Returns:
            Probability of 1 ``[n]``, value ``[n]``, or class probabilities ``[n, classes]``.
        """
        was_training = self.model.training
        self.model.eval()
        self.sampler.set_epoch(_EVALUATION)
        loader = self.loader(node, time)
        try:
            out = [self.model(batch.to(self.device)).float().cpu() for batch in track(loader, "predicting", progress)]
        finally:
            self.model.train(was_training)
        raw = torch.cat(out) if out else torch.empty(0, self.settings["out_channels"])
        if self.task.kind == "multiclass":
            return raw.softmax(1)
        if self.task.kind == "binary":
            return raw[:, 0].sigmoid()
        return raw[:, 0] * self.scale[1] + self.scale[0]

    def evaluate(self, source: Database | Seeds, split: Split = "test", progress: bool = True) -> dict[str, Any]:
        """Metrics on a split.

        Args:
            source: The database, or seeds of one's own.
            split: Which split of the task, when ``source`` is a database.
            progress: Show progress on stderr.

        Returns:
            The metrics of the task's kind, and ``regime``, ``split`` and ``rows``.
        """
        seeds = source if isinstance(source, Seeds) else self.task.seeds(source, split)
        found = self.task.metrics(seeds.label, self.scores(seeds.node, seeds.time, progress))
        name = "given" if isinstance(source, Seeds) else split
        return {**found, "regime": self.task.regime, "split": name, "rows": len(seeds)}

    def predict(
        self,
        source: Database | Seeds | None = None,
        split: Split = "test",
        *,
        keys: Sequence[Key] | None = None,
        time: int | str | datetime | Sequence[int | str | datetime] | None = None,
        progress: bool = True,
    ) -> pyarrow.Table:
        """Predictions with the database's own keys.

        Args:
            source: The database whose split is predicted, or seeds of one's own.
            split: Which split of the task, when ``source`` is a database.
            keys: Instead of a split: keys of the entity table, seen with all that is known at ``time``.
            time: Moment of the prediction, one for all keys or one each: int microseconds, ISO text or datetime.
            progress: Show progress on stderr.

        Returns:
            The key columns, ``timestamp``, ``prediction`` (probability of 1, value, or likeliest class), and with
            several classes ``probability_0, probability_1, ...``. A split, like seeds, also has its ``label``.

        Raises:
            ProtocolError: If neither a database nor keys with a time are given.
            SchemaError: If a key does not exist.
        """
        if keys is not None:
            if time is None:
                raise ProtocolError("predict: keys need time=, the moment of the prediction")
            return self._predict_keys(keys, time, progress)
        if source is None:
            raise ProtocolError("predict: expected a database and a split, or keys= with time=; got neither")
        seeds = source if isinstance(source, Seeds) else self.task.seeds(source, split)
        return self._table(seeds.keys, seeds.time, self.scores(seeds.node, seeds.time, progress), seeds.label)

    def _predict_keys(self, keys: Sequence[Key], time: Any, progress: bool) -> pyarrow.Table:
        node = self.graph.node_index(self.task.entity_table, list(keys))
        whole = isinstance(time, int) or (isinstance(time, Sequence) and all(isinstance(t, int) for t in time))
        moment = to_microseconds(time, unit="us" if whole else None).expand(node.numel()).contiguous()
        self.sampler.until = None  # the frozen regime is a rule for test rows
        try:
            scores = self.scores(node, moment, progress)
        finally:
            self.sampler.until = self.task.until
        return self._table(key_table(self.graph.nodes[self.task.entity_table].keys, keys), moment, scores)

    def _table(
        self, keys: pyarrow.Table, time: Tensor | None, scores: Tensor, label: Tensor | None = None
    ) -> pyarrow.Table:
        table = keys
        if time is not None:
            table = table.append_column("timestamp", pyarrow.array(time.numpy(), pyarrow.timestamp("us")))
        if scores.dim() == 2:
            table = table.append_column("prediction", pyarrow.array(scores.argmax(1).numpy()))
            for i in range(scores.size(1)):
                table = table.append_column(f"probability_{i}", pyarrow.array(scores[:, i].numpy()))
        else:
            table = table.append_column("prediction", pyarrow.array(scores.numpy()))
        return table if label is None else table.append_column("label", pyarrow.array(label.numpy()))

    def describe(self) -> dict[str, Any]:
        """What a saved predictor must find again, as JSON values."""
        fan_outs = [["/".join(kind), list(value)] for kind, value in self.sampler.num_neighbors.items()]
        return {
            "task": self.task.to_dict(),
            "num_neighbors": fan_outs,
            "strategy": self.sampler.strategy,
            "seed": self.sampler.seed,
            "scale": list(self.scale),
            "batch_size": self.batch_size,
            "statistics": _fingerprints(self.graph),
        }

    def save(self, path: str | Path) -> Path:
        """Write the predictor as a folder of safetensors and JSON; the graph is saved on its own."""
        meta = {**self.describe(), "settings": self.settings, "history": asdict(self.history)}
        return write_folder(Path(path), _KIND, meta, dict(self.model.state_dict()))

    @classmethod
    def load(cls, path: str | Path, graph: HeteroGraph) -> EntityPredictor:
        """Read a saved predictor.

        Args:
            path: Its folder.
            graph: The graph it was trained on, or one with more rows and the same statistics.

        Raises:
            AdapterError: If the folder holds no whole predictor.
            SchemaError: If the tables, columns or statistics of ``graph`` are others.
        """
        meta, tensors = read_folder(Path(path), _KIND)
        try:
            return cls._unpack(path, graph, meta, tensors)
        except RelGraphError:
            raise
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise AdapterError(
                f"{path} is damaged: {_KIND}.json or its data does not fit ({error!r}); save the predictor again"
            ) from None

    @classmethod
    def _unpack(
        cls, path: str | Path, graph: HeteroGraph, meta: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> EntityPredictor:
        found = _fingerprints(graph)
        if found != meta["statistics"]:
            names = [n for n in {**found, **meta["statistics"]} if found.get(n) != meta["statistics"].get(n)]
            raise SchemaError(
                f"{path}: the graph has other tables, edge types, columns or column statistics than the one trained on "
                f"({', '.join(names)}); build it with the same fit_until"
            )
        task = EntityTask(**meta["task"])
        model = EntityModel(graph, task.entity_table, **meta["settings"])
        model.load_state_dict(tensors)
        model.eval()
        by_name = {"/".join(kind): kind for kind in graph.to_hetero_data(features=False).edge_types}
        sampling = {
            "num_neighbors": {by_name[name]: value for name, value in meta["num_neighbors"]},
            "strategy": meta["strategy"],
            "seed": meta["seed"],
        }
        history = History(**meta["history"])
        scale = (meta["scale"][0], meta["scale"][1])
        return cls(model, graph, task, meta["settings"], sampling, scale, meta["batch_size"], history=history)

    def __repr__(self) -> str:
        return f"EntityPredictor({self.task!r}, {self.history!r})"


def _fingerprints(graph: HeteroGraph) -> dict[str, str]:
    """Per table a hash of its columns with their statistics, and the edge types: what parameters depend on."""
    out = {"/".join(edge_type): "edge type" for edge_type in graph.edges}
    for name, store in graph.nodes.items():
        features = store.features
        content: list[Any] = [store.time is not None]
        if features is not None:
            content += [{kind.value: names for kind, names in features.names.items()}, dict(features.stats)]
        text = json.dumps(content, sort_keys=True, default=dict)
        out[name] = hashlib.sha256(text.encode()).hexdigest()
    return out
