"""Rows become nodes, foreign keys become edges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from relgraph.data.arrays import Arrays
from relgraph.data.columns import ColumnMeaning, understand_columns
from relgraph.data.encode import encode_columns
from relgraph.data.features import Features
from relgraph.data.graph import EdgeStore, EdgeType, HeteroGraph, NodeStore
from relgraph.data.inherit import inherit_times as times_from_keys
from relgraph.data.key_rows import Rows, missing_time, read_rows
from relgraph.data.like import Recipe, narrow_database
from relgraph.data.links import NumberIndex, read_links
from relgraph.data.narrow import Source
from relgraph.data.progress import track
from relgraph.data.schema import SemanticType, TableSchema
from relgraph.data.text import DEFAULT_TEXT, TextEncoder, to_text_encoder
from relgraph.data.time import UNKNOWN, to_moment
from relgraph.data.unique import index_keys
from relgraph.errors import SchemaError

if TYPE_CHECKING:
    import duckdb

    from relgraph.data.database import Database

__all__ = ["build_graph"]


def build_graph(
    db: Database,
    fit_until: int | str | datetime | None = None,
    *,
    types: Mapping[str, str | SemanticType] | None = None,
    hide: Sequence[str] = (),
    null_time: Literal["unknown", "static"] = "unknown",
    inherit_times: bool = True,
    text: TextEncoder | str | None = DEFAULT_TEXT,
    like: HeteroGraph | None = None,
    save_to: str | Path | None = None,
    progress: bool = True,
) -> HeteroGraph:
    """Turn a database into a graph: a node type per table, an edge type ``(table, key, target)`` per foreign key.

    Row ``i`` of a table is node ``i``. A NULL or dangling foreign key gives no edge; ``graph.report`` counts them.

    Args:
        db: The database.
        fit_until: Types and statistics of columns see no row later than this moment (inclusive; int means
            microseconds); all rows by default.
        types: Semantic types given instead of found: ``{"results.statusId": "categorical"}``.
        hide: Columns, as ``"table.column"``, that become no features: what a task must not see, ``task.hidden``.
        null_time: A row whose time is NULL is never visible (``"unknown"``) or always (``"static"``).
        inherit_times: A row of a table without time column gets the latest time of the rows it refers to: the line of
            an invoice is not seen before the invoice. ``False`` makes such rows always visible.
        text: What makes vectors of text columns: a callable that takes texts and gives float ``[len(texts), dim]``, the
            name of a sentence-transformers model (``pip install 'relgraph[text]'``), hashed n-grams of 64 dimensions by
            default; ``None`` leaves text out. Each different text is encoded once. The vectors take 4 bytes per row,
            text column and dimension.
        like: A graph of the same database in another state: its columns, read the same way, with its statistics, so
            that a model trained on it can be used on the new rows. A value that is no category there is unseen. Tables,
            columns and keys that it does not have are left out, with a note in ``graph.report["notes"]``. Its
            ``fit_until``, ``types``, ``null_time`` and ``inherit_times`` hold.
        save_to: A folder to save the graph in, for graphs larger than memory: while it is built its arrays lie in
            files without a name in that folder (which needs room for the graph twice), and the graph that comes back
            is mapped from what was saved. What the folder held before stays whole until then.
        progress: Show progress on stderr.

    Returns:
        A :class:`HeteroGraph` with keys, times, features and statistics.

    Raises:
        SchemaError: If a primary key is not unique, a time column holds no times, or a given type does not fit; or a
            table, column or key that ``like`` has is missing or another, naming each.
        AdapterError: If the tables cannot be read, ``save_to`` cannot be written, or the sentence-transformers model
            cannot be loaded.
        ShapeError: If ``text`` gives something else than said above.

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
    recipe = None
    if like is not None:
        if limit is not None or types or hide:
            raise SchemaError("like= brings its own fit_until, types and hide; leave yours out")
        recipe = Recipe.of(like)
        db, limit, encoder = narrow_database(db, recipe.schema), recipe.fit_until, recipe.text_encoder(text)
        settings = _Settings({}, recipe.null_time, recipe.inherit_times, encoder, recipe)
    else:
        encoder_given = None if text is None else to_text_encoder(text)
        settings = _Settings(_given_types(db, types or {}, hide), null_time, inherit_times, encoder_given)
    arrays = Arrays(None if save_to is None else Path(save_to))
    cursor = db.cursor()
    try:
        with db.reading(), db.at_hand():
            graph = _build(db, cursor, limit, settings, arrays, progress)
    finally:
        cursor.close()
    if save_to is None:
        return graph
    graph.save(save_to)
    return HeteroGraph.load(save_to)


