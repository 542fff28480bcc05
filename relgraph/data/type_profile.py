"""What whole-column SQL says about the columns of a table; exact where it must be, the same in whatever row order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from relgraph.data import reading
from relgraph.data.narrow import Source, narrowed
from relgraph.data.schema import ColumnSchema
from relgraph.data.sql import quote
from relgraph.data.value_names import is_code_name, is_id_name

if TYPE_CHECKING:
    import duckdb

__all__ = ["EXACT", "Parts", "Profile", "Questions", "profile_columns"]

EXACT = 3000
"""Up to about as many distinct values are counted exactly; beyond, the number is DuckDB's HyperLogLog estimate."""

_TERMS = 200  # aggregates of one query
_GROUPED = 100_000  # different texts that are worth grouping before each is looked at


@dataclass(frozen=True)
class Parts:
    """The parts that lists, or texts with separators, are made of.

    Args:
        separator: One of ``SEPARATORS``, or ``None`` for lists.
        count: How many parts all rows have, without repetitions within a row.
        distinct: How many different ones.
        length: Average length.
    """

    separator: str | None
    count: int
    distinct: int
    length: float


@dataclass(frozen=True)
class Profile:
    """What is known of a column. What does not concern its storage class is left at the default.

    Args:
        total: Rows looked at.
        rows: Those with a value: not NULL, and finite for fractions and times.
        distinct: How many different values; see :data:`EXACT`.
        constant: Whether there are not two different values.
        days: Whether all whole numbers are days of 1900 to 2100 written like 20240131.
        numbered: Whether whole numbers differ in all rows although chance would have let some repeat.
        whole: Whether all fractions, or all numbers in text, are whole.
        length: Average length of text.
        form: How text holds numbers or times in every row that is not blank: one of ``NUMBER_FORMS``, or ``"date"``.
        code_like: Of numbers in text: leading zeros, or seven and more digits of one length.
        codes: Share of the texts that look like codes, or are identifying.
        identifying: Share of the texts that name one thing wherever they stand.
        json: Whether all texts start like a JSON ``"list"`` or ``"object"``.
        vectors: Rows that can be read as lists of numbers.
        shortest: Length of the shortest list of numbers.
        longest: Length of the longest list of numbers.
        parts: Of lists and text with separators.
    """

    total: int = 0
    rows: int = 0
    distinct: int = 0
    constant: bool = True
    days: bool = False
    numbered: bool = False
    whole: bool = False
    length: float = 0.0
    form: str | None = None
    code_like: bool = False
    codes: float = 0.0
    identifying: float = 0.0
    json: str | None = None
    vectors: int = 0
    shortest: int = 0
    longest: int = 0
    parts: Parts | None = None


