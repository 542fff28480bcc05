"""Foreign keys that a database does not declare: names say where a column may point, values decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relgraph.data.check.evidence import NameEvidence, NameIndex
from relgraph.data.check.key_profile import ColumnProfile
from relgraph.data.check.key_words import is_measure, is_natural, words
from relgraph.data.check.kinds import Told
from relgraph.data.check.overlap import (
    Column,
    keys_within,
    lies_inside,
    may_include,
    stands_for_none,
    surprise,
    values_equal,
    without_gaps,
)
from relgraph.data.check.proposals import ForeignKeyProposal
from relgraph.data.schema import TableSchema
from relgraph.data.sql import quote

if TYPE_CHECKING:
    from relgraph.data.database import Database

__all__ = ["Near", "Searcher"]

_MOST_NAMED = 12  # targets tried per column
_MOST_UNNAMED = 20
_UNNAMED_COLUMNS = 300  # columns tried on their values alone
_MOSTLY = 0.8
_SURE = 12.0  # orders of magnitude


@dataclass(frozen=True)
class _Measured:
    """What the values of a column say for one target; ``surprise`` in orders of magnitude against chance.

    ``none``: values among them that mostly stand for no reference, such as a 0 below every number of the target;
    ``anywhere``: how many of them any of the targets compared has.
    """

    target: Column
    name: NameEvidence | None
    distinct: int
    matched: int
    rows_matched: int
    surprise: float
    covered: float
    none: tuple[str, ...] = ()
    anywhere: int = 0

    @property
    def grade(self) -> float:
        return 0.0 if self.name is None else self.name.grade

    @property
    def share(self) -> float:
        spared = len(self.none) if self.grade >= 0.7 and self.matched else 0
        return self.matched / (self.distinct - spared) if self.distinct else 0.0

    @property
    def holds(self) -> bool:
        """The less a name says, the more the values must."""
        if not self.distinct:
            return self.grade >= 0.9
        if self.grade >= 0.9:
            return self.share >= _MOSTLY or (self.share >= 0.5 and self.surprise >= 3)
        if self.grade >= 0.7:
            return self.share >= 0.9
        if self.grade >= 0.6:
            fits = self.share >= 0.98 and (self.surprise >= 2 or self.covered >= 0.5)
            return fits or (self.share >= 0.9 and self.surprise >= 20)
        return self.share >= 0.99 and self.surprise >= 8 and self.distinct >= 5

    @property
    def score(self) -> float:
        if not self.distinct:
            return round(0.5 * self.grade, 2)
        values = max(0.0, (self.share - 0.5) / 0.5)
        return round(min(0.99, 0.55 * self.grade + 0.34 * values + 0.1 * min(1.0, self.surprise / _SURE)), 2)


@dataclass(frozen=True)
class Near:
    """A column named like a reference whose values say no.

    Args:
        column: ``table.column``.
        distinct: Its different values.
        found: Per target how many of them it has, the most first.
        split: Whether the targets have nearly all of them together.
    """

    column: str
    distinct: int
    found: tuple[tuple[str, int], ...]
    split: bool


class Searcher:
    """Finds single-column references.

    Args:
        db: The database.
        profiles: Of every table.
        targets: Per table the columns that identify a row, the plainest first.
        names: What the names say.
        told: Per table and column what a second column says of its target.
    """

    def __init__(
        self,
        db: Database,
        profiles: Mapping[str, Sequence[ColumnProfile]],
        targets: Mapping[str, Sequence[ColumnProfile]],
        names: NameIndex,
        told: Mapping[tuple[str, str], Told],
    ) -> None:
        self._cursor = db.cursor()
        self._told = told
        self._targets = {table: [Column(table, profile) for profile in found] for table, found in targets.items()}
        self._all = [column for found in self._targets.values() for column in found]
        self._texts = {
            table: [Column(table, p) for p in found if p.family == "text" and p.identifies and p not in targets[table]]
            for table, found in profiles.items()
        }
        self._names = names
        self._order = {table: i for i, table in enumerate(profiles)}
        self._width = {table: len(found) for table, found in profiles.items()}
        self._unnamed = 0
        self.skipped = 0
        self.near: list[Near] = []

    def reference(self, table: TableSchema, profile: ColumnProfile) -> ForeignKeyProposal | None:
        """The best target of a column, or None.

        Args:
            table: The column's table.
            profile: The column.
        """
        child = Column(table.name, profile)
        if not profile.can_be_key and not (profile.present == 0 and profile.family != "time"):
            return None
        told = self._told.get((table.name, profile.name))
        if told is not None and told.target is None:
            return None
        named = list(self._named(child)) if told is None else list(self._told_target(child, told))
        tried = list(self._measure(child, named[:_MOST_NAMED]))
        measured = [found for found in tried if self._holds(child, found)]
        if not measured and profile.present and told is None:
            unnamed = [(target, None) for target in self._unnamed_targets(child)]
            measured = [found for found in self._measure(child, unnamed) if found.holds]
        if measured:
            best = max(measured, key=lambda found: (found.score, found.share, *(-x for x in self._rank(found.target))))
            if best.share >= _MOSTLY or not best.distinct or not self._is_split(tried):
                return self._proposal(child, best)
        self._note_near(child, tried)
        return None

    def _is_split(self, tried: Sequence[_Measured]) -> bool:
        """Whether the values are spread over several tables that the name says alike."""
        parts = [found for found in tried if found.grade >= 0.9 and 0 < found.share < _MOSTLY]
        return len(parts) > 1 and parts[0].anywhere >= 0.9 * parts[0].distinct

    def _note_near(self, child: Column, tried: Sequence[_Measured]) -> None:
        missed = sorted((found for found in tried if found.grade >= 0.9 and found.matched), key=lambda f: -f.matched)
        if missed and not child.profile.unique and self._names.marked(child.table, child.profile.name):
            targets = tuple((found.target.label, found.matched) for found in missed)
            self.near.append(Near(child.label, missed[0].distinct, targets, self._is_split(tried)))

    def _holds(self, child: Column, found: _Measured) -> bool:
        """A column that could be its own table's key must also meet much of the other, or not by accident."""
        alike = child.profile.family == found.target.profile.family
        if found.distinct == 1 and found.grade < 0.75 and not alike:
            return False  # a flag held as text
        own = child.profile.unique and self._names.own(child.table, child.profile.name) >= 0.75
        return found.holds and (not own or found.covered >= 0.3 or found.surprise >= 3)

    def _rank(self, column: Column) -> tuple[float, int, int, int, int]:
        """Smaller for what is more plainly the home of a value: one-to-one references only go that way."""
        own = self._names.own(column.table, column.profile.name)
        home = (-column.profile.distinct, column.profile.position)
        return (-own, *home, -self._width[column.table], self._order[column.table])

    def _allowed(self, child: Column, target: Column) -> bool:
        if child == target:
            return False
        own = child.profile
        identifies = own.unique or own.present == 0
        if identifies and self._names.own(child.table, own.name) >= 0.75 and child.table == target.table:
            return False
        if not identifies or child.profile.present == 0:
            return not identifies or self._rank(target) < self._rank(child)
        if self._names.own(child.table, own.name) == self._names.own(target.table, target.profile.name) >= 0.75:
            return False  # two tables with keys of the same name, each its own
        numbered = without_gaps(own) and without_gaps(target.profile) and own.low == target.profile.low
        if numbered and words(own.name) == words(
            target.profile.name
        ):  # row numbers of both, unless it names the target
            return self._names.own(target.table, target.profile.name) >= 0.85
        return self._rank(target) < self._rank(child)

    def _named(self, child: Column) -> Iterator[tuple[Column, NameEvidence | None]]:
        own = self._names.own(child.table, child.profile.name)
        unique = child.profile.unique or child.profile.present == 0
        seen = set()
        for found in self._names.evidence(child.table, child.profile.name):
            if unique and own >= 0.75 and found.grade <= own:
                continue
            for target in self._targets.get(found.table, ()):
                if found.column not in ("", target.profile.name) or target in seen:
                    continue
                if self._allowed(child, target) and may_include(child.profile, target.profile):
                    seen.add(target)
                    yield target, found
        if not unique and not seen and own >= 0.75:
            yield from self._namesakes(child)
        if not unique and child.profile.family == "text":
            yield from self._written_out(child)

    def _written_out(self, child: Column) -> Iterator[tuple[Column, NameEvidence | None]]:
        """Texts that no key holds, but another column without repetitions, in a table that the name says."""
        for found in self._names.evidence(child.table, child.profile.name):
            for target in self._texts[found.table] if found.grade >= 0.75 and not found.column else ():
                if child.table != target.table and may_include(child.profile, target.profile):
                    yield target, found

    def _told_target(self, child: Column, told: Told) -> Iterator[tuple[Column, NameEvidence | None]]:
        for target in self._targets.get(told.target or "", ()):
            if self._allowed(child, target) and may_include(child.profile, target.profile):
                reason = f"goes with {told.kind}, which says {target.table} in every row"
                yield target, NameEvidence(target.table, "", 0.95, reason)

    def _namesakes(self, child: Column) -> Iterator[tuple[Column, NameEvidence | None]]:
        """Keys of the same name where the name says nothing, as ``uid``; for ``id`` only values can tell."""
        name = child.profile.name.casefold()
        for target in self._all:
            other = target.profile
            if other.name.casefold() == name and child.table != target.table and may_include(child.profile, other):
                grade = 0.55 if name in ("id", "key", "no", "number", "index") else 0.75
                yield target, NameEvidence(target.table, other.name, grade, f"has the name of {target.label}")

    def _unnamed_targets(self, child: Column) -> list[Column]:
        """Where a column may point whose name does not say it: a key, or a code in the first column of a table."""
        own, marked = child.profile, self._names.marked(child.table, child.profile.name)
        identifies = own.unique and self._names.own(child.table, own.name) >= 0.75
        coded = own.family == "text" and own.distinct >= 10 and not is_measure(words(own.name))
        large = own.family == "number" and own.whole and own.low >= 1_000_000 and own.distinct >= 10
        large = large and not is_measure(words(own.name))  # so large that they lie in no key by accident
        if identifies or own.distinct < 4 or not (marked or coded or large):
            return []
        within = [
            target
            for target in self._all
            if target.profile.family == own.family
            and self._allowed(child, target)
            and may_include(own, target.profile)
            and own.distinct <= 1.6 * target.profile.distinct
            and (own.family != "text" or own.length >= (4 if own.distinct < 10 else 3))
            and (
                target.profile.position == 0
                or is_natural(target.profile.name)
                or self._names.is_home(target.table, target.profile.name)
            )
            and lies_inside(own, target.profile)
            and not without_gaps(target.profile)  # every number in its range is there: that says nothing
        ]
        if within and self._unnamed >= _UNNAMED_COLUMNS:
            self.skipped += 1
            return []
        self._unnamed += bool(within)
        return sorted(within, key=lambda target: target.profile.distinct)[:_MOST_UNNAMED]

    def _measure(self, child: Column, candidates: Sequence[tuple[Column, NameEvidence | None]]) -> Iterator[_Measured]:
        """One query per column: its distinct values, each with whether the candidates have it."""
        if not candidates or not child.profile.present:
            yield from (_Measured(target, name, 0, 0, 0, 0.0, 0.0) for target, name in candidates)
            return
        terms, counts = [], []
        for i, (target, _) in enumerate(candidates):
            own, other = values_equal(child.profile, target.profile, "", "")
            keys = f"SELECT {other} FROM {quote(target.table)} WHERE {quote(target.profile.name)} IS NOT NULL"
            value = "v" if own == child.profile.value() else "CAST(v AS VARCHAR)"
            terms.append(f"{value} IN ({keys}) AS m{i}")
            counts += [f"count(*) FILTER (m{i})", f"coalesce(sum(n) FILTER (m{i}), 0)", keys_within(child, target)]
            counts.append(
                f"list(CAST(v AS VARCHAR) ORDER BY v) FILTER (NOT m{i} AND ({stands_for_none(child, target)}))"
            )
        name = quote(child.profile.name)
        grouped = (
            f"SELECT {child.profile.value()} AS v, count(*) AS n FROM {quote(child.table)} "
            f"WHERE {name} IS NOT NULL GROUP BY ALL"
        )
        anywhere = " OR ".join(f"m{i}" for i in range(len(candidates)))
        counts = ["count(*)", f"count(*) FILTER ({anywhere})", *counts]
        query = f"SELECT {', '.join(counts)} FROM (SELECT v, n, {', '.join(terms)} FROM ({grouped}))"
        distinct, together, *found = self._cursor.execute(query).fetchall()[0]
        for i, (target, evidence) in enumerate(candidates):
            matched, rows, within, none = found[4 * i : 4 * i + 4]
            apart = surprise(child.profile, distinct, matched, within)
            covered = matched / target.profile.present if target.profile.present else 0.0
            yield _Measured(target, evidence, distinct, matched, int(rows), apart, covered, tuple(none or ()), together)

    def _proposal(self, child: Column, best: _Measured) -> ForeignKeyProposal:
        own, target = child.profile, best.target
        reasons = [f"its name {best.name.reason}" if best.name else "its name says nothing; its values do"]
        if not best.distinct:
            reasons.append("the column has no value: by its name only")
        else:
            reasons.append(f"{best.matched:,} of {best.distinct:,} values are in {target.label}")
            if len(best.none) == 1:
                reasons.append(f"{best.none[0]} is not, which mostly means none")
            elif best.none:
                reasons.append(f"{', '.join(best.none)} are not, which mostly mean none")
            if best.name is None:
                reasons.append(f"by chance this would happen once in 10^{best.surprise:.0f}")
        if own.unique and best.distinct:
            reasons.append("one row each: no value stands twice")
        return ForeignKeyProposal(
            child.table,
            (own.name,),
            target.table,
            (target.profile.name,),
            best.score,
            own.rows,
            best.distinct,
            best.matched,
            own.present - best.rows_matched,
            own.rows - own.present,
            tuple(reasons),
        )
