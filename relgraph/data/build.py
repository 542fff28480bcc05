"""Rows become nodes, foreign keys become edges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from relgraph.data.columns import encode_columns, understand_columns
from relgraph.data.graph import EdgeStore, EdgeType, HeteroGraph, NodeStore
from relgraph.data.inherit import inherit_times as times_from_keys
from relgraph.data.keys import Keys, TextColumn
from relgraph.data.progress import track
from relgraph.data.schema import ForeignKey, SemanticType, TableSchema
from relgraph.data.sql import WHOLE_NUMBERS, quote
from relgraph.data.time import STATIC, UNKNOWN, to_moment
from relgraph.errors import SchemaError

if TYPE_CHECKING:
    from relgraph.data.database import Database

__all__ = ["build_graph"]

_WHOLE = set(WHOLE_NUMBERS) - {"HUGEINT", "UHUGEINT", "UBIGINT"}  # those that fit int64


def build_graph(
    db: Database,
    fit_until: int | str | datetime | None = None,
    *,
    types: Mapping[str, str | SemanticType] | None = None,
    null_time: Literal["unknown", "static"] = "unknown",
    inherit_times: bool = True,
    progress: bool = True,
) -> HeteroGraph:
    """Turn a database into a graph: a node type per table, an edge type ``(table, key, target)`` per foreign key.

    Row ``i`` of a table is node ``i``. A NULL or dangling foreign key gives no edge; ``graph.report`` counts them.

    Args:
        db: The database.
        fit_until: Types and statistics of columns see no row later than this moment (inclusive; int means
            microseconds); all rows by default.
        types: Semantic types given instead of found: ``{"results.statusId": "categorical"}``.
        null_time: A row whose time is NULL is never visible (``"unknown"``) or always (``"static"``).
        inherit_times: A row of a table without time column gets the latest time of the rows it refers to: the line of
            an invoice is not seen before the invoice. ``False`` makes such rows always visible.
        progress: Show progress on stderr.

    Returns:
        A :class:`HeteroGraph` with keys, times, features and statistics.

    Raises:
        SchemaError: If a primary key is not unique, a time column holds no times, or a given type does not fit.

    Example:
        >>> import pandas, relgraph
        >>> frames = {"person": pandas.DataFrame({"id": [7, 9], "age": [30, 41]})}
        >>> db = relgraph.connect(frames, keys={"person": "id"}, progress=False)
        >>> relgraph.build_graph(db, progress=False).num_nodes
        2
    """
    if null_time not in ("unknown", "static"):
        raise SchemaError(f"null_time is {null_time!r}; expected 'unknown' or 'static'")
    limit = None if fit_until is None else to_moment(fit_until, "fit_until")
    chosen = _given_types(db, types or {})
    db.validate_keys()
    report: dict[str, Any] = {
        "rows": {},
        "unknown_times": {},
        "foreign_keys": {},
        "left_out": {},
        "notes": list(db.notes),
    }
    times = {table.name: _own_time(db, table, null_time) for table in db.schema}
    edges: dict[EdgeType, EdgeStore] = {}
    for table, key in track(list(db.schema.foreign_keys), "keys to edges", progress, lambda pair: pair[1].name):
        edges[table.name, key.name, key.table] = _build_edges(db, table, key, report)
    if inherit_times:
        inherited = times_from_keys(times, edges, {name: db.num_rows(name) for name in db.schema.names})
        times |= {name: time for name, (time, _) in inherited.items()}
        report["inherited_times"] = {name: list(tables) for name, (_, tables) in inherited.items()}
    nodes: dict[str, NodeStore] = {}
    for table in track(list(db.schema), "tables to nodes", progress, lambda table: table.name):
        nodes[table.name] = _build_nodes(db, table, times[table.name], limit, chosen.get(table.name, {}), report)
    return HeteroGraph(nodes, edges, schema=db.schema, fit_until=limit, report=report)


def _given_types(db: Database, types: Mapping[str, str | SemanticType]) -> dict[str, dict[str, SemanticType]]:
    chosen: dict[str, dict[str, SemanticType]] = {}
    for where, kind in types.items():
        table, dot, column = where.rpartition(".")
        if not dot:
            raise SchemaError(f"types: {where!r} names no column; expected 'table.column'")
        db.schema[table].column(column)
        if column in db.schema[table].key_columns:
            raise SchemaError(f"types: {where} is part of a key, which becomes no feature; leave it out")
        try:
            chosen.setdefault(table, {})[column] = SemanticType(kind)
        except ValueError:
            known = ", ".join(SemanticType)
            raise SchemaError(f"types: {where} is given as {kind!r}; semantic types: {known}") from None
    return chosen


def _own_time(db: Database, table: TableSchema, null_time: str) -> Tensor | None:
    """The time of every row by the table's own time column."""
    if table.time_column is None:
        return None
    missing = UNKNOWN if null_time == "unknown" else STATIC
    moments = f"SELECT __row, coalesce({db.time_sql(table.name)}, {missing}) AS v FROM ({db.numbered(table.name)})"
    return _scatter(db.connection, moments, db.num_rows(table.name), missing)


