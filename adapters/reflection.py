"""Tables and keys of an SQL database as SQLAlchemy's inspector sees them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from relgraph.data.schema import ColumnSchema, ForeignKey, TableSchema

if TYPE_CHECKING:
    import sqlalchemy

__all__ = ["reflect"]


def reflect(connection: sqlalchemy.Connection, leave_out: Sequence[str] = ()) -> tuple[list[TableSchema], list[str]]:
    """The tables of the default schema, without views, in the order of their names.

    Args:
        connection: An open connection.
        leave_out: Names of tables that are none of the user's.

    Returns:
        The tables and notes on keys that were left out. A column's ``dtype`` is ``DATE`` or ``TIMESTAMP`` where it is
        declared as one and empty elsewhere. A foreign key may refer to a table or column that does not exist.
    """
    import sqlalchemy
    from sqlalchemy.engine.reflection import ObjectKind

    with warnings.catch_warnings():
        # of types that SQLAlchemy does not know, which are read as text, and of keys written in another case
        warnings.simplefilter("ignore", sqlalchemy.exc.SAWarning)
        inspector = sqlalchemy.inspect(connection)
        every = {name: columns for (_, name), columns in inspector.get_multi_columns(kind=ObjectKind.TABLE).items()}
        primary = {name: key for (_, name), key in inspector.get_multi_pk_constraint(kind=ObjectKind.TABLE).items()}
        foreign = {name: keys for (_, name), keys in inspector.get_multi_foreign_keys(kind=ObjectKind.TABLE).items()}
    columns = {name: every[name] for name in sorted(every) if name not in leave_out and every[name]}
    names = {table: [column["name"] for column in found] for table, found in columns.items()}
    notes: list[str] = [f"table {name!r} left out: it has no columns" for name in sorted(every) if not every[name]]
    tables = []
    for name, found in columns.items():
        key = primary[name]["constrained_columns"] if name in primary else ()
        tables.append(
            TableSchema(
                name,
                tuple(ColumnSchema(column["name"], _declared(column["type"])) for column in found),
                tuple(_spelled(column, names[name]) for column in key),
                _foreign_keys(name, foreign.get(name, ()), names, notes),
            )
        )
    return tables, notes


def _foreign_keys(
    table: str, found: Sequence[Any], names: Mapping[str, Sequence[str]], notes: list[str]
) -> tuple[ForeignKey, ...]:
    keys: dict[tuple[tuple[str, ...], str], ForeignKey] = {}
    for entry in found:
        target = _spelled(entry["referred_table"], list(names))
        own = tuple(_spelled(column, names[table]) for column in entry["constrained_columns"])
        if entry.get("referred_schema"):
            notes.append(
                f"foreign key {table}.{'+'.join(own)} left out: it leads to schema {entry['referred_schema']!r}"
            )
            continue
        referred = tuple(_spelled(column, names.get(target, ())) for column in entry["referred_columns"])
        if (own, target) in keys:
            notes.append(f"foreign key {table}.{'+'.join(own)} to {target} is declared twice; the first is used")
        else:
            keys[own, target] = ForeignKey(own, target, referred)
    return tuple(keys.values())


def _spelled(name: str, names: Sequence[str]) -> str:
    """The name as it was created: a reference may differ in case."""
    if name in names:
        return name
    return next((other for other in names if other.casefold() == name.casefold()), name)


def _declared(dtype: Any) -> str:
    import sqlalchemy

    if isinstance(dtype, sqlalchemy.DateTime | sqlalchemy.TIMESTAMP):
        return "TIMESTAMP"
    return "DATE" if isinstance(dtype, sqlalchemy.Date) else ""