@dataclass(frozen=True)
class _Settings:
    """How columns and times are read; ``recipe`` says it all where a graph is built like another."""

    types: Mapping[str, Mapping[str, SemanticType]]
    null_time: str
    inherit_times: bool
    text: TextEncoder | None
    recipe: Recipe | None = None


def _build(
    db: Database,
    cursor: duckdb.DuckDBPyConnection,
    limit: int | None,
    settings: _Settings,
    arrays: Arrays,
    progress: bool,
) -> HeteroGraph:
    null_time = settings.null_time
    report: dict[str, Any] = {
        "rows": {},
        "unknown_times": {},
        "foreign_keys": {},
        "left_out": {},
        "notes": list(db.notes),
    }
    tables = list(db.schema)
    referred: dict[str, set[str]] = {name: set() for name in db.schema.names}
    for _, key in db.schema.foreign_keys:
        if len(key.columns) == 1:
            referred[key.table].add(db.schema.target_columns(key)[0])
    rows: dict[str, Rows] = {}
    for table in track(tables, "keys and times", progress, lambda table: table.name):
        rows[table.name] = read_rows(db, cursor, table, referred[table.name], null_time, arrays)
    edges = _edges(db, cursor, index_keys(db, cursor, rows), arrays, report, progress)
    times = {name: read.time for name, read in rows.items()}
    if settings.inherit_times:
        inherited = times_from_keys(times, edges, {name: db.num_rows(name) for name in times}, arrays)
        times |= {name: time for name, (time, _) in inherited.items()}
        report["inherited_times"] = {name: list(sources) for name, (_, sources) in inherited.items()}
    nodes: dict[str, NodeStore] = {}
    columns: dict[str, dict[str, str]] = {}
    for table in track(tables, "tables to nodes", progress, lambda table: table.name):
        time, own = times[table.name], null_time if rows[table.name].time is not None else None
        num_rows = db.num_rows(table.name)
        report["rows"][table.name] = num_rows
        if time is not None:
            report["unknown_times"][table.name] = int((time == UNKNOWN).sum())
        features, meanings = _features(db, cursor, table, (time, limit, own), settings, arrays, progress)
        columns[table.name] = {m.name: m.sql for m in meanings if m.left_out is None}
        report["left_out"][table.name] = {m.name: m.left_out for m in meanings if m.left_out is not None}
        if lacking := rows[table.name].lacking:
            report["notes"].append(f"{table.name}: {lacking} rows have no primary key, so its rows are known by number")
        nodes[table.name] = NodeStore(num_rows, rows[table.name].keys, time, features)
    report["build"] = {"null_time": null_time, "inherit_times": settings.inherit_times, "columns": columns}
    if settings.recipe is not None:
        report |= {"build": dict(settings.recipe.build), "left_out": dict(settings.recipe.left_out)}
    return HeteroGraph(nodes, edges, schema=db.schema, fit_until=limit, report=report)


