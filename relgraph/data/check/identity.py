"""Primary keys that a database does not declare: one column that plainly identifies rows, or the smallest few."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from relgraph.data.check.evidence import NameIndex
from relgraph.data.check.key_profile import ColumnProfile
from relgraph.data.check.key_words import abbreviates, bag, forms, is_measure, is_natural, words
from relgraph.data.check.proposals import KeyProposal
from relgraph.data.schema import TableSchema
from relgraph.data.sql import quote, quote_all

if TYPE_CHECKING:
    from relgraph.data.database import Database

__all__ = ["composite_key", "is_junction", "own_key", "target_columns"]

ENOUGH = 0.5
_CONTACT = bag("postal postcode zip zipcode area dial dialing phone telephone fax street house address")
_PERSONAL = bag("first last middle full display nick given family user sur")
_ORDINALS = bag(
    "line item seq sequence ordinal ordering position pos step lineno linenumber no nr num number installment "
    "instalment version revision stint sequential idx index part page row round lap rank year season "
    "stop period inning quarter set turn move leg stage attempt"
)
_STARTS = bag("from start begin since effective")
_TRIED = 20  # combinations counted per table
_ROOM = 3.0  # expected repetitions that make uniqueness no accident


def _identity_score(names: NameIndex, table: str, profile: ColumnProfile) -> tuple[float, str]:
    """How plainly a unique column identifies the rows of its table, 0..1, and why.

    Args:
        names: What the names say.
        table: The column's table.
        profile: The column; whether it is unique is not looked at.
    """
    own = names.own(table, profile.name)
    if own >= 0.75:
        return own, "its name says that it identifies the rows"
    first = profile.position == 0
    parts = words(profile.name)
    if first and forms(parts) & forms(words(table.rpartition(".")[2])):
        return 0.7, "the first column, named like its table"
    if 0 < profile.rows < 3 and not names.marked(table, profile.name):
        return 0.1, "hardly any row"
    if set(parts) & _CONTACT:
        return 0.1, "its name says that it holds an address"
    if not names.marked(table, profile.name) and is_measure(parts):
        yearly = first and parts[-1:] in (("year",), ("season",)) and profile.family == "number"
        if yearly:
            return 0.55, "the first column, a year per row"
        coded = first and profile.family == "text" and len(parts) > 1 and not set(parts) & _PERSONAL
        return (0.4 if coded else 0.1), "its name says that it holds a value"
    if names.marked(table, profile.name):
        return (0.7 if first else 0.6), "its name says that it identifies something"
    if profile.family == "text":
        compact = profile.spaced == 0 and 0 < profile.length <= 40
        if is_natural(profile.name) and compact:
            return (0.6 if first else 0.45), "a code"
        return (0.6, "the first column, a code") if first and compact else (0.4 if first else 0.1, "a text")
    dense = (
        profile.present >= 3 and profile.low in (0, 1) and profile.high - profile.low + 1 <= 1.2 * profile.present + 2
    )
    if first and dense:
        return 0.65, "the first column, numbered through"
    return (0.4 if first else 0.1), "a number"


def target_columns(
    names: NameIndex, table: TableSchema, profiles: Sequence[ColumnProfile], repeated: frozenset[str] = frozenset()
) -> list[ColumnProfile]:
    """The columns that a foreign key could refer to, the plainest first.

    Args:
        names: What the names say.
        table: The table.
        profiles: Of its columns.
        repeated: Names of text columns, in lower case, whose values stand more than once in some table: a code of that
            name that identifies rows here may be what they refer to.
    """
    found = []
    for profile in profiles:
        score, _ = _identity_score(names, table.name, profile)
        if profile.name.casefold() in repeated and _is_code(profile):
            score = max(score, 0.45)
        if table.primary_key == (profile.name,):
            score = 2.0
        empty = not profile.rows and (score >= 0.75 or (profile.position == 0 and score >= 0.6))
        if empty or (profile.identifies and score >= 0.4):
            found.append((-score, profile.position, profile))
    return [profile for *_, profile in sorted(found, key=lambda entry: entry[:2])]


def _is_code(profile: ColumnProfile) -> bool:
    compact = profile.family == "text" and profile.spaced == 0 and 0 < profile.length <= 40
    return compact and not is_measure(words(profile.name))


def own_key(
    names: NameIndex, table: TableSchema, profiles: Sequence[ColumnProfile], least: float
) -> KeyProposal | None:
    """The single column that is most plainly the primary key, if one scores at least ``least``."""
    best: tuple[float, int, str, str] | None = None
    for profile in profiles:
        score, why = _identity_score(names, table.name, profile)
        good = profile.identifies or (not profile.rows and score >= 0.6 and profile.position == 0)
        if good and score >= least and (best is None or (-score, profile.position) < best[:2]):
            best = (-score, profile.position, profile.name, why)
    if best is None:
        return None
    rows = profiles[0].rows
    values = f"{rows:,} different values in {rows:,} rows, no NULL" if rows else "the table is empty: by its name only"
    return KeyProposal(table.name, (best[2],), round(-best[0] * (0.95 if rows else 0.5), 2), rows, (best[3], values))


def composite_key(
    db: Database,
    names: NameIndex,
    table: TableSchema,
    profiles: Mapping[str, ColumnProfile],
    references: Sequence[tuple[str, str]],
) -> KeyProposal | None:
    """The smallest pair or triple of referring columns, with an ordinal or a start where needed, that is unique.

    Args:
        db: The database.
        names: What the names say.
        table: The table, which has no other key.
        profiles: Its columns.
        references: Referring columns with the tables they refer to, declared or proposed; columns named like keys of
            tables that are not here count as well.
    """
    rows = db.num_rows(table.name)
    referring = {column for column, _ in references}
    links = [name for name in table.column_names if name in referring or _points(names, table.name, profiles[name])]
    within = [name for name in table.column_names if _counts_within(names, table, name)]
    ordinals = [name for name in within if name not in links]
    starts = [
        name
        for name in table.column_names
        if profiles[name].family == "time" and (set(words(name)) & _STARTS or profiles[name].dtype == "DATE")
    ]
    text = [
        name
        for name in table.column_names
        if profiles[name].family == "text" and 0 < profiles[name].distinct <= 0.01 * rows and name not in links
    ]
    kinds = [
        name
        for name in table.column_names
        if profiles[name].can_be_key and profiles[name].distinct > 1 and name not in (*links, *ordinals)
    ]
    junction = is_junction(table, references, profiles, 2)
    tried = 0
    for columns, why in _combinations(links, ordinals, starts, text, kinds, junction):
        found = [profiles[name] for name in columns]
        room = 1.0
        for profile in found:
            room *= max(profile.distinct, 1)
        if any(profile.present < profile.rows for profile in found) or room < 0.8 * rows:
            continue
        expected = rows * (rows - 1) / 2 / room
        usual = {*referring, *within, *starts, *(text if len(columns) > 2 else ())}
        if not usual.issuperset(columns):  # then only rows that share the rarer of the two could have repeated both
            expected = rows * min(rows - p.distinct for p in found) / 2 / room
        pure = junction and set(columns) <= referring
        begins = any(set(words(name)) & _STARTS and profiles[name].dtype == "DATE" for name in columns)
        if expected < _ROOM and not pure and not begins:
            continue
        tried += 1
        if tried > _TRIED:
            return None
        distinct = f"SELECT DISTINCT {quote_all(columns)} FROM {quote(table.name)}"
        count = db.cursor().execute(f"SELECT count(*) FROM ({distinct})").fetchall()[0][0]
        if count == rows and not _single(found):
            score = 0.9 if pure else 0.8 if len(columns) == 2 else 0.65
            values = f"{rows:,} different values in {rows:,} rows, no NULL"
            return KeyProposal(table.name, columns, score if rows else score / 2, rows, (why, values))
    return None


def _points(names: NameIndex, table: str, profile: ColumnProfile) -> bool:
    """Whether a column is named as a key of something that is not here."""
    readings = names.readings(table, profile.name)
    return profile.can_be_key and any(r.marked and r.core and not set(r.core) & _CONTACT for r in readings)


def _single(found: Sequence[ColumnProfile]) -> bool:
    """Whether one of the columns would do alone: then the others identify nothing."""
    return any(profile.unique for profile in found) and len(found) > 2


def is_junction(
    table: TableSchema, references: Sequence[tuple[str, str]], profiles: Mapping[str, ColumnProfile], others: int
) -> bool:
    """Whether a table only ties others together: it is named after two of them, or holds hardly more than times.

    Args:
        table: The table.
        references: Its referring columns, with their targets.
        profiles: Of its columns.
        others: How many columns it may have that neither refer nor hold times.
    """
    if len(references) < 2:
        return False
    named = {target for _, target in references if _is_named(words(table.name), words(target))}
    links = {column for column, _ in references}
    rest = [name for name, profile in profiles.items() if name not in links and profile.family != "time"]
    return len(named) >= 2 or (len(links) == 2 and len(rest) <= others)


def _is_named(table: tuple[str, ...], target: tuple[str, ...]) -> bool:
    """Whether a table's name holds the name of another: ``film_actor`` and ``dept_emp`` hold two."""
    if any(form in "".join(table) for form in forms(target)):
        return True
    return any(abbreviates(word, form) for word in table for form in forms(target[-1:]))


