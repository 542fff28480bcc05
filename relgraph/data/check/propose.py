"""Keys that a database does not declare, found by names and values: primary keys, references, composite ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relgraph.data.check.evidence import NameIndex
from relgraph.data.check.identity import ENOUGH, composite_key, is_junction, own_key, target_columns
from relgraph.data.check.inclusion import Searcher
from relgraph.data.check.key_profile import ColumnProfile, profile_table
from relgraph.data.check.key_words import is_measure, read_column
from relgraph.data.check.kinds import told_targets
from relgraph.data.check.near import nearly_reference
from relgraph.data.check.overlap import values_equal
from relgraph.data.check.proposals import ForeignKeyProposal, KeyProposal, Proposals, SpoiledKey, TimeProposal
from relgraph.data.check.spoiled import spoiled_keys
from relgraph.data.check.time_choice import propose_times
from relgraph.data.check.time_columns import Moment, moments_of
from relgraph.data.progress import track
from relgraph.data.schema import TableSchema
from relgraph.data.sql import quote

if TYPE_CHECKING:
    from relgraph.data.database import Database

__all__ = ["Survey", "propose", "survey"]


@dataclass(frozen=True)
class Survey:
    """What was counted about the columns of a database, for everything that looks at them.

    Args:
        profiles: Per table, in table order.
        moments: Per table the columns with times.
    """

    profiles: Mapping[str, Sequence[ColumnProfile]]
    moments: Mapping[str, Sequence[Moment]]


def survey(db: Database, progress: bool = True, tables: Iterable[str] | None = None) -> Survey:
    """Count what :func:`propose` looks at.

    Args:
        db: The database.
        progress: Show progress on stderr.
        tables: All by default.
    """
    chosen = [db.schema[name] for name in (db.schema.names if tables is None else tables)]
    profiles, moments = {}, {}
    for table in track(chosen, "reading columns", progress, lambda table: table.name):
        profiles[table.name] = profile_table(db, table)
        moments[table.name] = moments_of(db, table, profiles[table.name])
    return Survey(profiles, moments)


def propose(db: Database, found: Survey | None = None, progress: bool = True) -> Proposals:
    """Keys and times that a database does not declare but seems to have.

    What is declared is never proposed again; a proposal never contradicts it.

    Args:
        db: The database.
        found: What is known of its columns; counted by default.
        progress: Show progress on stderr.
    """
    tables = list(db.schema)
    counted = found or survey(db, progress)
    finder = _Finder(db, counted)
    primary, foreign = finder.keys(progress)
    # a year that is part of a key still says when the row happened
    keys = {table.name: _alone(table.primary_key, *(k.columns for k in table.foreign_keys)) for table in tables}
    for link in foreign:
        keys[link.table] |= _alone(link.columns)
    for key in primary:
        keys[key.table] |= _alone(key.columns)
    refers = {link.table for link in foreign} | {table.name for table in tables if table.foreign_keys}
    within = _within(db, foreign, counted.moments)
    times: list[TimeProposal] = []
    for table in tables:
        name = table.name
        times += propose_times(db, table, counted.moments[name], keys[name], name in refers, within[name])
    return Proposals(tuple(primary), tuple(foreign), tuple(times), tuple(finder.notes), tuple(finder.spoiled))


def _alone(*keys: Sequence[str] | None) -> frozenset[str]:
    """The columns that are a key by themselves."""
    return frozenset(key[0] for key in keys if key is not None and len(key) == 1)


def _within(
    db: Database, foreign: Sequence[ForeignKeyProposal], moments: Mapping[str, Sequence[Moment]]
) -> dict[str, frozenset[str]]:
    """Per table the columns of references of several columns to rows that have a finer time than a year."""
    links = [(link.table, link.columns, link.target) for link in foreign]
    links += [(table.name, key.columns, key.table) for table, key in db.schema.foreign_keys]
    found: dict[str, frozenset[str]] = dict.fromkeys(db.schema.names, frozenset())
    for name, columns, target in links:
        if len(columns) > 1 and any("year" not in moment.how for moment in moments[target]):
            found[name] |= frozenset(columns)
    return found


def _days(moments: Iterable[Moment]) -> frozenset[str]:
    """Columns that hold days or moments as texts or numbers; a year may be a key as well."""
    coarse = ("year", "three columns")
    return frozenset(m.column for m in moments if m.how and not any(word in m.how for word in coarse))


def _nearest(
    found: Sequence[ForeignKeyProposal], several: Sequence[tuple[str, tuple[str, ...], str, tuple[str, ...]]]
) -> list[ForeignKeyProposal]:
    """Without references that a row also has through another one: of a schedule line to an order through its item."""
    known = set(several)

    def through(link: ForeignKeyProposal) -> bool:
        for table, columns, target, key in several:
            if table == link.table and set(link.columns) < set(columns):
                there = dict(zip(columns, key, strict=True))
                if (target, tuple(there[c] for c in link.columns), link.target, link.target_columns) in known:
                    return True
        return False

    return [link for link in found if not through(link)]


class _Finder:
    def __init__(self, db: Database, counted: Survey) -> None:
        self._db = db
        self._profiles = profiles = counted.profiles
        tables = list(db.schema)
        plain = NameIndex(tables, {})
        repeated = frozenset(
            p.name.casefold() for found in profiles.values() for p in found if p.family == "text" and not p.unique
        )
        days = {name: _days(moments) for name, moments in counted.moments.items()}
        self._targets = {
            t.name: [p for p in found if p.position == 0 or p.name not in days[t.name] or plain.marked(t.name, p.name)]
            for t in tables
            for found in [target_columns(plain, t, profiles[t.name], repeated)]
        }
        self._names = NameIndex(tables, {name: [p.name for p in found] for name, found in self._targets.items()})
        cursor = db.cursor()
        told = [told for t in tables for told in told_targets(cursor, self._names, t, profiles[t.name])]
        self._told = {(entry.table, entry.column): entry for entry in told}
        self.notes = [str(entry) for entry in told if entry.target is None]
        self.spoiled: list[SpoiledKey] = []

    def keys(self, progress: bool) -> tuple[list[KeyProposal], list[ForeignKeyProposal]]:
        """Primary and foreign keys, each in the order of the schema."""
        tables = list(self._db.schema)
        primary = {t.name: key for t in tables if not t.primary_key and (key := self._plain_key(t)) is not None}
        foreign = self._references(track(tables, "comparing values", progress, lambda table: table.name))
        for table in tables:
            if not table.primary_key and table.name not in primary:
                key = self._other_key(table, foreign)
                if key is not None:
                    primary[table.name] = key
        self.spoiled = spoiled_keys(self._db, self._profiles, self._names, primary, foreign)
        foreign = self._composite(primary, foreign)
        order = {(t.name, c): (i, j) for i, t in enumerate(tables) for j, c in enumerate(t.column_names)}
        foreign.sort(key=lambda link: ([order[link.table, c] for c in link.columns], link.target))
        return [primary[table.name] for table in tables if table.name in primary], foreign

    def _plain_key(self, table: TableSchema) -> KeyProposal | None:
        """A column that is named as the table's own key; not where two such columns make it a junction."""
        profiles = self._profiles[table.name]
        key = own_key(self._names, table, profiles, 0.75)
        if key is None or self._names.own(table.name, key.columns[0]) >= 0.9:
            return key
        pointing = [p.name for p in profiles if self._points_away(table.name, p.name)]
        return None if key.columns[0] in pointing and len(pointing) >= 2 else key

    def _points_away(self, table: str, column: str) -> bool:
        found = self._names.evidence(table, column)
        return any(entry.grade >= 0.9 and entry.table != table for entry in found)

    def _references(self, tables: Iterable[TableSchema]) -> list[ForeignKeyProposal]:
        searcher = Searcher(self._db, self._profiles, self._targets, self._names, self._told)
        found = []
        for table in tables:
            declared = {key.columns[0] for key in table.foreign_keys if len(key.columns) == 1}
            for profile in self._profiles[table.name]:
                if profile.name in declared or (
                    table.primary_key == (profile.name,) and not self._may_extend(table.name, profile.name)
                ):
                    continue
                link = searcher.reference(table, profile)
                if link is not None:
                    found.append(link)
        self.notes += map(nearly_reference, searcher.near)
        if searcher.skipped:
            self.notes.append(
                f"{searcher.skipped:,} columns whose names say nothing were not compared with the keys of other tables"
            )
        return found

    def _may_extend(self, table: str, column: str) -> bool:
        """Whether a declared primary key may also refer to another table: one row there, one here."""
        return self._names.own(table, column) < 0.9 and self._points_away(table, column)

    def _other_key(self, table: TableSchema, foreign: Sequence[ForeignKeyProposal]) -> KeyProposal | None:
        profiles = {profile.name: profile for profile in self._profiles[table.name]}
        links = {link.columns[0]: link.target for link in foreign if link.table == table.name}
        links |= {key.columns[0]: key.table for key in table.foreign_keys if len(key.columns) == 1}
        references = [(name, links[name]) for name in table.column_names if name in links]
        single = own_key(self._names, table, self._profiles[table.name], ENOUGH)
        if single is None or (single.columns[0] in links and is_junction(table, references, profiles, 0)):
            both = composite_key(self._db, self._names, table, profiles, references)
            if both is not None:
                return both
        if single is not None:
            return single
        referred = {link.target_columns[0] for link in foreign if link.target == table.name}
        for name in table.column_names:
            if name in referred and profiles[name].identifies:
                why = ("other tables refer to it", f"{profiles[name].rows:,} different values, no NULL")
                return KeyProposal(table.name, (name,), 0.6, profiles[name].rows, why)
        return None

    def _composite(
        self, primary: Mapping[str, KeyProposal], foreign: Sequence[ForeignKeyProposal]
    ) -> list[ForeignKeyProposal]:
        """References of several columns to keys of several columns, by the same names."""
        keys = {table.name: table.primary_key or () for table in self._db.schema}
        keys |= {name: key.columns for name, key in primary.items()}
        single = {(link.table, link.columns[0]): link.target for link in foreign}
        single |= {(t.name, k.columns[0]): k.table for t, k in self._db.schema.foreign_keys if len(k.columns) == 1}
        found = []
        for parent in self._db.schema:
            key = keys[parent.name]
            if len(key) < 2 or not self._db.num_rows(parent.name):
                continue
            for child in self._db.schema:
                columns = self._same_names(parent.name, key, child)
                if child.name == parent.name or columns is None or columns in [k.columns for k in child.foreign_keys]:
                    continue
                own = keys[child.name]
                if own and set(own) <= set(columns) and not self._names.extends(child.name, parent.name):
                    continue  # two tables of one grain, not one within the other
                link = self._composite_link(child, columns, parent, key)
                if link is not None:
                    found.append(link)
        several = [(link.table, link.columns, link.target, link.target_columns) for link in found]
        for table, known in self._db.schema.foreign_keys:
            if len(known.columns) > 1:
                several.append((table.name, known.columns, known.table, self._db.schema.target_columns(known)))
        covered = {
            (table, own)
            for table, columns, target, key in several
            if not all((target, name) in single for name in key)  # a junction's own references say more than it does
            for own, other in zip(columns, key, strict=True)
            if single.get((table, own)) == single.get((target, other))
        }
        covered |= {  # whatever else is unique there
            (link.table, link.columns[0])
            for link in foreign
            for table, columns, target, key in several
            if (table, target) == (link.table, link.target)
            and (link.columns[0], link.target_columns[0]) in zip(columns, key, strict=True)
        }
        return [link for link in foreign if (link.table, link.columns[0]) not in covered] + _nearest(found, several)

    def _same_names(self, parent: str, key: Sequence[str], child: TableSchema) -> tuple[str, ...] | None:
        """The child's columns that are named like the key, if all are and the key is more than times and numbers."""
        profiles = {profile.name: profile for profile in self._profiles[parent]}
        if any(profiles[name].family in ("time", "other") for name in key):
            return None
        if all(is_measure(read_column(name)[-1].core) for name in key):
            return None
        spelled = {text: name for name in child.column_names for text in self._names.spellings(child.name, name)}
        columns = []
        for name in key:
            own = next((spelled[t] for t in self._names.spellings(parent, name) if t in spelled), None)
            if own is None:
                return None
            columns.append(own)
        return tuple(columns) if len(set(columns)) == len(columns) else None

    def _composite_link(
        self, child: TableSchema, columns: tuple[str, ...], parent: TableSchema, key: tuple[str, ...]
    ) -> ForeignKeyProposal | None:
        own = {profile.name: profile for profile in self._profiles[child.name]}
        other = {profile.name: profile for profile in self._profiles[parent.name]}
        pairs = [(own[a], other[b]) for a, b in zip(columns, key, strict=True)]
        if any(not a.present or a.family != b.family or not a.can_be_key for a, b in pairs):
            return None
        if child.primary_key == () and all(a.unique for a, _ in pairs):
            return None
        sides = [values_equal(a, b, "c", "p") for a, b in pairs]
        filled = " AND ".join(f"c.{quote(name)} IS NOT NULL" for name in columns)
        grouped = f"SELECT {', '.join(f'c.{quote(n)}' for n in columns)}, count(*) AS n FROM {quote(child.name)} AS c"
        match = " AND ".join(f"{left} = {right}" for left, right in sides)
        joined = f"({grouped} WHERE {filled} GROUP BY ALL) AS c LEFT JOIN {quote(parent.name)} AS p ON {match}"
        distinct, matched, rows, rows_matched = (
            self._db.cursor()
            .execute(
                f"SELECT count(*), count(p.{quote(key[0])}), coalesce(sum(c.n), 0), "
                f"coalesce(sum(c.n) FILTER (p.{quote(key[0])} IS NOT NULL), 0) FROM {joined}"
            )
            .fetchall()[0]
        )
        room = 1.0
        for b in other.values():
            room *= max(b.distinct, 1) if b.name in key else 1
        by_chance = self._db.num_rows(parent.name) / room
        if (
            not distinct
            or matched < 0.999 * distinct
            or (by_chance > 0.5 and len(key) == len(columns) and distinct < 20)
        ):
            return None
        score = round(0.9 - 0.2 * min(1.0, by_chance), 2)
        reasons = (
            f"has the names of the key of {parent.name}",
            f"{matched:,} of {distinct:,} values are in {parent.name} ({', '.join(key)})",
        )
        total = self._db.num_rows(child.name)
        return ForeignKeyProposal(
            *(child.name, columns, parent.name, key, score, total, distinct, matched),
            int(rows - rows_matched),
            total - int(rows),
            reasons,
        )