class Questions:
    """Aggregates of many columns, asked in few queries."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, fitted: Source) -> None:
        self.connection, self.fitted = connection, fitted
        self._asked: dict[tuple[str, str], str] = {}
        self._known: dict[tuple[str, str], Any] = {}

    def ask(self, column: str, **terms: str) -> None:
        """Note aggregates (SQL) of a column, each under a name."""
        for key, sql in terms.items():
            self._asked[column, key] = sql

    def answer(self) -> None:
        """Run what was noted."""
        keys = list(self._asked)
        for start in range(0, len(keys), _TERMS):
            chunk = keys[start : start + _TERMS]
            relation = narrowed(self.fitted, list(dict.fromkeys(column for column, _ in chunk if column)))
            sql = f"SELECT {', '.join(self._asked[key] for key in chunk)} FROM {relation}"
            self._known.update(zip(chunk, self.connection.execute(sql).fetchall()[0], strict=True))
        self._asked.clear()

    def get(self, column: str, key: str, default: Any = 0) -> Any:
        """An answer; the default where it is NULL or was never asked."""
        value = self._known.get((column, key))
        return default if value is None else value

    def over_values(
        self, column: ColumnSchema, about: int, holds: Mapping[str, str], terms: Mapping[str, str]
    ) -> dict[str, Any]:
        """Ask about one column whose texts are costly to look at.

        Args:
            column: The column.
            about: How many different values it has, roughly.
            holds: Conditions under names; the answer is how many rows fulfil them.
            terms: Aggregates that do not depend on how often a value occurs.

        Returns:
            The answers that are not NULL, and ``distinct`` where it came for free.
        """
        name, relation, count = quote(column.name), narrowed(self.fitted, [column.name]), "count(*)"
        asked = dict(terms)
        if about <= _GROUPED:
            relation = f'(SELECT {name}, count(*) AS "__n" FROM {relation} WHERE {name} IS NOT NULL GROUP BY {name})'
            count = 'sum("__n")'
            asked["distinct"] = "count(*)"
        asked |= {key: f"coalesce({count} FILTER ({condition}), 0)" for key, condition in holds.items()}
        if not asked:
            return {}
        answers = self.connection.execute(f"SELECT {', '.join(asked.values())} FROM {relation}").fetchall()[0]
        return {key: value for key, value in zip(asked, answers, strict=True) if value is not None}

    def parts(self, column: ColumnSchema, separator: str | None) -> Parts:
        """The parts of a column of lists, or of text with a separator."""
        listed = reading.list_sql(column.name, column.dtype, separator)
        relation = narrowed(self.fitted, [column.name])
        values = f'(SELECT {quote(column.name)}, count(*) AS "__n" FROM {relation} GROUP BY ALL)'
        parts = f'FROM (SELECT "__n" AS n, unnest({listed}) AS part FROM {values})'
        sql = f"SELECT coalesce(sum(n), 0), approx_count_distinct(part), coalesce(sum(n * length(part)), 0) {parts}"
        count, distinct, length = self.connection.execute(sql).fetchall()[0]
        if distinct <= EXACT:
            distinct = self.connection.execute(f"SELECT count(DISTINCT part) {parts}").fetchall()[0][0]
        return Parts(separator, count, min(distinct, count), length / count if count else 0.0)


def profile_columns(
    connection: duckdb.DuckDBPyConnection, columns: Sequence[ColumnSchema], fitted: Source, given: Collection[str] = ()
) -> list[Profile]:
    """Profile columns in two passes over the table, and one more per column of lists.

    Args:
        connection: Where it is.
        columns: Which columns.
        fitted: The rows that may be looked at.
        given: Columns whose type is given: what they could be is measured too, even where it is unlikely.
    """
    from relgraph.data.type_profile_text import text_profile

    if not columns:
        return []
    questions = Questions(connection, fitted)
    questions.ask("", total="count(*)")
    for column in columns:
        _ask_first(questions, column)
    questions.answer()
    for column in columns:
        if _count_exactly(questions, column):
            questions.ask(column.name, distinct=f"count(DISTINCT {quote(column.name)})")
        if _may_be_days(questions, column):
            questions.ask(column.name, days=f"count({reading.day_sql(column.name)})")
    questions.answer()
    profiles = []
    for column in columns:
        common = _common(questions, column)
        if reading.storage(column.dtype) in ("text", "json"):
            profiles.append(text_profile(questions, column, common, column.name in given))
        else:
            profiles.append(_profile(questions, column, common))
    return profiles


def _ask_first(questions: Questions, column: ColumnSchema) -> None:
    name, kind = quote(column.name), reading.storage(column.dtype)
    value = _value_sql(column)
    questions.ask(column.name, rows=f"count({value})")
    if kind in ("text", "json"):
        text = f"CAST({name} AS VARCHAR)"
        questions.ask(column.name, low=f"min({text})", high=f"max({text})", length=f"sum(length({text}))")
    elif kind == "whole":
        questions.ask(column.name, low=f"min({name})", high=f"max({name})")
    elif kind == "list":
        questions.ask(column.name, shortest=f"min(len({name}))", longest=f"max(len({name}))")
    elif kind != "other":
        questions.ask(column.name, same=f"min({value}) = max({value})")
    if kind in ("whole", "text", "json", "code") or _is_named_fraction(column):
        questions.ask(column.name, about=f"approx_count_distinct({value})")
    if _is_named_fraction(column):
        questions.ask(column.name, broken=f"count_if({value} <> trunc({value}))")


def _value_sql(column: ColumnSchema) -> str:
    kind = reading.storage(column.dtype)
    if kind == "fraction":
        return reading.finite(reading.number_sql(column.name, column.dtype))
    if kind == "date":
        return reading.stamp_sql(column.name, column.dtype)
    return reading.number_sql(column.name, column.dtype) if kind == "span" else quote(column.name)


def _is_named_fraction(column: ColumnSchema) -> bool:
    """Whole numbers with NULLs often arrive as fractions; where the name speaks of a code they are looked at."""
    return reading.storage(column.dtype) == "fraction" and (is_id_name(column.name) or is_code_name(column.name))


def _count_exactly(questions: Questions, column: ColumnSchema) -> bool:
    if reading.storage(column.dtype) in ("text", "json"):
        return False
    about = questions.get(column.name, "about", None)
    return about is not None and (about <= EXACT or _may_be_numbered(questions, column))


def _may_be_numbered(questions: Questions, column: ColumnSchema) -> bool:
    """Whether n different whole numbers in a range R would be no chance: a pair is equal with 1 - exp(-n^2 / 2R)."""
    if reading.storage(column.dtype) != "whole":
        return False
    rows, about, low, high = (questions.get(column.name, key) for key in ("rows", "about", "low", "high"))
    return bool(rows >= 20 and 2 * about >= rows and 30 * (int(high) - int(low)) <= rows * rows)


def _may_be_days(questions: Questions, column: ColumnSchema) -> bool:
    if reading.storage(column.dtype) != "whole":
        return False
    low, high = (int(questions.get(column.name, key)) for key in ("low", "high"))
    return low >= 19_000_101 and high <= 21_001_231


def _common(questions: Questions, column: ColumnSchema) -> Profile:
    """What all storage classes share."""
    rows = questions.get(column.name, "rows")
    ends = [questions.get(column.name, end, None) for end in ("low", "high")]
    same = ends[0] == ends[1] if ends[0] is not None else bool(questions.get(column.name, "same", False))
    distinct = questions.get(column.name, "distinct", questions.get(column.name, "about"))
    return Profile(questions.get("", "total"), rows, min(distinct, rows), rows == 0 or same)


def _profile(questions: Questions, column: ColumnSchema, common: Profile) -> Profile:
    kind = reading.storage(column.dtype)
    if kind == "list":
        longest = questions.get(column.name, "longest")
        inner = reading.storage(reading.element_type(column.dtype))
        parts = questions.parts(column, None) if inner in ("text", "whole", "code", "few") and longest else None
        return replace(
            common,
            constant=not longest or (parts is not None and parts.distinct == 0),
            vectors=common.rows if inner in ("fraction", "whole", "few") else 0,
            shortest=questions.get(column.name, "shortest"),
            longest=longest,
            parts=parts,
        )
    return replace(
        common,
        days=kind == "whole" and questions.get(column.name, "days") == common.rows,
        numbered=_may_be_numbered(questions, column) and common.distinct == common.rows,
        whole=kind == "whole" or (_is_named_fraction(column) and questions.get(column.name, "broken") == 0),
    )
