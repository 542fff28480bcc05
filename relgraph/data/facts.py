"""The two ways between a graph and statements: database rows as facts, and facts as a graph.

A *fact table* has two or more foreign keys and nothing refers to it: each of its rows is one statement.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from relgraph.data.keys import Keys, TextColumn
from relgraph.data.schema import Schema, SemanticType
from relgraph.data.statements import Qualifiers, Statements, Vocabulary, csr_ptr
from relgraph.data.time import STATIC
from relgraph.errors import SchemaError

if TYPE_CHECKING:
    from relgraph.data.graph import EdgeType, HeteroGraph

__all__ = ["ENTITY", "EntityLabels", "fact_tables", "graph_from_statements", "graph_statements"]

ENTITY = "entity"


class EntityLabels(Sequence[str]):
    """Entity names block by block, made when asked for: ``customer:42``, or the key alone without a prefix.

    Args:
        blocks: Per block a prefix, the keys (``None`` for plain numbers; a list for literals) and the count.
    """

    def __init__(self, blocks: Sequence[tuple[str, Keys | Sequence[str] | None, int]]) -> None:
        self._blocks = list(blocks)
        self._ends = list(accumulate(count for _, _, count in self._blocks))
        self._all: list[str] | None = None

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> str:  # type: ignore[override]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        block = bisect_right(self._ends, index)
        prefix, keys, count = self._blocks[block]
        place = index - (self._ends[block] - count)
        return f"{prefix}{keys.label(place) if isinstance(keys, Keys) else place if keys is None else keys[place]}"

    def tolist(self) -> list[str]:
        """All labels."""
        if self._all is None:
            self._all = []
            for prefix, keys, count in self._blocks:
                names = keys.labels() if isinstance(keys, Keys) else range(count) if keys is None else keys
                self._all += [f"{prefix}{name}" for name in names]
        return self._all


def fact_tables(schema: Schema) -> tuple[str, ...]:
    """Tables with two or more foreign keys that nothing refers to."""
    referred = {key.table for _, key in schema.foreign_keys}
    return tuple(t.name for t in schema if len(t.foreign_keys) >= 2 and t.name not in referred)


def graph_statements(
    graph: HeteroGraph, form: Literal["hyper", "triples"], roles: Mapping[str, tuple[str, ...]]
) -> Statements:
    """The facts of a graph; see :meth:`HeteroGraph.statements`.

    Raises:
        SchemaError: If ``form`` is unknown or a role names no fact table or key.
    """
    if form not in ("hyper", "triples"):
        raise SchemaError(f"form is {form!r}; expected 'hyper' or 'triples'")
    if graph.schema is None:
        if roles:
            raise SchemaError("roles are for the fact tables of a database; this graph has no schema")
        return _plain_statements(graph)
    facts = fact_tables(graph.schema) if form == "hyper" else ()
    for table, keys in roles.items():
        if table not in facts:
            raise SchemaError(f"roles: {table!r} is no fact table of form {form!r}; fact tables: {', '.join(facts)}")
        names = [key.name for key in graph.schema[table].foreign_keys]
        if len(keys) != 2 or not set(keys) <= set(names):
            raise SchemaError(f"roles: {table!r} needs two of its foreign keys ({', '.join(names)}), got {keys}")
    return _Collector(graph, facts, roles).collect()


class _Collector:
    """Gathers statements of a database graph block by block: keys of plain tables, then fact tables."""

    def __init__(self, graph: HeteroGraph, facts: Sequence[str], roles: Mapping[str, tuple[str, ...]]) -> None:
        self.graph, self.facts, self.roles = graph, facts, roles
        self.offsets: dict[str, int] = {}
        self.blocks: list[tuple[str, Keys | Sequence[str] | None, int]] = []
        self.num_entities = 0
        for name, store in graph.nodes.items():
            if name not in facts:
                self.offsets[name] = self._add(f"{name}:", store.keys, store.num_nodes)
        self.num_main = self.num_entities
        self.relations: dict[str, int] = {}
        self.parts: list[tuple[Tensor, Tensor, Tensor, Tensor, Qualifiers]] = []
        self.dropped: list[tuple[str, int]] = []

    def _add(self, prefix: str, keys: Keys | Sequence[str] | None, count: int) -> int:
        start = self.num_entities
        self.blocks.append((prefix, keys, count))
        self.num_entities += count
        return start

    def _relation(self, name: str) -> int:
        return self.relations.setdefault(name, len(self.relations))

    def collect(self) -> Statements:
        for edge_type in self.graph.edges:
            if edge_type[0] not in self.facts:
                self._add_triples(edge_type)
        for table in self.facts:
            self._add_facts(table)
        vocabulary = Vocabulary(EntityLabels(self.blocks), list(self.relations), self.num_main)
        none = torch.empty(0, dtype=torch.int64)
        empty = (none, none, none, none, Qualifiers.empty(0))
        head, relation, tail, time, pairs = zip(empty, *self.parts, strict=True)
        qualifiers = Qualifiers.cat(pairs)
        timed = any(store.time is not None for store in self.graph.nodes.values())
        return Statements(
            torch.cat(head),
            torch.cat(relation),
            torch.cat(tail),
            vocabulary,
            time=torch.cat(time) if timed else None,
            qualifiers=qualifiers if qualifiers.num_pairs else None,
            dropped=tuple(self.dropped),
        )

    def _add_triples(self, edge_type: EdgeType) -> None:
        source, name, target = edge_type
        store = self.graph.edges[edge_type]
        row = store.edge_index[0]
        relation = torch.full_like(row, self._relation(self._key_relation(source, name, target)))
        head, tail = row + self.offsets[source], store.edge_index[1] + self.offsets[target]
        time = self._time(source, row)
        self.parts.append((head, relation, tail, time, Qualifiers.empty(row.numel())))
        missing = self.graph.nodes[source].num_nodes - row.numel()
        if missing:
            self.dropped.append((f"{source}.{name}", missing))

    def _add_facts(self, table: str) -> None:
        """Each row is one statement; further keys and categorical columns qualify it."""
        edge_types = [t for t in self.graph.edges if t[0] == table]
        if table in self.roles:
            first, second = self.roles[table]
            order = {first: 0, second: 1}
            edge_types.sort(key=lambda t: order.get(t[1], 2))
        targets = {t: self._target(t) for t in edge_types}
        head, tail = (targets[t] for t in edge_types[:2])
        rows = ((head >= 0) & (tail >= 0)).nonzero().flatten()
        lost = self.graph.nodes[table].num_nodes - rows.numel()
        if lost:
            self.dropped.append((table, lost))
        relation = torch.full_like(rows, self._relation(table))
        pairs = [(self._key_relation(*t), targets[t][rows]) for t in edge_types[2:]]
        pairs += self._literals(table, rows)
        qualifiers = self._pack(pairs, rows.numel())
        self.parts.append((head[rows], relation, tail[rows], self._time(table, rows), qualifiers))

    def _key_relation(self, table: str, name: str, target: str) -> str:
        # one column may refer to two tables; only then is the target part of the name
        same = [t for t in self.graph.edges if t[0] == table and t[1] == name]
        return f"{table}.{name}" if len(same) == 1 else f"{table}.{name}->{target}"

    def _target(self, edge_type: EdgeType) -> Tensor:
        """The entity each row of the table refers to, -1 for none."""
        store = self.graph.edges[edge_type]
        out = torch.full((self.graph.nodes[edge_type[0]].num_nodes,), -1, dtype=torch.int64)
        out[store.edge_index[0]] = store.edge_index[1] + self.offsets[edge_type[2]]
        return out

    def _literals(self, table: str, rows: Tensor) -> list[tuple[str, Tensor]]:
        features = self.graph.nodes[table].features
        if features is None or self.graph.schema is None:
            return []
        categorical = features.names.get(SemanticType.CATEGORICAL, ())
        out = []
        for column in self.graph.schema[table].column_names:
            if column in categorical:
                values = [str(value) for value in features.stats[column]["categories"]]
                start = self._add(f"{table}.{column}=", values, len(values))
                code = features.tensor(SemanticType.CATEGORICAL)[rows, categorical.index(column)]
                out.append((f"{table}.{column}", torch.where(code >= 0, code + start, -1)))
        return out

    def _pack(self, pairs: list[tuple[str, Tensor]], count: int) -> Qualifiers:
        """Columns of qualifier values (-1 for none) as CSR, in column order within a statement."""
        if not pairs:
            return Qualifiers.empty(count)
        relation = torch.tensor([self._relation(name) for name, _ in pairs], dtype=torch.int64)
        entity = torch.stack([values for _, values in pairs], dim=1)  # [count, pairs]
        present = entity >= 0
        return Qualifiers(csr_ptr(present.sum(1)), relation.expand_as(entity)[present], entity[present])

    def _time(self, table: str, rows: Tensor) -> Tensor:
        time = self.graph.nodes[table].time
        return torch.full_like(rows, STATIC) if time is None else time[rows]


def _plain_statements(graph: HeteroGraph) -> Statements:
    """Every edge of a graph without a schema is a statement with the edge's own qualifiers."""
    single = len(graph.nodes) == 1
    blocks = [("" if single else f"{name}:", store.keys, store.num_nodes) for name, store in graph.nodes.items()]
    names = [edge_type[1] for edge_type in graph.edges]
    labels = [name if names.count(name) == 1 else "/".join(t) for name, t in zip(names, graph.edges, strict=True)]
    relations = list(graph.relations)
    known = set(relations)
    relations += [label for label in labels if label not in known]
    number = {label: i for i, label in enumerate(relations)}
    vocabulary = Vocabulary(EntityLabels(blocks), relations, _main(graph))
    none = torch.empty(0, dtype=torch.int64)
    heads, tails, kinds, times, qualifiers = [none], [none], [none], [none], [Qualifiers.empty(0)]
    known_times = {t: graph.edge_time(t) for t in graph.edges}
    timed = any(time is not None for time in known_times.values())
    for edge_type, label in zip(graph.edges, labels, strict=True):
        store, time = graph.edges[edge_type], known_times[edge_type]
        heads.append(store.edge_index[0] + graph.node_offsets[edge_type[0]])
        tails.append(store.edge_index[1] + graph.node_offsets[edge_type[2]])
        kinds.append(torch.full((store.num_edges,), number[label], dtype=torch.int64))
        times.append(torch.full((store.num_edges,), STATIC, dtype=torch.int64) if time is None else time)
        qualifiers.append(store.qualifiers or Qualifiers.empty(store.num_edges))
    packed = Qualifiers.cat(qualifiers)
    return Statements(
        torch.cat(heads),
        torch.cat(kinds),
        torch.cat(tails),
        vocabulary,
        time=torch.cat(times) if timed else None,
        qualifiers=packed if packed.num_pairs else None,
    )


