"""When the rows of a table happened, as far as names and values of its columns tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING

from relgraph.data.check.key_words import bag, forms, words
from relgraph.data.check.periods import interval_ends
from relgraph.data.check.proposals import TimeProposal
from relgraph.data.check.time_columns import MICROSECONDS_9000, PARTS, Moment, time_words
from relgraph.data.schema import TableSchema
from relgraph.data.sql import quote
from relgraph.data.time import format_time

if TYPE_CHECKING:
    from relgraph.data.database import Database

__all__ = ["is_planned", "name_says", "propose_times"]

_ENOUGH = 0.4
_COARSE = 0.75  # a year whose name does not say that it is one, a date put together: where there is a finer time
_NEAR = 0.1  # scores this close are told apart by which time comes first
_COMPARED = 4

_BIRTH = bag(
    "birth born dob birthday birthdate deceased death died dod nacimiento naissance geburt nascimento nascita "
    "geboren gestorben"
)
_BIRTHS = ("birth", "geburt", "nacim", "naiss", "nascim")
_ENDS = bag(
    "final exp expires expiry expire expiration until thru through to end ended ends finish finished close closed left "
    "termination terminated leave exit deleted archived cancelled canceled deactivated deactivation disabled retired "
    "stop inactivation inactivated dissolved dissolution struck ceased cessation decommissioned "
    "bis ende hasta fin fim"
)
_REWRITTEN = bag(
    "update updated updt upd modified modification mod changed change refreshed sync synced synchronized "
    "touched edited edit last latest activity seen login loaded load etl imported import exported"
)
_PLANNED = bag(
    "due required expected estimated estimate eta deadline promised planned plan target limit commit next "
    "forecast renewal reminder maturity matures"
)
_LATER = bag(
    "shipped ship shipping delivered delivery received receipt returned return approved approval resolved "
    "completed settled answered answer response responded dispatched confirmed confirmation carrier processed "
    "accepted discharge discharged disch dropoff arrival arrived community refunded paid"
)
_CREATED = bag("created creation create inserted insert added")
_EVENT = bag(
    "occurred happened event order ordered placed purchased purchase booked booking post posted published "
    "publication sent submitted submission opened open issue issued transaction trans txn visit visited rated "
    "rating logged log recorded reported filed entered entry invoice invoiced payment rental sale sold sales "
    "measured measurement observed observation sampled sample played play match game race flight departure "
    "check checkin admit admitted admission pickup accident incident scheduled appointment registered reg "
    "registration signup signed review trade session start_time"
)
_STARTS = bag(
    "from start started begin began beginning since effective first von ab seit beginn desde inicio debut inizio"
)
_JOINED = bag("hire hired join joined enrolled enrollment employed appointed member")
_FOUNDED = bag(
    "release released founded established launch launched debut opening premiered built incorporated incorporation "
    "commissioned"
)
_PLAIN = bag("date time timestamp datetime ts dt day when datum fecha epoch unix utc moment at on")
_YEARS = bag("year yr season month period")


@dataclass(frozen=True)
class _Candidate:
    moment: Moment
    score: float
    reasons: tuple[str, ...]
    end: Moment | None = None


def name_says(table: str, column: str) -> tuple[float, str]:
    """How much a column's name promises the time when a row of its table happened, 0..1, and why."""
    parts = time_words(column)
    said = set(parts)
    about = [part for part in parts if part not in _PLAIN]
    if about and _names_table(tuple(about), words(table.rpartition(".")[2])):
        return 1.0, f"named after its table {table}"
    if said & _BIRTH or any(part.startswith(_BIRTHS) for part in parts):
        return 0.0, "a person's birth or death, not when the row happened"
    for group, score, why in (
        (_REWRITTEN, 0.15, "rewritten whenever the row changes, so it says nothing about when it happened"),
        (_PLANNED, 0.3, "planned, not when the row happened"),
        (_CREATED, 0.95, "when the row was created"),
        (_LATER, 0.32, "comes after the row happened"),
        (_STARTS, 0.85, "from when the row holds"),
        (_ENDS, 0.2, "the end, known only later"),
        (_EVENT, 0.9, "when it happened"),
        (_JOINED, 0.8, "when it began"),
        (_FOUNDED, 0.6, "when it came into being"),
    ):
        if said & group:
            return max(0.0, score - (0.25 if said & _YEARS else 0.0)), why
    if said & _YEARS:
        return (0.6 if not about or set(about) <= _YEARS else 0.45), "a time, as coarse as a year or month"
    return (0.9, "a plain date or time") if not about else (0.6, "a date or time")


def _names_table(about: tuple[str, ...], table: tuple[str, ...]) -> bool:
    """Whether a column is about its table: ``order`` or ``ordered`` in ``orders``."""
    if forms(about) & (forms(table) | forms(table[1:])):
        return True
    if len(about) > 1 or not table:
        return False
    pairs = zip(about[0], table[-1], strict=False)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return same >= 4 and 2 * same >= max(len(about[0]), len(table[-1]))


