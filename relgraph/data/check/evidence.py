"""Which tables a column's name may refer to, and how plainly it says so."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from relgraph.data.check.key_words import (
    Reading,
    abbreviates,
    bag,
    forms,
    is_measure,
    prefix_of,
    read_column,
    role_first,
    shared_words,
    words,
)
from relgraph.data.schema import TableSchema

__all__ = ["NameEvidence", "NameIndex"]

_NOISE = bag("tbl tab table dim fact dataset lookup lkp t tb csv data raw stg vw view list master basics entity")
_SELF = bag(
    "parent boss jefe chef supervisor manager mentor predecessor successor previous prev next original root super "
    "superior head answer question duplicate reply father mother sire dam child ancestor replaced merged "
    "superseded base"
)
_PATH = re.compile(r"::|[.\\/]")
_PERSON = bag("firstname lastname surname forename birthday birthdate dob gender")
_COUNTS = bag("num no n nb nbr number count total max min avg mean sum")
_REPORTS = bag("reports report reportsto belongs reply replies")
_STAFF = bag(
    "rep representative manager mgr agent salesperson seller salesman clerk officer supervisor boss technician "
    "doctor physician nurse handler consultant advisor recruiter interviewer approver lead leader head contact "
    "operator executive"
)
_USERS = bag(
    "author owner creator editor modifier sender receiver recipient reviewer reporter assignee follower followee "
    "friend moderator poster commenter uploader requester subscriber starter by created updated modified edited "
    "closed deleted approved assigned posted uploaded added submitted"
)
_KINDS = bag("type kind status state")
_TEXTS = bag("url email phone address name title description comment note text")
_STAFF_TABLES = (
    *("employee", "staff", "emp", "personnel", "worker", "salesperson", "agent", "professor", "teacher", "instructor"),
    *("lecturer", "faculty", "doctor", "physician", "officer", "user", "person", "member"),
)
_USER_TABLES = ("user", "account", "member", "person", "profile", "author", "employee", "staff", "customer")
_PLACES = ("airport", "station", "stop", "port", "city", "location", "place")
_SYNONYMS = {
    "year": ("season",),
    "season": ("year",),
    "capital": ("city",),
    **dict.fromkeys(("home", "away", "winner", "loser", "opponent"), ("team", "club", "player")),
    **dict.fromkeys(("origin", "dest", "destination", "departure", "arrival", "orig", "hub"), _PLACES),
}


@dataclass(frozen=True)
class NameEvidence:
    """What a name says for one target.

    Args:
        table: The table it may refer to.
        column: The column it names, or empty for whatever identifies a row there.
        grade: 0..1.
        reason: In words.
    """

    table: str
    column: str
    grade: float
    reason: str


class NameIndex:
    """The names of a schema, prepared for look-ups.

    Args:
        tables: All tables.
        targets: Per table the columns that a foreign key could refer to.
    """

    def __init__(self, tables: Sequence[TableSchema], targets: Mapping[str, Sequence[str]]) -> None:
        shared = shared_words([table.name for table in tables])
        self._prefix = {table.name: prefix_of(table.column_names) for table in tables}
        self._cores = {table.name: _table_cores(table.name, shared) for table in tables}
        self._people = [table.name for table in tables if any(_PERSON & set(words(c)) for c in table.column_names)]
        self._by_core: dict[str, list[str]] = {}
        self._by_last: dict[str, list[str]] = {}
        self._by_part: dict[str, list[str]] = {}
        self._by_key: dict[str, list[tuple[str, str]]] = {}
        self._by_key_core: dict[str, list[tuple[str, str]]] = {}
        self._by_tail: dict[str, dict[str, int]] = {}
        self._declared = {table.name: table.primary_key for table in tables}
        own = {name: [self.own(name, column) for column in targets.get(name, ())] for name in self._prefix}
        self._plainest = {name: max(grades, default=0.0) for name, grades in own.items()}
        self._has_home = {name: any(self.is_home(name, c) for c in targets.get(name, ())) for name in self._prefix}
        for name, cores in self._cores.items():
            for text in dict.fromkeys(text for core in cores for text in sorted(forms(core))):
                self._by_core.setdefault(text, []).append(name)
            parts = [part for core in cores if len(core) > 1 for part in (core[:1], core[-1:], core[:-1], core[1:])]
            for text in dict.fromkeys(text for part in parts for text in sorted(forms(part))):
                self._by_part.setdefault(text, []).append(name)
            for text in dict.fromkeys(text for core in cores if len(core) > 1 for text in sorted(forms(core[-1:]))):
                self._by_last.setdefault(text, []).append(name)
            whole = words(name.rpartition(".")[2])
            for start in range(1, len(whole)):
                for text in forms(whole[start:]):
                    self._by_tail.setdefault(text, {})[name] = len(whole)
            for column in targets.get(name, ()):
                for text in self.spellings(name, column):
                    self._by_key.setdefault(text, []).append((name, column))
                for reading in self.readings(name, column):
                    if reading.marked and reading.core:
                        self._by_key_core.setdefault("".join(reading.core), []).append((name, column))

    def readings(self, table: str, column: str) -> tuple[Reading, ...]:
        """The ways to read a column's name; see :func:`relgraph.data.check.key_words.read_column`."""
        return read_column(column, self._prefix[table])

    def marked(self, table: str, column: str) -> bool:
        """Whether a word such as ``id`` marks the column as a key."""
        return any(reading.marked for reading in self.readings(table, column))

    def own(self, table: str, column: str) -> float:
        """How plainly the column's name says that it identifies the rows of its own table, 0..1."""
        if self._declared[table] and column not in self._declared[table]:
            return 0.0
        if "pk" in words(column):
            return 0.95
        return max((self._own(table, reading, column) for reading in self.readings(table, column)), default=0.0)

    def evidence(self, table: str, column: str) -> list[NameEvidence]:
        """Everything the name of a column may refer to, the plainest first, one entry per table and column."""
        best: dict[tuple[str, str], NameEvidence] = {}
        for found in self._found(table, column):
            place = (found.table, found.column)
            if place not in best or best[place].grade < found.grade:
                best[place] = found
        return sorted(best.values(), key=lambda entry: -entry.grade)

    def is_home(self, table: str, column: str) -> bool:
        """Whether the rows of a table are identified by this column, and not by one that happens to be unique."""
        return column in self._declared[table] or self.own(table, column) >= max(0.75, self._plainest[table])

    def table_meant(self, text: str) -> str | None:
        """The table that a value names: ``Issue`` and ``App::Issue`` mean ``issues``; None if none or several do."""
        for part in (text, *_PATH.split(text)[-1:]):
            found = {name for form in forms(words(part)) for name in self._by_core.get(form, ())} if words(part) else ()
            if len(found) == 1:
                return next(iter(found))
        return None

    def extends(self, table: str, other: str) -> bool:
        """Whether a table's name holds that of another and more: ``order_line_tax`` extends ``order_lines``."""
        text = "".join(words(table))
        return any(form in text and form != text for core in self._cores[other] for form in forms(core))

    def spellings(self, table: str, column: str) -> Iterator[str]:
        """The spellings under which other tables may name this column."""
        variants = {words(column)}
        prefix = self._prefix[table]
        if prefix:
            variants.add(words(column)[1:])
        for variant in sorted(variants):
            readings = read_column(" ".join(variant))
            if variant and any(reading.core for reading in readings):
                yield "".join(variant)

    def _own(self, table: str, reading: Reading, column: str) -> float:
        if not reading.core and reading.marked:
            return 1.0 if words(column)[-1] in ("id", "pk", "key", "uid", "uuid", "guid", "rowid", "oid") else 0.8
        if not reading.marked:
            return 0.0
        texts, best = forms(reading.core), 0.0
        for core in self._cores[table]:
            if forms(core) & texts:
                return 1.0
            if len(reading.core) == 1 and len(core) == 1 and abbreviates(reading.core[0], core[0]):
                best = max(best, 0.85)
            if len(reading.core) == 1 and len(reading.core[0]) >= 4 and core[-1].endswith(reading.core[0]):
                best = max(best, 0.75)
            parts = [core[i:] for i in range(1, len(core))] + [core[:i] for i in range(1, len(core))]
            if any(forms(part) & texts for part in parts):
                best = max(best, 0.8)
            longer = [reading.core[i:] for i in range(1, len(reading.core))]
            longer += [reading.core[:i] for i in range(1, len(reading.core))]
            if any(forms(part) & forms(core) for part in longer):
                best = max(best, 0.75)
        return best

    def _found(self, table: str, column: str) -> Iterator[NameEvidence]:
        yield from self._named_keys(table, column)
        for reading in self.readings(table, column):
            yield from self._between(table, reading)
            counts = len(reading.core) > 1 and reading.core[0] in _COUNTS
            if len(reading.core) == 1 and reading.core[0] in _TEXTS and not reading.marked:  # a number where a text is
                for target in dict.fromkeys(
                    t for text in sorted(forms(reading.core)) for t in self._by_core.get(text, ())
                ):
                    if target != table:
                        yield NameEvidence(target, "", 0.6, f"names the table {target}")
            if not reading.marked and reading.core[-1:] and reading.core[-1] in _KINDS:
                yield from self._family(table, reading)
            if reading.core and (reading.marked or not (counts or is_measure(reading.core))):
                yield from self._named_tables(table, reading)
                yield from self._family(table, reading)
                yield from self._roles(table, reading, bool({"by", "uid"} & set(words(column))))
                if reading.marked:
                    yield from self._loosely_named(table, reading)
            elif reading.core in (("year",), ("season",)):
                yield from self._synonyms(table, reading.core)

    def _named_keys(self, table: str, column: str) -> Iterator[NameEvidence]:
        parts = words(column)
        prefix = self._prefix[table]
        for variant in dict.fromkeys((parts, parts[1:] if prefix else parts, role_first(parts))):
            bare = variant
            while len(bare) > 1 and bare[-1].isdigit():
                bare = bare[:-1]
            for start in range(len(bare)):
                for target, key in self._by_key.get("".join(bare[start:]), ()):
                    if (target, key) == (table, column):
                        continue
                    plain = is_measure(words(key)) and not self.marked(target, key)
                    if start == 0 and target != table:
                        grade = 1.0 if self.marked(target, key) else 0.9
                        if not self.is_home(target, key) and self._has_home[target]:
                            grade = 0.75  # more likely a reference of one row each
                        if plain:
                            grade = 0.5 if len(words(key)) == 1 else 0.8
                        yield NameEvidence(target, key, grade, f"has the name of {target}.{key}")
                    elif start and not plain and len(bare) - start >= (2 if self.marked(target, key) else 1):
                        yield NameEvidence(target, key, 0.93, f"ends with the name of {target}.{key}")
            for start in range(2, len(bare[-1]) - 5 if bare else 0):  # words written as one: billtoaddressid
                for target, key in self._by_key.get(bare[-1][start:], ()):
                    if self.marked(target, key) and any(reading.core for reading in self.readings(target, key)):
                        yield NameEvidence(target, key, 0.85, f"ends with the name of {target}.{key}")
        for reading in self.readings(table, column):
            for target, key in self._by_key_core.get("".join(reading.core), ()):
                if target != table and not is_measure(reading.core):
                    yield NameEvidence(target, key, 0.85 if reading.marked else 0.78, f"means {target}.{key}")

    def _named_tables(self, table: str, reading: Reading) -> Iterator[NameEvidence]:
        core = reading.core
        counted = not reading.marked and len(forms(core[-1:])) > 1  # likes and votes count more often than they refer
        for start in range(len(core)):
            for text in sorted(forms(core[start:])):
                for target in self._by_core.get(text, ()):
                    if start == 0 and target != table:
                        grade = 1.0 if reading.marked else 0.55 if counted else 0.8
                        yield NameEvidence(target, "", grade, f"names the table {target}")
                    elif start:
                        grade = 0.93 if reading.marked else 0.55 if counted else 0.75
                        yield NameEvidence(target, "", grade, f"names the table {target} in a role")

    def _family(self, table: str, reading: Reading) -> Iterator[NameEvidence]:
        """Tables named after this one, or as its name begins, and after the column."""
        counted = not reading.marked and len(forms(reading.core[-1:])) > 1
        for core in self._cores[table]:
            for end in range(1, len(core) + 1):  # forum_posts.topic may refer to forum_topics
                for text in sorted(forms((*core[:end], *reading.core))):
                    for target in self._by_core.get(text, ()):
                        if target != table:
                            grade = 0.95 if reading.marked else 0.55 if counted else 0.8
                            yield NameEvidence(target, "", grade, f"names the table {target} next to its own")

    def _between(self, table: str, reading: Reading) -> Iterator[NameEvidence]:
        """Tables that the column's own table is named after, too: ``books_series_link.series``."""
        own = words(table.rpartition(".")[2])
        size = len(reading.core)
        if any(
            forms(own[i : i + size]) & forms(reading.core) for i in range(len(own) - size + 1) if 0 < size < len(own)
        ):
            for target in dict.fromkeys(t for text in sorted(forms(reading.core)) for t in self._by_core.get(text, ())):
                if target != table:
                    grade = 0.65 if is_measure(reading.core) else 0.85
                    yield NameEvidence(target, "", grade, f"names the table {target}, as its own table does")

    def _roles(self, table: str, reading: Reading, by: bool) -> Iterator[NameEvidence]:
        core = reading.core
        last = core[-1] if core[-1] not in ("to", "by", "of") or len(core) == 1 else core[-2]
        if core[-1] == "to" and last in _REPORTS:
            last = "reportsto"
        if last in _SELF or last in _REPORTS or core[0] == "parent":
            yield NameEvidence(table, "", 0.7, "names another row of its own table")
        for roles, tables in ((_STAFF, _STAFF_TABLES), (_USERS, _USER_TABLES)):
            if last in roles or (by and roles is _USERS):
                people = [name for word in tables for name in self._by_core.get(word, ())] + self._people
                people += [name for word in tables for name in self._by_last.get(word, ())]
                for place, target in enumerate(dict.fromkeys(people)):
                    yield NameEvidence(target, "", 0.7 - 0.01 * place, f"names a person, and {target} holds people")
        yield from self._synonyms(table, core[-1:])

    def _synonyms(self, table: str, core: tuple[str, ...]) -> Iterator[NameEvidence]:
        for word in _SYNONYMS.get(core[0], ()):
            for target in self._by_core.get(word, ()):
                if target != table:
                    yield NameEvidence(target, "", 0.65, f"means a row of the table {target}")

    def _loosely_named(self, table: str, reading: Reading) -> Iterator[NameEvidence]:
        core = reading.core
        tails = {name: size for text in forms(core) for name, size in self._by_tail.get(text, {}).items()}
        closest = [name for name, size in tails.items() if size == min(tails.values())]
        if len(closest) == 1 and closest[0] != table and not set(core) <= _KINDS:
            yield NameEvidence(closest[0], "", 0.85, f"is how the name of the table {closest[0]} ends")
        for text in sorted(forms(core)):
            for target in self._by_part.get(text, ()):
                if target != table:
                    yield NameEvidence(target, "", 0.65, f"is a part of the name of the table {target}")
        for target, cores in self._cores.items():
            if target == table:
                continue
            for other in cores:
                if len(core[-1]) >= 4 and any(text.endswith(tuple(forms(core))) for text in forms(other[-1:])):
                    yield NameEvidence(target, "", 0.65, f"is a part of the name of the table {target}")
                elif len(other) == 1 and any(
                    len(text) >= 4 and len(core[-1]) >= len(text) + 2 and core[-1].endswith(text)
                    for text in forms(other)
                ):
                    yield NameEvidence(target, "", 0.68, f"ends with the name of the table {target}")
                elif len(other) == 1 and any(abbreviates(short, other[0]) for short in (core[-1], "".join(core))):
                    yield NameEvidence(target, "", 0.62, f"abbreviates the table {target}")
                elif len(other) > 1 and "".join(core) == "".join(word[0] for word in other):
                    yield NameEvidence(target, "", 0.6, f"has the initials of the table {target}")


def _table_cores(name: str, shared: frozenset[str]) -> tuple[tuple[str, ...], ...]:
    """The words that stand for a table, without its schema and without words that say nothing."""
    cores: dict[tuple[str, ...], None] = {}
    for text in (name.rpartition(".")[2], name):
        parts = words(text)
        for left_out in (frozenset[str](), _NOISE, _NOISE | shared):
            core = tuple(word for word in parts if word not in left_out)
            cores |= dict.fromkeys((core, tuple(word for word in core if not word.isdigit())))
    cores.pop((), None)
    return tuple(cores)