def _main(graph: HeteroGraph) -> int:
    return graph.num_nodes if graph.num_main_entities is None else graph.num_main_entities


def graph_from_statements(statements: Statements) -> HeteroGraph:
    """One node type ``entity`` and an edge type per relation, unused ones too, so that numbers survive."""
    from relgraph.data.graph import EdgeStore, HeteroGraph, NodeStore

    vocabulary = statements.vocabulary
    keys = Keys(("label",), (TextColumn.from_strings(vocabulary.entities),))
    order = statements.relation.argsort(stable=True)
    counts = statements.relation.bincount(minlength=statements.num_relations)
    bounds = [0, *counts.cumsum(0).tolist()]
    sorted_ = statements.select(order)
    edges = {}
    for name, (start, end) in zip(vocabulary.relations, pairwise(bounds), strict=True):
        rows = slice(start, end)
        qualifiers = sorted_.qualifiers
        if qualifiers is not None:
            ptr = qualifiers.ptr[start : end + 1]
            pairs = slice(int(ptr[0]), int(ptr[-1]))
            qualifiers = Qualifiers(ptr - ptr[0], qualifiers.relation[pairs], qualifiers.entity[pairs])
        edges[ENTITY, name, ENTITY] = EdgeStore(
            torch.stack([sorted_.head[rows], sorted_.tail[rows]]),
            None if sorted_.time is None else sorted_.time[rows],
            qualifiers if qualifiers is not None and qualifiers.num_pairs else None,
        )
    return HeteroGraph(
        {ENTITY: NodeStore(statements.num_entities, keys)},
        edges,
        relations=tuple(vocabulary.relations),
        num_main_entities=vocabulary.num_main_entities,
    )