def _counts_within(names: NameIndex, table: TableSchema, name: str) -> bool:
    """Whether a column numbers the rows that belong to one parent: ``line_no``, ``stint``, ``order_item_id``."""
    parts = words(name)
    readings = names.readings(table.name, name)
    last = [reading.core[-1] for reading in readings if reading.core]
    return (
        bool(set(parts[-1:]) & _ORDINALS or parts[:1] in (("num",), ("no",), ("nr",)) or set(last) & _ORDINALS)
        or names.own(table.name, name) >= 0.75
    )


def _combinations(
    links: Sequence[str],
    ordinals: Sequence[str],
    starts: Sequence[str],
    text: Sequence[str],
    kinds: Sequence[str],
    junction: bool,
) -> Iterator[tuple[tuple[str, ...], str]]:
    begins = "a reference and the day it starts to hold"
    spells = [name for name in starts if set(words(name)) & _STARTS]
    if not junction:
        yield from (((a, b), begins) for a in links for b in spells)
    yield from ((pair, "two references that are unique together") for pair in combinations(links, 2))
    yield from (((a, b), "a reference and a number within it") for a in links for b in ordinals)
    yield from (((a, b), begins) for a in links for b in starts)
    yield from ((three, "three references that are unique together") for three in combinations(links, 3))
    for pair in combinations(links, 2):
        yield from (((*pair, other), "two references and a number within them") for other in ordinals)
        yield from (((*pair, other), "two references and the day it starts to hold") for other in starts)
    for link in links:
        yield from (((link, kind, b), "a reference, a kind and a start") for kind in text for b in starts)
        yield from (((link, *pair), "a reference and two numbers within it") for pair in combinations(ordinals, 2))
    yield from (((a, b), "a reference and a kind that are unique together") for a in links for b in kinds)
