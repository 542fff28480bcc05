"""What a person should look at in a report, in sentences that say what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from relgraph.data.check.proposals import Proposals, conversion_query
from relgraph.data.check.time_choice import is_end
from relgraph.data.sql import quote

if TYPE_CHECKING:
    from relgraph.data.check.proposals import SpoiledKey, TimeProposal
    from relgraph.data.check.report import ForeignKeyReport, Report, TableReport

__all__ = ["problems"]

_NAMED = 3  # of many columns


def problems(report: Report) -> Iterator[str]:
    """A sentence for everything that is not sound."""
    if report.proposals is not None:
        yield from _proposed(report)
    found = Proposals() if report.proposals is None else report.proposals
    tied = {name for link in found.foreign_keys for name in (link.table, link.target)}
    for key in found.spoiled:
        yield _spoiled(key)
        tied |= {key.table, *(name.rpartition(".")[0] for name in key.referring)} if key.referring else set()
    proposed = report.proposed_times
    for table in report.tables:
        yield from _keys_of(table)
        yield from _times_of(table, report.moment, table.table in proposed)
        if table.loose and table.table not in tied:
            yield (
                f"{table.table}: hangs loose, no foreign key starts or ends here; declare one with keys= or leave the "
                "table out with tables="
            )
    timed = {table.table for table in report.tables if table.time_column}
    for table in report.tables:
        links = [link for link in report.foreign_keys if link.table == table.table]
        if table.table not in timed:
            yield from _inherited([link for link in links if link.target in timed and link.null < link.rows])
        for link in links:
            yield from _reference(link)
    for label in report.labels:
        yield (
            f"{label.table}.{label.column} is {label.how} to the label in {label.rows:,} rows: it gives the answer "
            "away; leave the column out, or see whether the label is what you mean to predict"
        )


def _proposed(report: Report) -> Iterator[str]:
    if report.proposals is None:
        return
    primary, foreign = len(report.proposals.primary_keys), len(report.proposals.foreign_keys)
    if primary or foreign:
        found = [_counted(primary, "primary key")] * bool(primary) + [_counted(foreign, "foreign key")] * bool(foreign)
        yield (
            f"not declared, but names and values speak for it: {' and '.join(found)}; look at them, then "
            "connect(..., keys=report.proposed_keys)"
        )
    if report.proposed_times:
        times = [f"{table} ({_named(time)})" for table, time in report.proposed_times.items()]
        yield (
            f"no time is declared, but there is one: {', '.join(times)}; look at it, then connect(..., "
            "times=report.proposed_times)"
        )
    converted = [time for time in report.proposals.times if time.chosen and time.conversion is not None]
    yield from map(_conversion, converted)
    if len(converted) > 1:
        yield (
            f"these {len(converted)} times at once, of files and frames: connect(..., tables=report.proposed_tables), "
            "and check again (SQL that makes one of these tables already goes in the place of its name)"
        )


def _named(time: str | tuple[str, str]) -> str:
    return time if isinstance(time, str) else " until ".join(time)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _conversion(time: TimeProposal) -> str:
    query = conversion_query(time)
    return (
        f"{time.table}.{time.column} seems to be the time but {time.reasons[1]}, which is not read as it is: convert "
        f"it with tables={{'*': None, {time.table!r}: {query!r}}} or a view in the source, and declare "
        f"times={{{time.table!r}: {time.column!r}}}"
    )


def _spoiled(key: SpoiledKey) -> str:
    why = []
    if key.repeated:
        why.append(f"{key.repeated:,} of its {key.distinct:,} values {_stands(key.repeated)} more than once")
    if key.null:
        why.append(f"{_counted(key.null, 'row')} {'has' if key.null == 1 else 'have'} none")
    some = [
        *key.referring[:_NAMED],
        *([f"{len(key.referring) - _NAMED:,} more"] if len(key.referring) > _NAMED else []),
    ]
    names = " and ".join(filter(None, (", ".join(some[:-1]), *some[-1:])))
    used = f"{names} {'seems' if len(some) == 1 else 'seem'} to refer to it" if some else "it is named like one"
    where = f" WHERE {quote(key.column)} IS NOT NULL" if key.null else ""
    query = f"SELECT DISTINCT ON ({quote(key.column)}) * FROM {quote(key.table)}{where}"
    return (
        f"{key.table}.{key.column}: {' and '.join(why)}, so it is no key, though {used}; correct these rows and check "
        f"again, or keep one per value: tables={{'*': None, {key.table!r}: {query!r}}}"
    )


def _stands(count: int) -> str:
    return "stands" if count == 1 else "stand"


def _keys_of(table: TableReport) -> Iterator[str]:
    if not table.rows:
        yield f"{table.table}: has no rows; leave the table out with tables="
    if table.duplicate_keys:
        key = ", ".join(table.primary_key)
        yield (
            f"{table.table}: {table.duplicate_keys:,} values of the primary key ({key}) stand more than once; remove "
            "the duplicates or declare another key with keys="
        )
    if table.null_keys:
        yield f"{table.table}: {table.null_keys:,} rows have no primary key; nothing can refer to them"
    if table.duplicate_rows:
        yield (
            f"{table.table}: {table.duplicate_rows:,} rows equal another row in every column, and there is no key to "
            "tell them apart; leave them out if they are repetitions"
        )


def _times_of(table: TableReport, moment: str, proposed: bool) -> Iterator[str]:
    name = table.table
    if table.time_problem:
        yield table.time_problem
    if table.without_time:
        yield (
            f"{name}: {table.without_time:,} rows have no {table.time_column}; a row without time is never seen, "
            "unless the graph is built with null_time='static'"
        )
    if table.same_time:
        yield (
            f"{name}: all rows have one {table.time_column}, so it does not say when they happened; declare another "
            f"column, or none with times={{{name!r}: None}}"
        )
    if table.future_rows:
        sentence = f"{name}: {table.future_rows:,} rows have a {table.time_column} after {moment}"
        if table.endless_rows:
            sentence += f", {table.endless_rows:,} of them in year 9000 or later, which mostly stands for 'never'"
        yield f"{sentence}; nothing before that moment can see them: correct them or leave them out"
    if table.backward_rows:
        yield (
            f"{name}: {table.backward_rows:,} rows have a {table.end_column} before their {table.time_column}; correct "
            "them, or declare only the start as time"
        )
    if table.time_column is None and table.time_candidates and not proposed:
        yield f"{name}: no time is declared; candidates: {', '.join(table.time_candidates)}"
    if table.later_columns:
        yield _later(table)


def _later(table: TableReport) -> str:
    name, later = table.table, table.later_columns
    own = table.time_column or table.time_candidates[0]
    columns = {f"{name}.{column.column}": "identifier" for column in later}
    if len(later) == 1:
        sentence = (
            f"{name}.{later[0].column} is later than {own} in {later[0].share:.1%} of the rows: as a feature it tells "
            f"the future; leave it out, build_graph(db, types={columns})"
        )
    else:
        shares = ", ".join(f"{column.column} ({column.share:.1%})" for column in later)
        sentence = (
            f"{name}: {len(later)} columns are later than {own} in most rows, {shares}: as features they tell the "
            f"future; leave them out, build_graph(db, types={columns})"
        )
    end = next((column.column for column in later if is_end(column.column)), None)
    if end is None or table.end_column is not None:
        return sentence
    return f"{sentence}, or declare {end} as the end: times={{{name!r}: ({own!r}, {end!r})}}"


def _inherited(links: Sequence[ForeignKeyReport]) -> Iterator[str]:
    """That rows of a table without time happen with those they refer to."""
    if len(links) == 1:
        (link,) = links
        yield (
            f"{link.table}.{link.key} -> {link.target}: {link.table} has no time of its own, so a graph gives its rows "
            f"that of the {link.target} they refer to"
        )
    elif links:
        targets = ", ".join(f"{link.target} ({link.key})" for link in links)
        yield (
            f"{links[0].table}: has no time of its own, so a graph gives its rows the latest time of those they refer "
            f"to: {targets}"
        )


def _reference(link: ForeignKeyReport) -> Iterator[str]:
    name = f"{link.table}.{link.key} -> {link.target}"
    if link.ambiguous:
        yield (
            f"{name}: {link.ambiguous:,} values stand more than once in {link.target}, so a row refers to several; "
            "remove the duplicates there or declare another target"
        )
    if link.dangling:
        zeros = f" ({link.zeros:,} of them hold 0, which mostly means none)" if link.zeros else ""
        yield (
            f"{name}: {link.dangling:,} rows ({link.dangling_share:.1%}) refer to a row that does not exist{zeros}; "
            "they get no edge"
        )
    if link.future:
        yield (
            f"{name}: {link.future:,} rows are earlier than the row they refer to, so the reference was filled in "
            "later; it is known only from the later of both times on"
        )
