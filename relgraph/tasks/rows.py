"""What the rows of a task's query must be: at the moments asked, with labels that fit, in a split that exists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

import numpy as np
import torch
from torch import Tensor

from relgraph.data.interval import interval_sql
from relgraph.data.time import format_time
from relgraph.errors import ProtocolError, SchemaError
from relgraph.tasks.seeds import LinkSeeds, Seeds, Split

if TYPE_CHECKING:
    import pyarrow

__all__ = ["as_label", "check_times", "entity_seeds", "link_seeds", "of_split", "query_sql"]

_OURS = ("__node", "__time", "__label", "__target", "__asked", "__unborn", "__early", "__split")
_SQL = "the task's SQL"


def query_sql(sql: str, horizon: int | None) -> str:
    """The query with its ``{horizon}``, microseconds, filled in.

    Raises:
        ProtocolError: If there is one to fill in, but no horizon.
    """
    if horizon is not None:
        return sql.replace("{horizon}", interval_sql(horizon))
    if "{horizon}" in sql:
        raise ProtocolError("the task's SQL has {horizon}, but the task has none; give horizon=, such as '30 days'")
    return sql


def check_times(rows: pyarrow.Table, column: str, times: Sequence[int] | None, given: str = _SQL) -> None:
    """Check that rows are at the moments that were asked.

    Args:
        rows: What :func:`~relgraph.data.labels.label_rows` gave.
        column: The query's column with the timestamp.
        times: What was asked; ``None`` if any will do.
        given: What messages call what gave the rows.

    Raises:
        SchemaError: If a time is missing, or is another one.
    """
    _no_nulls(rows["__time"].null_count, len(rows), "timestamp", (column,), given)
    if times is None:
        return
    found = rows["__time"].to_numpy()
    odd = found[~np.isin(found, np.asarray(times))]
    if len(odd):
        raise SchemaError(
            f"{given} gives {len(odd)} of {len(rows)} rows whose time in column {column!r} is "
            f"not in the table timestamps, such as {format_time(int(odd[0]))}; select timestamps.timestamp itself"
        )


def of_split(rows: pyarrow.Table, split: Split, column: str | None) -> pyarrow.Table:
    """The rows of one split of a task without time; rows whose split is NULL belong to none.

    Raises:
        SchemaError: If the query's column names another split.
    """
    import pyarrow.compute

    found = {value for value in rows["__split"].unique().to_pylist() if value is not None}
    odd = sorted(found - set(get_args(Split)))
    if odd:
        raise SchemaError(
            f"the task's SQL gives the split {odd[0]!r} in column {column!r}; expected {', '.join(get_args(Split))}"
        )
    return rows.filter(pyarrow.compute.equal(rows["__split"], split))


def as_label(rows: pyarrow.Table, kind: str, columns: Sequence[str], given: str = _SQL) -> Tensor:
    """The labels of rows, checked.

    Returns:
        float64 ``[n]``; int64 ``[n]`` for several classes, float64 ``[n, labels]`` for several labels.

    Raises:
        SchemaError: If a label is missing or no number.
        ProtocolError: If labels do not fit the kind.
    """
    import pyarrow

    column = rows["__label"]
    several = pyarrow.types.is_list(column.type)
    if several != (kind == "multilabel"):
        got = "a list" if several else "one number"
        raise ProtocolError(
            f"a {kind} task has {'several labels' if kind == 'multilabel' else 'one label'} per row, "
            f"got {got} in column {columns[0]!r}; "
            + ("lists make kind='multilabel'" if several else "name the columns with label_column=[...]")
        )
    if not several:
        _no_nulls(column.null_count, len(rows), "label", columns, given)
        return _checked(torch.from_numpy(column.to_numpy().copy()), kind)
    lists = column.combine_chunks() if isinstance(column, pyarrow.ChunkedArray) else column
    if isinstance(lists, pyarrow.ChunkedArray):
        lists = pyarrow.concat_arrays(lists.chunks) if lists.num_chunks else pyarrow.array([], column.type)
    values, lengths = lists.flatten(), lists.value_lengths().to_numpy(zero_copy_only=False)
    _no_nulls(lists.null_count + values.null_count, len(rows), "label", columns, given)
    if len(lengths) and (lengths != lengths[0]).any() | (lengths[0] == 0):
        raise ProtocolError(
            f"labels in column {columns[0]!r} must be lists of one length, got {int(lengths.min())} to "
            f"{int(lengths.max())} numbers"
        )
    width = int(lengths[0]) if len(lengths) else len(columns)
    return _checked(torch.from_numpy(values.to_numpy(zero_copy_only=False).copy()).reshape(-1, width), kind)


def entity_seeds(
    rows: pyarrow.Table,
    table: str,
    kind: str,
    columns: Sequence[str],
    timed: bool,
    split: str,
    when: str,
    given: str = _SQL,
) -> Seeds:
    """Rows with their labels, without those that the entity table does not have.

    Args:
        rows: What :func:`~relgraph.data.labels.label_rows` gave.
        table: The entity table.
        kind: What a label is.
        columns: What held the label.
        timed: Whether rows have times.
        split: What messages call the split.
        when: What they say of its times.
        given: What messages call what gave the rows.

    Raises:
        SchemaError: If a label or time is missing.
        ProtocolError: If there are no rows, or labels do not fit the kind.
    """
    label = as_label(rows, kind, columns, given)
    known = rows["__node"].is_valid()
    found, label = rows.filter(known), label[torch.from_numpy(known.to_numpy())]
    if not len(found):
        raise ProtocolError(
            f"{split} has no rows: {given} gives {len(rows)} rows, none with a key of table {table!r} ({when})"
        )
    node = torch.from_numpy(found["__node"].to_numpy().copy())
    time = torch.from_numpy(found["__time"].to_numpy().copy()) if timed else None
    notes = _early_note(table, sum(found["__early"].to_pylist()), given)
    if dropped := len(rows) - len(found):
        notes.append(f"{dropped:,} rows of {given} have a key that table {table!r} does not have: dropped")
    place = node[None] if time is None else torch.stack([node, time])
    if repeated := len(node) - torch.unique(place, dim=1).size(1):
        what = "key" if time is None else "key and timestamp"
        notes.append(f"{repeated:,} rows of {given} repeat a {what}: is a GROUP BY missing?")
    return Seeds(node, time, label, _keys(found), tuple(notes))


def link_seeds(
    rows: pyarrow.Table, table: str, target_table: str, timed: bool, split: str, when: str, given: str = _SQL
) -> LinkSeeds:
    """Source rows with their targets, without links to what the tables do not have.

    Args:
        rows: What :func:`~relgraph.data.labels.link_rows` gave.
        table: The source table.
        target_table: The target table.
        timed: Whether rows have times.
        split: What messages call the split.
        when: What they say of its times.
        given: What messages call what gave the rows.

    Raises:
        ProtocolError: If there are no links.
    """
    import pyarrow.compute

    known = rows.filter(pyarrow.compute.and_(rows["__node"].is_valid(), rows["__target"].is_valid()))
    if not len(known):
        raise ProtocolError(
            f"{split} has no links: {given} gives {len(rows)} rows, none with a key of table {table!r} and one of "
            f"{target_table!r} ({when})"
        )
    node, target = known["__node"].to_numpy(), known["__target"].to_numpy()
    time = known["__time"].to_numpy() if timed else np.zeros_like(node)
    first = np.flatnonzero(np.r_[True, (np.diff(node) != 0) | (np.diff(time) != 0)])
    notes = _early_note(table, sum(known["__early"].to_pylist()), given)
    asked = rows.filter(rows["__asked"])
    for column, name in (("__node", table), ("__target", target_table)):
        if missing := asked[column].null_count:
            notes.append(f"{missing:,} links of {given} have a key that table {name!r} does not have: dropped")
    if unborn := sum(known["__unborn"].to_pylist()):
        notes.append(
            f"{unborn:,} of {len(known):,} links lead to rows of table {target_table!r} that come into being only "
            "after the timestamp: nobody can recommend them by then"
        )
    return LinkSeeds(
        node=torch.from_numpy(node[first]),
        time=torch.from_numpy(time[first]) if timed else None,
        ptr=torch.from_numpy(np.r_[first, len(node)].astype(np.int64)),
        target=torch.from_numpy(target.copy()),
        keys=_keys(known).take(first),
        notes=tuple(notes),
    )


def _keys(rows: pyarrow.Table) -> pyarrow.Table:
    return rows.drop_columns([name for name in rows.column_names if name in _OURS])


def _early_note(table: str, early: int, given: str) -> list[str]:
    if not early:
        return []
    return [
        f"{early:,} rows of {given} ask about rows of table {table!r} before these exist (their own time is "
        "later than the timestamp), so the model sees columns from the future: leave them out in the SQL"
    ]


def _no_nulls(nulls: int, rows: int, what: str, columns: Sequence[str], given: str) -> None:
    if nulls:
        raise SchemaError(
            f"{given} gives {nulls} of {rows} rows with a NULL (or unreadable) {what} in column "
            f"{', '.join(map(repr, columns))}; leave such rows out or give them a value"
        )


def _checked(label: Tensor, kind: str) -> Tensor:
    if not bool(label.isfinite().all()):
        raise ProtocolError(f"labels must be finite; got {int((~label.isfinite()).sum())} that are not")
    if kind == "multiclass":
        odd = label[(label < 0) | (label != label.round())]
        if odd.numel():
            raise ProtocolError(f"multiclass labels must be 0, 1, 2, ...; got {float(odd[0]):g}")
        return label.to(torch.int64)
    if kind in ("binary", "multilabel") and not bool(((label == 0) | (label == 1)).all()):
        other = label[(label != 0) & (label != 1)]
        raise ProtocolError(f"{kind} labels must be 0 or 1; got {other[0].item():g} and {len(other) - 1} more")
    return label
