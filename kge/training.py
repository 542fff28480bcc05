"""1-N training of scorers over the distinct questions of a train set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ExponentialLR

from relgraph.data.statements import Statements
from relgraph.errors import ProtocolError
from relgraph.kge.evaluation import Evaluation
from relgraph.kge.known import require_shared_vocabulary
from relgraph.kge.questions import Position, Questions, ask, group_answers, question_keys
from relgraph.kge.scorers.base import Scorer
from relgraph.ops import one_to_n_loss
from relgraph.ops.tiles import Csr, csr_select
from relgraph.training import History
from relgraph.training import fit as run
from relgraph.training.engine import require_seed

__all__ = ["Batch", "LinkPredictionJob", "fit"]


class Batch(NamedTuple):
    """Distinct questions and all their answers."""

    questions: Questions
    answers: Csr

    @classmethod
    def of(cls, statements: Statements, positions: Sequence[Position], with_qualifiers: bool) -> Batch:
        """The questions of every statement at some positions, each distinct one once.

        Args:
            statements: What is known.
            positions: What is asked for.
            with_qualifiers: Whether qualifiers belong to a question; without them only main triples are left.
        """
        if not with_qualifiers:
            statements = replace(statements, qualifiers=None)
        asked = [ask(statements, position) for position in positions]
        questions = Questions.cat([part[0] for part in asked])
        key = question_keys(questions, with_qualifiers=with_qualifiers)
        num_keys = int(key.max()) + 1
        first = key.new_full((num_keys,), len(key)).scatter_reduce_(0, key, torch.arange(len(key)), "amin")
        return cls(questions.select(first), group_answers(key, torch.cat([part[1] for part in asked]), num_keys))

    def __len__(self) -> int:
        return len(self.questions)

    def select(self, index: Tensor) -> Batch:
        """Some of the questions, in the order of ``index``."""
        return Batch(self.questions.select(index), csr_select(self.answers, index))

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        ptr, index = self.answers
        return Batch(self.questions.to(device), (ptr.to(device), index.to(device)))


class LinkPredictionJob:
    """What :func:`fit` hands to :func:`relgraph.training.fit`: batches of questions, the 1-N loss, filtered MRR."""

    def __init__(
        self,
        scorer: Scorer,
        train: Statements,
        *,
        valid: Statements | None = None,
        valid_size: int | None = None,
        batch_size: int = 512,
        label_smoothing: float = 0.1,
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
        scorer.learn_from(train)
        self.questions = Batch.of(train, positions, scorer.reads_qualifiers)
        self.batch_size = batch_size
        self.label_smoothing = label_smoothing
        self.seed = seed
        self.evaluation = None if valid is None else _validation(train, valid, valid_size, seed)

    def num_batches(self) -> int:
        """Batches per epoch; the last one may be smaller."""
        return -(-len(self.questions) // self.batch_size)

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The questions in an order that depends on the seed and the epoch only, from batch ``start`` on."""
        shuffle = int(np.random.SeedSequence([self.seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))
        order = torch.randperm(len(self.questions), generator=torch.Generator().manual_seed(shuffle))
        for number in range(start, self.num_batches()):
            yield self.questions.select(order[number * self.batch_size : (number + 1) * self.batch_size])

    def loss(self, batch: Batch) -> Tensor:
        """The mean binary cross-entropy of all candidates for each question, summed over the scorer's terms."""
        candidates, candidate_bias = self.scorer.candidates()
        batch = batch.to(candidates.device)
        total = candidates.new_zeros(())
        for term in self.scorer.training_terms(batch.questions, batch.answers):
            bias = term.query_bias
            loss = one_to_n_loss(
                term.query.to(candidates.dtype),
                candidates,
                term.answers,
                query_bias=None if bias is None else bias.to(candidates.dtype),
                candidate_bias=candidate_bias,
                alpha=self.scorer.alpha,
                label_smoothing=self.label_smoothing,
            )
            total = total + term.weight * loss
        return total

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
    lr: float = 1e-3,
    decay: float = 1.0,
    label_smoothing: float = 0.1,
    loss: Literal["bce"] = "bce",
    positions: Sequence[Position] = ("head", "tail"),
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] | None = None,
    valid_size: int | None = None,
    validate_every: int = 5,
    patience: int | None = None,
    checkpoint: Path | str | None = None,
    checkpoint_every: int | None = None,
    resume: bool = True,
    max_seconds: float | None = None,
    clip_norm: float | None = None,
    seed: int = 0,
    accelerator: str = "auto",
    precision: Any = "32-true",
    progress: bool = True,
) -> History:
    """Train a scorer 1-N: each distinct ``(head, relation)``, inverses among them, against every entity.

    Qualifiers belong to a question if the scorer reads them, else they are ignored. A repeated fact counts once.
    Training is deterministic in ``seed`` on one device, and one that was killed goes on from ``checkpoint`` to the same
    end.

    Args:
        scorer: Built for the vocabulary of ``train``; it is trained in place.
        train: What is learnt.
        valid: What decides which epoch's parameters are kept, by filtered MRR (known: train and valid). Without it
            the last ones are.
        epochs: Passes over the questions.
        batch_size: Questions in a batch.
        lr: Learning rate of Adam.
        decay: Factor of the learning rate after every epoch.
        label_smoothing: See :func:`relgraph.ops.one_to_n_loss`.
        loss: ``"bce"``, binary cross-entropy on all candidates, is the only one so far.
        positions: What is asked for in training: ``"head"``, ``"tail"`` and, of scorers that read qualifiers,
            ``"qualifier"``.
        optimizer: Makes another optimizer than Adam; ``lr`` is then not used.
        valid_size: Validate on that many statements, drawn once by ``seed``; all by default.
        validate_every: Epochs between validations.
        patience: Stop after that many validations without a better MRR.
        checkpoint: Folder for checkpoints.
        checkpoint_every: Write one also after that many batches of an epoch.
        resume: Whether to go on from the checkpoint in that folder.
        max_seconds: Wall-clock budget; training stops after the batch that exceeds it.
        clip_norm: Largest norm of the gradient.
        seed: Of the order of batches, dropout and the drawn validation statements.
        accelerator: As in lightning.fabric.
        precision: As in lightning.fabric.
        progress: Whether to report on stderr.

    Returns:
        What happened, epoch by epoch.

    Raises:
        ProtocolError: If there is nothing to train on, or an argument makes no sense.
        BackendError: If the accelerator or the precision is unknown, or not available here.
        SchemaError: If the scorer or ``valid`` has another vocabulary than ``train``.
    """
    if loss != "bce":
        raise ProtocolError(f"loss: expected 'bce', got {loss!r}")
    if not 0 < decay <= 1:
        raise ProtocolError(f"decay: expected a factor in (0, 1], got {decay}")
    job = LinkPredictionJob(
        scorer,
        train,
        valid=valid,
        valid_size=valid_size,
        batch_size=batch_size,
        label_smoothing=label_smoothing,
        positions=positions,
        seed=seed,
    )
    return run(
        job,
        epochs=epochs,
        lr=lr,
        optimizer=optimizer,
        scheduler=None if decay == 1 else lambda made: ExponentialLR(made, decay),
        monitor=None if valid is None else "mrr",
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
            "label_smoothing": label_smoothing,
            "loss": loss,
            "positions": list(positions),
        },
        accelerator=accelerator,
        precision=precision,
        progress=progress,
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
