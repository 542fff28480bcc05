"""Columns that would be keys were it not for a few rows: not proposed, but named, as others hang on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from relgraph.data.check.evidence import NameIndex
from relgraph.data.check.inclusion import Searcher
from relgraph.data.check.key_profile import ColumnProfile
from relgraph.data.check.proposals import ForeignKeyProposal, KeyProposal, SpoiledKey
from relgraph.data.sql import quote

if TYPE_CHECKING:
    from relgraph.data.database import Database

__all__ = ["spoiled_keys"]

_FEWEST = 10  # rows of a table in which a repetition is a fault and not the rule
_SPOILED = 0.05  # of the rows, at most


def spoiled_keys(
    db: Database,
    profiles: Mapping[str, Sequence[ColumnProfile]],
    names: NameIndex,
    primary: Mapping[str, KeyProposal],
    foreign: Sequence[ForeignKeyProposal],
) -> list[SpoiledKey]:
    """Nearly unique columns that are named like the key of their table, or that others refer to by name and value.

    Args:
        db: The database.
        profiles: Of every table.
        names: What the names say.
        primary: Proposed primary keys.
        foreign: Proposed references of one column; what refers to something already is not looked at.
    """
    known = {(link.table, link.columns[0]) for link in foreign}
    known |= {(table.name, key.columns[0]) for table, key in db.schema.foreign_keys if len(key.columns) == 1}
    near = {
        table.name: [
            p for p in profiles[table.name] if (table.name, p.name) not in known and _nearly(names, table.name, p)
        ]
        for table in db.schema
    }
    if not any(near.values()):
        return []
    index = NameIndex(list(db.schema), {name: [p.name for p in found] for name, found in near.items()})
    searcher = Searcher(db, profiles, near, index, {})
    referring: dict[tuple[str, str], list[str]] = {}
    for table in db.schema:
        for profile in profiles[table.name]:
            named = {(entry.table, entry.column) for entry in index.evidence(table.name, profile.name)}
            if (
                named
                and (table.name, profile.name) not in known
                and profile.present
                and profile not in near[table.name]
            ):
                link = searcher.reference(table, profile)
                if link is not None and {(link.target, ""), (link.target, link.target_columns[0])} & named:
                    referring.setdefault((link.target, link.target_columns[0]), []).append(
                        f"{table.name}.{profile.name}"
                    )
    return [
        SpoiledKey(
            name,
            p.name,
            p.distinct,
            _repeated(db, name, p),
            p.rows - p.present,
            tuple(referring.get((name, p.name), ())),
        )
        for name, found in near.items()
        for p in found
        if (name, p.name) in referring
        or (names.own(name, p.name) >= 0.75 and name not in primary and not db.schema[name].primary_key)
    ]


def _nearly(names: NameIndex, table: str, profile: ColumnProfile) -> bool:
    spoiled = profile.rows - profile.distinct
    few = 0 < spoiled <= max(1.0, _SPOILED * profile.rows)
    return profile.rows >= _FEWEST and few and profile.can_be_key and names.marked(table, profile.name)


def _repeated(db: Database, table: str, profile: ColumnProfile) -> int:
    name = quote(profile.name)
    grouped = f"SELECT 1 FROM {quote(table)} WHERE {name} IS NOT NULL GROUP BY {name} HAVING count(*) > 1"
    return int(db.cursor().execute(f"SELECT count(*) FROM ({grouped})").fetchall()[0][0])
