"""What a PostgreSQL database has, from its catalogue: names hold anything, so no definition's text is taken apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relgraph.adapters.servers.postgresql_relations import RELATIONS, RelationRow, ancestors, choose, require_readable
from relgraph.adapters.servers.postgresql_types import ColumnType, TypeRow, column_type
from relgraph.adapters.servers.reflection import Place, Reflected
from relgraph.data.schema import ColumnSchema, ForeignKey, TableSchema
from relgraph.data.source import Selection
from relgraph.data.sql import quote

if TYPE_CHECKING:
    import sqlalchemy

__all__ = ["Relation", "reflect_postgresql"]

_COLUMNS = """
SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod,
       CASE WHEN has_table_privilege(a.attrelid, 'SELECT') THEN TRUE
            ELSE has_column_privilege(a.attrelid, a.attnum, 'SELECT') END
FROM pg_attribute a WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid = ANY (CAST(:wanted AS oid[]))
ORDER BY a.attrelid, a.attnum
"""
_TYPES = """
SELECT t.oid, t.typname, CAST(t.typtype AS text), CAST(t.typcategory AS text), t.typbasetype, t.typtypmod, t.typelem,
       EXISTS (SELECT 1 FROM pg_cast k WHERE k.castsource = t.oid AND k.casttarget = 'real[]'::regtype)
FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid WHERE c.oid IS NULL OR c.relkind = 'c'
"""
_KEYS = """
SELECT k.conrelid, CAST(k.contype AS text), k.conkey, k.confrelid, k.confkey
FROM pg_constraint k LEFT JOIN pg_constraint whole ON whole.oid = k.conparentid
WHERE k.contype IN ('p', 'f') AND k.conrelid = ANY (CAST(:wanted AS oid[]))
  AND (whole.oid IS NULL OR whole.conrelid <> k.conrelid)
ORDER BY k.conrelid, k.conname COLLATE "C"
"""


@dataclass(frozen=True)
class Relation(Place):
    """A table or view of PostgreSQL.

    Args:
        oid: Its number in the catalogue.
        kind: As the catalogue has it: r table, p partitioned table, v view, m materialised view, f foreign table.
        key: The primary key's columns.
        only: Whether tables that inherit from it are read too, so that their rows are not to be read with it.
    """

    oid: int = 0
    kind: str = "r"
    key: tuple[str, ...] = ()
    only: bool = False

    @property
    def sql(self) -> str:
        """To stand after FROM."""
        only = "ONLY " if self.only else ""
        return f"{only}{quote(self.schema or 'public')}.{quote(self.name)}"


def reflect_postgresql(
    connection: sqlalchemy.Connection, selection: Selection
) -> tuple[Reflected, dict[str, Relation]]:
    """Tables and views of the chosen schemas.

    Partitions are read through their table, tables of extensions and foreign tables are left out, unless they are
    named in the selection.

    Raises:
        AdapterError: If there is nothing in the default schema but in others, or the user may not read a table.
        SchemaError: If a name is not that of a table, or of a schema with tables.
    """
    import sqlalchemy

    home, user = connection.execute(sqlalchemy.text("SELECT current_schema(), current_user")).one()
    rows = {row[0]: RelationRow(*row) for row in connection.execute(sqlalchemy.text(RELATIONS))}
    notes: list[str] = []
    chosen = choose(rows, selection, home, notes)
    wanted = {"wanted": list(chosen)}
    types = {row[0]: TypeRow(*row[1:]) for row in connection.execute(sqlalchemy.text(_TYPES))}
    columns: dict[int, dict[int, tuple[str, ColumnType]]] = {oid: {} for oid in chosen}
    hidden: dict[int, list[str]] = {}
    for oid, number, name, dtype, modifier, readable in connection.execute(sqlalchemy.text(_COLUMNS), wanted):
        if readable:
            columns[oid][number] = (name, column_type(types, dtype, modifier))
        else:
            hidden.setdefault(oid, []).append(name)
    require_readable(chosen, rows, columns, hidden, user)
    for oid, names in hidden.items():
        notes.append(f"columns {chosen[oid]}.({', '.join(names)}) left out: user {user!r} may not read them")
    for oid in [oid for oid in chosen if not columns[oid]]:
        notes.append(f"table {chosen.pop(oid)!r} left out: it has no columns")
    primary: dict[int, tuple[str, ...]] = {}
    foreign: dict[int, list[ForeignKey]] = {}
    for oid, kind, key, target, referred in connection.execute(sqlalchemy.text(_KEYS), wanted):
        if oid not in chosen:
            continue
        own = _names(columns[oid], key)
        if kind == "p":
            primary[oid] = own or ()
        else:
            reason = _missing(rows, chosen, target)
            _foreign_key(chosen, foreign.setdefault(oid, []), oid, own, target, columns, referred, reason, notes)
    tables: list[TableSchema] = []
    places: dict[str, Relation] = {}
    inherited = ancestors(rows, chosen)
    for oid in sorted(chosen, key=lambda oid: (rows[oid].schema != home, rows[oid].schema, rows[oid].name)):
        row, name, found = rows[oid], chosen[oid], dict(columns[oid].values())
        key = primary.get(oid, ())
        places[name] = Relation(row.schema, row.name, found, row.kind in "vm", oid, row.kind, key, oid in inherited)
        declared = tuple(ColumnSchema(column, "") for column in found)
        tables.append(TableSchema(name, declared, primary.get(oid, ()), tuple(foreign.get(oid, ()))))
        if row.secured:
            notes.append(f"table {name!r} has row-level security: only the rows that user {user!r} may see are read")
    return Reflected(tables, dict(places), notes), places


def _names(columns: Mapping[int, tuple[str, Any]], numbers: Sequence[int]) -> tuple[str, ...] | None:
    """The columns' names, None if one may not be read."""
    return tuple(columns[n][0] for n in numbers) if all(n in columns for n in numbers) else None


def _missing(rows: Mapping[int, RelationRow], chosen: Mapping[int, str], target: int) -> str:
    """Why a table that is referred to is not there; empty if it is."""
    if target in chosen:
        return ""
    row = rows.get(target)
    return f"its table {row.schema + '.' + row.name!r} is not read" if row else "it leads to a table of the system"


def _foreign_key(
    chosen: Mapping[int, str],
    keys: list[ForeignKey],
    oid: int,
    own: tuple[str, ...] | None,
    target: int,
    columns: Mapping[int, Mapping[int, tuple[str, Any]]],
    referred: Sequence[int],
    reason: str,
    notes: list[str],
) -> None:
    where = f"foreign key {chosen[oid]}.{'+'.join(own or ('?',))}"
    other = None if reason else _names(columns[target], referred)
    if reason:
        notes.append(f"{where} left out: {reason}")
    elif own is None or other is None:
        notes.append(f"{where} to {chosen[target]} left out: the user may not read all of its columns")
    elif any((key.columns, key.table) == (own, chosen[target]) for key in keys):
        notes.append(f"{where} to {chosen[target]} is declared twice; the first is used")
    else:
        keys.append(ForeignKey(own, chosen[target], other))
