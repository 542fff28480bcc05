"""Two columns compared: what can be told without their values, and SQL of what has to be counted."""

from __future__ import annotations

import math
from dataclasses import dataclass

from relgraph.data.check.key_profile import ColumnProfile
from relgraph.data.sql import literal, quote

__all__ = [
    "Column",
    "keys_within",
    "lies_inside",
    "may_include",
    "stands_for_none",
    "surprise",
    "values_equal",
    "without_gaps",
]

_NONE = ("N/A", "NA", "#N/A", "NULL", "NONE", "NAN", "NIL", "UNKNOWN", "-", "--", "?")


@dataclass(frozen=True)
class Column:
    """A column with its table."""

    table: str
    profile: ColumnProfile

    @property
    def label(self) -> str:
        """``table.column``."""
        return f"{self.table}.{self.profile.name}"


def values_equal(child: ColumnProfile, parent: ColumnProfile, left: str, right: str) -> tuple[str, str]:
    """SQL of both sides as they compare: numbers meet texts as text, like in a database with these keys declared."""
    own, other = child.value(left), parent.value(right)
    if child.family == parent.family:
        return own, other
    return (
        own if child.family == "text" else f"CAST({own} AS VARCHAR)",
        other if parent.family == "text" else f"CAST({other} AS VARCHAR)",
    )


def may_include(child: ColumnProfile, parent: ColumnProfile) -> bool:
    """What can be told without looking at the values."""
    if not child.present or not parent.present:
        return not child.present
    if child.family != parent.family:
        return "time" not in (child.family, parent.family) and _digits(child) and _digits(parent)
    if child.distinct * 0.3 > parent.distinct:
        return False
    return bool(child.low <= parent.high and parent.low <= child.high)


def _digits(profile: ColumnProfile) -> bool:
    return profile.family == "number" or profile.digits >= 0.9


def lies_inside(child: ColumnProfile, parent: ColumnProfile) -> bool:
    """Whether the values of one lie between the least and the greatest of the other."""
    return bool(parent.low <= child.low and child.high <= parent.high)


def without_gaps(profile: ColumnProfile) -> bool:
    """Whether a column numbers its rows one by one."""
    numbered = profile.family == "number" and profile.unique and profile.whole
    return bool(numbered and profile.high - profile.low + 1 == profile.present)


def stands_for_none(child: Column, target: Column) -> str:
    """SQL that is true for a value ``v`` of the child that mostly means that there is no reference."""
    if child.profile.family == "text":
        return f"trim(v) IN ('', '0', '-1') OR upper(trim(v)) IN ({', '.join(map(literal, _NONE))})"
    if child.profile.family == target.profile.family == "number":
        return " OR ".join(f"v = {number}" for number in (0, -1) if number < target.profile.low) or "FALSE"
    return "FALSE"


def keys_within(child: Column, target: Column) -> str:
    """How many keys of the target lie between the child's smallest and largest number."""
    if not child.profile.family == target.profile.family == "number":
        return "0"
    low, high = (literal(int(x)) for x in (child.profile.low, child.profile.high))
    return f"(SELECT count(*) FROM {quote(target.table)} WHERE {target.profile.value()} BETWEEN {low} AND {high})"


def surprise(child: ColumnProfile, distinct: int, matched: int, within: int) -> float:
    """Orders of magnitude by which so many matches are less likely than if the values had been drawn at random."""
    share = matched / distinct
    if child.family == "number" and within:
        chance = min(1.0, within / (int(child.high) - int(child.low) + 1))
    else:
        chance = 0.3 if child.length <= 2 else 0.05
    if share <= chance:
        return 0.0
    apart = share * math.log(share / chance)
    if share < 1:
        apart += (1 - share) * math.log((1 - share) / (1 - chance))
    return min(99.0, distinct * apart / math.log(10))
