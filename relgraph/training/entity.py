"""Learning line 1: a GNN that predicts rows of a table, from database to predictions with the database's own keys."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args, overload

import torch
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

from relgraph.data.graph import EdgeType, HeteroGraph
from relgraph.errors import ProtocolError, SchemaError
from relgraph.nn.entity_model import EntityModel
from relgraph.nn.gnns import GNNS
from relgraph.tasks import LinkTask, Seeds, Split, Task
from relgraph.tasks.node import NodeTask
from relgraph.training import engine
from relgraph.training.consistency import ConsistentJob
from relgraph.training.job import EntityJob
from relgraph.training.loggers import LoggerLike
from relgraph.training.outputs import RegressionLoss, label_scale, num_outputs, positive_weight
from relgraph.training.predictor import EntityPredictor, RowTask
from relgraph.training.seed_columns import SeedColumns

if TYPE_CHECKING:
    from relgraph.data.database import Database
    from relgraph.tabular.block import SeedFeatures
    from relgraph.training.link_predictor import LinkPredictor

__all__ = ["EntityPredictor", "fit", "fit_rows"]

_EXPECTED = {
    "db": "expected a Database, of relgraph.connect, or None",
    "graph": "expected a HeteroGraph, of relgraph.build_graph",
    "task": "expected an EntityTask, LinkTask, ColumnTask or NodeTask",
}


@overload
def fit(db: Database, graph: HeteroGraph, task: LinkTask, *, audit: bool = True, **options: Any) -> LinkPredictor: ...
@overload
def fit(
    db: Database | None, graph: HeteroGraph, task: RowTask, *, audit: bool = True, **options: Any
) -> EntityPredictor: ...
@overload
def fit(db: Database | None, graph: HeteroGraph, task: Task, *, audit: bool = True, **options: Any) -> Any: ...
def fit(db: Database | None, graph: HeteroGraph, task: Task, *, audit: bool = True, **options: Any) -> Any:
    """Train a network on a task and keep the parameters of the best validated epoch.

    Args:
        db: The database that labels come from; ``None`` for a task whose labels are in the graph.
        graph: Built from ``db`` with ``fit_until=task.val_time, hide=task.hidden``.
        task: What to predict.
        audit: Whether to look for leaks first (:func:`relgraph.tasks.audit`) and say on stderr what was found; with
            ``progress=False`` only if there is a leak, not for cautions.
        **options: Those of :func:`fit_rows`, or for a :class:`~relgraph.tasks.LinkTask` those of
            :func:`relgraph.training.link.fit_links`: ``gnn=``, ``epochs=``, ``lr=``, ``seed=`` and so on.

    Returns:
        The trained predictor.

    Raises:
        LeakageError: If the statistics of ``graph`` saw rows later than ``task.val_time``, or it shows what the task
            hides.
        ProtocolError: If an argument or option is not one of those above.
        RelGraphError: And what :func:`fit_rows` or :func:`~relgraph.training.link.fit_links` raise.
    """
    _check_arguments(db, graph, task, options)
    _check_rows(db, graph, task)
    if audit and db is not None:
        from relgraph.tasks import audit as look_for_leaks

        found = look_for_leaks(db, task, graph)
        # cautions are told like progress is; what is wrong for certain always
        if found.leaks or found.failed or (found.findings and options.get("progress", True)):
            sys.stderr.write(f"{found}\n")
    if isinstance(task, LinkTask):
        from relgraph.training.link import fit_links

        if db is None:
            raise ProtocolError("fit: a LinkTask needs the database that its links come from, got None")
        return fit_links(db, graph, task, **options)
    return fit_rows(db, graph, cast(RowTask, task), **options)


def fit_rows(
    db: Database | None,
    graph: HeteroGraph,
    task: RowTask,
    *,
    gnn: str = "sage",
    gnn_options: Mapping[str, Any] | None = None,
    seed_features: Sequence[SeedFeatures] = (),
    channels: int = 128,
    layers: int = 2,
    num_neighbors: Sequence[int] | Mapping[EdgeType, Sequence[int]] | None = (128, 64),
    strategy: Literal["uniform", "last", "decayed"] = "uniform",
    encoder_layers: int = 4,
    head_layers: int = 1,
    dropout: float = 0.2,
    aggr: Literal["sum", "mean", "max"] = "sum",
    loss: RegressionLoss = "l1",
    pos_weight: float | Literal["balanced"] | None = None,
    clamp: tuple[float, float] | None = None,
    batch_size: int = 512,
    max_batches: int | None = None,
    epochs: int = 10,
    lr: float = 0.005,
    lr_schedule: Literal["constant", "cosine"] = "constant",
    weight_decay: float = 0.0,
    encoder_l2: float = 0.0,
    consistency: float = 0.0,
    clip_norm: float | None = None,
    patience: int | None = None,
    seed: int = 0,
    num_workers: int = 0,
    checkpoint: str | Path | None = None,
    resume: bool = True,
    max_seconds: float | None = None,
    logger: LoggerLike = None,
    accelerator: str = "auto",
    progress: bool = True,
) -> EntityPredictor:
    """Train a network that predicts something about each row of a table; :func:`fit` is the door to it.

    The defaults are the GraphSAGE recipe of Robinson et al. 2024 (arXiv 2407.20060), less its ``clamp``.

    Args:
        db: The database that labels come from; ``None`` for a task whose labels are in the graph.
        graph: Built from ``db`` with ``fit_until=task.val_time``.
        task: What to predict.
        gnn: The message passing: ``"sage"``, ``"gat"``, ``"hgt"`` or ``"relgnn"``; for plain graphs also ``"gcn"``,
            ``"ppr"`` and ``"grand"`` (:data:`relgraph.nn.GNNS`).
        gnn_options: Its own options, such as ``{"heads": 4}``, ``{"norm": "none", "dropout": 0.1}``.
        seed_features: Sources of columns that are computed for every seed and given to the head.
        channels: Width of the network.
        layers: Rounds of message passing.
        num_neighbors: Fan-out of each round, for every edge type or per edge type; ``None`` trains on the whole graph
            at once, for tasks without time.
        strategy: Neighbours drawn ``"uniform"``, the ``"last"`` ones, or ``"decayed"``, the older the rarer.
        encoder_layers: Residual blocks of each table encoder; 0 makes it linear, for plain graphs with few labels.
        head_layers: Linear layers of the head.
        dropout: In the table encoders, and on the seeds' own columns.
        aggr: How messages of one edge type meet in GraphSAGE: ``"sum"``, ``"mean"`` or ``"max"``.
        loss: Of a regression, in standard deviations of the training labels: ``"l1"``, ``"mse"`` or ``"huber"``.
        pos_weight: How much more a positive label counts than a negative one; ``"balanced"`` evens them out.
        clamp: Of a regression, keep predictions between two quantiles of the training labels: RelBench's script takes
            ``(0.02, 0.98)``. What is beyond them then ties.
        batch_size: Seeds per batch.
        max_batches: Batches per epoch at most; every epoch draws others.
        epochs: Passes over the training seeds.
        lr: Learning rate of Adam.
        lr_schedule: ``"constant"``, or ``"cosine"`` down to 0 over the epochs (Loshchilov and Hutter 2017, arXiv
            1608.03983, without restarts).
        weight_decay: Decoupled, as in AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101).
        encoder_l2: Penalty on the squared parameters of the table encoders, half of it added to the loss, as Kipf and
            Welling 2017 (arXiv 1609.02907) have it for the first layer.
        consistency: Weight of the agreement of two passes under dropout about every node, labelled or not
            (:mod:`relgraph.training.consistency`); for classes on a whole graph.
        clip_norm: Largest 2-norm of the gradient of all parameters together.
        patience: Stop after so many validations without a better metric.
        seed: Of the parameters, the order of seeds and the samples.
        num_workers: Processes that sample; the result does not depend on it.
        checkpoint: Folder to write checkpoints to, and to go on from.
        resume: Whether to go on from a checkpoint that is there.
        max_seconds: Stop training after this time.
        logger: Who is told of every epoch: a logger of lightning.fabric, ``"csv:FOLDER"``, ``"tensorboard:FOLDER"``,
            ``"mlflow:EXPERIMENT"``, ``"wandb:PROJECT"``, or several in a list.
        accelerator: As in lightning.fabric.
        progress: Show progress on stderr.

    Returns:
        The trained predictor.

    Raises:
        LeakageError: If ``graph``, or the graph that ``seed_features`` read, shows what the task hides, or its
            statistics saw rows later than ``task.val_time``.
        ProtocolError: If a split has no rows, the seed is negative, an option is unknown, or ``num_neighbors`` and
            ``layers`` do not fit together.
        BackendError: If the accelerator is unknown, or not available here.
        SchemaError: If ``graph`` was not built from ``db``.
        ShapeError: If ``gnn`` or one of its options is unknown.
    """
    engine.require_seed(seed)
    _check_choice("loss", loss, get_args(RegressionLoss))
    _check_choice("lr_schedule", lr_schedule, tuple(_SCHEDULES))
    _check_leakage(graph, task, seed_features)
    _check_rows(db, graph, task)
    if num_neighbors is None:
        if task.regime != "static":
            raise ProtocolError("num_neighbors=None shows every row everything, which is for tasks without time alone")
        batch_size = max(graph.nodes[task.entity_table].num_nodes, 1)
    else:
        _check_hops(num_neighbors, layers, gnn)
    train, valid = _seeds(task, db, "train"), _seeds(task, db, "val")
    if progress:
        sys.stderr.writelines(f"{note}\n" for note in dict.fromkeys((*train.notes, *valid.notes)))
    columns = SeedColumns.fit(seed_features, train.node, train.time, task.until) if seed_features else None
    settings: dict[str, Any] = {
        "channels": channels,
        "layers": layers,
        "encoder_layers": encoder_layers,
        "head_layers": head_layers,
        "dropout": dropout,
        "aggr": aggr,
        "gnn": gnn,
        "gnn_options": dict(gnn_options or {}),
        "seed_width": 0 if columns is None else columns.width,
        "out_channels": num_outputs(task.kind, train, valid),
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = EntityModel(graph, task.entity_table, **settings)
    sampling = {"num_neighbors": num_neighbors, "strategy": strategy, "seed": seed}
    scale = label_scale(task.kind, train, clamp)
    predictor = EntityPredictor(
        model, graph, task, settings, sampling, scale, batch_size, num_workers, seed_columns=columns
    )
    weight = positive_weight(task.kind, train, pos_weight)
    if consistency:
        job: EntityJob = ConsistentJob(predictor, train, valid, seed, encoder_l2, consistency)
    else:
        job = EntityJob(predictor, train, valid, seed, max_batches, loss, weight, encoder_l2)
    predictor.history = engine.fit(
        job,
        epochs=epochs,
        lr=lr,
        optimizer=(lambda parameters: AdamW(parameters, lr=lr, weight_decay=weight_decay)) if weight_decay else None,
        scheduler=_SCHEDULES[lr_schedule](epochs),
        clip_norm=clip_norm,
        monitor=task.metric,
        mode=task.mode,
        patience=patience,
        checkpoint=checkpoint,
        resume=resume,
        max_seconds=max_seconds,
        logger=logger,
        seed=seed,
        settings={
            **settings,
            **predictor.describe(),
            "max_batches": max_batches,
            "loss": loss,
            "encoder_l2": encoder_l2,
            "consistency": consistency,
            "pos_weight": None if weight is None else weight.tolist(),
        },
        accelerator=accelerator,
        progress=progress,
    )
    return predictor


_SCHEDULES: dict[str, Callable[[int], Callable[[Optimizer], LRScheduler] | None]] = {
    "constant": lambda epochs: None,
    "cosine": lambda epochs: lambda optimizer: CosineAnnealingLR(optimizer, T_max=epochs),
}


def _seeds(task: RowTask, db: Database | None, split: Split) -> Seeds:
    if isinstance(task, NodeTask):
        return task.seeds(db, split)
    if db is None:
        raise ProtocolError(f"fit: {type(task).__name__} needs the database that its labels come from, got None")
    return task.seeds(db, split)


def _check_choice(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ProtocolError(f"{name}: expected one of {', '.join(known)}, got {value!r}")


def _check_hops(num_neighbors: Sequence[int] | Mapping[EdgeType, Sequence[int]], layers: int, gnn: str) -> None:
    """One fan-out per layer; as many as its layers look far where a layer looks further than a hop."""
    hops = {len(v) for v in num_neighbors.values()} if isinstance(num_neighbors, Mapping) else {len(num_neighbors)}
    far = layers * (GNNS[gnn].hops_per_round if gnn in GNNS else 1)
    if len(hops) != 1 or not layers <= min(hops) <= far:
        more = "" if far == layers else f" (or up to {far} in all, since a layer of {gnn!r} looks two hops far)"
        raise ProtocolError(
            f"num_neighbors: expected one fan-out for each of {layers} layers{more}, got {sorted(hops)}"
        )


def _check_leakage(graph: HeteroGraph, task: RowTask, seed_features: Sequence[SeedFeatures]) -> None:
    task.require_sound(graph)
    for source in seed_features:
        own = getattr(source, "graph", None)
        if isinstance(own, HeteroGraph) and own is not graph:
            task.require_sound(own, getattr(source, "hide", ()), f"the graph that {source!r} reads")


def _check_arguments(db: object, graph: object, task: object, options: Mapping[str, Any]) -> None:
    from relgraph.data.database import Database
    from relgraph.training.link import fit_links

    expected = (("db", db, Database | None), ("graph", graph, HeteroGraph), ("task", task, LinkTask | RowTask))
    for name, value, kind in expected:
        if not isinstance(value, kind):
            raise ProtocolError(f"fit(db, graph, task): {name} is a {type(value).__name__}; {_EXPECTED[name]}")
    trainer = fit_links if isinstance(task, LinkTask) else fit_rows
    known = [name for name in inspect.signature(trainer).parameters if name not in ("db", "graph", "task")]
    for name in options:
        if name not in known:
            raise ProtocolError(
                f"fit of a task of kind {type(task).__name__}: no option {name!r}; options: {', '.join(known)}"
            )


def _check_rows(db: Database | None, graph: HeteroGraph, task: Task) -> None:
    if db is None:
        return
    rows, nodes = db.num_rows(task.entity_table), graph._store(task.entity_table).num_nodes
    if rows != nodes:
        raise SchemaError(
            f"graph and database differ: {task.entity_table!r} has {nodes:,} nodes and {rows:,} rows; "
            "build the graph from this database"
        )
