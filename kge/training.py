"""Training of scorers on the questions of a train set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from relgraph.data.statements import Statements
from relgraph.errors import BackendError, ProtocolError
from relgraph.kge.batches import Batch, Batches
from relgraph.kge.embeddings import has_sparse_tables
from relgraph.kge.evaluation import Evaluation
from relgraph.kge.file_table import file_tables
from relgraph.kge.known import require_shared_vocabulary
from relgraph.kge.losses import BCE, Loss, Sampled, as_loss, described
from relgraph.kge.questions import Position
from relgraph.kge.regularizers import Regularizer
from relgraph.kge.scorers.base import Scorer
from relgraph.kge.sharded import ShardedEmbeddings
from relgraph.training import History
from relgraph.training import fit as run
from relgraph.training.engine import require_seed
from relgraph.training.loggers import LoggerLike
from relgraph.training.optimizers import optimizer_maker
from relgraph.training.schedules import Schedule, scheduler_maker

__all__ = ["Batch", "LinkPredictionJob", "fit"]

_DEFAULT_LOSS = BCE(0.1)


class LinkPredictionJob:
    """What :func:`fit` hands to :func:`relgraph.training.fit`: batches of questions, the loss, filtered MRR."""

    def __init__(
        self,
        scorer: Scorer,
        train: Statements,
        *,
        valid: Statements | None = None,
        valid_size: int | None = None,
        batch_size: int = 512,
        loss: Loss = _DEFAULT_LOSS,
        regularizer: Regularizer | None = None,
        positions: Sequence[Position] = ("head", "tail"),
        seed: int = 0,
    ) -> None:
        if len(train) == 0:
            raise ProtocolError("expected statements to train on, got none; is the train set empty?")
        if batch_size < 1:
            raise ProtocolError(f"batch_size: expected at least 1, got {batch_size}")
        require_seed(seed)
        scorer.require_vocabulary(train.vocabulary)
        self.model: nn.Module = scorer
        self.scorer = scorer
        scorer.require_positions(positions)
        if has_sparse_tables(scorer):
            _require_row_access(scorer, loss)
        scorer.learn_from(train)
        self.rows = Batches(
            train, positions, loss, batch_size=batch_size, with_qualifiers=scorer.reads_qualifiers, seed=seed
        )
        self.objective = loss
        self.regularizer = regularizer
        self.evaluation = None if valid is None else _validation(train, valid, valid_size, seed)
        self.tables = file_tables(scorer)
        self._part = (0, 1)
        self._num_rows = 0  # of the batch of the running step

    def num_batches(self) -> int:
        """Batches per epoch; the last one may be smaller."""
        return len(self.rows)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch | None]:
        """The batches of an epoch, which depend on the seed and the epoch only, from batch ``start`` on."""
        batches = self.rows.epoch(epoch, start)
        if self._part == (0, 1):
            return batches
        rank, size = self._part
        if self.tables:  # all processes look up, those without a row too
            return (batch.part(rank, size) or batch.idle() for batch in batches)
        return (batch.part(rank, size) for batch in batches)

    def divide(self, rank: int, size: int) -> None:
        """Give of every batch the rows of one process of several."""
        if not all(isinstance(table, ShardedEmbeddings) for table in self.tables.values()):
            raise BackendError(
                "a scorer with a table on disk is trained in one process: start it with python, or share the rows "
                "with Embeddings.sharded"
            )
        self._part = (rank, size)

    def num_rows(self, batch: Batch) -> int:
        """The questions of a batch that count."""
        return len(batch) if batch.counts else 0

    def loss(self, batch: Batch) -> Tensor:
        """The loss of a batch, with the penalty of the regularizer."""
        self._num_rows = self.num_rows(batch)
        batch = batch.to(next(self.scorer.parameters()).device)
        loss = self.objective(self.scorer, batch)
        return loss if self.regularizer is None else loss + self.regularizer(self.scorer, batch)

    def step_tables(self, lr: float) -> None:
        """Let the tables in files take the step that the parameters took."""
        for table in self.tables.values():
            table.step(lr, self._num_rows)

    def stage(self) -> dict[str, Any]:
        """Flush the tables on disk, for a checkpoint."""
        return {name: table.stage() for name, table in self.tables.items()}

    def commit(self) -> None:
        """The checkpoint is written."""
        for table in self.tables.values():
            table.commit()

    def restore(self, staged: dict[str, Any] | None) -> None:
        """Put the tables on disk back to a checkpoint, or begin with them as they are."""
        for name, table in self.tables.items():
            table.restore(None if staged is None else staged[name])

    def validate(self) -> dict[str, float]:
        """Filtered realistic metrics on the validation statements; ``{}`` without any."""
        if self.evaluation is None:
            return {}
        metrics = self.evaluation.run(self.scorer, progress=False)
        return {name: metrics[name] for name in ("mrr", "mr", "hits@1", "hits@3", "hits@10")}


def fit(
    scorer: Scorer,
    train: Statements,
    *,
    valid: Statements | None = None,
    epochs: int = 100,
    batch_size: int = 512,
    loss: Literal["bce", "1-vs-all", "ce", "sampled"] | Loss = "bce",
    label_smoothing: float | None = None,
    regularizer: Regularizer | None = None,
    optimizer: Literal["adam", "adamw", "adagrad", "sgd"] | Callable[[Iterable[nn.Parameter]], Optimizer] = "adam",
    lr: float = 1e-3,
    weight_decay: float | None = None,
    schedule: Schedule | Callable[[Optimizer], LRScheduler] | None = None,
    decay: float = 1.0,
    warmup: int = 0,
    clip_norm: float | None = None,
    positions: Sequence[Position] = ("head", "tail"),
    valid_size: int | None = None,
    validate_every: int = 5,
    patience: int | None = None,
    checkpoint: Path | str | None = None,
    checkpoint_every: int | None = None,
    resume: bool = True,
    max_seconds: float | None = None,
    seed: int = 0,
    accelerator: str = "auto",
    precision: Any = "32-true",
    tensorboard: Path | str | None = None,
    logger: LoggerLike = None,
    progress: bool = True,
) -> History:
    """Train a scorer on questions: each ``(head, relation)``, inverses among them, against the entities.

    Qualifiers belong to a question if the scorer reads them, else they are ignored. A repeated fact counts once.
    Training is deterministic in ``seed`` on one device, and one that was killed goes on from ``checkpoint`` to the same
    end.

    Args:
        scorer: Built for the vocabulary of ``train``; it is trained in place.
        train: What is learnt.
        valid: What decides which epoch's parameters are kept, by filtered MRR (known: train and valid). Without it,
            or with a table on disk, the last ones are.
        epochs: Passes over the questions.
        batch_size: Rows of a batch: distinct questions, or pairs of a question and an answer, as the loss has it.
        loss: ``"bce"``, binary cross-entropy of each distinct question on all entities; ``"1-vs-all"``, the same with
            one answer a row and summed over the entities; ``"ce"``, softmax cross-entropy with one answer a row;
            ``"sampled"``, one answer against 256 sampled entities. All their choices are in
            :class:`relgraph.kge.BCE`, :class:`relgraph.kge.CE` and :class:`relgraph.kge.Sampled`.
        label_smoothing: Of a loss given by name; 0.1 for ``"bce"`` by default, else 0.
        regularizer: A penalty on the rows in use, such as :class:`relgraph.kge.N3`.
        optimizer: A name, or what makes one of parameters; ``lr`` and ``weight_decay`` are then not used. ``"adam"``
            and ``"adagrad"`` step only touched rows of sparse tables.
        lr: Learning rate.
        weight_decay: That of the optimizer; its own default if ``None``.
        schedule: See :func:`relgraph.training.schedules.scheduler_maker`, or what makes a scheduler of an optimizer.
        decay: Factor of the learning rate: after every epoch, or as ``schedule`` says.
        warmup: Epochs in which the learning rate rises linearly.
        clip_norm: Largest norm of the gradient.
        positions: What is asked for in training: ``"head"``, ``"tail"`` and, of scorers that read qualifiers,
            ``"qualifier"``.
        valid_size: Validate on that many statements, drawn once by ``seed``; all by default.
        validate_every: Epochs between validations.
        patience: Stop after that many validations without a better MRR.
        checkpoint: Folder for checkpoints.
        checkpoint_every: Write one also after that many batches of an epoch.
        resume: Whether to go on from the checkpoint in that folder.
        max_seconds: Wall-clock budget; training stops after the batch that exceeds it.
        seed: Of the order of batches, sampling, dropout and the drawn validation statements.
        accelerator: As in lightning.fabric.
        precision: As in lightning.fabric.
        tensorboard: Log folder for TensorBoard (``relgraph[tensorboard]``).
        logger: Who else is told of every epoch: a logger of lightning.fabric, ``"csv:FOLDER"``,
            ``"mlflow:EXPERIMENT"``, ``"wandb:PROJECT"``, or several in a list.
        progress: Whether to report on stderr.

    Returns:
        What happened, epoch by epoch.

    Raises:
        ProtocolError: If there is nothing to train on, or an argument makes no sense.
        BackendError: If the accelerator or the precision is unknown, or not available here, or TensorBoard is missing.
        SchemaError: If the scorer or ``valid`` has another vocabulary than ``train``.
    """
    objective = as_loss(loss, label_smoothing)
    job = LinkPredictionJob(
        scorer,
        train,
        valid=valid,
        valid_size=valid_size,
        batch_size=batch_size,
        loss=objective,
        regularizer=regularizer,
        positions=positions,
        seed=seed,
    )
    make_optimizer = optimizer
    if isinstance(make_optimizer, str):
        sparse = has_sparse_tables(scorer)
        make_optimizer = optimizer_maker(make_optimizer, lr=lr, weight_decay=weight_decay, sparse=sparse)
    if job.tables:
        make_optimizer = _with_tables(job, make_optimizer, optimizer, checkpoint, clip_norm, precision)
    if scorer.has_frozen_rows:
        make_optimizer = _without_decay(make_optimizer)
    make_scheduler = schedule
    if make_scheduler is None or isinstance(make_scheduler, str):
        mode: Literal["max", "min"] = "min" if valid is None else "max"
        make_scheduler = scheduler_maker(make_scheduler, epochs=epochs, decay=decay, warmup=warmup, mode=mode)
    return run(
        job,
        epochs=epochs,
        lr=lr,
        optimizer=make_optimizer,
        scheduler=make_scheduler,
        monitor=None if valid is None or job.tables else "mrr",
        patience=patience,
        validate_every=validate_every,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        resume=resume,
        max_seconds=max_seconds,
        clip_norm=clip_norm,
        seed=seed,
        settings={
            "scorer": type(scorer).__name__,
            "arguments": scorer.arguments,
            "num_statements": len(train),
            "num_valid": 0 if valid is None else len(valid),
            "valid_size": valid_size,
            "batch_size": batch_size,
            "loss": described(objective),
            "regularizer": None if regularizer is None else regularizer.settings(),
            "positions": list(positions),
        },
        accelerator=accelerator,
        precision=precision,
        tensorboard=tensorboard,
        logger=logger,
        progress=progress,
    )


def _with_tables(
    job: LinkPredictionJob,
    make: Callable[[Iterable[nn.Parameter]], Optimizer],
    optimizer: Any,
    checkpoint: Path | str | None,
    clip_norm: float | None,
    precision: Any,
) -> Callable[..., Optimizer]:
    """The same optimizer, with which the tables on disk take a step too."""
    wanted = "a scorer with a table on disk is trained with"
    if optimizer != "adagrad":
        raise ProtocolError(f"optimizer: {wanted} optimizer='adagrad', whose sums it keeps, got {optimizer!r}")
    if checkpoint is None:
        raise ProtocolError(f"checkpoint: {wanted} a folder to resume from, since a kill would leave it half trained")
    if clip_norm is not None or str(precision).startswith("16"):
        raise ProtocolError(
            f"{wanted} unscaled gradients of its own, got clip_norm={clip_norm}, precision={precision!r}; "
            "expected clip_norm=None and a precision other than float16"
        )

    def stepping(parameters: Iterable[nn.Parameter]) -> Optimizer:
        made = make(parameters)

        def step_tables(made: Optimizer, *_: Any) -> None:
            job.step_tables(float(made.param_groups[0]["lr"]))

        made.register_step_post_hook(step_tables)
        return made

    return stepping


def _without_decay(make: Callable[[Iterable[nn.Parameter]], Optimizer]) -> Callable[..., Optimizer]:
    """The same, refusing what would move rows that have no gradient."""

    def checked(parameters: Iterable[nn.Parameter]) -> Optimizer:
        made = make(parameters)
        if any(group.get("weight_decay") for group in made.param_groups):
            raise ProtocolError(
                f"weight_decay: {type(made).__name__} would shrink the frozen rows of this scorer; expected 0"
            )
        return made

    return checked


def _require_row_access(scorer: Scorer, loss: Loss) -> None:
    if not isinstance(loss, Sampled) and getattr(loss, "negatives", None) is None:
        raise ProtocolError(
            f"loss: sparse tables are trained by sampled negatives, which look at few rows, got {type(loss).__name__}; "
            "pass loss='sampled', or CE(negatives=...)"
        )
    if type(scorer).candidates_at is Scorer.candidates_at:
        raise ProtocolError(
            f"{type(scorer).__name__} has no candidates_at of its own, so every step would use its whole table; "
            "use a table that is not sparse"
        )


def _validation(train: Statements, valid: Statements, size: int | None, seed: int) -> Evaluation:
    require_shared_vocabulary(train.vocabulary, [valid], "valid")
    if size is not None and size < 1:
        raise ProtocolError(f"valid_size: expected at least 1, got {size}")
    chosen = valid
    if size is not None and size < len(valid):
        order = torch.randperm(len(valid), generator=torch.Generator().manual_seed(seed))
        chosen = valid.select(order[:size].sort().values)
    return Evaluation(chosen, [train, valid])
