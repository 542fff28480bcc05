"""Rows of a table without time happen with the rows they refer to: an invoice's line with the invoice."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from relgraph.data.arrays import PIECE, Arrays
from relgraph.data.graph import EdgeStore, EdgeType
from relgraph.data.time import STATIC

__all__ = ["inherit_times"]


def inherit_times(
    times: Mapping[str, Tensor | None],
    edges: Mapping[EdgeType, EdgeStore],
    num_nodes: Mapping[str, int],
    arrays: Arrays | None = None,
) -> dict[str, tuple[Tensor, tuple[str, ...]]]:
    """Times for tables that have none, from the tables that their foreign keys refer to, over any number of steps.

    A row gets the latest time of all rows it refers to: it cannot have been known before any of them. A row that
    refers to no timed row stays ``STATIC``. References of a table to itself count for nothing.

    Args:
        times: Per table its own time, int64 ``[rows]`` microseconds, or ``None``.
        edges: The foreign keys as edges.
        num_nodes: Rows per table.
        arrays: Where the times lie; memory by default.

    Returns:
        Per table that inherits: its time, int64 ``[rows]``, and the tables it comes from.
    """
    arrays = arrays or Arrays()
    found: dict[str, Tensor] = {}
    sources: dict[str, tuple[str, ...]] = {}
    changed = {name for name, own in times.items() if own is not None}
    for _ in times:  # a time travels one table per round
        before, news = dict(found), changed
        changed = set()
        for table, own in times.items():
            if own is not None:
                continue
            targets = [
                (edge_type[2], edge.edge_index)
                for edge_type, edge in edges.items()
                if edge_type[0] == table != edge_type[2] and (times[edge_type[2]] is not None or edge_type[2] in before)
            ]
            if not any(target in news for target, _ in targets):
                continue
            latest = arrays.full((num_nodes[table],), STATIC, torch.int64)
            for target, (row, place) in targets:
                given = times[target]
                known = before[target] if given is None else given
                for start in range(0, row.numel(), PIECE):
                    some = row[start : start + PIECE]
                    latest[some] = torch.maximum(latest[some], known[place[start : start + PIECE]])
            found[table], sources[table] = latest, tuple(dict.fromkeys(target for target, _ in targets))
            if table not in before or not torch.equal(latest, before[table]):
                changed.add(table)
        if not changed:
            break
    return {name: (time, sources[name]) for name, time in found.items()}
