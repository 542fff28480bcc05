"""The SQL side of a task: labels or links per row and moment, and the span of time that a database covers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relgraph.data.known import known_sql
from relgraph.data.sql import quote
from relgraph.data.time import time_sql
from relgraph.errors import ProtocolError, SchemaError

if TYPE_CHECKING:
    import pyarrow

    from relgraph.data.database import Database

__all__ = ["LabelQuery", "gives_lists", "label_rows", "link_rows", "split_sql", "time_quantiles"]


@dataclass(frozen=True)
class LabelQuery:
    """A query of a task, and what its columns mean.

    Args:
        sql: One SELECT; it may use a table ``timestamps(timestamp)`` with the seed times, unless the task has no time.
        table: The table whose rows are asked about.
        entity_columns: The query's columns with the key of that table; empty means the names of its primary key.
        time_column: The query's column with the timestamp; ``None`` for a task without time.
        split_column: The query's column that says which split a row belongs to, of a task without time.
        fractions: Shares of train, val and test where neither a time nor a column splits.
    """

    sql: str
    table: str
    entity_columns: Sequence[str]
    time_column: str | None
    split_column: str | None = None
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)


def label_rows(
    db: Database, visible: Database, query: LabelQuery, times: Sequence[int] | None, label_columns: Sequence[str]
) -> pyarrow.Table:
    """What a label query gives, with the row number and key of each entity.

    Args:
        db: The database, whose row numbers are given.
        visible: What the query may see of it.
        query: The query.
        times: Seed times, int64 microseconds; ``None`` without time.
        label_columns: The query's columns with the label; of a single one, every value may be a list.

    Returns:
        ``__node`` (NULL where the key is not in the table), ``__time`` (microseconds; NULL without time), ``__label``
        (double, or a list of doubles where there are several; NULL where it is no number), ``__early`` (whether the
        entity comes into being later than ``__time``), ``__split`` (where there is no time) and the key columns,
        ordered by time and row.

    Raises:
        SchemaError: If the table has no key, or the query cannot run or lacks a column.
    """
    labels = [(f"v{i}", name) for i, name in enumerate(label_columns)]
    with _Answer(db, visible, query, times, labels) as answer:
        kinds = [answer.types[alias] for alias, _ in labels]
        if len(labels) == 1 and kinds[0].endswith("]"):
            label = "TRY_CAST(l.v0 AS DOUBLE[])"
        else:
            parts = ", ".join(f"TRY_CAST(l.{alias} AS DOUBLE)" for alias, _ in labels)
            label = parts if len(labels) == 1 else f"[{parts}]"
        return answer.joined(f"{label} AS __label", "", "__label")


def link_rows(
    db: Database,
    visible: Database,
    query: LabelQuery,
    times: Sequence[int] | None,
    target_table: str,
    target_columns: Sequence[str],
) -> pyarrow.Table:
    """What a query of links gives, with the row numbers at both ends.

    Args:
        db: The database, whose row numbers are given.
        visible: What the query may see of it.
        query: The query; its table is the source's.
        times: Seed times, int64 microseconds; ``None`` without time.
        target_table: The table that links lead to.
        target_columns: The query's columns with the key of the target; empty means the names of its primary key. Of a
            single one, every value may be a list of keys.

    Returns:
        As :func:`label_rows`, with ``__target`` (NULL where there is none, or its key is not in the table), ``__asked``
        (whether the query names a target) and ``__unborn`` (whether the target comes into being after ``__time``)
        instead of a label. Each link comes once, ordered by time, row and target.

    Raises:
        SchemaError: If a table has no key, or the query cannot run or lacks a column.
    """
    key = _key(db, target_table, target_columns, "target_column")
    targets = [(f"v{i}", name) for i, name in enumerate(target_columns or key)]
    with _Answer(db, visible, query, times, targets) as answer:
        if len(targets) == 1 and answer.types["v0"].endswith("]"):
            answer.unnest("v0")
        terms = answer.equal(target_table, key, [alias for alias, _ in targets], "g")
        ends = _numbered(db, target_table, key)
        named = " AND ".join(f"l.{alias} IS NOT NULL" for alias, _ in targets)
        return answer.joined(
            f'g."__row" AS __target, {named} AS __asked, coalesce(g."__born" > l.__time, FALSE) AS __unborn',
            f"LEFT JOIN ({ends}) g ON {terms}",
            "__target",
            distinct=True,
        )


def gives_lists(db: Database, sql: str, column: str) -> bool:
    """Whether a column of a query with a table ``timestamps`` holds lists; False if the query lacks it.

    Raises:
        SchemaError: If the query cannot run.
    """
    import pyarrow

    found = db.sql(_with_moments(sql, [0]) + " SELECT * FROM __labels LIMIT 0").schema
    kinds = [field.type for field in found if field.name.casefold() == column.casefold()]
    return bool(kinds) and (pyarrow.types.is_list(kinds[0]) or pyarrow.types.is_large_list(kinds[0]))


class _Answer:
    """The rows of a query under plain names, at hand for joins: ``k0, ...`` the key, ``v0, ...`` the values."""

    def __init__(
        self,
        db: Database,
        visible: Database,
        query: LabelQuery,
        times: Sequence[int] | None,
        values: Sequence[tuple[str, str]],
    ) -> None:
        hidden = [name for name in db.schema.names if name.casefold() == "timestamps"]
        if hidden and times is not None:
            raise SchemaError(
                f"table {hidden[0]!r} would be hidden by the table of seed times that a task's SQL is given; connect "
                "it under another name or leave it out (tables=)"
            )
        self._db, self._query = db, query
        self._key = _key(db, query.table, query.entity_columns, "entity_column")
        columns = {f"k{i}": name for i, name in enumerate(query.entity_columns or self._key)}
        if times is not None and query.time_column is not None:
            columns["time"] = query.time_column
        columns |= dict(values)
        if times is None and query.split_column is not None:
            columns["split"] = query.split_column
        rows = _run(visible, query.sql, times, columns)
        self._cursor = db.cursor()
        self._cursor.register("__raw", rows)
        self.types = {name: str(kind) for name, kind, *_ in self._cursor.execute("DESCRIBE __raw").fetchall()}
        self._rows = "__raw"

    def __enter__(self) -> _Answer:
        return self

    def __exit__(self, *error: object) -> None:
        self._cursor.close()

    def unnest(self, name: str) -> None:
        """A row per element of a list; an empty list stays as a row with NULL."""
        kind = self.types[name][: self.types[name].rindex("[")]
        items = f"CAST({name} AS {kind}[])"
        items = f"unnest(CASE WHEN coalesce(len({items}), 0) = 0 THEN [NULL] ELSE {items} END)"
        self._rows = f"(SELECT * REPLACE ({items} AS {name}) FROM {self._rows})"
        self.types[name] = kind

    def equal(self, table: str, key: Sequence[str], names: Sequence[str], alias: str) -> str:
        """SQL that compares columns of the rows ``l`` with a table's key."""
        terms = []
        for name, column in zip(names, key, strict=True):
            ours, theirs = self._db.schema[table].column(column).dtype, self.types[name]
            left, right = f"l.{name}", f"{alias}.{quote(column)}"
            mixed = (ours == "VARCHAR") != (theirs == "VARCHAR")
            terms.append(f"CAST({left} AS VARCHAR) = CAST({right} AS VARCHAR)" if mixed else f"{left} = {right}")
        return " AND ".join(terms)

    def joined(self, values: str, join: str, order: str, distinct: bool = False) -> pyarrow.Table:
        """The rows with their entity; ``join`` and ``values`` add what belongs to each."""
        time = time_sql("time", self.types["time"]) if "time" in self.types else "CAST(NULL AS BIGINT)"
        terms = self.equal(self._query.table, self._key, [f"k{i}" for i in range(len(self._key))], "n")
        split = ""
        if "time" not in self.types:
            given = "lower(trim(CAST(l.split AS VARCHAR)))" if "split" in self.types else None
            split = f"{given or split_sql([f'n.{quote(c)}' for c in self._key], self._query.fractions)} AS __split, "
        return self._cursor.sql(
            f'SELECT {"DISTINCT " if distinct else ""}n."__row" AS __node, l.__time AS __time, {values}, '
            f'coalesce(n."__born" > l.__time, FALSE) AS __early, {split}'
            f"{', '.join(f'n.{quote(name)}' for name in self._key)} "
            f"FROM (SELECT *, {time} AS __time FROM {self._rows}) l "
            f"LEFT JOIN ({_numbered(self._db, self._query.table, self._key)}) n ON {terms} {join} "
            f"ORDER BY __time, __node, {order}"
        ).to_arrow_table()


