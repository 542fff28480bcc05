"""Rows of a table without time happen with the rows they refer to: an invoice's line with the invoice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from relgraph.data.arrays import PIECE, Arrays
from relgraph.data.graph import EdgeStore, EdgeType
from relgraph.data.sql import quote
from relgraph.data.time import STATIC, UNKNOWN

if TYPE_CHECKING:
    import duckdb

    from relgraph.data.database import Database

__all__ = ["inherit_times", "later_rows"]


def inherit_times(
    times: Mapping[str, Tensor | None],
    edges: Mapping[EdgeType, EdgeStore],
    num_nodes: Mapping[str, int],
    arrays: Arrays | None = None,
    later: Mapping[str, Tensor] | None = None,
) -> dict[str, tuple[Tensor, tuple[str, ...]]]:
    """Times for tables that have none, from the tables that their foreign keys refer to, over any number of steps.

    A row gets the latest time of all rows it refers to: it cannot have been known before any of them. A row that
    refers to no timed row stays ``STATIC``. References of a table to itself count for nothing.

    Args:
        times: Per table its own time, int64 ``[rows]`` microseconds, or ``None``.
        edges: The foreign keys as edges.
        num_nodes: Rows per table.
        arrays: Where the times lie; memory by default.
        later: What :func:`later_rows` gave; these rows become ``UNKNOWN``.

    Returns:
        Per table that inherits: its time, int64 ``[rows]``, and the tables it comes from.
    """
    arrays, later = arrays or Arrays(), later or {}
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
            if table in later:
                latest[later[table]] = UNKNOWN
            found[table], sources[table] = latest, tuple(dict.fromkeys(target for target, _ in targets))
            if table not in before or not torch.equal(latest, before[table]):
                changed.add(table)
        if not changed:
            break
    return {name: (time, sources[name]) for name, time in found.items()}


def later_rows(db: Database, cursor: duckdb.DuckDBPyConnection) -> dict[str, Tensor]:
    """Rows of tables without time that refer to a row which a cut of a database hides, and so are later than it.

    Args:
        db: A database, or what :meth:`~relgraph.data.database.Database.upto` gave.
        cursor: A connection to it.

    Returns:
        Per table the numbers of such rows, int64; only tables that have some.
    """
    found: dict[str, Tensor] = {}
    for table in db.schema:
        queries = []
        for key in table.foreign_keys:
            targets = db.schema.target_columns(key)
            hidden = db.hidden(key.table, targets)
            if hidden is not None and table.time_column is None:
                equal = " AND ".join(
                    f"t.{quote(own)} = h.{quote(target)}" for own, target in zip(key.columns, targets, strict=True)
                )
                rows = db.numbered(table.name, key.columns)
                queries.append(f'SELECT t."__row" AS row FROM ({rows}) t SEMI JOIN ({hidden}) h ON {equal}')
        if queries:
            numbers = cursor.execute(" UNION ".join(queries)).fetchnumpy()["row"]
            if len(numbers):
                found[table.name] = torch.as_tensor(numbers)
    return found
