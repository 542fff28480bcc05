"""SQL that reads a column as numbers, times, lists or text, whatever it is stored as."""

from __future__ import annotations

from collections.abc import Sequence

from relgraph.data.sql import FRACTIONS, WHOLE_NUMBERS, literal, quote

__all__ = [
    "CODES",
    "IDENTIFYING",
    "NUMBER_FORMS",
    "SEPARATORS",
    "day_sql",
    "element_type",
    "filled",
    "finite",
    "is_list",
    "is_missing",
    "list_sql",
    "matches",
    "number_sql",
    "stamp_sql",
    "storage",
    "trimmed",
    "vector_sql",
]

SEPARATORS = ("|", ";", ",", "><")
"""What stands between the parts of a text; ``><`` is for ``<tag><tag>``."""

_MISSING = ("", "nan", "na", "n/a", "null", "none", "-", "?", "\\n")
_LARGEST = "CAST(3.4028234663852886e38 AS DOUBLE)"
_BEFORE = r"[-+]?(?:[A-Z]{3} )?[$€£¥]? ?[-+]?"
_BEHIND = r"(?: ?[%$€£¥]| [A-Z]{3})?"
_CLEAN = _BEFORE + r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?" + _BEHIND
_COMMA = _BEFORE + r"(?:[0-9]{1,3}(?:\.[0-9]{3})+|[0-9]+)(?:,[0-9]+)?" + _BEHIND
NUMBER_FORMS = {
    "number": None,
    "money": _CLEAN,
    "decimal comma": _COMMA,
    "clock": r"[0-9]+:[0-5][0-9](?::[0-5][0-9])?(?:\.[0-9]+)?",
}
"""How text may hold numbers, and the pattern of each: ``12.5``; ``$1,200.50``, ``12 %``, ``9.90 EUR``; ``12,5``,
``1.200,50 €``; ``1:27.45``, but not the ``2:1`` of a game."""

CODES = (
    r"\S*[0-9@/\\_:.,=+%#&]\S*",  # one word that is not all letters
    r"[-+(]*[0-9][-0-9 ()./x+]*",  # telephone and account numbers
    r".*\.[A-Za-z][A-Za-z0-9]{1,3}",  # file names
)
"""What single values of a code look like."""

IDENTIFYING = (
    r"[^@\s]+@[^@\s]+\.[^@\s.]+",  # mail
    r"[A-Za-z][A-Za-z0-9+.-]*://\S+",
    r"www\.\S+",
    r"\{?[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}\}?",  # UUID
    r"(?:0x)?[0-9a-fA-F]{16,}",  # hash
    r"[+(][-0-9 ()./]{6,}",  # telephone
    r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}",  # IP
    r"[0-9a-fA-F]{2}(?:[:-][0-9a-fA-F]{2}){5}",  # MAC
)
"""What names one person, machine or document wherever it stands."""


def storage(dtype: str) -> str:
    """The storage class of a DuckDB type.

    Returns:
        ``whole``, ``fraction``, ``date``, ``span`` (TIME and INTERVAL), ``few`` (BOOLEAN and ENUM), ``text``, ``json``,
        ``code`` (UUID and BIT), ``list`` or ``other``.
    """
    kind = dtype.upper()
    if is_list(kind):
        return "list"
    if kind in WHOLE_NUMBERS or kind in ("BIGNUM", "VARINT") or (kind.startswith("DECIMAL") and kind.endswith(",0)")):
        return "whole"
    if kind in FRACTIONS or kind.startswith("DECIMAL"):
        return "fraction"
    if kind == "DATE" or kind.startswith("TIMESTAMP"):
        return "date"
    if kind == "INTERVAL" or kind in ("TIME", "TIME_NS", "TIME WITH TIME ZONE"):
        return "span"
    if kind == "BOOLEAN" or kind.startswith("ENUM"):
        return "few"
    return {"VARCHAR": "text", "JSON": "json", "UUID": "code", "BIT": "code"}.get(kind, "other")


def is_list(dtype: str) -> bool:
    """Whether a DuckDB type is a list or array."""
    return dtype.endswith("]")


def element_type(dtype: str) -> str:
    """The type of a list's elements, itself a list where lists are nested.

    Example:
        >>> element_type("FLOAT[3]"), element_type("INTEGER[][]")
        ('FLOAT', 'INTEGER[]')
    """
    return dtype[: dtype.rindex("[")]


def trimmed(text: str) -> str:
    """SQL of a text without the blanks around it."""
    return f"trim({text})"


def filled(text: str) -> str:
    """SQL condition: the text holds something, not blanks or one of the usual words for a missing value."""
    return f"coalesce(lower({trimmed(text)}) NOT IN ({', '.join(map(literal, _MISSING))}), FALSE)"


