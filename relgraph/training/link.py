"""Recommendation: from a database to the target rows that a source row will be linked to."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torch_geometric.data import HeteroData

from relgraph.data.graph import EdgeType, HeteroGraph
from relgraph.errors import ProtocolError, SchemaError
from relgraph.nn.link_model import LinkKind, LinkModel
from relgraph.ops.tiles import csr_rows, csr_select
from relgraph.tasks import LinkSeeds, LinkTask
from relgraph.training import engine
from relgraph.training.entity import _check_hops
from relgraph.training.group import Exchange
from relgraph.training.link_predictor import LinkPredictor
from relgraph.training.link_ranking import Candidates
from relgraph.training.loggers import LoggerLike

if TYPE_CHECKING:
    from relgraph.data.database import Database

__all__ = ["LinkJob", "LinkPredictor", "fit_links"]


def fit_links(
    db: Database,
    graph: HeteroGraph,
    task: LinkTask,
    *,
    model: LinkKind = "hybrid",
    gnn: str = "sage",
    gnn_options: Mapping[str, Any] | None = None,
    channels: int = 64,
    layers: int = 2,
    num_neighbors: Sequence[int] | Mapping[EdgeType, Sequence[int]] = (32, 16),
    strategy: Literal["uniform", "last", "decayed"] = "last",
    encoder_layers: int = 2,
    dropout: float = 0.1,
    aggr: Literal["sum", "mean", "max"] = "sum",
    row_vectors: bool = True,
    num_negatives: int = 512,
    batch_size: int = 256,
    max_batches: int | None = None,
    epochs: int = 10,
    lr: float = 0.003,
    weight_decay: float = 0.0,
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
) -> LinkPredictor:
    """Train a recommender and keep the parameters of the best validated epoch.

    For ``"idgnn"`` and ``"hybrid"`` give as many layers as there are steps from a source row to the target rows that
    it knows, at least: customer - order line - product is two.

    Args:
        db: The database that links come from.
        graph: Built from ``db`` with ``fit_until=task.val_time``.
        task: What to recommend.
        model: ``"two_tower"``, ``"idgnn"`` or ``"hybrid"``; see :class:`relgraph.nn.LinkModel`.
        gnn: The message passing, a name of :data:`relgraph.nn.GNNS`.
        gnn_options: Its own options.
        channels: Width of the network.
        layers: Rounds of message passing.
        num_neighbors: Fan-out of each round, for every edge type or per edge type.
        strategy: Neighbours drawn ``"uniform"``, the ``"last"`` ones, or ``"decayed"``, the older the rarer.
        encoder_layers: Residual blocks of each table encoder.
        dropout: In the table encoders.
        aggr: How messages of one edge type meet in GraphSAGE: ``"sum"``, ``"mean"`` or ``"max"``.
        row_vectors: Whether target rows have learned vectors in their tower.
        num_negatives: Target rows per batch that are drawn from those that exist at its moment, all if there are no
            more; with towers at most as many again of the positives and of the rows reached in subgraphs.
        batch_size: Source rows per batch; all of a batch are asked at one moment.
        max_batches: Batches per epoch at most; every epoch draws others.
        epochs: Passes over the training seeds.
        lr: Learning rate of Adam.
        weight_decay: Decoupled, as in AdamW.
        clip_norm: Largest 2-norm of the gradient of all parameters together.
        patience: Stop after so many validations without a better metric.
        seed: Of the parameters, the order of seeds, the negatives and the samples.
        num_workers: Processes that sample source rows; the result does not depend on it.
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
        LeakageError: If the statistics of ``graph`` saw rows later than ``task.val_time``.
        ProtocolError: If a split has no rows, a number makes no sense, or ``num_neighbors`` and ``layers`` do not fit
            together.
        BackendError: If the accelerator is unknown, or not available here.
        SchemaError: If ``graph`` was not built from ``db``.
        ShapeError: If ``model``, ``gnn`` or one of its options is unknown.
    """
    engine.require_seed(seed)
    for name, value in (("num_negatives", num_negatives), ("batch_size", batch_size)):
        if value < 1:
            raise ProtocolError(f"{name}: expected at least 1, got {value}")
    task.require_sound(graph)
    _check_rows(db, graph, task)
    _check_hops(num_neighbors, layers, gnn)
    train, valid = task.seeds(db, "train"), task.seeds(db, "val")
    if progress:
        sys.stderr.writelines(f"{note}\n" for note in dict.fromkeys((*train.notes, *valid.notes)))
    settings: dict[str, Any] = {
        "kind": model,
        "channels": channels,
        "layers": layers,
        "encoder_layers": encoder_layers,
        "dropout": dropout,
        "aggr": aggr,
        "gnn": gnn,
        "gnn_options": dict(gnn_options or {}),
        "row_vectors": row_vectors,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = LinkModel(graph, task.entity_table, task.target_table, **settings)
    sampling = {"num_neighbors": num_neighbors, "strategy": strategy, "seed": seed}
    predictor = LinkPredictor(network, graph, task, settings, sampling, batch_size, num_workers)
    job = LinkJob(predictor, train, valid, seed, num_negatives, max_batches)
    predictor.history = engine.fit(
        job,
        epochs=epochs,
        lr=lr,
        optimizer=(lambda p: torch.optim.AdamW(p, lr=lr, weight_decay=weight_decay)) if weight_decay else None,
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
            "num_negatives": num_negatives,
            "max_batches": max_batches,
        },
        accelerator=accelerator,
        progress=progress,
    )
    return predictor


class LinkJob:
    """The training of a :class:`LinkPredictor` as :func:`relgraph.training.engine.fit` drives it.

    Args:
        predictor: What is trained.
        train: Training seeds.
        valid: Validation seeds.
        seed: Of the order of the training seeds and of the negatives.
        num_negatives: Target rows drawn per batch; see :func:`fit_links`.
        max_batches: Batches per epoch at most.
    """

    def __init__(
        self,
        predictor: LinkPredictor,
        train: LinkSeeds,
        valid: LinkSeeds,
        seed: int = 0,
        num_negatives: int = 512,
        max_batches: int | None = None,
    ) -> None:
        self.predictor = predictor
        self.model = predictor.model
        self.train = train
        self.valid = valid
        self.seed = seed
        self.num_negatives = num_negatives
        self.max_batches = max_batches
        self._part = (0, 1)
        self._exchange = Exchange()

    def num_batches(self) -> int:
        """Batches per epoch: the seeds of each moment in turn, the last batch of a moment may be smaller."""
        time, size = self.train.time, self.predictor.batch_size
        counts = torch.tensor([len(self.train)]) if time is None else torch.unique(time, return_counts=True)[1]
        whole = int((-(-counts // size)).sum())
        return whole if self.max_batches is None else min(whole, self.max_batches)

    def divide(self, rank: int, size: int) -> None:
        """Give of every batch the sources of one process of several; all rank the same competitors."""
        self._part = (rank, size)

    def num_rows(self, batch: Mapping[str, Any]) -> int:
        """The sources of a batch that have a link among the candidates."""
        ptr, target = csr_select((self.train.ptr, self.train.target), batch["seed"].cpu())
        known = torch.isin(target, batch["rows"].cpu())
        return int(torch.unique(csr_rows(ptr)[known]).numel())

    def batches(self, epoch: int, start: int = 0) -> Iterator[dict[str, Any] | None]:
        """The batches of an epoch from batch ``start`` on; seeds, negatives and samples depend on seed and epoch only.

        Each has the ``source`` rows' subgraphs, their positions (``seed``), the target ``rows`` that compete,
        ascending, and the ``targets``' subgraphs, ``None`` for a model without towers. Of several processes, one
        without a source in a batch gets ``None``.
        """
        table = self.predictor.task.entity_table
        chunks = self._chunks(epoch)[start:]
        rank, size = self._part
        shares = [chunk[rank::size] for chunk in chunks]
        begins = torch.tensor([0, *(len(chunk) for chunk in chunks)]).cumsum(0).tolist()
        places = [torch.arange(a, b)[rank::size] for a, b in itertools.pairwise(begins)]  # those of one process alone
        order, place = (torch.cat([torch.empty(0, dtype=torch.int64), *parts]) for parts in (shares, places))
        bounds = torch.tensor([0, *(len(share) for share in shares if len(share))]).cumsum(0).tolist()
        self.predictor.sampler.set_epoch(epoch)
        time = self.train.time
        loader = self.predictor.seed_loader(
            table,
            self.train.node[order],
            None if time is None else time[order],
            input_id=place,
            batch_sampler=[range(a, b) for a, b in itertools.pairwise(bounds)],
        )
        sources = iter(loader)
        for number, (chunk, share) in enumerate(zip(chunks, shares, strict=True), start):
            source = next(sources) if len(share) else None
            moment = None if time is None else int(time[chunk[0]])
            generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch * 10_007 + number) % 2**63)
            rows = self._competitors(chunk, source, moment, generator)
            if source is None:
                yield None
                continue
            targets = None
            if self.model.towers and rows.numel():
                targets = next(self.predictor.target_batches(rows, moment, rows.numel()))
            yield {"source": source, "seed": share, "rows": rows, "targets": targets}

    def loss(self, batch: Mapping[str, Any]) -> Tensor:
        r"""Each link against the rows that are no link of its source, averaged over links and then over sources.

        .. math:: -\log \frac{e^{f(s, t)}}{e^{f(s, t)} + \sum_{n \notin L_s} e^{f(s, n)}}, \qquad t \in L_s

        the sampled softmax (Jean et al. 2015, arXiv 1412.2007) where links of one source do not compete.
        """
        rows = batch["rows"]
        sources = self.model.sources(batch["source"])
        if not rows.numel():  # no target row exists yet
            return (sources.query.sum() + sources.extra.sum()) * 0
        candidates = Candidates(rows, *self.model.targets(rows, batch["targets"]))
        score = sources.query @ candidates.vector.T + candidates.bias  # [batch, rows]
        place, known = candidates.find(sources.target)
        score = score.index_put((sources.batch[known], place[known]), sources.extra[known], accumulate=True)
        return link_loss(score, self._links(batch["seed"], candidates))

    def validate(self) -> dict[str, float]:
        """The task's metrics on the validation seeds."""
        target, _ = self.predictor.rank(self.valid.node, self.valid.time)
        return self.predictor.task.metrics(self.valid, target)

    def _chunks(self, epoch: int) -> list[Tensor]:
        """The seeds of each batch, drawn for an epoch."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) % 2**63)
        order = torch.randperm(len(self.train), generator=generator)
        parts = [order]
        if self.train.time is not None:
            order = order[self.train.time[order].argsort(stable=True)]
            counts = torch.unique(self.train.time, return_counts=True)[1]
            parts = list(torch.split(order, counts.tolist()))
        chunks = [chunk for part in parts for chunk in torch.split(part, self.predictor.batch_size)]
        chosen = torch.randperm(len(chunks), generator=generator)[: self.num_batches()]
        return [chunks[i] for i in chosen.tolist()]

    def _competitors(
        self, seeds: Tensor, source: HeteroData | None, moment: int | None, generator: torch.Generator
    ) -> Tensor:
        """The target rows that are scored for a batch, ascending; none that does not exist at the moment."""
        visible = self.predictor.visible(moment)
        if visible.numel() <= self.num_negatives:
            return visible
        linked = torch.unique(csr_select((self.train.ptr, self.train.target), seeds)[1])
        parts = [linked]
        if self.model.inside:
            reached = torch.empty(0, dtype=torch.int64) if source is None else source[self.model.target_table].n_id
            parts.append(torch.unique(self._exchange.cat(torch.unique(reached))[0]))  # around all sources of the batch
        if self.model.towers:
            parts = [_draw(part, self.num_negatives, generator) for part in parts]
        pool: Tensor = torch.unique(torch.cat([*parts, _draw(visible, self.num_negatives, generator)]))
        return pool[torch.isin(pool, visible)]

    def _links(self, seeds: Tensor, candidates: Candidates) -> Tensor:
        """Which candidates are links of which seed, bool ``[B, V]``."""
        ptr, target = csr_select((self.train.ptr, self.train.target), seeds.cpu())
        place, known = candidates.find(target.to(candidates.rows.device))
        out = torch.zeros(seeds.numel(), candidates.rows.numel(), dtype=torch.bool, device=candidates.rows.device)
        out[csr_rows(ptr).to(out.device)[known], place[known]] = True
        return out


def link_loss(score: Tensor, linked: Tensor) -> Tensor:
    """The loss of :meth:`LinkJob.loss` from scores ``[B, V]`` and what is a link, bool ``[B, V]``.

    A source without a link among the candidates counts for nothing; without any, the loss is 0.
    """
    against = score.masked_fill(linked, torch.finfo(score.dtype).min).logsumexp(1, keepdim=True)
    each = F.softplus(against - score) * linked
    counts = linked.sum(1)
    asked = counts > 0
    return (each.sum(1) / counts.clamp(min=1)).sum() / asked.sum().clamp(min=1)


def _draw(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """All of distinct rows, or at most ``count`` drawn from more than that."""
    if rows.numel() <= count:
        return rows
    return rows[torch.unique(torch.randint(rows.numel(), (count,), generator=generator))]


def _check_rows(db: Database, graph: HeteroGraph, task: LinkTask) -> None:
    for table in (task.entity_table, task.target_table):
        rows, nodes = db.num_rows(table), graph._store(table).num_nodes
        if rows != nodes:
            raise SchemaError(
                f"graph and database differ: {table!r} has {nodes:,} nodes and {rows:,} rows; "
                "build the graph from this database"
            )
