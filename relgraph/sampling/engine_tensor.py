r"""The sampler in tensor operations, on any device: the specification that other engines are held to.

Each seed has a subgraph of its own. A node enters it once and is expanded once, at the hop where it was first
reached. Of the :math:`n` neighbours that a node has within the visible time, :math:`k' = \min(k, n)` are taken. The
strategy says which:

* ``"last"``: the last ones.
* ``"uniform"``: by systematic sampling (Madow 1949) the positions

  .. math:: \lfloor (r + i\,n) / k' \rfloor, \quad i = 0, \dots, k' - 1, \qquad r = \text{draw} \bmod n,

  which are distinct and have inclusion probability exactly :math:`k'/n`; ``draw`` is defined in
  :mod:`relgraph.sampling.hashing`.
* ``"decayed"``: without replacement with weights that halve with every half-life of age, as
  :mod:`relgraph.sampling.decay` specifies.

All of it is integer arithmetic, and for ``"decayed"`` single IEEE operations on float64 in a fixed order, so every
device and engine gives the same answer.

Seeds may be of several node types (the two ends of links); they are numbered ``0..B - 1`` through all of them, type
after type in the order of ``seeds``. Nodes of a type are numbered by hop, then seed, then node number; the seeds of the
type come first in their own order. Edges of a type are listed by hop, then by the number of their target, then by time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from relgraph.data.graph import EdgeType, NodeType
from relgraph.sampling.adjacency import Adjacency
from relgraph.sampling.decay import decayed
from relgraph.sampling.hashing import draw

__all__ = ["Sample", "sample"]


@dataclass(frozen=True, eq=False)
class Sample:
    """The subgraphs of a batch of seeds, side by side.

    Args:
        node: Node numbers in the graph per node type.
        batch: The seed each node belongs to, ``0..B - 1``.
        row: Source of each edge, as a position in ``node[source type]``.
        col: Target of each edge, as a position in ``node[target type]``.
        edge: Number of the stored edge.
        num_nodes: Nodes per type: the seeds, then those found by each hop.
        num_edges: Edges per type and hop.
    """

    node: dict[NodeType, Tensor]
    batch: dict[NodeType, Tensor]
    row: dict[EdgeType, Tensor]
    col: dict[EdgeType, Tensor]
    edge: dict[EdgeType, Tensor]
    num_nodes: dict[NodeType, list[int]]
    num_edges: dict[EdgeType, list[int]]


class _Found:
    """The nodes of one type found so far; a node of a seed is the one integer ``seed * size + node``."""

    def __init__(self, size: int, device: torch.device) -> None:
        self.size = max(size, 1)
        self.hops: list[Tensor] = []  # keys in the order of their local numbers, one tensor per hop
        self.total = 0
        self._sorted = torch.empty(0, dtype=torch.int64, device=device)
        self._number = self._sorted

    def add(self, keys: Tensor) -> None:
        """Number the keys not seen before, as the nodes of the next hop."""
        keys = torch.unique(keys)
        if self._sorted.numel():
            place = torch.searchsorted(self._sorted, keys).clamp_(max=self._sorted.numel() - 1)
            keys = keys[self._sorted[place] != keys]
        number = torch.arange(self.total, self.total + keys.numel(), device=keys.device)
        self._sorted, order = torch.sort(torch.cat([self._sorted, keys]))
        self._number = torch.cat([self._number, number])[order]
        self.total += keys.numel()
        self.hops.append(keys)

    def number(self, keys: Tensor) -> Tensor:
        """Local numbers of keys that have been added."""
        return self._number[torch.searchsorted(self._sorted, keys)]


def sample(
    adjacencies: Sequence[Adjacency],
    num_nodes: Mapping[NodeType, int],
    seeds: Mapping[NodeType, Tensor],
    visible: Tensor,
    state: Tensor,
    num_neighbors: Mapping[EdgeType, Sequence[int]],
    strategy: str = "uniform",
    half_life: int = 1,
) -> Sample:
    """Sample the subgraphs of a batch of seeds.

    Args:
        adjacencies: The edge types to follow, each in one direction.
        num_nodes: Nodes of the graph per type.
        seeds: Seeds per node type, int64 ``[B_type]``, :math:`B` in all; each is in its subgraph whatever its own time.
        visible: The latest moment each seed may see, inclusive, int64 ``[B]``, at most ``UNKNOWN - 1``.
        state: Where each seed's random numbers start, int64 ``[B]``, from :func:`relgraph.sampling.hashing.seed_state`.
        num_neighbors: Per edge type the fan-out of each hop; -1 takes all that is visible.
        strategy: ``"uniform"``, ``"last"`` or ``"decayed"``.
        half_life: For ``"decayed"``, in microseconds, 1 to :data:`relgraph.sampling.decay.LONGEST_HALF_LIFE`.

    Returns:
        The sample, on the device of ``visible``.
    """
    empty = visible[:0]
    found = {name: _Found(size, visible.device) for name, size in num_nodes.items()}
    start, first = {}, 0
    for name, node in seeds.items():
        number = torch.arange(first, first + node.numel(), device=visible.device)
        start[name] = number * found[name].size + node
        first += node.numel()
    for name, nodes in found.items():
        nodes.add(start.get(name, empty))
    parts: dict[EdgeType, list[tuple[Tensor, Tensor, Tensor]]] = {a.edge_type: [] for a in adjacencies}
    hops = max((len(fan_out) for fan_out in num_neighbors.values()), default=0)
    for hop in range(hops):
        step = {}
        for adjacency in adjacencies:
            source_type, _, target_type = adjacency.edge_type
            targets = found[target_type].hops[hop]
            batch, target = targets // found[target_type].size, targets % found[target_type].size
            fan_out = num_neighbors[adjacency.edge_type][hop]
            base = draw(state[batch], hop, adjacency.number, target)
            owner, slot = _choose(adjacency, target, visible[batch], base, fan_out, strategy, half_life)
            before = found[target_type].total - targets.numel()
            keys = batch[owner] * found[source_type].size + adjacency.source[slot]
            step[adjacency.edge_type] = (keys, owner + before, adjacency.edge[slot])
        for name, nodes in found.items():
            reached = [keys for (source_type, _, _), (keys, _, _) in step.items() if source_type == name]
            nodes.add(torch.cat(reached) if reached else empty)
        for edge_type, (keys, col, edge) in step.items():
            parts[edge_type].append((found[edge_type[0]].number(keys), col, edge))
    return _assemble(found, parts, empty)


def _choose(
    adjacency: Adjacency, target: Tensor, visible: Tensor, base: Tensor, fan_out: int, strategy: str, half_life: int
) -> tuple[Tensor, Tensor]:
    """Pick neighbours: for each the position of its target in ``target`` and its slot in the adjacency."""
    known = adjacency.visible(target, visible)
    taken = known if fan_out < 0 else known.clamp(max=fan_out)
    owner = torch.repeat_interleave(taken)
    step = torch.arange(owner.numel(), device=owner.device) - (taken.cumsum(0) - taken)[owner]
    if strategy == "last":
        position = (known - taken)[owner] + step
    elif strategy == "uniform":
        start = base % known.clamp(min=1)
        position = (start[owner] + step * known[owner]) // taken[owner]
    else:
        position = step
        drawn = (taken < known) & (taken > 0)
        position[drawn[owner]] = decayed(adjacency, target[drawn], known[drawn], taken[drawn], base[drawn], half_life)
    return owner, adjacency.ptr[target[owner]] + position


def _assemble(
    found: dict[NodeType, _Found], parts: dict[EdgeType, list[tuple[Tensor, Tensor, Tensor]]], empty: Tensor
) -> Sample:
    keys = {name: torch.cat(nodes.hops) for name, nodes in found.items()}
    joined = {
        edge_type: [torch.cat([empty, *column]) for column in zip(*hops, strict=True)] if hops else [empty] * 3
        for edge_type, hops in parts.items()
    }
    return Sample(
        node={name: keys[name] % nodes.size for name, nodes in found.items()},
        batch={name: keys[name] // nodes.size for name, nodes in found.items()},
        row={edge_type: columns[0] for edge_type, columns in joined.items()},
        col={edge_type: columns[1] for edge_type, columns in joined.items()},
        edge={edge_type: columns[2] for edge_type, columns in joined.items()},
        num_nodes={name: [hop.numel() for hop in nodes.hops] for name, nodes in found.items()},
        num_edges={edge_type: [row.numel() for row, _, _ in hops] for edge_type, hops in parts.items()},
    )
