"""Validity intervals: two columns that say from when and until when a row holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from relgraph.data.check.key_words import bag
from relgraph.data.check.time_columns import MICROSECONDS_9000, Moment, time_words
from relgraph.data.sql import quote

if TYPE_CHECKING:
    from relgraph.data.database import Database

__all__ = ["end_of", "interval_ends"]

_IN_ORDER = 0.95
_END = bag("end ended ends ending finish finished stop stopped")
_LEFT = bag("left leave leaving termination terminated terminate exit departed fired fire resigned end")
_PAIRS = (
    (bag("from"), bag("to until till thru through"), 0.12),
    (
        bag("effective eff"),
        bag("expiry expiration expires expire end to until"),
        0.12,
    ),
    (bag("since valid"), bag("until till to expires expired"), 0.12),
    (bag("start started starts begin began begins beginning"), _END | bag("completion completed"), 0.1),
    (bag("hire hired join joined entry employed appointed"), _LEFT, 0.1),
    (bag("admit admitted admission adm"), bag("discharge discharged disch"), 0.05),
    (bag("pickup"), bag("dropoff"), 0.05),
    (bag("in checkin"), bag("out checkout"), 0.05),
    (bag("open opened"), bag("close closed"), 0.05),
    (bag("activation activated"), bag("deactivation deactivated"), 0.1),
    (bag("von ab seit beginn"), bag("bis ende"), 0.12),
    (bag("desde inicio"), bag("hasta fin fim"), 0.12),
    (bag("debut depuis inizio"), bag("fin fine"), 0.12),
)
_PLAIN = bag("date time timestamp datetime ts dt day at on")


def end_of(start: str, columns: Sequence[str]) -> tuple[str, float] | None:
    """The column whose name says that it ends what ``start`` begins, and how much that says for the pair.

    Example:
        >>> end_of("valid_from", ["id", "valid_until"])
        ('valid_until', 0.12)
    """
    begins = [word for word in time_words(start) if word not in _PLAIN]
    for first, last, bonus in _PAIRS:
        for word in begins:
            if word not in first:
                continue
            rest = [other for other in begins if other != word]
            for column in columns:
                ends = [other for other in time_words(column) if other not in _PLAIN]
                final = [other for other in ends if other in last]
                if column != start and final and [other for other in ends if other != final[0]] == rest:
                    return column, bonus
    return None


def interval_ends(db: Database, table: str, moments: Sequence[Moment]) -> dict[str, tuple[Moment, float, str]]:
    """Per column that starts an interval its end, what that says for it, and why in words.

    Args:
        db: The database.
        table: The table.
        moments: Its columns with times; both ends must be readable as they are.
    """
    readable = {moment.column: moment for moment in moments if moment.conversion is None}
    found = {}
    for start in readable.values():
        named = end_of(start.column, list(readable))
        if named is None:
            continue
        end = readable[named[0]]
        both, before, never = (
            db.cursor()
            .execute(
                f"SELECT count(*), count(*) FILTER (b < a), count(*) FILTER (b >= {MICROSECONDS_9000}) "
                f"FROM (SELECT {start.sql} AS a, {end.sql} AS b FROM {quote(table)}) "
                "WHERE a IS NOT NULL AND b IS NOT NULL"
            )
            .fetchall()[0]
        )
        if both and before <= (1 - _IN_ORDER) * both:
            why = f"holds until {end.column}, which is not earlier in {both - before:,} of {both:,} rows"
            if never:
                why += f"; {never:,} of them are in year 9000 or later, which means no end"
            found[start.column] = (end, named[1], why)
    return found
