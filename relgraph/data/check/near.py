"""What is nearly a reference: columns named like one whose values are mostly elsewhere, with counts and a remedy."""

from __future__ import annotations

from relgraph.data.check.inclusion import Near

__all__ = ["nearly_reference"]


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
