"""Values of MariaDB and MySQL, spelled as text, as Arrow arrays."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from relgraph.adapters.servers.values import ValueKind

if TYPE_CHECKING:
    import pyarrow

__all__ = ["SpelledKind", "TextKind", "moments", "spans", "years"]

_NO_TIME = "dates that no calendar has, such as 0000-00-00, are missing"


@dataclass(frozen=True)
class SpelledKind(ValueKind):
    """Values that come as their text, an array of bytes.

    Args:
        read: Makes values of the text, with NULL for what cannot be held; Arrow's own way by default.
    """

    read: Callable[[pyarrow.StringArray], pyarrow.Array] | None = None

    def array(self, values: Any) -> pyarrow.Array:
        """The values of their text."""
        import pyarrow

        text = values.cast(pyarrow.string())
        return text.cast(self.arrow()) if self.read is None else self.read(text)


@dataclass(frozen=True)
class TextKind(ValueKind):
    """Text that comes as bytes, or a SET, whose members are a list.

    Args:
        replaced: Counts the values that were no UTF-8; U+FFFD stands for the bytes at fault.
    """

    replaced: list[int] = field(default_factory=lambda: [0])

    def array(self, values: Any) -> pyarrow.Array:
        """The values as text, or as lists of it.

        Args:
            values: An array of bytes, or a sequence of them.
        """
        import pyarrow

        binary = values if isinstance(values, pyarrow.Array) else pyarrow.array(values, pyarrow.large_binary())
        try:
            texts = binary.cast(pyarrow.large_binary()).cast(pyarrow.large_string())
        except pyarrow.ArrowInvalid:
            texts = pyarrow.array([self._decoded(value) for value in binary.to_pylist()], pyarrow.large_string())
        if pyarrow.types.is_large_string(self.arrow()):
            return texts
        parts = [None if text is None else text.split(",") if text else [] for text in texts.to_pylist()]
        return pyarrow.array(parts, self.arrow())  # a member of a SET holds no comma

    def _decoded(self, value: Any) -> str | None:
        if value is None:
            return None
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            self.replaced[0] += 1
            return bytes(value).decode(errors="replace")


def moments(name: str) -> SpelledKind:
    """How ``date``, ``datetime`` and ``timestamp`` are held: what no calendar has is missing."""
    return SpelledKind(_MOMENTS[name], lost=_NO_TIME, read=lambda text: _read_moments(text, _MOMENTS[name]()))


def spans(in_day: bool) -> SpelledKind:
    """How microseconds are held: as times of day, or as durations."""
    import pyarrow

    span = pyarrow.time64("us") if in_day else pyarrow.duration("us")
    return SpelledKind(lambda: span, read=lambda text: text.cast(pyarrow.int64()).cast(span))


def years() -> SpelledKind:
    """How years are held: 0000 is missing."""
    import pyarrow

    return SpelledKind(pyarrow.int64, lost="years 0000 are missing", read=_read_years)


def _date() -> pyarrow.DataType:
    import pyarrow

    return pyarrow.date32()


def _datetime() -> pyarrow.DataType:
    import pyarrow

    return pyarrow.timestamp("us")


def _timestamp() -> pyarrow.DataType:
    import pyarrow

    return pyarrow.timestamp("us", "UTC")


_MOMENTS = {"date": _date, "datetime": _datetime, "timestamp": _timestamp}


def _read_years(text: pyarrow.StringArray) -> pyarrow.Array:
    import pyarrow
    import pyarrow.compute as pc

    years = text.cast(pyarrow.int64())
    return pc.if_else(pc.equal(years, 0), pyarrow.scalar(None, pyarrow.int64()), years)


def _read_moments(text: pyarrow.StringArray, dtype: pyarrow.DataType) -> pyarrow.Array:
    """``YYYY-MM-DD[ HH:MM:SS[.ffffff]]``; day, month and year may be 00, or the day one too late for its month."""
    import pyarrow
    import pyarrow.compute as pc

    impossible = pc.match_substring_regex(text, "^0000|-00")
    text = pc.if_else(impossible, pyarrow.scalar(None, pyarrow.string()), text)
    plain = pyarrow.date32() if pyarrow.types.is_date(dtype) else pyarrow.timestamp("us")
    try:
        found = text.cast(plain)
    except pyarrow.ArrowInvalid:
        parsed = []
        for value in text.to_pylist():
            try:
                parsed.append(None if value is None else datetime.datetime.fromisoformat(value))
            except ValueError:
                parsed.append(None)
        found = pyarrow.array(parsed, pyarrow.timestamp("us")).cast(plain)
    return pc.assume_timezone(found, "UTC") if getattr(dtype, "tz", None) else found
