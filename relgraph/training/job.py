"""The training of an entity model: its batches, its loss, its validation."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from relgraph.errors import ProtocolError
from relgraph.tasks import Seeds
from relgraph.training.outputs import RegressionLoss, to_loss
from relgraph.training.predictor import EntityPredictor

__all__ = ["EntityJob"]


class EntityJob:
    """The training of an :class:`EntityPredictor` as :func:`relgraph.training.engine.fit` drives it.

    Args:
        predictor: What is trained.
        train: Training seeds.
        valid: Validation seeds.
        seed: Of the order of the training seeds.
        max_batches: Batches per epoch at most.
        loss: Of a regression.
        weight: How much more positive labels count, ``[labels]``.
        encoder_l2: As in :func:`relgraph.training.entity.fit_rows`.
    """

    def __init__(
        self,
        predictor: EntityPredictor,
        train: Seeds,
        valid: Seeds,
        seed: int = 0,
        max_batches: int | None = None,
        loss: RegressionLoss = "l1",
        weight: Tensor | None = None,
        encoder_l2: float = 0.0,
    ) -> None:
        self.predictor = predictor
        self.model = predictor.model
        self.train = train
        self.valid = valid
        self.seed = seed
        self.max_batches = max_batches
        self._loss: RegressionLoss = loss
        self._weight = weight
        self._encoder_l2 = encoder_l2
        self._part = (0, 1)
        self._train_x = predictor.seed_matrix(train.node, train.time)
        self._valid_x = predictor.seed_matrix(valid.node, valid.time)

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
        rank, parts = self._part
        if parts > 1:
            order = torch.cat([batch[rank::parts] for batch in torch.split(order, size)])
            size = len(range(rank, size, parts))
        time = None if self.train.time is None else self.train.time[order]
        yield from self.predictor.loader(self.train.node[order], time, order, batch_size=size)

    def divide(self, rank: int, size: int) -> None:
        """Give of every batch the rows of one process of several."""
        if self.predictor.batch_size < size:
            raise ProtocolError(
                f"batch_size: expected a row for each of {size} processes, got {self.predictor.batch_size}"
            )
        self._part = (rank, size)

    def num_rows(self, batch: HeteroData) -> int:
        """The seeds of a batch."""
        return int(batch[self.predictor.task.entity_table].input_id.numel())

    def loss(self, batch: HeteroData) -> Tensor:
        """The loss of the labels and the penalty on the encoders."""
        rows = batch[self.predictor.task.entity_table].input_id.cpu()
        out = self.model(batch, None if self._train_x is None else self._train_x[rows].to(self.predictor.device))
        return self.label_loss(out, self.train.label[rows]) + self.penalty()

    def label_loss(self, out: Tensor, label: Tensor) -> Tensor:
        """See :func:`relgraph.training.outputs.to_loss`."""
        predictor = self.predictor
        return to_loss(predictor.task.kind, out, label, predictor.scale, self._loss, self._weight)

    def penalty(self) -> Tensor:
        """Half of ``encoder_l2`` times the squared parameters of the table encoders."""
        if not self._encoder_l2:
            return torch.zeros((), device=self.predictor.device)
        squares = [parameter.square().sum() for parameter in self.model.encoder.parameters()]
        return self._encoder_l2 / 2 * torch.stack(squares).sum()

    def validate(self) -> dict[str, float]:
        """The task's metrics on the validation seeds."""
        scores = self.predictor.scores(self.valid.node, self.valid.time, seed_x=self._valid_x)
        return self.predictor.task.metrics(self.valid.label, scores)
