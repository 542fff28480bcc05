"""What each column of a table means to a model, read off its SQL type, its name and all of its values.

Nothing depends on the order of rows or on a sample; only rows up to the fit time are looked at. ``n`` is the number of
rows with a value and ``d`` the number of different values; *few* is ``d <= 10``, *repeats* is ``d <= 1000`` (``200``
for columns named like an id), both with ``d <= n / 2`` (or ``d = 2``). The first line that fits decides.

=================================================================================  ====================
a column that ...                                                                  becomes
=================================================================================  ====================
is part of a primary or foreign key, or what one refers to                        nothing
says until when a row holds (``TableSchema.end_column``)                           nothing
is a BLOB, STRUCT, MAP, UNION or GEOMETRY, or a list of lists                      unsupported
has one value or none; but one value and NULLs, which is a flag                    constant; categorical
is the time column of its table, whatever it is stored as                          timestamp
is DATE or TIMESTAMP; infinite ones are NULL                                       timestamp
is BOOLEAN or ENUM                                                                 categorical
is TIME or INTERVAL (as seconds)                                                   numerical
is UUID or BIT: few; others                                                        categorical; identifier
is whole numbers that are all days of 1900 to 2100 like 20240131                   timestamp
is whole numbers named like an id or a code (``statusId``, ``zip_code``, ``fax``):  categorical; identifier
  repeats; others
is whole numbers, n >= 20 different ones within a range of n^2 / 30, so that       identifier
  chance would have let some repeat (row numbers, with gaps or without), and not
  named like a quantity or an order (``year``, ``price``, ``rank``)
is whole numbers: few; others                                                      categorical; numerical
is FLOAT, DOUBLE or DECIMAL with a fraction; NaN and infinities are NULL           numerical
is a list or array of numbers of one length, also as text ``[0.1, 2]``             embedding
is a list of integers, texts or UUIDs, also as JSON text: with parts that repeat   multicategorical;
  (or at most ten); others                                                         identifier
is text that reads as dates and times everywhere                                   timestamp
is text that reads as money, per cent, ``12,5`` or clock times everywhere          numerical
is text that reads as numbers everywhere: named or written like a code (leading    categorical; identifier
  zeros, seven and more digits of one length): repeats; others
is text that reads as numbers everywhere: whole and few; others                    categorical; numerical
is JSON objects                                                                    unsupported
is text with ``|``, ``;``, ``,`` or ``<a><b>`` whose parts are fewer than their    multicategorical
  combinations and stand twice or more on average
is mail and web addresses, UUIDs, hashes, telephone numbers, IP or MAC             categorical; identifier
  addresses: few; others
is text of up to 60 characters on average that repeats                             categorical
is other text named like an id or a code, or mostly codes (one word with digits    identifier
  or punctuation, telephone numbers, file names)
is other text                                                                      text
=================================================================================  ====================

Text that says ``NULL``, ``N/A``, ``nan``, ``-`` and the like, or nothing, is skipped when reading numbers and times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relgraph.data import reading
from relgraph.data.narrow import Source, narrowed
from relgraph.data.schema import ColumnSchema, SemanticType, TableSchema
from relgraph.data.sql import quote
from relgraph.data.time import time_expression
from relgraph.data.type_profile import Profile, profile_columns
from relgraph.data.value_names import is_code_name, is_id_name, is_measure_name
from relgraph.errors import SchemaError

if TYPE_CHECKING:
    import duckdb

__all__ = ["ENCODED", "MAX_CATEGORIES", "ColumnMeaning", "understand_columns"]

MAX_CATEGORIES = 1000
"""A column with more different values is not found to be categorical; of lists only so many parts are kept."""

_FEW = 10
_KINDS = 200  # different values of an id that is the number of a kind, not of a thing
_SHORT = 60  # characters on average
_MOST = 0.9  # of the rows
ENCODED = (
    SemanticType.NUMERICAL,
    SemanticType.CATEGORICAL,
    SemanticType.MULTICATEGORICAL,
    SemanticType.TIMESTAMP,
    SemanticType.EMBEDDING,
    SemanticType.TEXT,
)
"""The types that become features."""


@dataclass(frozen=True)
class ColumnMeaning:
    """A column with its semantic type and, where it becomes no feature, the reason.

    Args:
        name: The column.
        dtype: Its SQL type.
        kind: What it means.
        left_out: Why it becomes no feature, or ``None``.
        sql: The value that is encoded, over the table's columns: for numerical DOUBLE, NULL where float32 has no
            number for it; for categorical the column itself; for timestamp TIMESTAMP, finite; for multicategorical
            VARCHAR[] of different parts; for embedding DOUBLE[]; for text VARCHAR. Text is without blanks at its end.
        where: ``table.column``, for messages.
    """

    name: str
    dtype: str
    kind: SemanticType
    left_out: str | None = None
    sql: str = ""
    where: str = ""


def understand_columns(
    connection: duckdb.DuckDBPyConnection,
    table: TableSchema,
    fitted: Source,
    types: Mapping[str, SemanticType],
    text: bool = True,
    keys: frozenset[str] | None = None,
) -> list[ColumnMeaning]:
    """The semantic type of every column that is part of no key.

    Args:
        connection: Where the table is.
        table: Its schema.
        fitted: The rows that may be looked at: those up to the fit time.
        types: Types given instead of found, by column name.
        text: Whether text becomes a feature.
        keys: The columns of keys; those that the table itself declares by default.

    Raises:
        SchemaError: If a given type does not fit the storage type or names no column.
    """
    for name in types:
        table.column(name)
    left = table.key_columns if keys is None else keys
    columns = [column for column in table.columns if column.name not in left]
    profiles = profile_columns(connection, columns, fitted, types)
    meanings = []
    for column, profile in zip(columns, profiles, strict=True):
        where, given = f"{table.name}.{column.name}", types.get(column.name)
        if given is not None and profile.rows:
            _require_fit(where, column, given, profile)
        kind = given or _find_type(column, profile, column.name == table.time_column)
        left_out, sql = None, ""
        if given is None and column.name == table.end_column:
            left_out = "end of validity"
        elif kind not in ENCODED or (kind is SemanticType.TEXT and not text):
            left_out = kind.value
        elif profile.rows == 0:
            left_out = "no value up to the fit time"
        elif kind is SemanticType.TIMESTAMP and profile.days:
            sql = reading.day_sql(column.name)
        elif kind is SemanticType.TIMESTAMP and reading.storage(column.dtype) != "date" and profile.form != "date":
            relation = narrowed(fitted, [column.name])
            moment = time_expression(connection, relation, column.name, column.dtype, where)
            sql = f"make_timestamp({moment})"
        else:
            sql = _value_sql(column, kind, profile)
        meanings.append(ColumnMeaning(column.name, column.dtype, kind, left_out, sql, where))
    return meanings


def _find_type(column: ColumnSchema, profile: Profile, is_time: bool) -> SemanticType:
    kind = reading.storage(column.dtype)
    if kind == "other":
        return SemanticType.UNSUPPORTED
    if profile.constant:
        flag = (
            0 < profile.rows < profile.total
            and kind in ("whole", "fraction", "few", "text")
            and profile.length <= _SHORT
        )
        return SemanticType.CATEGORICAL if flag else SemanticType.CONSTANT
    if kind == "date" or (is_time and kind in ("whole", "fraction", "text")):
        return SemanticType.TIMESTAMP
    if kind == "few":
        return SemanticType.CATEGORICAL
    if kind == "code":
        return _category_or(SemanticType.IDENTIFIER, profile, _FEW)
    if kind in ("whole", "fraction"):
        return _find_number_type(column.name, profile)
    if kind == "list":
        return _find_list_type(column.dtype, profile)
    if kind in ("json", "text"):
        return _find_text_type(column, profile)
    return SemanticType.NUMERICAL


def _category_or(other: SemanticType, profile: Profile, most: int) -> SemanticType:
    repeats = profile.distinct <= min(most, max(profile.rows // 2, 2))
    return SemanticType.CATEGORICAL if repeats else other


def _find_number_type(name: str, profile: Profile) -> SemanticType:
    if not profile.whole:
        return SemanticType.NUMERICAL
    if profile.days:
        return SemanticType.TIMESTAMP
    if is_id_name(name) or is_code_name(name):
        return _code_type(name, profile)
    if profile.numbered and not is_measure_name(name):
        return SemanticType.IDENTIFIER
    return _category_or(SemanticType.NUMERICAL, profile, _FEW)


def _code_type(name: str, profile: Profile) -> SemanticType:
    return _category_or(SemanticType.IDENTIFIER, profile, _KINDS if is_id_name(name) else MAX_CATEGORIES)


def _find_list_type(dtype: str, profile: Profile) -> SemanticType:
    """Of lists, and of text that is lists in JSON's form."""
    one_length = profile.vectors == profile.rows and profile.shortest == profile.longest
    inner = reading.storage(reading.element_type(dtype)) if reading.is_list(dtype) else "whole"
    if one_length and (profile.shortest > 1 or inner == "fraction"):
        return SemanticType.EMBEDDING
    if profile.parts is None or inner == "fraction":
        return SemanticType.UNSUPPORTED
    repeats = profile.parts.distinct <= max(profile.parts.count // 2, _FEW)
    return SemanticType.MULTICATEGORICAL if repeats else SemanticType.IDENTIFIER


def _find_text_type(column: ColumnSchema, profile: Profile) -> SemanticType:
    named = is_id_name(column.name) or is_code_name(column.name)
    if profile.json == "list":
        return _find_list_type(column.dtype, profile)
    if profile.form == "date":
        return SemanticType.TIMESTAMP
    if profile.form == "number":
        if named or profile.code_like:
            return _code_type(column.name, profile)
        return _category_or(SemanticType.NUMERICAL, profile, _FEW) if profile.whole else SemanticType.NUMERICAL
    if profile.form is not None and not named:
        return SemanticType.NUMERICAL
    if profile.json == "object":
        return SemanticType.UNSUPPORTED
    if profile.parts is not None:
        return SemanticType.MULTICATEGORICAL
    if profile.identifying >= _MOST:
        return _category_or(SemanticType.IDENTIFIER, profile, _FEW)
    if profile.length <= _SHORT and _code_type(column.name, profile) is SemanticType.CATEGORICAL:
        return SemanticType.CATEGORICAL
    return SemanticType.IDENTIFIER if named or profile.codes >= _MOST else SemanticType.TEXT


def _require_fit(where: str, column: ColumnSchema, kind: SemanticType, profile: Profile) -> None:
    dtype, stored = column.dtype.upper(), reading.storage(column.dtype)
    if kind is SemanticType.NUMERICAL:
        fits = stored in ("whole", "fraction", "span") or dtype == "BOOLEAN" or profile.form in reading.NUMBER_FORMS
        expected = "numbers, or text that holds a number in every row"
    elif kind is SemanticType.TIMESTAMP:
        fits = stored in ("date", "whole", "fraction") or profile.form == "date"
        expected = "dates, times, numbers that count them, or text that holds a date in every row"
    elif kind is SemanticType.EMBEDDING:
        fits = profile.vectors == profile.rows and profile.shortest == profile.longest > 0
        expected = f"lists of numbers of one length, got lengths {profile.shortest} to {profile.longest}"
    elif kind is SemanticType.MULTICATEGORICAL:
        fits, expected = profile.parts is not None, "lists, or text with separators"
    else:
        fits, expected = kind is not SemanticType.TEXT or stored not in ("list", "other"), "text"
    if not fits:
        article = "an" if kind is SemanticType.EMBEDDING else "a"
        noun = (
            kind.value if kind in (SemanticType.NUMERICAL, SemanticType.MULTICATEGORICAL) else f"{article} {kind.value}"
        )
        raise SchemaError(f"{where} is {column.dtype} and cannot be {noun}; expected {expected}")


def _value_sql(column: ColumnSchema, kind: SemanticType, profile: Profile) -> str:
    name, dtype = column.name, column.dtype
    if kind is SemanticType.NUMERICAL:
        number = reading.number_sql(name, dtype, profile.form if profile.form in reading.NUMBER_FORMS else None)
        always = reading.storage(dtype) in ("whole", "span", "few") or dtype.startswith("DECIMAL")
        return number if always and dtype not in ("BIGNUM", "UHUGEINT") else reading.finite(number)
    if kind is SemanticType.TIMESTAMP:
        return reading.stamp_sql(name, dtype)
    if kind is SemanticType.EMBEDDING:
        return reading.vector_sql(name, dtype)
    if kind is SemanticType.MULTICATEGORICAL:
        return reading.list_sql(name, dtype, profile.parts.separator if profile.parts else None)
    if dtype == "VARCHAR":  # blanks at the end are the storage's: CHAR(n) adds them, some servers drop them
        return f"rtrim({quote(name)}, ' ')"
    return quote(name) if kind is SemanticType.CATEGORICAL else f"CAST({quote(name)} AS VARCHAR)"