def is_missing(text: str) -> bool:
    """What :func:`filled` denies, of a Python value."""
    return text.strip().lower() in _MISSING


def matches(text: str, patterns: Sequence[str]) -> str:
    """SQL condition: the whole text, without the blanks around it, matches one of the patterns."""
    whole = "|".join(f"(?:{pattern})" for pattern in patterns)
    return f"regexp_full_match({trimmed(text)}, {literal(whole)})"


def number_sql(name: str, dtype: str, form: str | None = None) -> str:
    """SQL of a column as DOUBLE: seconds for TIME and INTERVAL, NULL where text is no number.

    Args:
        name: The column.
        dtype: Its DuckDB type.
        form: For text, one of :data:`NUMBER_FORMS`.
    """
    column = quote(name)
    kind = storage(dtype)
    if kind == "span":
        return f"CAST(epoch({column}) AS DOUBLE)"
    if kind not in ("text", "json", "few"):
        return f"CAST({column} AS DOUBLE)"
    if kind == "few":
        return f"TRY_CAST({column} AS DOUBLE)"
    text = trimmed(column)
    pattern = NUMBER_FORMS[form or "number"]
    if pattern is None:
        return f"TRY_CAST({text} AS DOUBLE)"
    if form == "money":
        value = f"TRY_CAST(regexp_replace({text}, '[^0-9.+-]', '', 'g') AS DOUBLE)"
    elif form == "decimal comma":
        value = f"TRY_CAST(replace(regexp_replace({text}, '[^0-9,+-]', '', 'g'), ',', '.') AS DOUBLE)"
    else:
        parts = f"list_transform(string_split({text}, ':'), lambda part: TRY_CAST(part AS DOUBLE))"
        value = f"list_reduce({parts}, lambda sum, part: 60 * sum + part)"
    return f"CASE WHEN {matches(column, [pattern])} THEN {value} END"


def day_sql(name: str) -> str:
    """SQL of a column of whole numbers like 20240131 as TIMESTAMP, NULL where it is no day."""
    return f"try_strptime(CAST({quote(name)} AS VARCHAR), '%Y%m%d')"


def finite(number: str) -> str:
    """SQL of a DOUBLE that is NULL where it is no number, infinite, or would be as float32."""
    return f"CASE WHEN abs({number}) <= {_LARGEST} THEN {number} END"


def stamp_sql(name: str, dtype: str) -> str:
    """SQL of a date, timestamp or text column as TIMESTAMP in UTC, NULL where it is infinite or no time."""
    column = quote(name)
    if storage(dtype) in ("text", "json", "few"):
        column = f"CAST(TRY_CAST(nullif({trimmed(f'CAST({column} AS VARCHAR)')}, '') AS TIMESTAMPTZ) AS TIMESTAMP)"
    elif dtype != "TIMESTAMP":
        column = f"TRY_CAST({column} AS TIMESTAMP)"
    return f"CASE WHEN isfinite({column}) THEN {column} END"


def list_sql(name: str, dtype: str, separator: str | None = None) -> str:
    """SQL of a column as VARCHAR[] of distinct parts, trimmed and not empty, in no particular order.

    Args:
        name: The column.
        dtype: Its DuckDB type.
        separator: For text, one of :data:`SEPARATORS`; by default the text is a list in JSON's or Python's form.
    """
    column = quote(name)
    if is_list(dtype):
        parts = f"CAST({column} AS VARCHAR[])"
    elif separator is None:
        text = f"CAST({column} AS VARCHAR)"
        parts = (
            f"coalesce(CASE WHEN json_valid({text}) THEN from_json({text}, '[\"VARCHAR\"]') END, "
            f"TRY_CAST({text} AS VARCHAR[]))"
        )
    elif separator == "><":
        parts = f"string_split(trim({trimmed(column)}, '<>'), '><')"
    else:
        parts = f"string_split({column}, {literal(separator)})"
    stripped = f"list_transform({parts}, lambda part: {trimmed('part')})"
    return f"list_distinct(list_filter({stripped}, lambda part: part <> ''))"


def vector_sql(name: str, dtype: str) -> str:
    """SQL of a list or text column as DOUBLE[], NULL where it is none."""
    column = quote(name)
    if is_list(dtype):
        return f"TRY_CAST({column} AS DOUBLE[])"
    vector = f"TRY_CAST(CAST({column} AS VARCHAR) AS DOUBLE[])"
    # what is no number in a text becomes NULL there
    return f"CASE WHEN list_count({vector}) = len({vector}) THEN {vector} END"
