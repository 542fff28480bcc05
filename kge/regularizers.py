"""Penalties on the rows that a batch uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from relgraph.errors import ProtocolError
from relgraph.kge.scorers.base import Scorer
from relgraph.ops.tiles import csr_rows

if TYPE_CHECKING:
    from relgraph.kge.batches import Batch

__all__ = ["N3", "Regularizer"]


class Regularizer(Protocol):
    """What is added to the loss of a batch."""

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """A scalar."""
        ...

    def settings(self) -> dict[str, Any]:
        """What must be the same for a training to be resumed: JSON values."""
        ...


@dataclass(frozen=True)
class N3:
    r"""The nuclear 3-norm (Lacroix et al. 2018, arXiv 1806.07297).

    .. math:: \frac{\lambda}{n} \sum_{(q, t)} \sum_{f} \lVert f(q, t) \rVert_3^3

    over the ``n`` pairs of a question and one of its answers in a batch, and the factors of each: entity, relation and
    answer rows, as :meth:`Scorer.factors <relgraph.kge.Scorer.factors>` gives them. The paper's :math:`\lambda / 3`
    is this :math:`\lambda`.

    Args:
        weight: :math:`\lambda`, above 0.
    """

    weight: float

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ProtocolError(f"N3: expected a weight above 0, got {self.weight!r}; leave it out for none")

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """The penalty of a batch."""
        ptr, answer = batch.answers
        factors = scorer.factors(batch.questions.select(csr_rows(ptr)), answer)
        norms = [factor.abs().pow(3).sum() for factor in factors]
        return self.weight * batch.pair_weight / max(len(answer), 1) * torch.stack(norms).sum()

    def settings(self) -> dict[str, Any]:
        """Kind and weight."""
        return {"kind": "N3", "weight": self.weight}
