"""Baselines of recommendation: what is popular, and what the source was linked to before."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relgraph.baselines.bench import Bench, Predictions
from relgraph.baselines.past_links import Links
from relgraph.errors import ProtocolError
from relgraph.tasks.seeds import Split

__all__ = ["network", "past_visits", "popularity"]

_ASKED: tuple[Split, ...] = ("val", "test")
_HALF_LIVES = (0.5, 2.0, 8.0, 1e6)

Array = NDArray[np.int64]


def popularity(bench: Bench, seed: int, *, half_life: float | None = None) -> Predictions:
    """The same targets for all sources: those with the most links before the moment.

    Args:
        bench: The task.
        seed: Of no effect.
        half_life: After so many horizons a link counts half; ``None`` counts all alike.
    """
    return {
        split: _each_moment(
            bench, split, lambda node, links: np.repeat(_popular(bench, links, half_life), len(node), 0)
        )
        for split in _ASKED
    }


def past_visits(bench: Bench, seed: int) -> Predictions:
    """Targets that the source was linked to before, the often and lately visited first; then popular ones.

    A visit counts ``2 ** (-age / half_life)``; which half-life is chosen on validation.
    """

    def visits(split: Split, half_life: float) -> Tensor:
        return _each_moment(bench, split, lambda node, links: _visited(bench, node, links, half_life))

    best = max(_HALF_LIVES, key=lambda half_life: bench.score("val", visits("val", half_life)))
    return {split: visits(split, best) for split in _ASKED}


def network(bench: Bench, seed: int) -> Predictions:
    """The link model of :func:`relgraph.training.link.fit_links`; ``options["gnn"]`` are its settings."""
    from relgraph.training.entity import fit

    if bench.db is None:
        raise ProtocolError("links come from a database, but none is given")
    settings = {"seed": seed, "progress": bench.progress, **bench.options.get("gnn", {})}
    predictor = fit(bench.db, bench.graph, bench.task, **settings)
    asked = {split: bench.seeds[split] for split in _ASKED}
    return {split: predictor.rank(s.node, s.time, progress=bench.progress)[0] for split, s in asked.items()}


def _each_moment(bench: Bench, split: Split, rank: Callable[[Array, Links], Array]) -> Tensor:
    """Targets of all seeds of a split, int64 ``[n, k]``, asked moment by moment."""
    node, time = bench.seeds[split].node.numpy(), bench.times(split)
    out = np.full((len(node), bench.task.k), -1, dtype=np.int64)
    if time is None:
        bench.past_links.upto(0)  # which says why there is none
        return torch.from_numpy(out)
    for moment in torch.unique(time).tolist():
        rows = np.flatnonzero(time.numpy() == moment)
        found = rank(node[rows], bench.past_links.upto(moment))[:, : bench.task.k]
        out[rows, : found.shape[1]] = found
    return torch.from_numpy(out)


def _weights(age: Array, half_life: float | None) -> NDArray[np.float64]:
    return np.ones(len(age)) if half_life is None else np.exp2(-age / half_life)


def _popular(bench: Bench, links: Links, half_life: float | None, most: int | None = None) -> Array:
    """Targets by their links, the most first, the lower number of two, ``[1, at most k]``."""
    _, target, age = links
    size = bench.graph.nodes[bench.task.target_table].num_nodes
    count = np.bincount(target, _weights(age, half_life), minlength=size)
    order = np.argsort(-count, kind="stable")[: most or bench.task.k]
    return order[count[order] > 0][None, :]


def _visited(bench: Bench, node: Array, links: Links, half_life: float) -> Array:
    """Per source its own targets by weight, then popular ones that are not among them, ``[n, at most k]``."""
    k = bench.task.k
    source, target, age = links
    pair, place = np.unique(np.stack([source, target]), axis=1, return_inverse=True)
    weight = np.bincount(place.reshape(-1), _weights(age, half_life), minlength=pair.shape[1])
    order = np.lexsort((-weight, pair[0]))
    begin = np.searchsorted(pair[0], np.arange(int(max(node.max(initial=0), source.max(initial=0))) + 2))
    rank = np.arange(len(order)) - begin[pair[0][order]]
    own = np.full((len(begin), k), -1, dtype=np.int64)
    first = rank < k
    own[pair[0][order][first], rank[first]] = pair[1][order][first]
    chosen = own[node]
    popular = np.repeat(_popular(bench, links, None, 2 * k), len(node), axis=0)
    known = (popular[:, :, None] == chosen[:, None, :]).any(2)
    both = np.concatenate([chosen, np.where(known, -1, popular)], axis=1)
    return np.take_along_axis(both, np.argsort(both < 0, axis=1, kind="stable"), axis=1)[:, :k]
