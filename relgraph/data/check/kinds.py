"""References whose target a second column names: ``subject_id`` beside ``subject_type``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relgraph.data.check.evidence import NameIndex
from relgraph.data.check.key_profile import ColumnProfile
from relgraph.data.check.key_words import KEY_WORDS, bag, words
from relgraph.data.schema import TableSchema
from relgraph.data.sql import quote

if TYPE_CHECKING:
    import duckdb

__all__ = ["Told", "told_targets"]

_KIND = bag("type class kind model table")
_MOST = 50


@dataclass(frozen=True)
class Told:
    """A column that refers to what another one says.

    Args:
        table: The table of both.
        column: The referring column.
        kind: The column that names the table referred to.
        targets: Per value of ``kind`` the table that it names.
    """

    table: str
    column: str
    kind: str
    targets: Mapping[str, str]

    @property
    def target(self) -> str | None:
        """The table that all rows refer to; None if there are several."""
        tables = set(self.targets.values())
        return tables.pop() if len(tables) == 1 else None

    def __str__(self) -> str:
        means = ", ".join(f"{value!r} means {target}" for value, target in self.targets.items())
        return (
            f"{self.table}.{self.column} refers to rows of several tables, as {self.kind} says: {means}; one foreign "
            "key has one target, so it needs a column per table, made in a view or by tables="
        )


def told_targets(
    cursor: duckdb.DuckDBPyConnection, names: NameIndex, table: TableSchema, profiles: Sequence[ColumnProfile]
) -> Iterator[Told]:
    """The columns of a table beside which a column stands whose every value names a table; no declared references.

    Args:
        cursor: Where the table is.
        names: The names of the schema.
        table: The table.
        profiles: Of its columns.
    """
    kinds = {words(p.name): p for p in profiles if p.family == "text" and p.present and p.distinct <= _MOST}
    declared = {column for key in table.foreign_keys for column in key.columns}
    for profile in profiles:
        *base, last = words(profile.name) or ("",)
        if not base or last not in KEY_WORDS or not profile.can_be_key or profile.name in declared:
            continue
        kind = next((kinds[*base, word] for word in sorted(_KIND) if (*base, word) in kinds), None)
        if kind is None:
            continue
        name = quote(kind.name)
        query = (
            f"SELECT DISTINCT CAST({name} AS VARCHAR) AS v FROM {quote(table.name)} WHERE {name} IS NOT NULL ORDER BY v"
        )
        meant = {value: names.table_meant(value) for (value,) in cursor.execute(query).fetchall()}
        known = {value: target for value, target in meant.items() if target is not None}
        if len(known) == len(meant):
            yield Told(table.name, profile.name, kind.name, known)
