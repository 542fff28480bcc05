"""The SQL of common questions about related rows: how many, how much, any, the last, which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from relgraph.data.interval import interval_sql, parse_interval
from relgraph.data.known import known_sql
from relgraph.data.schema import ForeignKey, Schema, TableSchema
from relgraph.data.sql import FRACTIONS, WHOLE_NUMBERS, quote
from relgraph.data.time import STATIC, UNKNOWN
from relgraph.errors import ProtocolError, SchemaError

if TYPE_CHECKING:
    from relgraph.data.database import Database

__all__ = ["Form", "entity_form", "find_way", "link_form"]

Form = Literal["count", "sum", "exists", "last"]
Via = str | Sequence[str] | None
Way = tuple[tuple[TableSchema, ForeignKey], ...]

_LABELS = {  # of the window, and of a row without one
    "count": ("count(*)", "coalesce(f.label, 0)"),
    "sum": ("sum(r.value)", "CAST(coalesce(f.label, 0) AS DOUBLE)"),
    "exists": ("count(*)", "CAST(f.label IS NOT NULL AS INT)"),
    "last": ("last(r.value ORDER BY r.moment{ties}) FILTER (WHERE r.value IS NOT NULL)", "f.label"),
}


def find_way(schema: Schema, start: str, end: str, via: Via = None) -> Way:
    """The foreign keys that lead from a table to another one, at most two; the shortest way if it is the only one.

    Args:
        schema: The tables.
        start: The table that refers.
        end: The table that is referred to.
        via: Keys, as ``"table.column"`` (``+`` between columns), that the way must take.

    Raises:
        SchemaError: If there is no such table.
        ProtocolError: If there is no way, or several; the message names them.
    """
    schema[end]
    steps = (via,) if isinstance(via, str) else tuple(via or ())
    first = [(schema[start], key) for key in schema[start].foreign_keys]
    ways: list[Way] = [(step,) for step in first if step[1].table == end]
    ways += [
        (step, (schema[step[1].table], key))
        for step in first
        if step[1].table not in (start, end)
        for key in schema[step[1].table].foreign_keys
        if key.table == end
    ]
    fitting = [way for way in ways if set(steps) <= {_step(step) for step in way}]
    shortest = [way for way in fitting if len(way) == len(fitting[0])]
    if len(shortest) == 1:
        return shortest[0]
    shown = "; ".join(" then ".join(_step(step) for step in way) for way in (shortest or ways)) or "none"
    taken = f" over {', '.join(steps)}" if steps else ""
    raise ProtocolError(
        f"expected one way over one or two foreign keys from {start!r} to {end!r}{taken}, found "
        f"{len(shortest) or 'none'}; ways: {shown}" + ("; choose with via=" if ways else "; declare keys with keys=")
    )


def entity_form(
    db: Database,
    form: Form,
    entity_table: str,
    of: str,
    where: str | None,
    active: str | timedelta | None,
    via: Via,
) -> dict[str, Any]:
    """The query of :meth:`relgraph.EntityTask.count` and its like.

    Returns:
        ``sql``, ``kind`` and ``entity_column`` for :class:`~relgraph.EntityTask`.

    Raises:
        SchemaError: If there is no such table or column, or the entity table has no primary key.
        ProtocolError: If there is no way from one to the other, or several, or the related rows have no time.
    """
    table, column = _place(db.schema, of, form)
    kind = "binary" if form == "exists" else "regression"
    if column is not None:
        kind = _kind_of(db, form, table, column)
    way = find_way(db.schema, table, entity_table, via)
    window, label = _LABELS[form]
    ties = "".join(f", r.k{i}" for i in range(len(db.schema[table].primary_key))) or ", r.value"
    names, key = _names(db, entity_table, "")
    rows, exists = _entities(db, entity_table, "e")
    columns = _listed("r", "e", way)
    parts = [
        f"WITH __related AS ({_related(db, table, {'e': way}, where, column)}),",
        f"__found AS (SELECT t.timestamp, {columns}, {window.format(ties=ties)} AS label",
        "  FROM timestamps t JOIN __related r ON r.moment > t.timestamp AND r.moment <= t.timestamp + {horizon}",
        f"  GROUP BY t.timestamp, {columns})",
        f"SELECT t.timestamp, {key}, {label} AS label",
        f"FROM timestamps t JOIN {rows} ON {exists}",
        *_active(db, way, active),
        f"{'JOIN' if form == 'last' else 'LEFT JOIN'} __found f ON f.timestamp = t.timestamp AND {_is(db, way, 'f')}",
        *(["WHERE f.label IS NOT NULL"] if form == "last" else []),
    ]
    return {"sql": "\n".join(parts), "kind": kind, "entity_column": names}


def link_form(
    db: Database,
    entity_table: str,
    target_table: str,
    via: str,
    where: str | None,
    active: str | timedelta | None,
    keys: Via,
) -> dict[str, Any]:
    """The query of :meth:`relgraph.LinkTask.next`.

    Returns:
        ``sql``, ``entity_column`` and ``target_column`` for :class:`~relgraph.LinkTask`.

    Raises:
        SchemaError: If there is no such table, or one has no primary key.
        ProtocolError: If there is no way from one to the other, or several, or the related rows have no time.
    """
    steps = (keys,) if isinstance(keys, str) else tuple(keys or ())
    ways = {}
    for alias, end in (("e", entity_table), ("g", target_table)):
        of_this = [step for step in steps if _leads_to(db.schema, via, end, step)]
        ways[alias] = find_way(db.schema, via, end, of_this)
    rows, exists = _entities(db, entity_table, "e")
    sources, source = _names(db, entity_table, "source_")
    targets, target = _names(db, target_table, "target_", "g")
    parts = [
        f"WITH __related AS ({_related(db, via, ways, where, None)})",
        f"SELECT DISTINCT t.timestamp, {source}, {target}",
        "FROM timestamps t JOIN __related r ON r.moment > t.timestamp AND r.moment <= t.timestamp + {horizon}",
        f"JOIN {rows} ON {_is(db, ways['e'], 'r')} AND {exists}",
        f"JOIN {quote(target_table)} g ON {_is(db, ways['g'], 'r', 'g')}",
        *_active(db, ways["e"], active),
    ]
    return {"sql": "\n".join(parts), "entity_column": sources, "target_column": targets}


def _related(db: Database, table: str, ways: Mapping[str, Way], where: str | None, column: str | None) -> str:
    """A SELECT of related rows: ``e0, ...`` name the entity, ``g0, ...`` a target, ``k0, ...`` the row itself."""
    moment = _moment(db, table, "r")
    if moment is None:
        raise ProtocolError(
            f"rows of table {table!r} have no time and refer to no row that has one, so it is not known in which "
            "window they fall; name a time column with times="
        )
    condition = "" if where is None else f" WHERE (\n{where}\n)"
    joins, values = [], [] if column is None else [f"r.{quote(column)} AS value"]
    for alias, way in ways.items():
        owner = "r"
        for number, (_, key) in enumerate(way[:-1]):
            middle = f"{alias}_{number}"
            pairs = zip(db.schema.target_columns(key), key.columns, strict=True)
            equal = " AND ".join(f"{middle}.{quote(other)} = {owner}.{quote(own)}" for other, own in pairs)
            joins.append(f" JOIN {quote(key.table)} {middle} ON {equal}")
            owner = middle
        values += [f"{owner}.{quote(name)} AS {alias}{i}" for i, name in enumerate(way[-1][1].columns)]
    values += [f"r.{quote(name)} AS k{i}" for i, name in enumerate(db.schema[table].primary_key)]
    rows = f"(SELECT r.*, {moment} AS __moment FROM {quote(table)} r{condition})"
    return f"SELECT {', '.join(values)}, r.__moment AS moment FROM {rows} r{''.join(joins)}"


def _moment(db: Database, table: str, row: str) -> str | None:
    """SQL of the TIMESTAMP at which a row came to be known, NULL where that is always or never; of one table only."""
    column = db.schema[table].time_column
    if column is not None and db.schema[table].column(column).dtype in ("TIMESTAMP", "DATE"):
        return f"CAST({row}.{quote(column)} AS TIMESTAMP)"
    known = known_sql(db, table, row, UNKNOWN)
    return known and f"make_timestamp(nullif(nullif({known}, {STATIC}), {UNKNOWN}))"


def _entities(db: Database, table: str, row: str) -> tuple[str, str]:
    """What stands after FROM for the rows of an entity table, and SQL that is true from when they exist."""
    column = db.schema[table].time_column
    if column is not None and db.schema[table].column(column).dtype in ("TIMESTAMP", "DATE"):
        return f"{quote(table)} {row}", f"{row}.{quote(column)} <= t.timestamp"
    known = known_sql(db, table, row, UNKNOWN)
    if known is None:
        return f"{quote(table)} {row}", "TRUE"
    born = f"(SELECT {row}.*, {known} AS __born FROM {quote(table)} {row}) {row}"
    return born, f"{row}.__born <= epoch_us(t.timestamp)"


def _active(db: Database, way: Way, active: str | timedelta | None) -> list[str]:
    """A join that leaves the entities with a related row in the time before."""
    if active is None:
        return []
    since = interval_sql(parse_interval(active, "active"))
    columns = _listed("r", "e", way)
    return [
        f"JOIN (SELECT DISTINCT t.timestamp, {columns} FROM timestamps t JOIN __related r",
        f"      ON r.moment > t.timestamp - {since} AND r.moment <= t.timestamp) a",
        f"  ON a.timestamp = t.timestamp AND {_is(db, way, 'a')}",
    ]


def _is(db: Database, way: Way, related: str, row: str = "e") -> str:
    """SQL that compares what related rows refer to with the rows it is."""
    targets = db.schema.target_columns(way[-1][1])
    return " AND ".join(f"{row}.{quote(name)} = {related}.{row}{i}" for i, name in enumerate(targets))


def _listed(related: str, row: str, way: Way) -> str:
    return ", ".join(f"{related}.{row}{i}" for i in range(len(way[-1][1].columns)))


def _names(db: Database, table: str, prefix: str, row: str = "e") -> tuple[list[str], str]:
    """What a query calls the key of a table, and the SQL of it."""
    key = db.schema[table].primary_key
    if not key:
        raise SchemaError(
            f"entity table {table!r} has no primary key, so its rows have no name; "
            f"declare one: connect(..., keys={{{table!r}: ...}})"
        )
    names = [f"{prefix}{name}" for name in key]
    if not prefix and {name.casefold() for name in names} & {"timestamp", "label"}:
        names = [f"key_{name}" for name in key]
    return names, ", ".join(f"{row}.{quote(own)} AS {quote(name)}" for own, name in zip(key, names, strict=True))


def _place(schema: Schema, of: str, form: Form) -> tuple[str, str | None]:
    """The table that ``of`` names, and the column where the form needs one."""
    if form in ("count", "exists"):
        schema[of]
        return of, None
    table, _, column = of.rpartition(".")
    if not table:
        raise ProtocolError(f"of: {form} needs a column such as 'orders.amount', got {of!r}")
    schema[table].column(column)
    return table, column


def _kind_of(db: Database, form: Form, table: str, column: str) -> str:
    dtype = db.schema[table].column(column).dtype
    if dtype == "BOOLEAN" and form == "last":
        return "binary"
    if dtype not in (*WHOLE_NUMBERS, *FRACTIONS) and not dtype.startswith("DECIMAL"):
        raise ProtocolError(
            f"of: {form} needs numbers, {table}.{column} is {dtype}; write the task's SQL yourself, with a CASE that "
            "makes them numbers"
        )
    return "regression"


def _leads_to(schema: Schema, start: str, end: str, step: str) -> bool:
    """Whether some way from one table to the other takes a key."""
    try:
        find_way(schema, start, end, step)
    except ProtocolError:
        return False
    return True


def _step(step: tuple[TableSchema, ForeignKey]) -> str:
    return f"{step[0].name}.{step[1].name}"
