"""What a SQLite file says about its tables, by its own pragmas: other modules' virtual tables cannot even be described.

SQLAlchemy's inspector describes every table of a file, and fails as a whole at one whose module is not there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from relgraph.data.schema import ColumnSchema, ForeignKey, TableSchema
from relgraph.data.source import Selection
from relgraph.data.sql import literal
from relgraph.errors import SchemaError

__all__ = ["declared_time", "describe"]

_COLUMNS = "SELECT name, type, pk FROM pragma_table_xinfo({}) WHERE hidden <> 1 ORDER BY cid"
_KEYS = 'SELECT id, "table", "from", "to" FROM pragma_foreign_key_list({}) ORDER BY id DESC, seq'


def describe(file: sqlite3.Connection, selection: Selection) -> tuple[list[TableSchema], list[str]]:
    """Tables with their keys, and the views that are wanted, in the order of their names.

    Virtual tables and what they are made of are left out, and so is what has no name. A foreign key may refer to a
    table or column that does not exist.

    Args:
        file: An open file.
        selection: Whether views are wanted, and which.

    Returns:
        The tables, and a note on everything left out. A column's ``dtype`` is ``DATE`` or ``TIMESTAMP`` where it is
        declared as one and empty elsewhere.

    Raises:
        SchemaError: If a virtual table, or a view that cannot be read, is asked for by name.
    """
    listed = file.execute("SELECT name, type FROM pragma_table_list WHERE schema = 'main'").fetchall()
    kinds = {name: kind for name, kind in sorted(listed) if not name.lower().startswith("sqlite_")}
    wanted = selection.names or ()
    notes: list[str] = []
    found: dict[str, TableSchema] = {}
    for name, kind in kinds.items():
        if kind in ("virtual", "shadow"):
            if name in wanted:
                raise SchemaError(f"{name!r} is a {kind} table, which is not read; leave it out of tables=")
            notes += [f"virtual table {name!r} left out"] if kind == "virtual" else []
        elif not name:
            notes.append("a table without a name left out")
        elif kind == "table" or selection.views or name in wanted:
            table = _described(file, name, kind, name in wanted, notes)
            if table is not None:
                found[name] = table
    left_out = [name for name in kinds if name not in found]
    return [_with_keys(file, table, found, left_out, notes) for table in found.values()], notes


def declared_time(declared: str) -> str:
    """``DATE`` or ``TIMESTAMP`` for a column that is declared so, else nothing.

    Example:
        >>> declared_time("datetime"), declared_time("DATE"), declared_time("TEXT")
        ('TIMESTAMP', 'DATE', '')
    """
    declared = declared.upper()
    if declared.startswith(("DATETIME", "TIMESTAMP")):
        return "TIMESTAMP"
    return "DATE" if declared in ("DATE", "DATE_CHAR") else ""


def _described(file: sqlite3.Connection, name: str, kind: str, wanted: bool, notes: list[str]) -> TableSchema | None:
    try:
        rows = file.execute(_COLUMNS.format(literal(name))).fetchall()
    except sqlite3.Error as error:
        if kind != "view":
            raise
        message = f"view {name!r} cannot be read: {error}"
        if wanted:
            raise SchemaError(f"{message}; leave it out of tables=") from None
        notes.append(f"{message}; left out")
        return None
    columns = tuple(ColumnSchema(column, declared_time(declared)) for column, declared, _ in rows if column)
    if len(columns) < len(rows):
        notes.append(f"table {name!r}: a column without a name left out")
    if not columns:
        notes.append(f"table {name!r} left out: it has no columns")
        return None
    key = tuple(column for _, column in sorted((place, column) for column, _, place in rows if place))
    return TableSchema(name, columns, key if all(key) else ())


def _with_keys(
    file: sqlite3.Connection,
    table: TableSchema,
    tables: Mapping[str, TableSchema],
    left_out: Sequence[str],
    notes: list[str],
) -> TableSchema:
    parts: dict[int, list[tuple[str, str, str | None]]] = {}
    for number, target, own, referred in file.execute(_KEYS.format(literal(table.name))).fetchall():
        parts.setdefault(number, []).append((target, own, referred))
    keys: dict[tuple[tuple[str, ...], str], ForeignKey] = {}
    for rows in parts.values():
        target = _spelled(rows[0][0], [*tables, *left_out])
        there = tables.get(target)
        own = tuple(_spelled(column, table.column_names) for _, column, _ in rows)
        referred = tuple(_spelled(column, there.column_names if there else ()) for _, _, column in rows if column)
        name = f"foreign key {table.name}.{'+'.join(own)}"
        number = len(referred or (there.primary_key if there else own))
        if target in left_out:
            notes.append(f"{name} left out: {target!r} is left out")
        elif not all(own):
            notes.append(f"{name} left out: it has a column without a name")
        elif number not in (0, len(own)):
            notes.append(f"{name} left out: it has {len(own)} columns but refers to {number} of {target!r}")
        elif (own, target) in keys:
            notes.append(f"{name} to {target} is declared twice; the first is used")
        else:
            keys[own, target] = ForeignKey(own, target, referred)
    return TableSchema(table.name, table.columns, table.primary_key, tuple(keys.values()))


def _spelled(name: str, names: Sequence[str]) -> str:
    """The name as it was created: a reference may differ in the case of ASCII letters."""
    if name in names:
        return name
    return next((other for other in names if other.encode().lower() == name.encode().lower()), name)
