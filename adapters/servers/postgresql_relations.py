"""Which tables and views of a PostgreSQL database are read, which are left out and why, and which may not be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relgraph.adapters.servers.reflection import labelled
from relgraph.data.schema import TableSchema
from relgraph.data.source import Selection, select_tables
from relgraph.data.sql import quote
from relgraph.errors import AdapterError, SchemaError

__all__ = ["RELATIONS", "RelationRow", "ancestors", "choose", "require_readable"]

_SYSTEM = "(n.nspname = 'information_schema' OR n.nspname LIKE 'pg!_%' ESCAPE '!')"
RELATIONS = f"""
SELECT c.oid, n.nspname, c.relname, CAST(c.relkind AS text),
       has_schema_privilege(n.oid, 'USAGE'), row_security_active(c.oid),
       CASE WHEN c.relispartition THEN CAST(pg_partition_root(c.oid) AS oid) END,
       ARRAY(SELECT CAST(i.inhparent AS bigint) FROM pg_inherits i WHERE i.inhrelid = c.oid AND NOT c.relispartition),
       (SELECT min(e.extname) FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_extension'::regclass
          AND d.deptype = 'e'),
       c.relispopulated
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't' AND NOT {_SYSTEM}
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"""
"""Every relation that holds rows; a :class:`RelationRow` each."""


@dataclass(frozen=True)
class RelationRow:
    """One relation of the catalogue, chosen or not.

    Args:
        oid: Its number.
        schema: Its schema.
        name: Its name there.
        kind: r table, p partitioned table, v view, m materialised view, f foreign table.
        usable: Whether the user may use the schema.
        secured: Whether row-level security hides rows from the user.
        root: Of a partition, the table it is part of.
        parents: The tables it inherits from.
        extension: The extension it belongs to.
        filled: False for a materialised view that was never refreshed.
    """

    oid: int
    schema: str
    name: str
    kind: str
    usable: bool
    secured: bool
    root: int | None
    parents: Sequence[int]
    extension: str | None
    filled: bool


def choose(rows: Mapping[int, RelationRow], selection: Selection, home: str | None, notes: list[str]) -> dict[int, str]:
    """The relations to read and what they are called here."""
    schemas = {home} if selection.schema_names is None else set(selection.schema_names)
    known = {row.schema for row in rows.values()}
    if selection.schema_names == ("*",):
        blocked = sorted({row.schema for row in rows.values() if not row.usable})
        notes += [f"schema {schema!r} left out: the user may not use it" for schema in blocked]
        schemas = known - set(blocked)
    elif selection.schema_names is not None and not schemas <= {*known, home}:
        unknown = ", ".join(map(repr, sorted(schemas - known, key=str)))
        raise SchemaError(f"there is no schema {unknown} with tables; schemas: {', '.join(sorted(known))}")
    labels = labelled({oid: (row.schema, row.name) for oid, row in rows.items()}, home)
    names = selection.names
    if names is not None:
        select_tables([TableSchema(label, ()) for label in labels.values()], selection)  # says which are unknown
        return {oid: label for oid, label in labels.items() if label in names}
    inside = {oid: label for oid, label in labels.items() if rows[oid].schema in schemas}
    chosen, partitions = {}, dict[int, list[str]]()
    for oid, label in inside.items():
        row = rows[oid]
        if row.kind in "vm" and not selection.views:
            continue
        if row.root in inside:
            partitions.setdefault(row.root or 0, []).append(label)
        elif row.extension is not None:
            notes.append(f"table {label!r} left out: it belongs to the extension {row.extension!r}")
        elif not row.filled:
            notes.append(f"view {label!r} left out: it was never refreshed")
        elif row.kind == "f":
            notes.append(
                f"table {label!r} left out: its rows lie on another server; name it in tables=[...] to read it"
            )
        else:
            chosen[oid] = label
    for oid, label in chosen.items():
        notes += [
            f"table {label!r} inherits from {chosen[parent]!r}: its rows are read as its own"
            for parent in rows[oid].parents
            if parent in chosen
        ]
    notes += [f"{inside[root]!r} is read with its {len(parts)} partitions" for root, parts in partitions.items()]
    others = sorted({row.schema for row in rows.values() if row.kind in "rp"} - schemas)
    if not inside and others and selection.schema_names is None:
        raise AdapterError(
            f"the default schema {home!r} has no tables; there are some in {', '.join(map(repr, others))}: choose with "
            "schemas=[...], or schemas='*' for all"
        )
    return chosen


def ancestors(rows: Mapping[int, RelationRow], chosen: Iterable[int]) -> set[int]:
    """The tables that some of the chosen ones inherit from."""
    found: set[int] = set()
    waiting = [parent for oid in chosen for parent in rows[oid].parents]
    while waiting:
        oid = waiting.pop()
        if oid not in found and oid in rows:
            found.add(oid)
            waiting += rows[oid].parents
    return found


def require_readable(
    chosen: Mapping[int, str],
    rows: Mapping[int, RelationRow],
    columns: Mapping[int, Mapping[int, Any]],
    hidden: Mapping[int, Sequence[str]],
    user: str,
) -> None:
    """Refuse to begin where a chosen table may not be read at all.

    Args:
        chosen: Names by the catalogue's numbers.
        rows: The catalogue.
        columns: The columns of each that may be read.
        hidden: The others.
        user: Who reads.

    Raises:
        AdapterError: Naming these tables, what to grant, and the tables to read without it.
    """
    denied = [oid for oid in chosen if not rows[oid].usable or (oid in hidden and not columns[oid])]
    if not denied:
        return
    locked = sorted({rows[oid].schema for oid in denied if not rows[oid].usable})
    grants = [f"GRANT USAGE ON SCHEMA {quote(schema)}" for schema in locked]
    grants += [f"GRANT SELECT ON {quote(rows[oid].schema)}.{quote(rows[oid].name)}" for oid in denied]
    rest = [name for oid, name in chosen.items() if oid not in denied]
    remedy = "; ".join(f"{grant} TO {quote(user)}" for grant in _few(grants))
    leave = f", or name the others: tables=[{', '.join(map(repr, _few(rest)))}]" if rest else ""
    which = ", ".join(repr(chosen[oid]) for oid in denied[:10])
    raise AdapterError(f"permission denied: user {user!r} may not read {which}; {remedy}{leave}")


def _few(texts: Sequence[str], most: int = 20) -> list[str]:
    return list(texts) if len(texts) <= most else [*texts[:most], "..."]
