"""Training on a whole graph with the consistency of Feng et al. 2020, *GRAND* (arXiv 2005.11079)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from relgraph.errors import BackendError, ProtocolError
from relgraph.sampling.whole import WholeGraph
from relgraph.tasks import Seeds
from relgraph.training.job import EntityJob
from relgraph.training.predictor import EntityPredictor

__all__ = ["ConsistentJob", "disagreement"]

_PASSES = 2


def disagreement(outputs: Sequence[Tensor], temperature: float = 0.5) -> Tensor:
    r"""How far the predictions of several passes are from their sharpened mean (eq. 3 to 5 of the paper).

    .. math:: \frac{1}{S N} \sum_{s, v} \lVert p^{(s)}_v - \bar{p}'_v \rVert^2, \qquad
        \bar{p}'_{vc} \propto \Big(\frac{1}{S} \sum_s p^{(s)}_{vc}\Big)^{1 / T}

    The mean is taken as given: no gradient flows through it.

    Args:
        outputs: Raw outputs of each pass, ``[N, classes]``.
        temperature: :math:`T`; the smaller, the surer the mean is made.
    """
    passes = torch.stack([out.softmax(1) for out in outputs])
    sharp = passes.detach().mean(0) ** (1 / temperature)
    sharp = sharp / sharp.sum(1, keepdim=True)
    return (passes - sharp).square().sum(2).mean()


class ConsistentJob(EntityJob):
    """An :class:`EntityJob` on the whole graph whose batches hold all nodes, the training seeds first.

    Args:
        predictor: What is trained; its task is multiclass, and it reads whole graphs.
        train: Training seeds.
        valid: Validation seeds.
        seed: Of the order of the training seeds.
        encoder_l2: As in :func:`relgraph.training.entity.fit_rows`.
        consistency: Weight of :func:`disagreement` beside the mean loss of the passes.

    Raises:
        ProtocolError: If the task is another, the graph is sampled, or seeds have columns of their own.
    """

    def __init__(
        self,
        predictor: EntityPredictor,
        train: Seeds,
        valid: Seeds,
        seed: int = 0,
        encoder_l2: float = 0.0,
        consistency: float = 1.0,
    ) -> None:
        task, whole = predictor.task, isinstance(predictor.sampler, WholeGraph)
        if task.kind != "multiclass" or not whole or predictor.seed_columns is not None:
            raise ProtocolError(
                "consistency: expected a multiclass task, num_neighbors=None and no seed_features, got "
                f"a {task.kind} task, {'the whole graph' if whole else 'a sampler'} and "
                f"{'no' if predictor.seed_columns is None else 'some'} seed_features"
            )
        super().__init__(predictor, train, valid, seed, encoder_l2=encoder_l2)
        self._consistency = consistency
        labelled = torch.zeros(predictor.graph.nodes[task.entity_table].num_nodes, dtype=torch.bool)
        labelled[train.node] = True
        self._others = torch.nonzero(~labelled).squeeze(1)

    def divide(self, rank: int, size: int) -> None:
        """Nodes agree with themselves in one pass over all of them: there are no shares.

        Raises:
            BackendError: Always.
        """
        raise BackendError("consistency: a whole graph is trained in one process: start it with python, not torchrun")

    def batches(self, epoch: int, start: int = 0) -> Iterator[HeteroData]:
        """One batch with every node."""
        node = torch.cat([self.train.node, self._others])
        if start == 0:
            yield from self.predictor.loader(node, None, torch.arange(node.numel()))

    def loss(self, batch: HeteroData) -> Tensor:
        """The loss of the training seeds, the penalty on the encoders, and the disagreement about all nodes."""
        outputs = [self.model(batch) for _ in range(_PASSES)]
        size = len(self.train)
        fit = torch.stack([self.label_loss(out[:size], self.train.label) for out in outputs]).mean()
        return fit + self.penalty() + self._consistency * disagreement(outputs)
