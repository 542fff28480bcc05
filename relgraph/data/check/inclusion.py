"""Foreign keys that a database does not declare: names say where a column may point, values decide."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relgraph.data.check.evidence import NameEvidence, NameIndex
from relgraph.data.check.key_profile import ColumnProfile
from relgraph.data.check.key_words import is_measure, words
from relgraph.data.check.proposals import ForeignKeyProposal
from relgraph.data.schema import TableSchema
from relgraph.data.sql import literal, quote

if TYPE_CHECKING:
    from relgraph.data.database import Database

__all__ = ["Column", "Searcher", "values_equal"]

_MOST_NAMED = 12  # targets tried per column
_MOST_UNNAMED = 20
_UNNAMED_COLUMNS = 300  # columns tried on their values alone
_SURE = 12.0  # orders of magnitude


@dataclass(frozen=True)
class Column:
    """A column with its table."""

    table: str
    profile: ColumnProfile

    @property
    def label(self) -> str:
        """``table.column``."""
        return f"{self.table}.{self.profile.name}"


@dataclass(frozen=True)
class _Measured:
    """What the values of a column say for one target; ``surprise`` in orders of magnitude against chance.

    ``zero``: among them is a 0, less than every number of the target, which mostly stands for no reference.
    """

    target: Column
    name: NameEvidence | None
    distinct: int
    matched: int
    rows_matched: int
    surprise: float
    covered: float
    zero: bool = False

    @property
    def grade(self) -> float:
        return 0.0 if self.name is None else self.name.grade

    @property
    def share(self) -> float:
        spared = self.zero and self.grade >= 0.7 and self.matched
        return self.matched / (self.distinct - bool(spared)) if self.distinct else 0.0

    @property
    def holds(self) -> bool:
        """The less a name says, the more the values must."""
        if not self.distinct:
            return self.grade >= 0.9
        if self.grade >= 0.9:
            return self.share >= 0.8 or (self.share >= 0.5 and self.surprise >= 3)
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


class Searcher:
    """Finds single-column references.

    Args:
        db: The database.
        profiles: Of every table.
        targets: Per table the columns that identify a row, the plainest first.
        names: What the names say.
    """

    def __init__(
        self,
        db: Database,
        profiles: Mapping[str, Sequence[ColumnProfile]],
        targets: Mapping[str, Sequence[ColumnProfile]],
        names: NameIndex,
    ) -> None:
        self._cursor = db.cursor()
        self._targets = {table: [Column(table, profile) for profile in found] for table, found in targets.items()}
        self._all = [column for found in self._targets.values() for column in found]
        self._names = names
        self._order = {table: i for i, table in enumerate(profiles)}
        self._width = {table: len(found) for table, found in profiles.items()}
        self._unnamed = 0
        self.skipped = 0

    def reference(self, table: TableSchema, profile: ColumnProfile) -> ForeignKeyProposal | None:
        """The best target of a column, or None.

        Args:
            table: The column's table.
            profile: The column.
        """
        child = Column(table.name, profile)
        if not profile.can_be_key and not (profile.present == 0 and profile.family != "time"):
            return None
        named = list(self._named(child))
        measured = [found for found in self._measure(child, named[:_MOST_NAMED]) if self._holds(child, found)]
        if not measured and profile.present:
            unnamed = [(target, None) for target in self._unnamed_targets(child)]
            measured = [found for found in self._measure(child, unnamed) if found.holds]
        if not measured:
            return None
        best = max(measured, key=lambda found: (found.score, found.share, *(-x for x in self._rank(found.target))))
        return self._proposal(child, best)

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
        numbered = _without_gaps(own) and _without_gaps(target.profile) and own.low == target.profile.low
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
                if self._allowed(child, target) and _may_include(child.profile, target.profile):
                    seen.add(target)
                    yield target, found
        if not unique and not seen and own >= 0.75:
            yield from self._namesakes(child)

    def _namesakes(self, child: Column) -> Iterator[tuple[Column, NameEvidence | None]]:
        """Keys of the same name where the name says nothing, as ``uid``; for ``id`` only values can tell."""
        name = child.profile.name.casefold()
        for target in self._all:
            other = target.profile
            if other.name.casefold() == name and child.table != target.table and _may_include(child.profile, other):
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
            and _may_include(own, target.profile)
            and own.distinct <= 1.6 * target.profile.distinct
            and (own.family != "text" or own.length >= (4 if own.distinct < 10 else 3))
            and (marked or target.profile.position == 0)
            and _inside(own, target.profile)
            and not _without_gaps(target.profile)  # every number in its range is there: that says nothing
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
            counts += [f"count(*) FILTER (m{i})", f"coalesce(sum(n) FILTER (m{i}), 0)", _within(child, target)]
        name = quote(child.profile.name)
        grouped = (
            f"SELECT {child.profile.value()} AS v, count(*) AS n FROM {quote(child.table)} "
            f"WHERE {name} IS NOT NULL GROUP BY ALL"
        )
        query = f"SELECT count(*), {', '.join(counts)} FROM (SELECT n, {', '.join(terms)} FROM ({grouped}))"
        distinct, *found = self._cursor.execute(query).fetchall()[0]
        for i, (target, evidence) in enumerate(candidates):
            matched, rows, within = found[3 * i : 3 * i + 3]
            surprise = _surprise(child.profile, distinct, matched, within)
            covered = matched / target.profile.present if target.profile.present else 0.0
            zero = child.profile.family == target.profile.family == "number" and child.profile.low == 0
            zero = zero and target.profile.low > 0
            yield _Measured(target, evidence, distinct, matched, int(rows), surprise, covered, zero)

    def _proposal(self, child: Column, best: _Measured) -> ForeignKeyProposal:
        own, target = child.profile, best.target
        reasons = [f"its name {best.name.reason}" if best.name else "its name says nothing; its values do"]
        if not best.distinct:
            reasons.append("the column has no value: by its name only")
        else:
            reasons.append(f"{best.matched:,} of {best.distinct:,} values are in {target.label}")
            if best.zero:
                reasons.append("0 is not, which mostly means none")
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


def values_equal(child: ColumnProfile, parent: ColumnProfile, left: str, right: str) -> tuple[str, str]:
    """SQL of both sides as they compare: numbers meet texts as text, like in a database with these keys declared."""
    own, other = child.value(left), parent.value(right)
    if child.family == parent.family:
        return own, other
    return (
        own if child.family == "text" else f"CAST({own} AS VARCHAR)",
        other if parent.family == "text" else f"CAST({other} AS VARCHAR)",
    )


def _may_include(child: ColumnProfile, parent: ColumnProfile) -> bool:
    """What can be told without looking at the values."""
    if not child.present or not parent.present:
        return not child.present
    if child.family != parent.family:
        return "time" not in (child.family, parent.family) and _digits(child) and _digits(parent)
    if child.distinct * 0.3 > parent.distinct:
        return False
    return bool(child.low <= parent.high and parent.low <= child.high)


def _digits(profile: ColumnProfile) -> bool:
    return profile.family == "number" or profile.digits >= 0.9


def _inside(child: ColumnProfile, parent: ColumnProfile) -> bool:
    return bool(parent.low <= child.low and child.high <= parent.high)


def _without_gaps(profile: ColumnProfile) -> bool:
    numbered = profile.family == "number" and profile.unique and profile.whole
    return bool(numbered and profile.high - profile.low + 1 == profile.present)


def _within(child: Column, target: Column) -> str:
    """How many keys of the target lie between the child's smallest and largest number."""
    if not child.profile.family == target.profile.family == "number":
        return "0"
    low, high = (literal(int(x)) for x in (child.profile.low, child.profile.high))
    return f"(SELECT count(*) FROM {quote(target.table)} WHERE {target.profile.value()} BETWEEN {low} AND {high})"


def _surprise(child: ColumnProfile, distinct: int, matched: int, within: int) -> float:
    """Orders of magnitude by which so many matches are less likely than if the values had been drawn at random."""
    share = matched / distinct
    if child.family == "number" and within:
        chance = min(1.0, within / (int(child.high) - int(child.low) + 1))
    else:
        chance = 0.3 if child.length <= 2 else 0.05
    if share <= chance:
        return 0.0
    apart = share * math.log(share / chance)
    if share < 1:
        apart += (1 - share) * math.log((1 - share) / (1 - chance))
    return min(99.0, distinct * apart / math.log(10))