def propose_times(
    db: Database,
    table: TableSchema,
    moments: Sequence[Moment],
    keys: frozenset[str],
    refers: bool,
    within: frozenset[str] = frozenset(),
) -> list[TimeProposal]:
    """The columns of a table that could be its time, the best first; none where one is declared.

    Args:
        db: The database.
        table: The table.
        moments: Its columns with times.
        keys: Columns that alone are a key, declared or proposed; of them only dates can be times.
        refers: Whether it has a foreign key, from which its rows can get their times: a poor column is then not taken.
        within: Columns of foreign keys of several columns, to rows that have a finer time: a year among them is theirs.
    """
    if table.time_column is not None or not db.num_rows(table.name):
        return []
    free = [m for m in moments if m.column not in keys or (not m.how and table.primary_key != (m.column,))]
    free = [m for m in free if m.column not in within or "year" not in m.how]
    found = [_judged(table.name, moment, db.num_rows(table.name)) for moment in free]
    ends = interval_ends(db, table.name, [candidate.moment for candidate in found])
    found = [_with_end(candidate, ends) for candidate in found]
    found.sort(key=lambda candidate: (-candidate.score, -candidate.moment.distinct))
    found = _earliest_first(db, table.name, found)
    least = _ENOUGH if refers else 0.31
    rows = db.num_rows(table.name)
    return [_proposal(table.name, c, rows, i == 0 and c.score >= least) for i, c in enumerate(found)]


def _judged(table: str, moment: Moment, rows: int) -> _Candidate:
    score, why = name_says(table, moment.column)
    reasons = [why]
    if moment.how:
        reasons.append(f"holds {moment.how}")
    unsaid = moment.how.endswith("year numbers") and not set(time_words(moment.column)) & _YEARS
    if unsaid or moment.how == PARTS:
        score *= _COARSE
    if moment.conversion is not None:
        reasons.append("can be read only after a conversion")
    if moment.low is None or (moment.low == moment.high and rows > 2):
        score *= 0.2
        reasons.append("all its times are the same")
    missing = 1 - moment.present / rows
    if missing:
        score *= 1 - missing
        reasons.append(f"{missing:.1%} of the rows have none")
    if moment.plausible < 0.9:
        score *= 0.5
        reasons.append(f"{1 - moment.plausible:.1%} of its times lie outside of 1800 to 2300")
    return _Candidate(moment, score, tuple(reasons))


def _with_end(candidate: _Candidate, ends: dict[str, tuple[Moment, float, str]]) -> _Candidate:
    if candidate.moment.column not in ends:
        return candidate
    end, bonus, why = ends[candidate.moment.column]
    return replace(candidate, score=candidate.score + bonus, reasons=(*candidate.reasons, why), end=end)


def _earliest_first(db: Database, table: str, found: list[_Candidate]) -> list[_Candidate]:
    """Of candidates that score nearly the same, the one that comes before the others in most rows goes first."""
    near = [c for c in found if c.score >= _ENOUGH and c.score >= found[0].score - _NEAR][:_COMPARED]
    best = near[0] if near else None
    for other in near[1:]:
        if best is None or best.end is not None:
            break
        a, b = best.moment.sql, other.moment.sql
        both, before, after = (
            db.cursor()
            .execute(
                f"SELECT count(*), count(*) FILTER (b < a), count(*) FILTER (b > a) "
                f"FROM (SELECT {a} AS a, {b} AS b FROM {quote(table)}) WHERE a IS NOT NULL AND b IS NOT NULL"
            )
            .fetchall()[0]
        )
        if both and before > 0.5 * both and after < 0.05 * both:
            best = replace(other, reasons=(*other.reasons, f"comes before {best.moment.column}"))
    if best is None:
        return found
    return [best, *(c for c in found if c.moment.column != best.moment.column)]


def _proposal(table: str, candidate: _Candidate, rows: int, chosen: bool) -> TimeProposal:
    moment = candidate.moment
    span = None
    if moment.conversion is None and moment.low is not None and moment.high is not None:
        span = (format_time(moment.low), format_time(min(moment.high, MICROSECONDS_9000)))
    return TimeProposal(
        table,
        moment.column,
        None if candidate.end is None else candidate.end.column,
        round(min(candidate.score, 1.0), 2),
        chosen,
        span,
        rows - moment.present,
        moment.conversion,
        candidate.reasons,
    )


def is_end(column: str) -> bool:
    """Whether a column's name says that it ends what its row began."""
    return bool(set(time_words(column)) & _ENDS)


def is_planned(column: str) -> bool:
    """Whether a column's name says that it was known before it came: a due date, the end of a validity."""
    said = set(time_words(column))
    return bool(said & _PLANNED) or bool(said & {"valid", "expires", "expiry", "expiration", "until"})
