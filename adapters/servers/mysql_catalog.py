"""What a MariaDB or MySQL server says it has, by its catalogue."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from relgraph.adapters.servers.mysql_columns import ColumnType
from relgraph.adapters.servers.reflection import Place, Reflected, named, spelled
from relgraph.data.schema import ColumnSchema, ForeignKey, TableSchema
from relgraph.data.source import Selection
from relgraph.errors import AdapterError, SchemaError

if TYPE_CHECKING:
    import sqlalchemy

__all__ = ["reflect_catalog"]

_Table = tuple[str, str]  # database, name
_TABLES = "SELECT table_schema, table_name, table_type, engine FROM information_schema.tables"
_COLUMNS = (
    "SELECT table_schema, table_name, column_name, lower(data_type), lower(column_type), character_set_name, "
    "numeric_precision, numeric_scale, character_maximum_length, upper(generation_expression) "
    "FROM information_schema.columns"
)
_KEYS = (
    "SELECT table_schema, table_name, constraint_name, column_name, referenced_table_schema, referenced_table_name, "
    "referenced_column_name FROM information_schema.key_column_usage"
)
_DECLARED = {"date": "DATE", "datetime": "TIMESTAMP", "timestamp": "TIMESTAMP"}
_SNAPSHOTS = ("innodb", "rocksdb", "tokudb", "ndbcluster", "sequence")


def reflect_catalog(connection: sqlalchemy.Connection, selection: Selection, system: frozenset[str]) -> Reflected:
    """The tables of the chosen databases with their keys, and the views that are selected.

    Left out are sequences and temporary tables, and of tables with system versions the columns that say from and until
    when a row is current.

    Args:
        connection: An open connection.
        selection: Databases (their ``schemas``), and whether views are wanted.
        system: Databases that ``"*"`` does not mean.

    Raises:
        SchemaError: If a database does not exist, or none is named.
        AdapterError: If a table or view that is named cannot be seen.
    """
    home, databases = _databases(connection, selection, system)
    notes: list[str] = []
    kinds = _kinds(connection, databases)
    columns: dict[_Table, dict[str, ColumnType]] = {}
    for schema, table, name, dtype, full, charset, precision, scale, length, made in _rows(
        connection, _COLUMNS, databases, ", ordinal_position"
    ):
        if made not in ("ROW START", "ROW END"):
            found = ColumnType(dtype, full, charset, int(precision or 0), int(scale or 0), int(length or 0))
            columns.setdefault((schema, table), {})[name] = found
    wanted = selection.names or ()
    places: dict[str, Place] = {}
    for key in sorted(kinds, key=lambda key: (key[0] != home, key)):
        schema, name = key
        table, (kind, engine) = named(schema, name, home), kinds[key]
        view = kind == "VIEW"
        if view and not selection.views and table not in wanted:
            continue
        if key not in columns:
            what = f"{'view' if view else 'table'} {table!r}"
            why = "none of its columns can be seen" + (
                ": it may refer to what is gone, call a function that writes, or be closed to this user" if view else ""
            )
            if table in wanted:
                raise AdapterError(f"{what} cannot be read: {why}; leave it out of tables=[...]")
            notes.append(f"{what} left out: {why}")
            continue
        places[table] = Place(schema, name, columns[key], view)
        if not view and (engine or "").lower() not in _SNAPSHOTS and (not wanted or table in wanted):
            notes.append(
                f"table {table!r} is stored by {engine}, which knows no snapshot: rows changed while it was read may "
                "be seen in part"
            )
    tables = [_table(name, place) for name, place in places.items()]
    versioned = {table for table, place in places.items() if kinds[place.schema or "", place.name][0] != "BASE TABLE"}
    return Reflected(_keyed(connection, databases, tables, places, versioned, notes), places, notes)


def _databases(
    connection: sqlalchemy.Connection, selection: Selection, system: frozenset[str]
) -> tuple[str | None, list[str]]:
    home = connection.exec_driver_sql("SELECT DATABASE()").scalar()
    there = [row[0] for row in connection.exec_driver_sql("SELECT schema_name FROM information_schema.schemata")]
    if selection.schema_names == ("*",):
        return home, sorted(name for name in there if name.lower() not in system or name == home)
    chosen = selection.schema_names or ((home,) if home else ())
    if not chosen:
        raise SchemaError(
            "the URL names no database: write it after the last '/', or say schemas=[...]; databases: "
            + ", ".join(sorted(set(there)))
        )
    for name in chosen:
        if name not in there:
            raise SchemaError(f"there is no database {name!r}; databases: {', '.join(sorted(set(there)))}")
    return home, list(dict.fromkeys(chosen))


def _kinds(connection: sqlalchemy.Connection, databases: Sequence[str]) -> dict[_Table, tuple[str, str | None]]:
    kept = ("BASE TABLE", "SYSTEM VERSIONED", "VIEW")
    rows = _rows(connection, _TABLES, databases)
    return {(schema, name): (kind, engine) for schema, name, kind, engine in rows if kind in kept}


def _rows(
    connection: sqlalchemy.Connection, query: str, databases: Sequence[str], order: str = ""
) -> list[tuple[Any, ...]]:
    """Rows of a catalogue about these databases, whose names it compares without regard to case."""
    import sqlalchemy

    chosen: sqlalchemy.BindParameter[Any] = sqlalchemy.bindparam("databases", list(databases), expanding=True)
    text = f"{query} WHERE table_schema IN :databases ORDER BY table_schema, table_name{order}"
    rows = connection.execute(sqlalchemy.text(text).bindparams(chosen))
    return [tuple(row) for row in rows if row[0] in databases]


def _table(name: str, place: Place) -> TableSchema:
    columns = (ColumnSchema(column, _DECLARED.get(dtype.name, "")) for column, dtype in place.types.items())
    return TableSchema(name, tuple(columns))


def _keyed(
    connection: sqlalchemy.Connection,
    databases: Sequence[str],
    tables: Sequence[TableSchema],
    places: Mapping[str, Place],
    versioned: Collection[str],
    notes: list[str],
) -> list[TableSchema]:
    by_place = {(place.schema, place.name): name for name, place in places.items()}
    primary: dict[str, list[str]] = {}
    foreign: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
    for schema, table, constraint, *rest in _rows(connection, _KEYS, databases, ", constraint_name, ordinal_position"):
        owner = by_place.get((schema, table))
        if owner is None:
            continue
        if constraint == "PRIMARY":
            if rest[0] in places[owner].types or owner not in versioned:  # where it ends with when a version ends
                primary.setdefault(owner, []).append(rest[0])
        elif rest[2] is not None:
            foreign.setdefault((owner, constraint), []).append(tuple(rest))
    keys: dict[str, dict[tuple[tuple[str, ...], str], ForeignKey]] = {}
    for (owner, _), parts in foreign.items():
        own = tuple(part[0] for part in parts)
        target = _target(parts[0][1], parts[0][2], by_place, notes, f"{owner}.{'+'.join(own)}")
        if target is None:
            continue
        known = keys.setdefault(owner, {})
        if (own, target) in known:
            notes.append(f"foreign key {owner}.{'+'.join(own)} to {target} is declared twice; the first is used")
        else:
            referred = tuple(spelled(part[3], places[target].types) for part in parts)
            known[own, target] = ForeignKey(own, target, referred)
    return [
        TableSchema(
            table.name,
            table.columns,
            _visible(primary.get(table.name, ()), table, notes),
            tuple(key for key in keys.get(table.name, {}).values() if _visible(key.columns, table, notes)),
        )
        for table in tables
    ]


def _visible(key: Sequence[str], table: TableSchema, notes: list[str]) -> tuple[str, ...]:
    """The columns of a key, or none if the user may not read one of them."""
    hidden = [name for name in key if name not in table.column_names]
    if hidden:
        notes.append(f"key {table.name}.{'+'.join(key)} left out: the user may not read {', '.join(hidden)}")
    return () if hidden else tuple(key)


def _target(
    schema: str, table: str, by_place: Mapping[tuple[str | None, str], str], notes: list[str], key: str
) -> str | None:
    """The table referred to; servers may spell it in another case than it was made."""
    places = {f"{database}\0{name}": found for (database, name), found in by_place.items()}
    found = places.get(spelled(f"{schema}\0{table}", places))
    if found is None:
        notes.append(f"foreign key {key} left out: it leads to {schema}.{table}, which is not read")
    return found
