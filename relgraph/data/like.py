"""Build the graph of another state of a database exactly as a graph was built before: same columns, same statistics."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from relgraph.data.columns import ColumnMeaning
from relgraph.data.graph import EdgeStore, HeteroGraph, NodeStore
from relgraph.data.keys import Keys, TextColumn
from relgraph.data.reading import element_type, is_list, storage
from relgraph.data.schema import ForeignKey, Schema, SemanticType, TableSchema
from relgraph.data.text import DEFAULT_TEXT, HashedNgrams, TextEncoder, encoder_name, to_text_encoder
from relgraph.errors import SchemaError

if TYPE_CHECKING:
    from relgraph.data.database import Database

__all__ = ["Recipe", "narrow_database", "schema_changes", "without_rows"]


def without_rows(graph: HeteroGraph) -> HeteroGraph:
    """The graph's tables, columns, statistics and edge types without a single row: all that building another needs.

    Categories are values of the database; keys, times and every other value are left out.
    """
    nodes = {name: _empty_node(store) for name, store in graph.nodes.items()}
    none = torch.empty(2, 0, dtype=torch.int64)
    edges = {kind: EdgeStore(none) for kind in graph.edges}
    kept = {name: graph.report[name] for name in ("build", "left_out", "inherited_times") if name in graph.report}
    return HeteroGraph(nodes, edges, schema=graph.schema, fit_until=graph.fit_until, report=kept)


def _empty_node(store: NodeStore) -> NodeStore:
    none = torch.empty(0, dtype=torch.int64)
    keys = None
    if store.keys is not None:
        columns = tuple(TextColumn.from_strings([]) if isinstance(c, TextColumn) else none for c in store.keys.columns)
        keys = Keys(store.keys.names, columns)
    features = None if store.features is None else store.features.select(none)
    return NodeStore(0, keys, None if store.time is None else none, features)


@dataclass(frozen=True)
class Recipe:
    """How a graph was built from its database.

    Args:
        schema: The tables it was built from.
        columns: Per table the columns that became features, with the SQL that reads each.
        stats: Per table the statistics of these columns.
        left_out: Per table the columns that did not, and why.
        null_time: What a NULL time meant.
        inherit_times: Whether rows without time got the times of the rows they refer to.
        encoder: The name of what encoded text, if any column is text.
        fit_until: The moment that the statistics saw nothing after.
        build: The graph report's own entry, for the next graph.
    """

    schema: Schema
    columns: Mapping[str, list[ColumnMeaning]]
    stats: Mapping[str, Mapping[str, Mapping[str, Any]]]
    left_out: Mapping[str, Mapping[str, str]]
    null_time: str
    inherit_times: bool
    encoder: str | None
    fit_until: int | None
    build: Mapping[str, Any]

    @classmethod
    def of(cls, graph: HeteroGraph) -> Recipe:
        """The recipe of a graph, or of what :func:`without_rows` left of it.

        Raises:
            SchemaError: If :func:`relgraph.build_graph` did not build it.
        """
        build = graph.report.get("build")
        if graph.schema is None or build is None:
            raise SchemaError(
                "like: expected a graph that build_graph() made of a database; this one does not say how its columns "
                "were read; build it again from its database"
            )
        columns: dict[str, list[ColumnMeaning]] = {}
        stats: dict[str, Mapping[str, Mapping[str, Any]]] = {}
        encoder = None
        for name, store in graph.nodes.items():
            columns[name], stats[name] = [], {} if store.features is None else store.features.stats
            for kind, chosen in store.features.names.items() if store.features is not None else ():
                for column in chosen:
                    sql = build["columns"][name][column]
                    # categories are kept as text
                    sql = f"CAST({sql} AS VARCHAR)" if kind is SemanticType.CATEGORICAL else sql
                    dtype = graph.schema[name].column(column).dtype
                    columns[name].append(ColumnMeaning(column, dtype, kind, None, sql, f"{name}.{column}"))
                    encoder = stats[name][column].get("encoder", encoder)
        return cls(
            graph.schema,
            columns,
            stats,
            graph.report.get("left_out", {}),
            build["null_time"],
            build["inherit_times"],
            encoder,
            graph.fit_until,
            build,
        )

    def text_encoder(self, given: TextEncoder | str | None) -> TextEncoder:
        """What encodes text as it was encoded before.

        Args:
            given: The encoder that the caller names; the default stands for none.

        Raises:
            SchemaError: If it is another one than before.
        """
        if self.encoder is None:
            return DEFAULT_TEXT
        if given is DEFAULT_TEXT and (known := _hashed(self.encoder)) is not None:
            return known
        encoder = DEFAULT_TEXT if given is None else to_text_encoder(given)
        if encoder_name(encoder) != self.encoder:
            raise SchemaError(
                f"text: the columns of this graph were encoded by {self.encoder!r}, got {encoder_name(encoder)!r}; "
                "give the same encoder as text="
            )
        return encoder


def _hashed(name: str) -> HashedNgrams | None:
    found = re.fullmatch(r"HashedNgrams\(dim=(\d+), sizes=(\([\d, ]+\))\)", name)
    return None if found is None else HashedNgrams(int(found[1]), tuple(ast.literal_eval(found[2])))


def narrow_database(db: Database, schema: Schema) -> Database:
    """The database with the tables, columns and keys of a schema only, in its order; nothing is copied.

    Args:
        db: The database.
        schema: What is wanted of it. Types of columns are those of ``db``.

    Raises:
        SchemaError: If a table, column, key or type that is wanted is not there or another; each is named.
    """
    faults, notes = schema_changes(schema, db.schema)
    if faults:
        raise SchemaError(
            f"{db.name}: the schema changed in {len(faults)} place{'s' if len(faults) > 1 else ''}, and a model keeps "
            "to the one it was trained with:\n"
            + "\n".join(f"  {fault}" for fault in faults)
            + "\nBring the source (or its keys= and times=) back to that, or train again."
        )
    tables = [
        replace(table, columns=tuple(db.schema[table.name].column(name) for name in table.column_names))
        for table in schema
    ]
    narrow = copy.copy(db)
    narrow.schema = Schema(tuple(tables))
    narrow.notes = (*db.notes, *notes)
    narrow._whole = db
    narrow._views = {name: view for name, view in db._views.items() if name in narrow.schema}
    narrow._visible = {name: shown for name, shown in db._visible.items() if name in narrow.schema}
    return narrow


def schema_changes(old: Schema, new: Schema) -> tuple[list[str], list[str]]:
    """What differs between two schemas.

    Args:
        old: What a model was trained with.
        new: What there is now.

    Returns:
        What is missing or another, a sentence each; and what is new and can be passed over.
    """
    faults: list[str] = []
    notes: list[str] = []
    for table in old:
        if table.name not in new:
            faults.append(f"table {table.name!r} is missing; tables: {', '.join(new.names)}")
            continue
        faults += _table_faults(old, new, table, new[table.name])
        notes += _table_notes(table, new[table.name])
    notes += [f"table {name!r} is new: the model does not know it" for name in new.names if name not in old]
    return faults, notes


def _table_faults(old_schema: Schema, new_schema: Schema, old: TableSchema, new: TableSchema) -> Iterator[str]:
    for column in old.columns:
        if column.name not in new.column_names:
            yield f"column {old.name}.{column.name} ({column.dtype}) is missing; columns: {', '.join(new.column_names)}"
        elif not _same_type(column.dtype, new.column(column.name).dtype):
            yield f"column {old.name}.{column.name} was {column.dtype}, is {new.column(column.name).dtype}"
    for what, was, now in (
        ("primary key", "+".join(old.primary_key), "+".join(new.primary_key)),
        ("time column", old.time_column, new.time_column),
        ("end column", old.end_column, new.end_column),
    ):
        if was != now:
            yield f"the {what} of {old.name!r} was {was or 'none'}, is {now or 'none'}"
    known = {_reference(new_schema, key) for key in new.foreign_keys}
    for key in old.foreign_keys:
        if (wanted := _reference(old_schema, key)) not in known:
            columns, table, target = wanted
            yield f"the foreign key {old.name}.{'+'.join(columns)} -> {table}({', '.join(target)}) is missing"


def _table_notes(old: TableSchema, new: TableSchema) -> Iterator[str]:
    for name in new.column_names:
        if name not in old.column_names:
            yield f"column {old.name}.{name} is new: the model does not read it"
    known = {(key.columns, key.table) for key in old.foreign_keys}
    for key in new.foreign_keys:
        if (key.columns, key.table) not in known:
            yield f"the foreign key {old.name}.{key.name} -> {key.table} is new: the model does not follow it"


def _reference(schema: Schema, key: ForeignKey) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    return key.columns, key.table, schema.target_columns(key)


def _same_type(old: str, new: str) -> bool:
    """Whether values are read the same way: another width of numbers or another set of an ENUM changes nothing."""
    if old == new:
        return True
    if is_list(old) and is_list(new):
        return _same_type(element_type(old), element_type(new))
    kind = storage(old)
    if kind == "few":
        return old.startswith("ENUM") and new.startswith("ENUM")
    return kind == storage(new) and kind in ("whole", "fraction", "date", "text", "json")
