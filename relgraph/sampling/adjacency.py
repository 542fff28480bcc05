"""Neighbours in order of time: what a moment may see is a prefix of each row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relgraph.data.graph import EdgeType, HeteroGraph, reverse_type
from relgraph.data.time import STATIC, UNKNOWN

__all__ = ["Adjacency"]


@dataclass(frozen=True, eq=False)
class Adjacency:
    """One direction of one edge type as CSR by target; the neighbours of a row are sorted by time.

    Edges of equal time keep the order in which they are stored.

    Args:
        edge_type: ``(source type, relation, target type)``; messages flow from source to target.
        number: What the edge type is called in :mod:`relgraph.sampling.hashing`.
        ptr: Where the neighbours of each target start, int64 ``[targets + 1]``.
        source: Source nodes, int64 ``[E]``.
        edge: Number of the stored edge, int64 ``[E]``; the ``rev_`` direction refers to the same numbers.
        time: When each became known, int64 ``[E]`` microseconds, or ``None`` when all are static.
        settled: Whether no edge is known to be later than its target, so that all edges of what is visible are, too.
    """

    edge_type: EdgeType
    number: int
    ptr: Tensor
    source: Tensor
    edge: Tensor
    time: Tensor | None
    settled: bool = False

    @classmethod
    def from_graph(
        cls, graph: HeteroGraph, edge_type: EdgeType, reverse: bool = False, device: torch.device | str = "cpu"
    ) -> Adjacency:
        """Sort the edges of a stored type, or of its opposite direction, by target and time."""
        store = graph.edges[edge_type]
        source, target = store.edge_index.unbind(0)[:: -1 if reverse else 1]
        time = graph.edge_time(edge_type)
        num_targets = graph.nodes[edge_type[0] if reverse else edge_type[2]].num_nodes
        # a key has one edge per row, so that one end of it mostly counts the edges
        count = next((row for row in (target, source) if _counts(row)), None)
        order, time = (None, time) if target is count else _order(target, time)
        if order is None:
            edge = torch.arange(store.num_edges) if count is None else count
        else:
            source, edge = order if source is count else source[order], order
        if target is count and num_targets == store.num_edges:
            ptr = torch.arange(num_targets + 1)
        else:
            ptr = torch.zeros(num_targets + 1, dtype=torch.int64)
            torch.cumsum(torch.bincount(target, minlength=num_targets), 0, out=ptr[1:])
        known = graph.nodes[edge_type[0] if reverse else edge_type[2]].time
        settled = time is not None and known is not None and _none_later(time, known, ptr)
        return cls(
            edge_type=reverse_type(edge_type) if reverse else edge_type,
            number=2 * list(graph.edges).index(edge_type) + int(reverse),
            ptr=ptr.to(device),
            source=source.to(device),
            edge=edge.to(device),
            time=None if time is None else time.to(device),
            settled=settled,
        )

    @cached_property
    def max_degree(self) -> int:
        """The longest row."""
        return int((self.ptr[1:] - self.ptr[:-1]).max()) if self.ptr.numel() > 1 else 0

    def visible(self, node: Tensor, time: Tensor) -> Tensor:
        """How many neighbours of each target are known at a moment: the length of the visible prefix of its row.

        A binary search in all rows at once.

        Args:
            node: Targets, int64 ``[F]``.
            time: The moment of each, inclusive, int64 ``[F]`` microseconds.

        Returns:
            int64 ``[F]``.
        """
        start, low, high = self.ptr[node], self.ptr[node], self.ptr[node + 1]
        if self.time is None or self.time.numel() == 0:
            return high - start
        for _ in range(self.max_degree.bit_length()):
            middle = (low + high) >> 1
            searching = low < high
            known = self.time[middle.clamp(max=self.time.numel() - 1)] <= time
            low = torch.where(searching & known, middle + 1, low)
            high = torch.where(searching & ~known, middle, high)
        return low - start


def _order(target: Tensor, time: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """The stable order of edges by target, then time, and the times in it; no order where the edges stand in it."""
    if _in_order(target, time):
        return None, time
    packed = _sort_packed(target, time)
    if packed is not None:
        return packed
    # two stable sorts: by time first, then by target
    order = torch.arange(target.numel()) if time is None else torch.argsort(time, stable=True)
    order = order[torch.argsort(target[order], stable=True)]
    return order, None if time is None else time[order]


def _in_order(target: Tensor, time: Tensor | None) -> bool:
    if target.numel() < 2:
        return True
    step = target.diff()
    least = int(step.min())
    if least != 0 or time is None:
        return least >= 0
    return bool(((step > 0) | (time[1:] >= time[:-1])).all())


def _none_later(time: Tensor, known: Tensor, ptr: Tensor) -> bool:
    """Whether the last edge of every target is no later than the target itself."""
    if ptr.numel() == time.numel() + 1 and _counts(ptr):
        return bool((time <= known).all())
    some = ptr[1:] > ptr[:-1]
    return bool((time[ptr[1:][some] - 1] <= known[some]).all())


def _counts(values: Tensor) -> bool:
    """Whether they are 0, 1, 2, ..."""
    number = values.numel()
    return bool(number) and int(values[-1]) == number - 1 and torch.equal(values, torch.arange(number))


def _sort_packed(target: Tensor, time: Tensor | None) -> tuple[Tensor, Tensor | None] | None:
    """The same by plainly sorting numbers that hold target, time and place, in a fraction of the time of an argsort.

    Where 63 bits are too few, the last bits of the time are left out, and what they would have told apart is sorted
    once more.

    Returns:
        ``None`` where that does not pay.
    """
    bits = (target.numel() - 1).bit_length()
    room = 63 - bits - int(target.max()).bit_length()
    if room < 0:
        return None
    packed = np.left_shift(target.numpy(), room)
    dropped = 0
    if time is not None:
        moment = _count_from_zero(time)
        if moment is None:
            return None
        dropped = max(int(moment.max()).bit_length() - room, 0)
        packed |= np.right_shift(moment, dropped, out=moment)
        del moment
    packed <<= bits
    packed |= np.arange(len(packed))
    packed.sort()
    order = packed & ((1 << bits) - 1)
    if time is None:
        return torch.from_numpy(order), None
    given = time[torch.from_numpy(order)]
    if dropped and not _sort_again(order, given.numpy(), np.right_shift(packed, bits, out=packed)):
        return None
    return torch.from_numpy(order), given


def _sort_again(order: NDArray[np.int64], time: NDArray[np.int64], group: NDArray[np.int64]) -> bool:
    """Bring the groups of edges whose times do not rise into order, in place; ``False`` where that is too much."""
    falls = np.flatnonzero((group[1:] == group[:-1]) & (time[1:] < time[:-1]))
    wrong = np.unique(group[falls])
    start, end = np.searchsorted(group, wrong), np.searchsorted(group, wrong, side="right")
    sizes = end - start
    if sizes.sum() > len(order) // 4:
        return False
    places = np.arange(sizes.sum()) + np.repeat(start - np.cumsum(sizes) + sizes, sizes)
    right = places[np.lexsort((order[places], time[places], group[places]))]
    order[places], time[places] = order[right], time[right]
    return True


def _count_from_zero(time: Tensor) -> NDArray[np.int64] | None:
    """Times as numbers from 0 on in the same order; ``None`` where they lie too far apart."""
    low, high = int(time.min()), int(time.max())
    values: NDArray[np.int64] = time.numpy()
    if low > STATIC and high < UNKNOWN:
        return values - low if high - low < 2**62 else None
    known = time[(time != STATIC) & (time != UNKNOWN)]
    low, high = (int(known.min()), int(known.max())) if known.numel() else (0, 0)
    if high - low >= 2**62:
        return None
    # a place before the known times is for static edges, one behind for those never seen
    moment: NDArray[np.int64] = np.clip(values, low, high) - (low - 1)
    moment[values == STATIC] = 0
    moment[values == UNKNOWN] = high - low + 2
    return moment
