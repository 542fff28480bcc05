"""Python values of database drivers as Arrow arrays, by the SQL type their column is declared as."""

from __future__ import annotations

import datetime
import decimal
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow

__all__ = ["ValueKind", "value_kind"]


@dataclass(frozen=True)
class ValueKind:
    """One kind of value.

    Args:
        arrow: Gives the Arrow type.
        convert: Applied to every value that is not NULL, where Arrow does not take the driver's values as they are; it
            gives None for a value that cannot be held.
        lost: What is said of such values, after their number.
    """

    arrow: Callable[[], pyarrow.DataType]
    convert: Callable[[Any], Any] | None = None
    lost: str = "values cannot be held and are missing"

    def array(self, values: Sequence[Any]) -> pyarrow.Array:
        """The values as an array of this type."""
        import pyarrow

        if self.convert is not None:
            values = [None if value is None else self.convert(value) for value in values]
        return pyarrow.array(values, self.arrow())


def value_kind(dtype: Any) -> ValueKind:
    """How values of a SQLAlchemy type are held.

    Decimals with a fraction become float64 and whole ones int64 where they fit; JSON, identifiers, arrays and types
    that SQLAlchemy has no Python type for become text.

    Args:
        dtype: A type of a reflected column.
    """
    import pyarrow
    import sqlalchemy

    if type(dtype).__name__ == "YEAR":
        return ValueKind(pyarrow.int64)
    if isinstance(dtype, sqlalchemy.JSON | sqlalchemy.ARRAY):
        return ValueKind(pyarrow.large_string, _json)
    try:
        python = dtype.python_type
    except NotImplementedError:
        return ValueKind(pyarrow.large_string, str)
    if python is decimal.Decimal:
        whole = dtype.scale == 0 and (dtype.precision or 99) <= 18
        return ValueKind(pyarrow.int64, int) if whole else ValueKind(pyarrow.float64, float)
    if python is datetime.datetime:
        zone = "UTC" if getattr(dtype, "timezone", False) else None
        return ValueKind(lambda: pyarrow.timestamp("us", zone))
    kinds = {
        bool: ValueKind(pyarrow.bool_, bool),
        int: ValueKind(pyarrow.int64),
        float: ValueKind(pyarrow.float64, float),
        bytes: ValueKind(pyarrow.large_binary, bytes),
        datetime.date: ValueKind(pyarrow.date32),
        datetime.time: ValueKind(lambda: pyarrow.time64("us")),
        datetime.timedelta: ValueKind(lambda: pyarrow.duration("us")),
    }
    return kinds.get(python, ValueKind(pyarrow.large_string, str))


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
