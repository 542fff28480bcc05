"""Parquet files as one table: columns by name, types that hold every file's, rows numbered by the footers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relgraph.adapters.files.partitions import Partition
from relgraph.adapters.files.runs import FileTable, Run, distinct, file_list, kind_of, put_together, require_alike
from relgraph.errors import AdapterError

if TYPE_CHECKING:
    import duckdb

__all__ = ["open_parquet"]

_Found = dict[str, tuple[str, Path]]  # per column in lower case: its type and the first file that has it


def open_parquet(
    engine: duckdb.DuckDBPyConnection, table: str, files: Sequence[Path], partitions: Sequence[Partition]
) -> FileTable:
    """Read the footers and say how the files are read.

    Args:
        engine: Says which types the files have.
        table: The table's name.
        files: In the order of the rows.
        partitions: Columns that stand in the names of folders; they win over a column of the same name.

    Raises:
        AdapterError: If a file cannot be read, has no column in common with the first, or a column of a type that
            cannot be widened to another file's.
    """
    notes: list[str] = []
    taken = {partition.name.casefold() for partition in partitions}
    runs: list[Run] = []
    names: dict[str, str] = {}
    types: dict[str, str] = {}
    found: _Found = {}
    start = 0
    for group in _alike(files):
        columns = _columns(engine, files[group[0][0]])
        own = distinct([name for name, _ in columns], table, notes if not runs else [])
        if runs:
            require_alike(files[group[0][0]], own, files[0], names.values())
        wanted: list[str | None] = []
        for name, (_, dtype) in zip(own, columns, strict=True):
            low = name.casefold()
            if low in taken:
                wanted.append(None)
                if not runs:
                    notes.append(f"column {table}.{name} is taken from the names of the folders, not from the files")
                continue
            wanted.append(names.setdefault(low, name))
            types[names[low]] = _wider(engine, table, names[low], dtype, files[group[0][0]], found, notes)
        places = tuple(place for place, _ in group)
        reader = f"read_parquet({file_list(files[i] for i in places)}, hive_partitioning = false)"
        runs.append(Run(reader, tuple(wanted), tuple(d for _, d in columns), places, _row(group, start)))
        start += sum(rows for _, rows in group)
    return put_together(runs, types, partitions, notes)


def _alike(files: Sequence[Path]) -> list[list[tuple[int, int]]]:
    """Places and numbers of rows of the files, cut where a file has other columns than the one before."""
    footers = [_footer(file) for file in files]
    groups: list[list[tuple[int, int]]] = []
    for place, footer in enumerate(footers):
        if place and footer.schema.equals(footers[place - 1].schema):
            groups[-1].append((place, footer.num_rows))
        else:
            groups.append([(place, footer.num_rows)])
    return groups


def _footer(file: Path) -> Any:
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_metadata(file)
    except (pyarrow.ArrowException, OSError, NotImplementedError) as error:
        message = " ".join(str(error).split())
    raise AdapterError(f"{file} cannot be read as a Parquet file: {message}")


def _columns(engine: duckdb.DuckDBPyConnection, file: Path) -> list[tuple[str, str]]:
    import duckdb

    try:
        query = f"DESCRIBE SELECT * FROM read_parquet({file_list([file])}, hive_partitioning = false)"
        described = engine.execute(query).fetchall()
        # of DuckDB's own names some are changed: those that differ only in case
        names = engine.execute(f"SELECT name, num_children FROM parquet_schema({file_list([file])})").fetchall()
    except duckdb.Error as error:
        message = str(error)
    else:
        own = _top(names)
        return [
            (own[i] if len(own) == len(described) else str(name), str(dtype))
            for i, (name, dtype, *_) in enumerate(described)
        ]
    raise AdapterError(f"{file} cannot be read: {message}")


def _top(elements: list[tuple[str, int | None]]) -> list[str]:
    """The names of the columns, out of the schema's elements in depth-first order, root first."""
    names, open_below = [], [1]
    for name, children in elements:
        while not open_below[-1]:
            open_below.pop()
        open_below[-1] -= 1
        if len(open_below) == 2:
            names.append(name)
        open_below.append(children or 0)
    return names


def _row(group: Sequence[tuple[int, int]], start: int) -> str:
    if len(group) == 1:
        return f"file_row_number + {start}" if start else "file_row_number"
    ends = itertools.accumulate((rows for _, rows in group), initial=start)
    offsets = ", ".join(map(str, list(ends)[:-1]))
    return f"list_extract(CAST([{offsets}] AS BIGINT[]), CAST(file_index AS BIGINT) + 1) + file_row_number"


def _wider(
    engine: duckdb.DuckDBPyConnection, table: str, name: str, dtype: str, file: Path, found: _Found, notes: list[str]
) -> str:
    """The type that holds what the files before have in a column, and this one."""
    known, first = found.setdefault(name.casefold(), (dtype, file))
    if known == dtype:
        return dtype
    kinds = {kind_of(known), kind_of(dtype)} - {"null"}
    if len(kinds) > 1:
        raise AdapterError(
            f"column {table}.{name} is {known} in {first} and {dtype} in {file}; expected one kind of value: bring "
            "the files to one type, or connect to a pattern that matches only one kind of them"
        )
    wide = dtype if known == '"NULL"' else known
    if '"NULL"' not in (known, dtype):
        both = f"DESCRIBE SELECT CAST(NULL AS {known}) AS x UNION ALL SELECT CAST(NULL AS {dtype})"
        wide = str(engine.execute(both).fetchall()[0][1])
        if wide != known:
            notes.append(f"column {table}.{name} is {known} in {first} and {dtype} in {file}: read as {wide}")
    found[name.casefold()] = (wide, first)
    return wide