def _build_nodes(
    db: Database,
    table: TableSchema,
    time: Tensor | None,
    limit: int | None,
    types: Mapping[str, SemanticType],
    report: dict[str, Any],
) -> NodeStore:
    num_rows = db.num_rows(table.name)
    numbered = f"({db.numbered(table.name)})"
    report["rows"][table.name] = num_rows
    if time is not None:
        report["unknown_times"][table.name] = int((time == UNKNOWN).sum())
    with _fitted(db, numbered, time, limit) as fitted:
        meanings = understand_columns(db.connection, table, fitted, types)
        features = encode_columns(db.connection, numbered, fitted, meanings, num_rows)
    report["left_out"][table.name] = {m.name: m.left_out for m in meanings if m.left_out is not None}
    return NodeStore(num_rows, _build_keys(db, table, report), time, features)


@contextmanager
def _fitted(db: Database, numbered: str, time: Tensor | None, limit: int | None) -> Iterator[str]:
    """SQL of the rows that statistics may see."""
    if time is None or limit is None:
        yield numbered
        return
    import pyarrow

    visible = (time <= limit).nonzero().flatten().numpy()
    db.connection.register("__fitted", pyarrow.table({"row": visible}))
    try:
        yield f"(SELECT t.* FROM {numbered} t SEMI JOIN __fitted f ON t.__row = f.row)"
    finally:
        db.connection.unregister("__fitted")


def _build_keys(db: Database, table: TableSchema, report: dict[str, Any]) -> Keys | None:
    if not table.primary_key:
        return None
    missing = " OR ".join(f"{quote(name)} IS NULL" for name in table.primary_key)
    lacking = db.connection.execute(f"SELECT count(*) FROM {quote(table.name)} WHERE {missing}").fetchall()[0][0]
    if lacking:
        report["notes"].append(f"{table.name}: {lacking} rows have no primary key, so its rows are known by number")
        return None
    columns = [table.column(name) for name in table.primary_key]
    terms = [
        f"CAST({quote(c.name)} AS {'BIGINT' if c.dtype.upper() in _WHOLE else 'VARCHAR'}) AS k{i}"
        for i, c in enumerate(columns)
    ]
    found = db.connection.sql(
        f"SELECT {', '.join(terms)} FROM ({db.numbered(table.name)}) ORDER BY __row"
    ).to_arrow_table()
    return Keys(table.primary_key, tuple(_as_column(found.column(f"k{i}")) for i in range(len(columns))))


def _as_column(column: Any) -> Tensor | TextColumn:
    """An Arrow column without NULLs as a tensor, or as text over Arrow's own buffers."""
    import pyarrow

    if pyarrow.types.is_integer(column.type):
        return torch.from_numpy(np.array(column.to_numpy(), dtype=np.int64))
    array = pyarrow.concat_arrays(column.cast(pyarrow.large_string()).chunks or [pyarrow.array([], "large_string")])
    _, offsets, data = array.buffers()
    if offsets is None or not len(array):
        return TextColumn.from_strings([])
    ends = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    text = np.frombuffer(data, dtype=np.uint8)[ends[0] : ends[-1]] if data is not None else np.empty(0, np.uint8)
    return TextColumn(torch.from_numpy(ends - ends[0]), torch.from_numpy(text.copy()))


def _build_edges(db: Database, table: TableSchema, key: ForeignKey, report: dict[str, Any]) -> EdgeStore:
    num_rows, num_targets = db.num_rows(table.name), db.num_rows(key.table)
    targets = db.schema.target_columns(key)
    child, parent = f"({db.numbered(table.name)})", f"({db.numbered(key.table)})"
    given = " AND ".join(f"c.{quote(name)} IS NOT NULL" for name in key.columns)
    # loading made the types comparable, validate_keys made sure that a target stands once
    pairs = [f"c.{quote(name)} = p.{quote(target)}" for name, target in zip(key.columns, targets, strict=True)]
    sql = f"SELECT c.__row, p.__row AS v FROM {child} c JOIN {parent} p ON {' AND '.join(pairs)}"
    target = _scatter(db.connection, sql, num_rows, -1)
    source = (target >= 0).nonzero().flatten()
    non_null = db.connection.execute(f"SELECT count(*) FROM {quote(table.name)} c WHERE {given}").fetchall()[0][0]
    report["foreign_keys"][f"{table.name}.{key.name} -> {key.table}"] = {
        "rows": num_rows,
        "null": num_rows - non_null,
        "dangling": non_null - source.numel(),
        "edges": source.numel(),
        "targets": num_targets,
    }
    return EdgeStore(torch.stack([source, target[source]]))


def _scatter(connection: Any, sql: str, num_rows: int, missing: int) -> Tensor:
    """The values ``v`` of a query at their ``__row``; joins lose the order of rows, numbers do not."""
    found = connection.execute(sql).fetchnumpy()
    out = np.full(num_rows, missing, dtype=np.int64)
    out[np.asarray(found["__row"])] = np.asarray(found["v"])
    return torch.from_numpy(out)
