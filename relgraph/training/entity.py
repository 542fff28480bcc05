"""Learning line 1: a GNN that predicts rows of a table, from database to predictions with the database's own keys."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torch_geometric.data import HeteroData

from relgraph.data.graph import EdgeType, HeteroGraph
from relgraph.data.time import format_time
from relgraph.errors import LeakageError, ProtocolError, SchemaError
from relgraph.nn.entity_model import EntityModel
from relgraph.tasks import EntityTask, Seeds
from relgraph.training import engine
from relgraph.training.predictor import EntityPredictor

if TYPE_CHECKING:
    from relgraph.data.database import Database

__all__ = ["EntityJob", "EntityPredictor", "fit"]


def fit(
    db: Database,
    graph: HeteroGraph,
    task: EntityTask,
    *,
    channels: int = 128,
    layers: int = 2,
    num_neighbors: Sequence[int] | Mapping[EdgeType, Sequence[int]] = (128, 64),
    strategy: Literal["uniform", "last"] = "uniform",
    encoder_layers: int = 4,
    head_layers: int = 1,
    dropout: float = 0.2,
    aggr: Literal["sum", "mean", "max"] = "sum",
    batch_size: int = 512,
    max_batches: int | None = None,
    epochs: int = 10,
    lr: float = 0.005,
    patience: int | None = None,
    seed: int = 0,
    num_workers: int = 0,
    checkpoint: str | Path | None = None,
    resume: bool = True,
    max_seconds: float | None = None,
    accelerator: str = "auto",
    progress: bool = True,
) -> EntityPredictor:
    """Train RelBench's GraphSAGE on a task and keep the parameters of the best validated epoch.

    The defaults are the recipe of Robinson et al. 2024 (arXiv 2407.20060).

    Args:
        db: The database that labels come from.
        graph: Built from ``db`` with ``fit_until=task.val_time``.
        task: What to predict.
        channels: Width of the network.
        layers: Rounds of message passing.
        num_neighbors: Fan-out of each round, for every edge type or per edge type.
        strategy: Neighbours drawn ``"uniform"`` or the ``"last"`` ones.
        encoder_layers: Residual blocks of each table encoder.
        head_layers: Linear layers of the head.
        dropout: In the table encoders.
        aggr: How messages of one edge type meet: ``"sum"``, ``"mean"`` or ``"max"``.
        batch_size: Seeds per batch.
        max_batches: Batches per epoch at most; every epoch draws others.
        epochs: Passes over the training seeds.
        lr: Learning rate of Adam.
        patience: Stop after so many validations without a better metric.
        seed: Of the parameters, the order of seeds and the samples.
        num_workers: Processes that sample; the result does not depend on it.
        checkpoint: Folder to write checkpoints to, and to go on from.
        resume: Whether to go on from a checkpoint that is there.
        max_seconds: Stop training after this time.
        accelerator: As in lightning.fabric.
        progress: Show progress on stderr.

    Returns:
        The trained predictor.

    Raises:
        LeakageError: If the statistics of ``graph`` saw rows later than ``task.val_time``.
        ProtocolError: If a split has no rows, the seed is negative, or ``num_neighbors`` and ``layers`` do not fit
            together.
        BackendError: If the accelerator is unknown, or not available here.
        SchemaError: If ``graph`` was not built from ``db``.
    """
    engine.require_seed(seed)
    _check_leakage(graph, task)
    _check_rows(db, graph, task)
    hops = {len(v) for v in num_neighbors.values()} if isinstance(num_neighbors, Mapping) else {len(num_neighbors)}
    if hops != {layers}:
        raise ProtocolError(f"num_neighbors: expected one fan-out for each of {layers} layers, got {sorted(hops)}")
    train, valid = task.seeds(db, "train"), task.seeds(db, "val")
    if progress:
        sys.stderr.writelines(f"{note}\n" for note in dict.fromkeys((*train.notes, *valid.notes)))
    settings: dict[str, Any] = {
        "channels": channels,
        "layers": layers,
        "encoder_layers": encoder_layers,
        "head_layers": head_layers,
        "dropout": dropout,
        "aggr": aggr,
        "out_channels": int(max(train.label.max(), valid.label.max())) + 1 if task.kind == "multiclass" else 1,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = EntityModel(graph, task.entity_table, **settings)
    sampling = {"num_neighbors": num_neighbors, "strategy": strategy, "seed": seed}
    predictor = EntityPredictor(model, graph, task, settings, sampling, _scale(task, train), batch_size, num_workers)
    job = EntityJob(predictor, train, valid, seed, max_batches)
    predictor.history = engine.fit(
        job,
        epochs=epochs,
        lr=lr,
        monitor=task.metric,
        mode=task.mode,
        patience=patience,
        checkpoint=checkpoint,
        resume=resume,
        max_seconds=max_seconds,
        seed=seed,
        settings={**settings, **predictor.describe(), "max_batches": max_batches},
        accelerator=accelerator,
        progress=progress,
    )
    return predictor


class EntityJob:
    """The training of an :class:`EntityPredictor` as :func:`relgraph.training.engine.fit` drives it.

    Args:
        predictor: What is trained.
        train: Training seeds.
        valid: Validation seeds.
        seed: Of the order of the training seeds.
        max_batches: Batches per epoch at most.
    """

    def __init__(
        self, predictor: EntityPredictor, train: Seeds, valid: Seeds, seed: int = 0, max_batches: int | None = None
    ) -> None:
        self.predictor = predictor
        self.model = predictor.model
        self.train = train
        self.valid = valid
        self.seed = seed
        self.max_batches = max_batches

    def num_batches(self) -> int:
        """Batches per epoch; the last may be smaller."""
        whole = -(-len(self.train) // self.predictor.batch_size)
        return whole if self.max_batches is None else min(whole, self.max_batches)

    def batches(self, epoch: int, start: int = 0) -> Iterator[HeteroData]:
        """The batches of an epoch from batch ``start`` on; order and samples depend on the seed and the epoch only."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) % 2**63)
        size = self.predictor.batch_size
        order = torch.randperm(len(self.train), generator=generator)[start * size : self.num_batches() * size]
        self.predictor.sampler.set_epoch(epoch)
        time = None if self.train.time is None else self.train.time[order]
        yield from self.predictor.loader(self.train.node[order], time, order)

    def loss(self, batch: HeteroData) -> Tensor:
        """Binary or class cross entropy, or the absolute error in standard deviations of the training labels."""
        task = self.predictor.task
        out = self.model(batch)
        label = self.train.label[batch[task.entity_table].input_id.cpu()]
        if task.kind == "multiclass":
            return F.cross_entropy(out, label.to(out.device))
        mean, std = self.predictor.scale
        target = ((label - mean) / std).to(out.device, out.dtype)
        if task.kind == "binary":
            return F.binary_cross_entropy_with_logits(out[:, 0], target)
        return F.l1_loss(out[:, 0], target)

    def validate(self) -> dict[str, float]:
        """The task's metrics on the validation seeds."""
        return self.predictor.task.metrics(
            self.valid.label, self.predictor.scores(self.valid.node, self.valid.time, progress=False)
        )


def _check_leakage(graph: HeteroGraph, task: EntityTask) -> None:
    timed = any(store.time is not None for store in graph.nodes.values())
    if graph.fit_until is None and timed:
        seen = "all rows, whatever their time"
    elif graph.fit_until is not None and graph.fit_until > task.val_time:
        seen = f"rows up to {format_time(graph.fit_until)}"
    else:
        return
    raise LeakageError(
        f"the column statistics of the graph saw {seen}, but validation begins at {format_time(task.val_time)}; "
        "build the graph with build_graph(db, fit_until=task.val_time)"
    )


def _check_rows(db: Database, graph: HeteroGraph, task: EntityTask) -> None:
    rows, nodes = db.num_rows(task.entity_table), graph._store(task.entity_table).num_nodes
    if rows != nodes:
        raise SchemaError(
            f"graph and database differ: {task.entity_table!r} has {nodes:,} nodes and {rows:,} rows; "
            "build the graph from this database"
        )


def _scale(task: EntityTask, train: Seeds) -> tuple[float, float]:
    """What regression labels are shifted and divided by."""
    if task.kind != "regression":
        return 0.0, 1.0
    label = train.label.double()
    std = float(label.std(unbiased=False))
    return float(label.mean()), std if std > 0 else 1.0
