"""Which columns hold times, whatever they are stored as, and how each is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from relgraph.data.check.key_profile import ColumnProfile
from relgraph.data.check.key_words import bag, words
from relgraph.data.schema import TableSchema
from relgraph.data.sql import literal, quote
from relgraph.data.time import time_expression
from relgraph.errors import SchemaError

if TYPE_CHECKING:
    import duckdb

    from relgraph.data.database import Database

__all__ = ["MICROSECONDS_9000", "PARTS", "Moment", "in_days", "moments_of", "time_words", "whole_days"]

MICROSECONDS_9000 = 221_845_392_000_000_000
"""Year 9000: later ones stand for 'never'."""

PARTS = "a date in three columns"
"""How a moment is held whose year, month and day stand in columns of their own."""

_DAY = 86_400_000_000
_MOSTLY_DATES = 0.9  # of the first texts
_FIRST_TEXTS = 200  # a text column whose first values are no dates is not read to its end
_EARLIEST = -5_364_662_400_000_000  # year 1800
_LATEST = 10_413_792_000_000_000  # year 2300: records of patients are often moved by a century or two
_FORMATS = (
    *(
        "%m/%d/%Y",
        "%d/%m/%Y",
        "%d.%m.%Y",
        "%d-%m-%Y",
        "%m-%d-%Y",
        "%Y/%m/%d",
        "%Y.%m.%d",
        "%m/%d/%y",
        "%d/%m/%y",
        "%d.%m.%y",
    ),
    *("%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%b %d, %Y", "%B %d, %Y", "%d %B %Y", "%a %b %d %Y", "%B %Y"),
    *("%y%m%d", "%Y%m", "%Y-%m"),
)
_MOMENTS = (  # of mail and HTTP, of Twitter and C's ctime, of web servers
    *("%a, %d %b %Y %H:%M:%S GMT", "%a, %d %b %Y %H:%M:%S %z", "%d %b %Y %H:%M:%S %z"),
    *("%a %b %d %H:%M:%S %z %Y", "%a %b %d %H:%M:%S %Y", "%d/%b/%Y:%H:%M:%S %z"),
)
_CLOCKS = ("", " %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p", " %H:%M:%S.%f")
_YEARLY = bag(
    "published publication founded established released release built opened debut premiered born commissioned launched"
)
_LIKE_A_DATE = re.compile(r"\d[/.\-: ,]+\w|[A-Za-z]{3}[ .\-]+\d|^\d{6}(\d{2})*$")
_TIME_WORDS = bag(
    "date dates day time timestamp datetime ts dt at on when datum fecha zeit epoch unix utc moment year yr "
    "season created issued month period modified updated changed julian"
)
_GLUED = ("timestamp", "datetime", "datum", "date", "time", "year")
_KEYED = frozenset(f"{word}{end}" for word in (*_GLUED, "season", "month", "day") for end in ("id", "key"))
_COUNTS = {"unix": "a unix time", "us1601": "microseconds since 1601", "julian": "a Julian day"}
_WHOLE = bag(
    "update candidate validate mandate overtime sometime lifetime runtime daytime playtime uptime downtime "
    "halftime parttime fulltime attend dividend weekend friend trend"
)
_BEFORE = ("time", "date")  # in front of a word, as in timecreated and dateofbirth
_AFTER = bag(
    "created modified updated changed added inserted deleted start started begin end ended finish finished stop open "
    "opened close closed due sent posted received registered joined completed expires expiry from to until in out"
)
_SIDES = ("start", "end")  # before a date, as in sellstartdate


@dataclass(frozen=True)
class Moment:
    """A column that holds times.

    Args:
        column: Its name.
        sql: Over the table's columns: BIGINT microseconds since 1970-01-01 UTC, NULL where there is none.
        conversion: SQL of a date or timestamp, where the column cannot be declared as it is; else None.
        how: What it holds, in words; empty for dates and timestamps.
        present: Rows with a time.
        distinct: Different times, estimated.
        plausible: Share of the times within 1800 to 2300, or 9000 and later, which stands for 'never'.
        low: First time, or None.
        high: Last time before year 9000, or None.
    """

    column: str
    sql: str
    conversion: str | None
    how: str
    present: int
    distinct: int
    plausible: float
    low: int | None
    high: int | None


@lru_cache(maxsize=65536)
def time_words(name: str) -> tuple[str, ...]:
    """The words of a name, with ``date``, ``time`` and their like split off: ``orderdate`` gives two."""
    found: list[str] = []
    for word in words(name):
        found += [word] if word in _WHOLE else _apart(word)
    return tuple(word for word in found if not word.isdigit())


def _apart(word: str) -> list[str]:
    if word in _KEYED:
        return [word.removesuffix("id").removesuffix("key"), "id"]
    for end in _GLUED:
        if word.endswith(end) and len(word) >= len(end) + 2:
            rest = word[: -len(end)]
            side = next((side for side in _SIDES if rest.endswith(side) and len(rest) >= len(side) + 3), None)
            return [rest, end] if side is None or rest in _WHOLE else [rest[: -len(side)], side, end]
    for start in _BEFORE:
        rest = word.removeprefix(start)
        if rest != word and rest in _AFTER:
            return [start, rest]
        if rest != word and rest.startswith("of") and len(rest) >= 5:
            return [start, "of", rest[2:]]
    return [word]


def moments_of(db: Database, table: TableSchema, profiles: Sequence[ColumnProfile]) -> list[Moment]:
    """Every column that holds times, in table order; first of all a date in three columns, named after its year.

    Args:
        db: The database.
        table: The table.
        profiles: Of its columns.
    """
    cursor = db.cursor()
    found = []
    for profile in profiles:
        for sql, conversion, how in _readings(cursor, table, profile):
            moment = _measured(cursor, table.name, profile.name, sql, conversion, how)
            if moment.present and (moment.low is not None or not how):
                found.append(moment)
    whole = _from_parts(cursor, table, {time_words(p.name): p for p in profiles if p.family == "number"})
    parts = {moment.column for moment in whole}
    return [*whole, *(moment for moment in found if moment.column not in parts)]


def whole_days(cursor: duckdb.DuckDBPyConnection, time: str, table: str) -> bool:
    """Whether the times of a table are days without an hour: then nothing on the same day is later.

    Args:
        cursor: Where the table is.
        time: SQL of its time in microseconds.
        table: Its name.
    """
    query = f"SELECT bool_and(({time}) % {_DAY} = 0) FROM {quote(table)}"
    return bool(cursor.execute(query).fetchall()[0][0])


def in_days(time: str) -> str:
    """SQL of the day on which a moment in microseconds lies."""
    return f"(({time}) - ((({time}) % {_DAY}) + {_DAY}) % {_DAY})"


def _readings(
    cursor: duckdb.DuckDBPyConnection, table: TableSchema, profile: ColumnProfile
) -> Iterator[tuple[str, str | None, str]]:
    """``(microseconds, conversion, how)``, one at most."""
    if not profile.present:
        return
    if profile.family == "time":
        sql = _declared(cursor, table, profile)
        if sql is not None:
            yield sql, None, ""
    elif profile.family == "text" and profile.dtype == "VARCHAR" and profile.length <= 40:
        yield from _from_text(cursor, table, profile)
    elif profile.family == "number" and profile.low is not None:
        yield from _from_number(cursor, table, profile)


def _declared(cursor: duckdb.DuckDBPyConnection, table: TableSchema, profile: ColumnProfile) -> str | None:
    """The SQL with which the database itself would read the column as a time, if it can."""
    where = f"{table.name}.{profile.name}"
    try:
        return time_expression(cursor, quote(table.name), profile.name, profile.dtype, where)
    except SchemaError:
        return None


def _from_text(
    cursor: duckdb.DuckDBPyConnection, table: TableSchema, profile: ColumnProfile
) -> Iterator[tuple[str, str | None, str]]:
    text, name = f"nullif(trim({quote(profile.name)}), '')", quote(table.name)
    some = f"(SELECT {text} AS v FROM {name} WHERE {text} IS NOT NULL LIMIT {_FIRST_TEXTS})"
    if profile.digits >= 0.99:
        kind = _text_numbers(cursor, some, profile)
        sql = (
            _declared(cursor, table, profile)
            if kind in ("year", "yyyymmdd", "yyyymmddhhmmss", "unix", "us1601")
            else None
        )
        if sql is not None:
            yield sql, None, f"text with {kind} numbers"
        if kind is not None:
            return
    else:
        date = "TRY_CAST(v AS TIMESTAMPTZ)"
        values, dates, other = cursor.execute(
            f"SELECT count(v), count({date}), min(v) FILTER ({date} IS NULL) FROM {some}"
        ).fetchall()[0]
        sql = _declared(cursor, table, profile) if values == dates > 0 else None
        if sql is not None:
            yield sql, None, "text dates"
            return
        if other is not None and dates >= _MOSTLY_DATES * values:
            value = f"TRY_CAST({text} AS TIMESTAMPTZ)"
            yield f"epoch_us({value})", f"CAST({value} AS TIMESTAMP)", f"text dates, but also texts such as {other!r}"
            return
    if not all(_LIKE_A_DATE.search(text) for text in (profile.low, profile.high) if text.strip()):
        return
    for form in _formats(cursor, some):
        if form in ("%y%m%d", "%Y%m") and not _named_as_time(profile.name):
            continue
        value = f"try_strptime({text}, {literal(form)})"
        counted = f"SELECT count({text}), count({value}) FROM {name}"
        values, dates = cursor.execute(counted).fetchall()[0]
        if values and dates == values:
            yield f"epoch_us({value})", value, f"text dates as {form}"
            return


def _text_numbers(cursor: duckdb.DuckDBPyConnection, some: str, profile: ColumnProfile) -> str | None:
    """What texts of digits count: only where the name says time, or all of them are days."""
    value = "TRY_CAST(v AS BIGINT)"
    day = f"try_strptime(v, '%Y%m%d') IS NOT NULL AND {value} BETWEEN 19000101 AND 21001231"
    second = f"try_strptime(v, '%Y%m%d%H%M%S') IS NOT NULL AND {value} BETWEEN 19000101000000 AND 21001231235959"
    days, seconds, low, high = cursor.execute(
        f"SELECT bool_and({day}), bool_and({second}), min({value}), max({value}) FROM {some} WHERE {value} <> 0"
    ).fetchall()[0]
    if days or seconds:
        return "yyyymmdd" if days else "yyyymmddhhmmss"
    return _number_kind(profile.name, low, high)


def _formats(cursor: duckdb.DuckDBPyConnection, some: str) -> list[str]:
    forms = [*(day + clock for day in _FORMATS for clock in _CLOCKS), *_MOMENTS]
    # most texts are no dates, as one of them tells; DuckDB takes long to plan a term per form
    any_form = f"try_strptime(v, [{', '.join(map(literal, forms))}])"
    if not cursor.execute(f"SELECT count({any_form}) FROM (SELECT v FROM {some} LIMIT 1)").fetchall()[0][0]:
        return []
    # two digits are a year to %Y, too: that of the Romans
    values = (f"try_strptime(v, {literal(form)})" for form in forms)
    terms = ", ".join(f"count(*) FILTER (year({value}) >= 100)" for value in values)
    total, *counts = cursor.execute(f"SELECT count(v), {terms} FROM {some}").fetchall()[0]
    return [form for form, count in zip(forms, counts, strict=True) if count == total > 0]


def _named_as_time(name: str) -> bool:
    parts = time_words(name)
    return bool(set(parts) & _TIME_WORDS) or parts[-1:] in (("date",), ("time",))


def _number_kind(name: str, low: float | None, high: float | None) -> str | None:
    """What numbers count, as far as name and size tell without looking at each."""
    if low is None or high is None:
        return None
    parts = time_words(name)
    if parts and {"year", "yr", "season"} & {parts[-1], parts[0]} and low >= 1000 and high <= 2200:
        return "year"
    if set(parts) & _YEARLY and low >= 1500 and high <= 2200:
        return "year"
    if not _named_as_time(name):
        return None
    for size in (1, 1_000, 1_000_000, 1_000_000_000):
        if 100_000_000 * size <= low and high <= 4_200_000_000 * size:
            return "unix"
    if low >= 2_415_020 and high <= 2_488_434:  # noon of 1900 to 2100
        return "julian"
    return "us1601" if low >= 12_600_000_000_000_000 and high <= 14_200_000_000_000_000 else None


def _from_number(
    cursor: duckdb.DuckDBPyConnection, table: TableSchema, profile: ColumnProfile
) -> Iterator[tuple[str, str | None, str]]:
    name, relation = quote(profile.name), quote(table.name)
    low, high = float(profile.low), float(profile.high)
    if low == 0 and high >= 1000 and _named_as_time(profile.name):  # 0 stands for none
        low = float(cursor.execute(f"SELECT min(nullif({name}, 0)) FROM {relation}").fetchall()[0][0])
    kind = _number_kind(profile.name, low, high)
    if profile.whole and low >= 19_000_101 and high <= 21_001_231:
        kind = "yyyymmdd"
    elif profile.whole and low >= 19_000_101_000_000 and high <= 21_001_231_235_959:
        kind = "yyyymmddhhmmss"
    if kind is not None:
        sql = _declared(cursor, table, profile)
        if sql is not None and (not kind.startswith("yyyymmdd") or "%Y%m%d" in sql):
            yield sql, None, _COUNTS.get(kind, f"{kind} numbers")
        return
    if not profile.whole or not _named_as_time(profile.name):
        return
    digits = f"CAST(CAST({name} AS BIGINT) AS VARCHAR)"
    for form, text, first, last in (
        ("%y%m%d", f"lpad({digits}, 6, '0')", 101, 991_231),
        ("%Y%m", digits, 180_001, 210_012),
        ("%Y%m%d%H%M", digits, 180_001_010_000, 210_012_312_359),
    ):
        if first <= low and high <= last:
            value = f"try_strptime({text}, {literal(form)})"
            good = cursor.execute(f"SELECT count({name}) = count({value}) FROM {relation}").fetchall()[0][0]
            if good:
                yield f"epoch_us({value})", value, f"days as numbers, {form}"
                return


def _from_parts(
    cursor: duckdb.DuckDBPyConnection, table: TableSchema, numbers: dict[tuple[str, ...], ColumnProfile]
) -> list[Moment]:
    """A date in three columns: year, month and day."""
    parts = [numbers.get((word,)) for word in ("year", "month", "day")]
    year, month, day = parts
    if year is None or month is None or day is None or not all(p.whole for p in (year, month, day)):
        return []
    if not (year.low >= 1000 and year.high <= 2200 and month.low >= 1 and month.high <= 12 and day.high <= 31):
        return []
    value = f"TRY(make_date({', '.join(f'CAST({quote(p.name)} AS BIGINT)' for p in (year, month, day))}))"
    return [_measured(cursor, table.name, year.name, f"epoch_us(CAST({value} AS TIMESTAMP))", value, PARTS)]


def _measured(
    cursor: duckdb.DuckDBPyConnection, table: str, column: str, sql: str, conversion: str | None, how: str
) -> Moment:
    real = f"t < {MICROSECONDS_9000} AND t > -62135596800000000"  # year 1
    present, distinct, plausible, low, high = cursor.execute(
        f"SELECT count(t), approx_count_distinct(t), count(*) FILTER (t BETWEEN {_EARLIEST} AND {_LATEST} "
        f"OR t >= {MICROSECONDS_9000}), min(t) FILTER ({real}), max(t) FILTER ({real}) "
        f"FROM (SELECT {sql} AS t FROM {quote(table)})"
    ).fetchall()[0]
    share = plausible / present if present else 0.0
    return Moment(column, sql, conversion, how, present, distinct, share, low, high)
