"""Values that PostgreSQL's drivers bring, as Arrow arrays of the types that are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow

__all__ = ["CHANGED", "NO_NUMBER", "arrow_type", "carrier_type", "settled"]

NO_NUMBER = -(2**63)
"""Stands for NaN among whole numbers."""

_EXACT = 2**53
_DAYS = (-719_162, 2_932_896)  # of the years 1 to 9999, since 1970-01-01
_MICROSECONDS = (_DAYS[0] * 86_400_000_000, (_DAYS[1] + 1) * 86_400_000_000 - 1)
_OUT_OF_RANGE = "values are infinite or outside the years 1 to 9999 and are missing"
CHANGED = {
    "date": _OUT_OF_RANGE,
    "timestamp": _OUT_OF_RANGE,
    "timestamptz": _OUT_OF_RANGE,
    "rounded": "values are 2^53 or more and are held as the nearest double",
    "whole": "values are NaN and are missing",
    "decimal": "values are NaN and are missing",
    "text": "values are no UTF-8 text: what is not is replaced by U+FFFD",
}
"""What is said of values that were changed, by kind, after their number."""


def arrow_type(kind: str) -> pyarrow.DataType:
    """The type in which a kind of values is kept; the kinds are those of a ``Cell``."""
    import pyarrow

    types: dict[str, Callable[[], pyarrow.DataType]] = {
        "int": pyarrow.int64,
        "whole": pyarrow.int64,
        "float": pyarrow.float64,
        "rounded": pyarrow.float64,
        "bool": pyarrow.bool_,
        "text": pyarrow.large_string,
        "bytes": pyarrow.large_binary,
        "date": pyarrow.date32,
        "timestamp": lambda: pyarrow.timestamp("us"),
        "timestamptz": lambda: pyarrow.timestamp("us", "UTC"),
        "time": lambda: pyarrow.time64("us"),
        "decimal": lambda: pyarrow.decimal128(38, 0),
        "ints": lambda: pyarrow.list_(pyarrow.int64()),
        "floats": lambda: pyarrow.list_(pyarrow.float64()),
        "texts": lambda: pyarrow.list_(pyarrow.string()),
    }
    return types[kind]()


def carrier_type(kind: str, raw_text: bool) -> pyarrow.DataType:
    """The type in which Python values of a kind come: moments as numbers, text of no known encoding as bytes."""
    import pyarrow

    if kind in ("date", "timestamp", "timestamptz", "time"):
        return pyarrow.int64()
    if kind == "decimal":
        return pyarrow.large_string()
    return pyarrow.large_binary() if kind == "text" and raw_text else arrow_type(kind)


def settled(array: pyarrow.Array, kind: str) -> tuple[pyarrow.Array, int]:
    """An array as it is kept, and how many values had to be changed for it (see :data:`CHANGED`).

    Args:
        array: As a driver gave it: of :func:`arrow_type`, :func:`carrier_type` or a narrower type.
        kind: What it holds.
    """
    import pyarrow

    if isinstance(array, pyarrow.ExtensionArray):
        array = array.storage
    if kind in ("date", "timestamp", "timestamptz", "time"):
        return _moments(array, kind)
    if kind in ("whole", "decimal"):
        missing = NO_NUMBER if kind == "whole" else "NaN"
        array, changed = _without(array, pyarrow.compute.equal(array, missing))
        return array.cast(arrow_type(kind)), changed
    if kind == "rounded":
        array = array.cast(pyarrow.float64())
        large = pyarrow.compute.greater_equal(pyarrow.compute.abs(array), float(_EXACT))  # not NaN
        return array, pyarrow.compute.sum(large).as_py() or 0
    if kind == "text" and not pyarrow.types.is_string(array.type):
        return _text(array)
    wanted = arrow_type(kind)
    return array if array.type == wanted else array.cast(wanted), 0


def _moments(array: pyarrow.Array, kind: str) -> tuple[pyarrow.Array, int]:
    import pyarrow

    compute = pyarrow.compute
    width = pyarrow.int32() if kind == "date" else pyarrow.int64()
    numbers = array.cast(width) if pyarrow.types.is_integer(array.type) else array.view(width)
    changed = 0
    if kind != "time":
        first, last = (pyarrow.scalar(n, width) for n in (_DAYS if kind == "date" else _MICROSECONDS))
        outside = compute.or_(compute.less(numbers, first), compute.greater(numbers, last))
        numbers, changed = _without(numbers, outside)
    return numbers.view(arrow_type(kind)), changed


def _without(array: pyarrow.Array, unwanted: pyarrow.Array) -> tuple[pyarrow.Array, int]:
    import pyarrow

    number = pyarrow.compute.sum(unwanted).as_py() or 0
    if not number:
        return array, 0
    return pyarrow.compute.if_else(unwanted, pyarrow.scalar(None, array.type), array), number


def _text(array: pyarrow.Array) -> tuple[pyarrow.Array, int]:
    import pyarrow

    try:
        return array.cast(pyarrow.large_string()), 0
    except pyarrow.ArrowInvalid:
        values: list[Any] = array.to_pylist()
    texts = [None if value is None else value.decode(errors="replace") for value in values]
    changed = sum(text is not None and text.encode() != value for text, value in zip(texts, values, strict=True))
    return pyarrow.array(texts, pyarrow.large_string()), changed
