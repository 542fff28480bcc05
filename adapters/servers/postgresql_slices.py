"""Where to cut a large PostgreSQL table, along its primary key, so that several connections can read it at once."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from relgraph.data.sql import quote

if TYPE_CHECKING:
    import sqlalchemy

    from relgraph.adapters.servers.postgresql_catalog import Relation

__all__ = ["slices"]

_SLICE_BYTES = 2**23
_FEWEST_SLICES = 4
_IN_ORDER = 0.9
_STATISTICS = """
SELECT c.relpages::bigint * current_setting('block_size')::bigint, s.correlation,
       CAST(CAST(s.histogram_bounds AS text) AS bigint[])
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped
JOIN pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname AND NOT s.inherited
WHERE c.oid = :table AND a.attname = :column AND a.atttypid IN ('smallint'::regtype, 'int'::regtype, 'bigint'::regtype)
"""


def slices(connection: sqlalchemy.Connection, relation: Relation) -> list[str]:
    """Conditions that every row meets exactly one of, in the order of a whole-number key; none if cutting is no gain.

    It is one where the server's statistics say that the table is large and lies in the order of its key: then every
    slice, some megabytes, is a run of neighbouring pages. The statistics may be old: slices are uneven then, no more.

    Args:
        connection: To ask for the statistics.
        relation: The table.
    """
    import sqlalchemy

    if relation.kind != "r" or len(relation.key) != 1:
        return []
    (column,) = relation.key
    found = connection.execute(sqlalchemy.text(_STATISTICS), {"table": relation.oid, "column": column}).first()
    if found is None or found[2] is None or (found[1] or 0.0) < _IN_ORDER:
        return []
    size, _, quantiles = found
    number = size // _SLICE_BYTES
    if number < _FEWEST_SLICES:
        return []
    # the outer quantiles are the least and the largest key seen; rows beyond them belong to the outer slices
    places = np.linspace(0, len(quantiles) - 1, number + 1)[1:-1]
    left = np.minimum(places.astype(int), len(quantiles) - 2)
    starts = [
        quantiles[i] + int((quantiles[i + 1] - quantiles[i]) * (place - i))
        for i, place in zip(left.tolist(), places.tolist(), strict=True)
    ]
    starts, quoted = sorted(set(starts)), quote(column)
    inner = [f"{quoted} >= ({low}) AND {quoted} < ({high})" for low, high in pairwise(starts)]
    return [f"{quoted} < ({starts[0]})", *inner, f"{quoted} >= ({starts[-1]})"]