def split_sql(columns: Sequence[str], fractions: tuple[float, float, float]) -> str:
    """SQL of ``'train'``, ``'val'`` or ``'test'`` by a hash of a key, the same on every machine and version.

    Args:
        columns: SQL of the key's columns.
        fractions: The share of each.
    """
    text = " || chr(31) || ".join(f"coalesce(CAST({column} AS VARCHAR), chr(30))" for column in columns)
    place = f"CAST('0x' || substr(md5({text}), 1, 12) AS BIGINT) / {2**48}"  # 0 to 1
    train, val, _ = fractions
    return f"CASE WHEN {place} < {train!r} THEN 'train' WHEN {place} < {train + val!r} THEN 'val' ELSE 'test' END"


def time_quantiles(db: Database, fractions: Sequence[float]) -> list[int]:
    """Quantiles of the times of all rows of all tables, int64 microseconds.

    Raises:
        ProtocolError: If no row has a time.
    """
    parts = [
        f"SELECT {db.time_sql(table.name)} AS t FROM {quote(table.name)}"
        for table in db.schema
        if table.time_column is not None
    ]
    if parts:
        found = db.sql(f"SELECT quantile_disc(t, {list(fractions)}) AS q FROM ({' UNION ALL '.join(parts)})")
        times: list[int] | None = found["q"][0].as_py()
        if times is not None:
            return times
    raise ProtocolError(
        f"{db.name}: no row has a time, so nothing can be predicted ahead; name the time columns with times="
    )


