"""What every trained predictor has: a model, the graph it reads, and ways to other rows, other databases and disk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn
from torch_geometric.loader import NodeLoader

from relgraph.data.build import build_graph
from relgraph.data.graph import HeteroGraph, NodeType
from relgraph.data.keys import Key
from relgraph.data.time import to_microseconds
from relgraph.errors import ProtocolError, SchemaError
from relgraph.sampling.sampler import TemporalSampler
from relgraph.sampling.whole import WholeGraph
from relgraph.tasks import Task
from relgraph.training.history import History
from relgraph.training.saved import fingerprints, read_predictor, unpacking, write_predictor

if TYPE_CHECKING:
    from relgraph.data.database import Database

__all__ = ["EVALUATION", "GraphPredictor", "sampling_from_dict"]

EVALUATION = -1
"""The epoch that evaluation samples are drawn for."""


class GraphPredictor(ABC):
    """A trained model with the graph it reads and the task it was trained for.

    Args:
        model: What was trained.
        graph: What it reads.
        task: What it was trained for.
        settings: Arguments of the model, as JSON values.
        sampling: Arguments of the sampler; ``num_neighbors=None`` makes it a :class:`~relgraph.sampling.WholeGraph`.
        batch_size: Seeds at once.
        num_workers: Processes that sample.
        history: What the training did.
    """

    folder_kind: ClassVar[str]
    """What the folder of a saved predictor holds."""

    def __init__(
        self,
        model: nn.Module,
        graph: HeteroGraph,
        task: Task,
        settings: Mapping[str, Any],
        sampling: Mapping[str, Any],
        batch_size: int,
        num_workers: int = 0,
        history: History | None = None,
    ) -> None:
        self.graph = graph
        self.settings = dict(settings)
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.history = History() if history is None else history
        whole = sampling["num_neighbors"] is None
        self.sampler = WholeGraph(graph) if whole else TemporalSampler(graph, **sampling, until=task.until)
        self._data = graph.to_hetero_data(features=False, times=False)
        self._network, self._asked, self._bare = model, task, False

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self._network.parameters()).device

    def seed_loader(self, table: NodeType, node: Tensor, time: Tensor | None, **options: Any) -> NodeLoader:
        """PyG's loader over rows of a table, in the order given; ``options`` are its own."""
        if not {"batch_size", "batch_sampler"} & options.keys():
            options["batch_size"] = self.batch_size
        return NodeLoader(
            self._data,
            node_sampler=self.sampler,
            input_nodes=(table, node),
            input_time=time,
            **{"num_workers": self.num_workers, **options},
        )

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """A block in which the model is in evaluation mode and samples are those of evaluation."""
        was_training = self._network.training
        self._network.eval()
        self.sampler.set_epoch(EVALUATION)
        try:
            yield
        finally:
            self._network.train(was_training)

    @contextmanager
    def unfrozen(self) -> Iterator[None]:
        """A block in which all that is known at a moment is seen: the frozen regime is a rule for test rows."""
        self.sampler.until = None
        try:
            yield
        finally:
            self.sampler.until = self._asked.until

    def rows(self, keys: Sequence[Key] | Literal["all"], time: Any) -> tuple[Tensor, Tensor | None]:
        """Row numbers of keys in the entity table, and their moments.

        Args:
            keys: The keys, or ``"all"`` that are known at ``time``.
            time: One moment for all keys or one each: int microseconds, ISO text or datetime; ``None`` for a task
                without time.

        Returns:
            int64 ``[n]``, and int64 ``[n]`` or ``None``.

        Raises:
            ProtocolError: If a time is missing or given to a task without time, or the predictor has no rows.
            SchemaError: If a key does not exist.
        """
        table = self._asked.entity_table
        if self.has_no_rows:
            raise ProtocolError(
                "this predictor was loaded without a graph, so it has no rows: give the database, "
                "predict(db, keys=..., time=...), or use predictor.on(db)"
            )
        if self._asked.regime == "static":
            if time is not None:
                raise ProtocolError(f"time: {self._asked!r} has no time; leave time= out")
        elif time is None:
            raise ProtocolError("keys need time=, the moment of the prediction, such as '2024-01-31'")
        if isinstance(keys, int) or (isinstance(keys, str) and keys != "all"):
            raise ProtocolError(f"keys: expected a list of keys such as [{keys!r}], or 'all', got {keys!r}")
        whole = isinstance(time, int) or (isinstance(time, Sequence) and all(isinstance(t, int) for t in time))
        moment = None if time is None else to_microseconds(time, unit="us" if whole else None)
        if isinstance(keys, str) and keys == "all":
            if moment is not None and moment.dim():
                raise ProtocolError(
                    "time: expected one moment for all rows, got several; give the keys= they belong to"
                )
            node, known = torch.arange(self.graph.nodes[table].num_nodes), self.graph.nodes[table].time
            if moment is not None and known is not None:
                node = node[known <= moment]
        else:
            node = self.graph.node_index(table, list(keys))
        return node, None if moment is None else moment.expand(node.numel()).contiguous()

    def require_rows_of(self, db: Database, *tables: NodeType) -> None:
        """Check that the graph is that of a database, as far as the number of rows tells.

        Raises:
            SchemaError: If it is not.
        """
        for table in tables:
            rows, nodes = db.num_rows(table), self.graph.nodes[table].num_nodes
            if rows != nodes:
                raise SchemaError(
                    f"{db.name} is not the database of this predictor's graph: {table!r} has {rows:,} rows there and "
                    f"{nodes:,} here; use predictor.on(db), which builds its graph"
                )

    @property
    def has_no_rows(self) -> bool:
        """Whether the predictor was loaded without a graph: it then needs a database, see :meth:`on`."""
        return self._bare

    def on(self, db: Database, *, progress: bool = True) -> Self:
        """The same model on a database: another state of the one it was trained on, with new rows and entities.

        Its graph is built like the one trained on: the same columns read the same way, numbers standardised by the old
        statistics, a value that was no category then unseen.

        Args:
            db: The database.
            progress: Show progress on stderr.

        Raises:
            SchemaError: If tables, columns, types or keys that the model knows are missing or others; each is named.
                What is new in the database and unknown to the model is left out, with a note in
                ``predictor.graph.report["notes"]``.
        """
        graph = build_graph(db, like=self.graph, progress=progress)
        with unpacking("the predictor", self.folder_kind):
            found = self._unpack(self._meta(), self._network.state_dict(), graph, db)
        found._network.to(self.device)
        found.num_workers = self.num_workers
        return found

    def describe(self) -> dict[str, Any]:
        """What a saved predictor must find again, as JSON values."""
        fan_outs = None
        if isinstance(self.sampler, TemporalSampler):
            fan_outs = [["/".join(kind), list(value)] for kind, value in self.sampler.num_neighbors.items()]
        return {
            "task": self._asked.to_dict(),
            "num_neighbors": fan_outs,
            "strategy": self.sampler.strategy,
            "half_life": self.sampler.half_life if self.sampler.strategy == "decayed" else None,
            "seed": self.sampler.seed,
            "batch_size": self.batch_size,
            "statistics": fingerprints(self.graph),
        }

    def save(self, path: str | Path) -> Path:
        """Write the predictor as a folder of safetensors and JSON, in one atomic step.

        The graph's tables, columns, statistics and categories are in it, its rows are not: those are saved with
        ``predictor.graph.save()``, or built anew of the database.
        """
        return write_predictor(path, self.folder_kind, self._meta(), self._network, self.graph)

    def _meta(self) -> dict[str, Any]:
        return {**self.describe(), "settings": self.settings, "history": asdict(self.history)}

    @classmethod
    def load(cls, path: str | Path, graph: HeteroGraph | None = None, db: Database | None = None) -> Self:
        """Read a saved predictor.

        Args:
            path: Its folder.
            graph: The graph it was trained on, or one built like it. Without it and ``db`` the predictor has no rows;
                :meth:`on` and ``predict`` take a database then.
            db: The database of the graph; without ``graph`` its graph is built.

        Raises:
            AdapterError: If the folder holds no whole predictor.
            SchemaError: If tables, columns, keys or statistics are others than in training; each is named.
        """
        saved = read_predictor(path, cls.folder_kind)
        graph = saved.graph(graph, db)
        with unpacking(path, cls.folder_kind):
            found = cls._unpack(saved.meta, saved.state, graph, db, graph is saved.shape)
            if saved.meta["statistics"] != fingerprints(graph):
                raise ValueError("statistics")
        found._bare = graph is saved.shape
        return found

    @classmethod
    @abstractmethod
    def _unpack(
        cls,
        meta: Mapping[str, Any],
        state: Mapping[str, Tensor],
        graph: HeteroGraph,
        db: Database | None,
        bare: bool = False,
    ) -> Self:
        """The predictor of what :meth:`_meta` said and a model's parameters; ``bare`` where the graph has no rows."""


def sampling_from_dict(meta: Mapping[str, Any], graph: HeteroGraph) -> dict[str, Any]:
    """The sampler's arguments from what :meth:`GraphPredictor.describe` said."""
    if meta["num_neighbors"] is None:
        return {"num_neighbors": None}
    by_name = {"/".join(kind): kind for kind in graph.to_hetero_data(features=False).edge_types}
    fan_outs = {by_name[name]: value for name, value in meta["num_neighbors"]}
    given = {name: meta[name] for name in ("strategy", "half_life", "seed")}
    return {"num_neighbors": fan_outs, **given}
