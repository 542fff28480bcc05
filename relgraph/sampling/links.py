"""Links as seeds: their two ends, their negatives, and what PyG's ``LinkLoader`` expects to be told about them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch_geometric.sampler import NegativeSampling

from relgraph.data.graph import EdgeType, NodeType, reverse_type
from relgraph.sampling.engine_tensor import Sample
from relgraph.sampling.hashing import link_state, negative_draw
from relgraph.sampling.negatives import Candidates

__all__ = ["Links", "with_negatives", "without_own_edges"]


@dataclass(frozen=True, eq=False)
class Links:
    """The ends of a batch of links and of their negatives.

    The first ``positives`` sources and targets are those of the links; negative ``i`` belongs to link
    ``i % positives``. Every end is a seed with a subgraph of its own.

    Args:
        kind: ``(source type, relation, target type)``.
        positives: How many links there are.
        source: Source nodes, then negative ones (mode ``"binary"``), int64.
        target: Target nodes, then negative ones, int64.
        neg_sampling: PyG's description of the negatives, or ``None``.
    """

    kind: EdgeType
    positives: int
    source: Tensor
    target: Tensor
    neg_sampling: NegativeSampling | None = None

    @property
    def joint(self) -> bool:
        """Whether both ends are of one node type."""
        return self.kind[0] == self.kind[2]

    @property
    def seeds(self) -> dict[NodeType, Tensor]:
        """All ends by node type; the sources first where both are of one type."""
        if self.joint:
            return {self.kind[0]: torch.cat([self.source, self.target])}
        return {self.kind[0]: self.source, self.kind[2]: self.target}

    @property
    def link(self) -> Tensor:
        """The link that each seed belongs to, sources before targets, int64."""
        ends = (torch.arange(end.numel(), device=end.device) for end in (self.source, self.target))
        return torch.cat(list(ends)) % max(self.positives, 1)

    def repeat(self, value: Tensor, end: Tensor) -> Tensor:
        """A value of each link for each source or target, negatives too."""
        return value[torch.arange(end.numel(), device=value.device) % max(self.positives, 1)]

    def metadata(self, input_id: Tensor, label: Tensor | None, time: Tensor | None) -> tuple[Any, ...]:
        """What PyG's ``LinkLoader`` takes from a sampler's output, by its mode of negatives."""
        size = self.source.numel()
        device = self.source.device
        offset = size if self.joint else 0  # of the targets among the seeds of their type
        if self.neg_sampling is None or self.neg_sampling.is_binary():
            place = torch.arange(size, device=device)
            if self.neg_sampling is not None:
                label = torch.ones(self.positives, device=device) if label is None else label
                label = torch.cat([label, label.new_zeros(size - self.positives, *label.shape[1:])])
            moment = None if time is None else self.repeat(time, self.source)
            return input_id, torch.stack([place, place + offset]), label, moment
        place = offset + torch.arange(self.target.numel(), device=device).view(-1, max(self.positives, 1))
        negative = place[1:].t()  # [positives, amount]
        return input_id, place[0] - offset, place[0], negative.squeeze(1) if negative.size(1) == 1 else negative, time


def with_negatives(
    links: Links, candidates: Mapping[NodeType, Candidates], state: Tensor, target_type: int, known: Tensor
) -> Links:
    """Draw the negatives: random pairs (``"binary"``) or random targets (``"triplet"``), some of them perhaps true.

    Args:
        links: Links without negatives yet.
        candidates: Of the node types of both ends.
        state: State of the source of each link, int64 ``[B]``.
        target_type: Position of the target's node type in the graph.
        known: The latest time a negative of each link may have, inclusive, int64 ``[B]``.

    Raises:
        ProtocolError: If nothing can be drawn for a link.
        ShapeError: If weights do not fit.
    """
    how = links.neg_sampling
    if how is None:
        return links
    number = torch.arange(math.ceil(links.positives * how.amount), device=state.device)
    link, number = number % max(links.positives, 1), number // max(links.positives, 1)
    state = link_state(state, target_type, links.target)[link]
    source = links.source
    if how.is_binary():
        drawn = candidates[links.kind[0]].pick(negative_draw(state, 0, number), known[link], how.src_weight)
        source = torch.cat([source, drawn])
    drawn = candidates[links.kind[2]].pick(negative_draw(state, 1, number), known[link], how.dst_weight)
    return replace(links, source=source, target=torch.cat([links.target, drawn]))


def without_own_edges(sample: Sample, links: Links, num_nodes: Mapping[NodeType, int]) -> Sample:
    """The sample without the edges of the links' own type that join the two ends of the link whose subgraph it is.

    Negatives count as links. Where both ends are of one node type, edges are dropped whichever way they point.
    """
    source_type, _, target_type = links.kind
    size = max(num_nodes[source_type], num_nodes[target_type], 1)
    sources, link = links.source.numel(), links.link
    node = torch.cat([links.source, links.target])
    # the seeds that are sources and targets of one pair each
    if sources == links.target.numel():
        first, second = (
            torch.arange(sources, device=node.device),
            torch.arange(sources, node.numel(), device=node.device),
        )
    else:
        second = torch.arange(sources, node.numel(), device=node.device)
        first = link[second]
    partners = torch.cat([first * size + node[second], second * size + node[first]])
    changed = {}
    for kind in (links.kind, reverse_type(links.kind)):
        if kind not in sample.row or kind in changed:
            continue
        row, col = sample.row[kind], sample.col[kind]
        seed = sample.batch[kind[0]][row]
        ends = [sample.node[kind[0]][row], sample.node[kind[2]][col]]
        ways = [ends, ends[::-1]] if links.joint else [ends if kind == links.kind else ends[::-1]]
        own = torch.zeros_like(row, dtype=torch.bool)
        for start, end in ways:
            mine = torch.where(seed < sources, start, end)
            other = torch.where(seed < sources, end, start)
            own |= (mine == node[seed]) & torch.isin(seed * size + other, partners)
        changed[kind] = ~own
    hops = {
        kind: torch.repeat_interleave(torch.tensor(sample.num_edges[kind], dtype=torch.int64)).to(keep.device)
        for kind, keep in changed.items()
    }
    return replace(
        sample,
        row={**sample.row, **{kind: sample.row[kind][keep] for kind, keep in changed.items()}},
        col={**sample.col, **{kind: sample.col[kind][keep] for kind, keep in changed.items()}},
        edge={**sample.edge, **{kind: sample.edge[kind][keep] for kind, keep in changed.items()}},
        num_edges={
            **sample.num_edges,
            **{
                kind: torch.bincount(hops[kind][keep], minlength=len(sample.num_edges[kind])).tolist()
                for kind, keep in changed.items()
            },
        },
    )
