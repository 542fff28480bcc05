"""Names and values as SQL text. Every identifier that reaches an engine goes through here."""

from __future__ import annotations

from collections.abc import Iterable

from relgraph.errors import SchemaError

__all__ = ["FRACTIONS", "WHOLE_NUMBERS", "literal", "quote", "quote_all"]

WHOLE_NUMBERS = (
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"),
    *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"),
)
"""DuckDB's integer types, as a schema's ``dtype`` names them."""

FRACTIONS = ("FLOAT", "DOUBLE")
"""DuckDB's floating-point types; ``DECIMAL(p, s)`` is told by its prefix."""


def quote(name: str) -> str:
    """An identifier in double quotes, whatever it contains.

    Args:
        name: A table or column name: a reserved word, non-ASCII, with spaces or quotes.

    Raises:
        SchemaError: If the name is empty or holds a NUL character, which no SQL engine takes.

    Example:
        >>> print(quote('the "big" order'))
        "the ""big"" order"
    """
    if not name or "\0" in name:
        raise SchemaError(f"{name!r} cannot name a table or column; expected text without NUL characters, not empty")
    return '"' + name.replace('"', '""') + '"'


def quote_all(names: Iterable[str]) -> str:
    """Several identifiers, quoted and joined by commas.

    Example:
        >>> print(quote_all(["a", "from"]))
        "a", "from"
    """
    return ", ".join(quote(name) for name in names)


def literal(value: str | int | float | bool | None) -> str:
    """A value as an SQL literal, for the places where an engine takes no parameters (views, file names).

    Args:
        value: Text, number, truth value or None (NULL).

    Raises:
        SchemaError: If text holds a NUL character.

    Example:
        >>> print(literal("O'Hara"), literal(None), literal(3))
        'O''Hara' NULL 3
    """
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        return repr(value) if isinstance(value, int) else f"CAST('{value!r}' AS DOUBLE)"
    if "\0" in value:
        raise SchemaError(f"{value!r} cannot be an SQL text: it holds a NUL character")
    return "'" + value.replace("'", "''") + "'"
