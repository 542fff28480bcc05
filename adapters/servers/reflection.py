"""Tables and keys of an SQL database as SQLAlchemy's inspector sees them."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from relgraph.data.schema import ColumnSchema, ForeignKey, TableSchema
from relgraph.data.source import Selection
from relgraph.data.sql import quote
from relgraph.errors import SchemaError

if TYPE_CHECKING:
    import sqlalchemy

__all__ = ["Place", "Reflected", "labelled", "named", "reflect_schemas", "spelled"]


_Key = tuple[str | None, str]  # schema, table
_Id = TypeVar("_Id")


@dataclass(frozen=True)
class Place:
    """Where a table lies and what its columns are.

    Args:
        schema: Its schema; None where that is not to be written.
        name: Its name there.
        types: Per column its type, as the adapter sees types.
        view: Whether it is a view.
    """

    schema: str | None
    name: str
    types: Mapping[str, Any] = field(default_factory=dict)
    view: bool = False


@dataclass(frozen=True)
class Reflected:
    """What a database has, of what was asked for.

    Args:
        tables: In the order of their names, those of the default schema first. A foreign key may refer to a table or
            column that does not exist.
        places: Where each lies, by its name here.
        notes: What was left out.
    """

    tables: list[TableSchema]
    places: dict[str, Place]
    notes: list[str]


def reflect_schemas(
    connection: sqlalchemy.Connection,
    selection: Selection,
    system: Collection[str] = ("information_schema",),
) -> Reflected:
    """The tables of the selected schemas, and the views that are selected, each by a few queries per schema.

    Args:
        connection: An open connection.
        selection: Schemas, and whether views are wanted.
        system: Schemas that ``"*"`` does not mean.

    Returns:
        The tables, where each is, and notes on keys that were left out. A column's ``dtype`` is ``DATE`` or
        ``TIMESTAMP`` where it is declared as one and empty elsewhere. A foreign key may refer to a table or column that
        does not exist.

    Raises:
        SchemaError: If a schema is named that does not exist.
    """
    import sqlalchemy
    from sqlalchemy.engine.reflection import ObjectKind

    with warnings.catch_warnings():
        # of types that SQLAlchemy does not know, which are read as text, and of keys written in another case
        warnings.simplefilter("ignore", sqlalchemy.exc.SAWarning)
        inspector = sqlalchemy.inspect(connection)
        home = inspector.default_schema_name
        schemas = _schemas(inspector, selection, system)
        wants_views = selection.views or selection.names is not None
        kind = ObjectKind.ANY if wants_views else ObjectKind.TABLE
        columns: dict[_Key, Any] = {}
        primary: dict[_Key, Any] = {}
        foreign: dict[_Key, Any] = {}
        for schema in schemas:
            own = None if schema == home else schema
            columns |= inspector.get_multi_columns(schema=own, kind=kind)
            primary |= inspector.get_multi_pk_constraint(schema=own, kind=ObjectKind.TABLE)
            foreign |= inspector.get_multi_foreign_keys(schema=own, kind=ObjectKind.TABLE)
    notes: list[str] = []
    names: dict[str, list[str]] = {}  # of the columns of every table
    places: dict[str, Place] = {}
    labels = labelled({key: key for key in columns}, home)
    for schema, name in sorted(columns, key=lambda key: (key[0] or "", key[1])):
        table, found, view = labels[schema, name], columns[schema, name], (schema, name) not in primary
        if view and not selection.views and table not in (selection.names or ()):
            continue
        if not found:
            notes.append(f"table {table!r} left out: it has no columns")
            continue
        places[table] = Place(schema, name, {column["name"]: column["type"] for column in found}, view)
        names[table] = [column["name"] for column in found]
    tables = []
    for table, place in places.items():
        key = primary.get((place.schema, place.name), {}).get("constrained_columns", ())
        tables.append(
            TableSchema(
                table,
                tuple(ColumnSchema(name, _declared(dtype)) for name, dtype in place.types.items()),
                tuple(spelled(column, names[table]) for column in key),
                _foreign_keys(table, foreign.get((place.schema, place.name), ()), home, labels, names, notes),
            )
        )
    return Reflected(tables, places, notes)


def named(schema: str | None, table: str, home: str | None) -> str:
    """What a table is called here: ``schema.table`` outside the default schema."""
    return table if schema is None or schema == home else f"{schema}.{table}"


def labelled(tables: Mapping[_Id, tuple[str | None, str]], home: str | None) -> dict[_Id, str]:
    """What tables are called here; with quotes where ``schema.table`` is also a name of the default schema.

    Args:
        tables: Schema and name of each.
        home: The default schema.
    """
    labels = {key: named(schema, table, home) for key, (schema, table) in tables.items()}
    plain = {labels[key] for key, (schema, _) in tables.items() if schema in (None, home)}
    for key, (schema, table) in tables.items():
        if schema not in (None, home) and labels[key] in plain:
            labels[key] = f"{quote(schema or '')}.{quote(table)}"
    return labels


def spelled(name: str, names: Iterable[str]) -> str:
    """The name as it was created: a reference may differ in case."""
    names = list(names)
    if name in names:
        return name
    return next((other for other in names if other.casefold() == name.casefold()), name)


def _schemas(inspector: Any, selection: Selection, system: Collection[str]) -> list[str | None]:
    home = inspector.default_schema_name
    if selection.schema_names is None:
        return [home]
    if selection.schema_names == ("*",):
        others = [name for name in inspector.get_schema_names() if name.lower() not in system and name != home]
        return [home, *sorted(others)]
    known = [*inspector.get_schema_names(), home]
    for name in selection.schema_names:
        if name not in known:
            raise SchemaError(f"there is no schema {name!r}; schemas: {', '.join(sorted(filter(None, known)))}")
    return list(dict.fromkeys(selection.schema_names))


def _foreign_keys(
    table: str,
    found: Sequence[Any],
    home: str | None,
    labels: Mapping[_Key, str],
    names: Mapping[str, Sequence[str]],
    notes: list[str],
) -> tuple[ForeignKey, ...]:
    keys: dict[tuple[tuple[str, ...], str], ForeignKey] = {}
    for entry in found:
        own = tuple(spelled(column, names[table]) for column in entry["constrained_columns"])
        schema = entry.get("referred_schema")
        place = (None if schema == home else schema, entry["referred_table"])
        target = labels.get(place) or named(*place, home)
        if schema not in (None, home) and target not in names:
            notes.append(
                f"foreign key {table}.{'+'.join(own)} left out: it leads to schema {schema!r}, which was not selected"
            )
            continue
        target = spelled(target, names)
        referred = tuple(spelled(column, names.get(target, ())) for column in entry["referred_columns"])
        if (own, target) in keys:
            notes.append(f"foreign key {table}.{'+'.join(own)} to {target} is declared twice; the first is used")
        else:
            keys[own, target] = ForeignKey(own, target, referred)
    return tuple(keys.values())


def _declared(dtype: Any) -> str:
    import sqlalchemy

    if isinstance(dtype, sqlalchemy.DateTime | sqlalchemy.TIMESTAMP):
        return "TIMESTAMP"
    return "DATE" if isinstance(dtype, sqlalchemy.Date) else ""