def _features(
    db: Database,
    cursor: duckdb.DuckDBPyConnection,
    table: TableSchema,
    moments: tuple[Tensor | None, int | None, str | None],
    settings: _Settings,
    arrays: Arrays,
    progress: bool,
) -> tuple[Features | None, list[ColumnMeaning]]:
    """The columns of a table and what each means; ``moments`` are the arguments of :func:`_fitted`."""
    num_rows, numbered, text = db.num_rows(table.name), _numbered(db, table), settings.text
    if settings.recipe is not None:
        meanings, stats = settings.recipe.columns[table.name], settings.recipe.stats[table.name]
        encoder = text or DEFAULT_TEXT
        return encode_columns(
            cursor, numbered, numbered, meanings, num_rows, arrays, encoder, progress, stats
        ), meanings
    with _fitted(db, cursor, table, numbered, *moments) as fitted:
        given, keys = settings.types.get(table.name, {}), db.schema.key_columns(table.name)
        meanings = understand_columns(cursor, table, fitted, given, text is not None, keys)
        found = encode_columns(cursor, numbered, fitted, meanings, num_rows, arrays, text or DEFAULT_TEXT, progress)
    return found, meanings


def _given_types(
    db: Database, types: Mapping[str, str | SemanticType], hide: Sequence[str]
) -> dict[str, dict[str, SemanticType]]:
    chosen: dict[str, dict[str, SemanticType]] = {}
    hidden = dict.fromkeys([hide] if isinstance(hide, str) else hide, SemanticType.UNSUPPORTED)
    for where, kind in {**types, **hidden}.items():
        given = "hide" if where in hidden else "types"
        table, dot, column = where.rpartition(".")
        if not dot:
            raise SchemaError(f"{given}: {where!r} names no column; expected 'table.column'")
        db.schema[table].column(column)
        if column in db.schema.key_columns(table):
            raise SchemaError(f"{given}: {where} is part of a key, which becomes no feature; leave it out")
        try:
            chosen.setdefault(table, {})[column] = SemanticType(kind)
        except ValueError:
            known = ", ".join(SemanticType)
            raise SchemaError(f"types: {where} is given as {kind!r}; semantic types: {known}") from None
    return chosen


def _edges(
    db: Database,
    cursor: duckdb.DuckDBPyConnection,
    indexes: Mapping[tuple[str, str], NumberIndex],
    arrays: Arrays,
    report: dict[str, Any],
    progress: bool,
) -> dict[EdgeType, EdgeStore]:
    edges: dict[EdgeType, EdgeStore] = {}
    for table in track(list(db.schema), "keys to edges", progress, lambda table: table.name):
        if not table.foreign_keys:
            continue
        num_rows = db.num_rows(table.name)
        for key, link in zip(table.foreign_keys, read_links(db, cursor, table, indexes, arrays), strict=True):
            edges[table.name, key.name, key.table] = link.edges
            report["foreign_keys"][f"{table.name}.{key.name} -> {key.table}"] = {
                "rows": num_rows,
                "null": link.null,
                "dangling": num_rows - link.null - link.edges.num_edges,
                "edges": link.edges.num_edges,
                "targets": db.num_rows(key.table),
            }
    return edges


def _numbered(db: Database, table: TableSchema) -> Callable[[Sequence[str]], str]:
    return lambda columns: f"({db.numbered(table.name, columns)})"


@contextmanager
def _fitted(
    db: Database,
    cursor: duckdb.DuckDBPyConnection,
    table: TableSchema,
    numbered: Callable[[Sequence[str]], str],
    time: Tensor | None,
    limit: int | None,
    null_time: str | None,
) -> Iterator[Source]:
    """The rows that statistics may see; ``null_time`` is given where the time is the table's own."""
    if time is None or limit is None or not time.numel() or int(time.max()) <= limit:
        yield numbered
    elif null_time is not None:
        moment = f"coalesce({db.time_sql(table.name)}, {missing_time(null_time)})"
        own = [name for name in [table.time_column] if name is not None]
        yield lambda columns: f"(SELECT * FROM {numbered([*columns, *own])} WHERE {moment} <= {limit})"
    else:
        import pyarrow

        visible = (time <= limit).nonzero().flatten().numpy()
        cursor.register("__fitted", pyarrow.table({"row": visible}))
        try:
            yield lambda columns: f'(SELECT t.* FROM {numbered(columns)} t SEMI JOIN __fitted f ON t."__row" = f.row)'
        finally:
            cursor.unregister("__fitted")