def _numbered(db: Database, table: str, columns: Sequence[str]) -> str:
    """Row numbers, the columns, and when each row comes into being: ``"__row"``, ``"__born"``."""
    moment = known_sql(db, table, "s")
    own = db.schema[table].time_column
    keys = [name for key in db.schema[table].foreign_keys for name in key.columns]
    wanted = list(dict.fromkeys([*columns, *([own] if own else keys)]))
    return f'SELECT s.*, {moment or "NULL"} AS "__born" FROM ({db.numbered(table, wanted)}) s'


def _key(db: Database, table: str, given: Sequence[str], what: str) -> tuple[str, ...]:
    """The primary key of a table, in the table's names."""
    key = db.schema[table].primary_key
    if not key:
        raise SchemaError(
            f"entity table {table!r} has no primary key, so the SQL cannot name its rows; "
            f"declare one: connect(..., keys={{{table!r}: ...}})"
        )
    if given and len(given) != len(key):
        raise SchemaError(f"{what}: expected {len(key)} columns for key {key}, got {tuple(given)}")
    return key


def _run(db: Database, query: str, times: Sequence[int] | None, columns: Mapping[str, str]) -> pyarrow.Table:
    """Columns of a query under other names, given as ``{name: column of the query}``."""
    tables = _with_moments(query, times)
    found = db.sql(f"{tables} SELECT * FROM __labels LIMIT 0")
    given = {name.casefold(): name for name in found.column_names}
    missing = [name for name in columns.values() if name.casefold() not in given]
    if missing:
        raise SchemaError(
            f"the task's SQL must give the columns {', '.join(map(repr, columns.values()))}; it lacks "
            f"{', '.join(map(repr, missing))} and gives {', '.join(map(repr, found.column_names))}"
        )
    chosen = ", ".join(f"{quote(given[name.casefold()])} AS {alias}" for alias, name in columns.items())
    return db.sql(f"{tables} SELECT {chosen} FROM __labels")


def _with_moments(query: str, times: Sequence[int] | None) -> str:
    """A WITH that calls a query ``__labels`` and gives it its table of seed times."""
    tables = f"__labels AS (\n{query.strip().rstrip(';')}\n)"
    if times is not None:
        moments = f"SELECT make_timestamp(unnest({list(times)}::BIGINT[])) AS timestamp"
        tables = f"timestamps AS ({moments}), {tables}"
    return f"WITH {tables}"
