"""Negative ends for links, none later than the link."""

from __future__ import annotations

import torch
from torch import Tensor

from relgraph.data.time import STATIC, format_time
from relgraph.errors import ProtocolError, ShapeError

__all__ = ["Candidates"]


class Candidates:
    """The nodes of one type in order of time, so that those known at a moment are a prefix.

    Args:
        name: The node type, for messages.
        num_nodes: How many there are.
        time: int64 ``[num_nodes]`` or ``None`` when all are static.
        device: Where negatives are drawn.
    """

    def __init__(self, name: str, num_nodes: int, time: Tensor | None, device: torch.device) -> None:
        self.name = name
        self.num_nodes = num_nodes
        self.order: Tensor | None = None
        self.time: Tensor | None = None
        self.earliest = STATIC
        if time is not None and num_nodes:
            moments, order = torch.sort(time.cpu(), stable=True)
            self.earliest = int(moments[0])
            self.time, self.order = moments.to(device), order.to(device)

    def pick(self, word: Tensor, moment: Tensor, weight: Tensor | None = None) -> Tensor:
        """A node for each random number, uniformly or by weight among those known at its moment.

        Args:
            word: Random numbers in ``[0, 2^63)``, int64 ``[N]``.
            moment: The latest time a node may have, inclusive, int64 ``[N]``.
            weight: Of every node, ``[num_nodes]``, at least 0; they need not sum to 1.

        Returns:
            Node numbers, int64 ``[N]``.

        Raises:
            ProtocolError: If no node, or none of positive weight, is known at some moment.
            ShapeError: If the weights have another length, or one is negative or not finite.
        """
        if word.numel() == 0:
            return word
        first = int(moment.min())
        if self.num_nodes == 0 or first < self.earliest:
            raise ProtocolError(
                f"negatives: no node of {self.name!r} is known at {format_time(first)}, so that no negative can be "
                "drawn for that link; leave such links out"
            )
        if self.time is None:
            known = torch.full_like(word, self.num_nodes)
        else:
            known = torch.searchsorted(self.time, moment, right=True)
        position = word % known if weight is None else self._weighted(word, known, weight.to(word.device))
        return position if self.order is None else self.order[position]

    def _weighted(self, word: Tensor, known: Tensor, weight: Tensor) -> Tensor:
        weight = weight.to(torch.float64).flatten()
        if weight.numel() != self.num_nodes:
            raise ShapeError(
                f"negatives: expected one weight for each of the {self.num_nodes} nodes of {self.name!r}, "
                f"got {weight.numel()}"
            )
        if not bool((weight.isfinite() & (weight >= 0)).all()):
            raise ShapeError(f"negatives: a weight of {self.name!r} is negative or not finite")
        sums = (weight if self.order is None else weight[self.order]).cumsum(0)
        total = sums[known - 1]
        if not bool((total > 0).all()):
            raise ProtocolError(f"negatives: all nodes of {self.name!r} known at the time of some link have weight 0")
        u = ((word >> 11) * 2 + 1).to(torch.float64) * 2.0**-53
        # rounding may bring u * total up to the total itself: no further than the last node of positive weight
        return torch.minimum(torch.searchsorted(sums, u * total, right=True), torch.searchsorted(sums, total))
