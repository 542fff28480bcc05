"""What is nearly a key: columns named like one whose values do not quite bear it, with the counts and a remedy."""

from __future__ import annotations

from collections.abc import Sequence

from relgraph.data.check.evidence import NameIndex
from relgraph.data.check.identity import identity_score
from relgraph.data.check.inclusion import Near
from relgraph.data.check.key_profile import ColumnProfile
from relgraph.data.sql import quote

__all__ = ["nearly_key", "nearly_reference"]

_WRONG = 0.01  # of the rows
_LEAST_ROWS = 10
_PLAIN = 0.7


def nearly_key(names: NameIndex, table: str, profiles: Sequence[ColumnProfile]) -> str | None:
    """A sentence about the column of a table without key that would be it but for a few rows, if there is one.

    Args:
        names: What the names say.
        table: The table; no key of it is declared or proposed.
        profiles: Of its columns.
    """
    best: tuple[float, ColumnProfile] | None = None
    for profile in profiles:
        score = identity_score(names, table, profile)[0]
        wrong = profile.rows - min(profile.present, profile.distinct)
        few = profile.rows >= _LEAST_ROWS and wrong <= max(2, _WRONG * profile.rows)
        if score >= _PLAIN and profile.can_be_key and few and (best is None or score > best[0]):
            best = (score, profile)
    if best is None:
        return None
    column = best[1]
    repeated, missing = column.present - column.distinct, column.rows - column.present
    counted = [f"{repeated:,} rows repeat a value of another"] * bool(repeated)
    counted += [f"{missing:,} rows have none"] * bool(missing)
    where = f" WHERE {quote(column.name)} IS NOT NULL" if missing else ""
    query = f"SELECT DISTINCT ON ({quote(column.name)}) * FROM {quote(table)}{where}"
    return (
        f"{table}.{column.name} would identify the rows, but {' and '.join(counted)}, so no key is proposed and "
        f"nothing can refer to it; mend the rows, or keep one per value: tables={{'*': None, {table!r}: {query!r}}}"
    )


def nearly_reference(near: Near) -> str:
    """A sentence about a column that is named like a reference but whose values are mostly elsewhere."""
    found = ", ".join(f"{matched:,} in {target}" for target, matched in near.found)
    start = f"{near.column} is named like a reference, but of its {near.distinct:,} values there are {found}"
    if near.split:
        return (
            f"{start}: it refers to several tables; make one table of their keys with tables= (SELECT ... UNION ALL) "
            "and declare that as its target, or a table per target"
        )
    return f"{start}; nothing is proposed, declare it with keys= if the others are only missing"
