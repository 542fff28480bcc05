"""Lengths of time: read, shown, and as SQL."""

from __future__ import annotations

import re
from datetime import timedelta

from relgraph.errors import ProtocolError

__all__ = ["format_interval", "interval_sql", "parse_interval"]

_LONGEST = 10_000 * 365 * 86_400_000_000
_SECONDS = {
    "w|weeks?": 604_800,
    "d|days?": 86_400,
    "h|hours?": 3_600,
    "m|min|minutes?": 60,
    "s|sec|seconds?": 1,
}


def parse_interval(value: str | timedelta, what: str = "interval") -> int:
    """A length of time in microseconds.

    Args:
        value: A number and a unit (weeks, days, hours, minutes, seconds, or their first letters), or a ``timedelta``.
        what: How messages name it.

    Raises:
        ProtocolError: If it cannot be read or is not positive; months and years have no fixed length.

    Example:
        >>> parse_interval("2 days") == parse_interval("48h") == 172_800_000_000
        True
    """
    if isinstance(value, timedelta):
        length = value // timedelta(microseconds=1)
    else:
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", str(value).lower())
        seconds = match and next((n for unit, n in _SECONDS.items() if re.fullmatch(unit, match[2])), None)
        if match is None or seconds is None:
            raise ProtocolError(
                f"{what}: expected a number and weeks, days, hours, minutes or seconds, such as '30 days'; "
                f"got {value!r} (months and years have no fixed length)"
            )
        length = round(float(match[1]) * seconds * 1_000_000)
    if not 0 < length <= _LONGEST:
        raise ProtocolError(f"{what}: expected more than nothing and less than 10,000 years, got {value!r}")
    return length


def format_interval(length: int) -> str:
    """Microseconds in the largest unit that divides them.

    Example:
        >>> format_interval(2_592_000_000_000)
        '30 days'
    """
    for size, unit in ((86_400_000_000, "days"), (3_600_000_000, "hours"), (1_000_000, "seconds")):
        if length % size == 0:
            return f"{length // size} {unit}"
    return f"{length} microseconds"


def interval_sql(length: int) -> str:
    """Microseconds as DuckDB's ``INTERVAL`` literal."""
    return f"INTERVAL '{format_interval(length)}'"
