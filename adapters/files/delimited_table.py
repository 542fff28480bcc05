"""CSV and TSV files as one table: a header that all share, types that every line of every file allows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from relgraph.adapters.files.delimited import Dialect, Head, complaint, explained, read_head
from relgraph.adapters.files.partitions import Partition
from relgraph.adapters.files.runs import FileTable, Run, distinct, file_literal, kind_of, put_together, require_alike
from relgraph.data.sql import literal
from relgraph.errors import AdapterError

if TYPE_CHECKING:
    import duckdb

__all__ = ["open_delimited"]

_BLANK = " \t\r\n\0\x1a"  # with what DOS, and programs that pad, end a file
_REJECTS = 100


@dataclass(frozen=True)
class _File:
    """A file whose every line was looked at.

    Args:
        place: Its place among the table's files.
        head: Its start, and how it is read.
        names: The table's columns, in the order of the file's.
        types: What all of its values are.
    """

    place: int
    head: Head
    names: tuple[str, ...]
    types: dict[str, str]


class _UnreadableError(Exception):
    """A file cannot be read as it was tried."""


def open_delimited(
    engine: duckdb.DuckDBPyConnection, table: str, files: Sequence[Path], partitions: Sequence[Partition]
) -> FileTable:
    """Read the files and say how they are read from now on.

    Args:
        engine: Reads them.
        table: The table's name.
        files: In the order of the rows.
        partitions: Columns that stand in the names of folders.

    Raises:
        AdapterError: At the first malformed line, with its file and number; if a header is missing or names a column
            twice, or a file has no column in common with the first.
    """
    heads = [(place, read_head(file)) for place, file in enumerate(files)]
    filled = [(place, head) for place, head in heads if head.fields]
    if not filled:
        raise AdapterError(
            f"{files[0]} is empty; expected a header line with the names of the columns: remove it, or name the other "
            "tables in tables=[...]"
        )
    taken = {partition.name.casefold() for partition in partitions}
    for careful in (False, True):
        notes = [f"{head.path} is empty" for _, head in heads if not head.fields]
        names = _header(table, filled[0][1], notes)
        try:
            checked: list[_File] = []
            for place, head in filled:
                head, own = (head, names) if not checked else _matched(head, filled[0][1], table, names, notes)
                head = _readable(engine, table, head, len(own), notes) if careful else head
                checked.append(_sniffed(engine, table, place, head, own))
            types = _types(engine, table, checked, notes)
            kept = {name: dtype for name, dtype in types.items() if name.casefold() not in taken}
            return put_together(_runs(engine, table, checked, types, kept), kept, partitions, notes, costly=True)
        except _UnreadableError as error:
            message = str(error)
    raise AdapterError(message)


def _header(table: str, head: Head, notes: list[str]) -> tuple[str, ...]:
    for name in head.fields:
        if name and head.fields.count(name) > 1:
            query = f"SELECT * FROM read_csv({file_literal(head.path)}, delim = {literal(head.dialect.separator)})"
            raise AdapterError(
                f"{head.path}:1: two columns are named {name!r}; names must be unique: rename one, or let DuckDB "
                f"number them by tables={{'*': None, {table!r}: {query!r}}}"
            )
        if "\0" in name:
            raise AdapterError(f"{head.path}:1: {name!r} cannot name a column: it holds a NUL character")
    return tuple(distinct(head.fields, table, notes))


def _matched(
    head: Head, first: Head, table: str, names: tuple[str, ...], notes: list[str]
) -> tuple[Head, tuple[str, ...]]:
    """A further file: with a header of its own, or rows from the first line on."""
    known = {name.casefold(): name for name in names}
    fields = tuple(distinct(head.fields, table, []))
    if len(fields) != len(names) or any(field.casefold() in known for field in fields):
        _header(table, head, [])
        require_alike(head.path, fields, first.path, names)
        return head, tuple(known.get(field.casefold(), field) for field in fields)
    notes.append(f"{head.path} has no header: its first line is a row, and its columns are ({', '.join(names)})")
    return head.without_header(), names


def _sniffed(engine: duckdb.DuckDBPyConnection, table: str, place: int, head: Head, names: tuple[str, ...]) -> _File:
    """The types that every line allows, with a decimal comma where that makes more columns numbers and none text."""
    file = _sniffed_as_it_is(engine, table, place, head, names)
    if not head.comma:
        return file
    comma = replace(head, dialect=replace(head.dialect, decimal=","))
    try:
        other = _sniffed_as_it_is(engine, table, place, comma, names)
    except _UnreadableError:
        return file
    better = [name for name in names if file.types[name] == "VARCHAR" and other.types[name] == "DOUBLE"]
    same = all(name in better or other.types[name] == file.types[name] for name in names)
    return other if better and same else file


def _sniffed_as_it_is(
    engine: duckdb.DuckDBPyConnection, table: str, place: int, head: Head, names: tuple[str, ...]
) -> _File:
    import duckdb

    query = (
        "SELECT Columns, DateFormat, TimestampFormat FROM "
        f"sniff_csv({file_literal(head.path)}, {head.dialect.options()}, sample_size = -1)"
    )
    try:
        columns, date, timestamp = engine.execute(query).fetchall()[0]
    except duckdb.Error as error:
        message = str(error)
    else:
        if len(columns) == len(names):
            types = dict(zip(names, (str(column["type"]) for column in columns), strict=True))
            dialect = replace(head.dialect, date=date or "", timestamp=timestamp or "")
            return _File(place, replace(head, dialect=dialect), names, types)
        message = f"expected {len(names)} columns, got {len(columns)}"
    raise _UnreadableError(explained(head.path, message, table, head.dialect.separator))


def _readable(engine: duckdb.DuckDBPyConnection, table: str, head: Head, width: int, notes: list[str]) -> Head:
    """The file with the options under which every line can be read, as text."""
    message = complaint(engine, _every_line(head, width))
    if message is not None and head.dialect.separator == "\t" and "quote" in message:
        plain = replace(head, dialect=replace(head.dialect, quoted=False))
        if complaint(engine, _every_line(plain, width)) is None:
            notes.append(f"{head.path}: its quotes enclose nothing, they are read as they stand")
            return plain
    if message is not None and "Maximum line size" in message:
        head = replace(head, dialect=replace(head.dialect, long_lines=True))
        message = complaint(engine, _every_line(head, width))
    if message is not None and "CSV Error on Line" not in message and _has_mixed_ends(head):
        head = replace(head, dialect=replace(head.dialect, mixed_ends=True))
        message = complaint(engine, _every_line(head, width))
        if message is None:
            notes.append(f"{head.path}: some lines end in CR LF, others in LF")
    if message is None:
        return head
    blanks = _blank_lines(engine, head, width)
    if not blanks:
        raise AdapterError(explained(head.path, message, table, head.dialect.separator))
    lines = ", ".join(map(str, blanks[:5])) + (", ..." if len(blanks) > 5 else "")
    notes.append(f"{head.path}: lines without any value were left out: {lines}")
    return replace(head, dialect=replace(head.dialect, blanks=True))


def _every_line(head: Head, width: int, more: str = "") -> str:
    types = {f"c{i}": "VARCHAR" for i in range(width)}
    return f"SELECT count(COLUMNS(*)) FROM {head.dialect.reader([head.path], types, more)}"


def _blank_lines(engine: duckdb.DuckDBPyConnection, head: Head, width: int) -> list[int]:
    """The numbers of the malformed lines, if they all hold nothing, so that nothing is lost without them."""
    tables = "rejects_table = 'relgraph_rejects', rejects_scan = 'relgraph_scans'"
    more = f", store_rejects = true, {tables}, rejects_limit = {_REJECTS}"
    for name in ("relgraph_rejects", "relgraph_scans"):
        engine.execute(f"DROP TABLE IF EXISTS {name}")
    if complaint(engine, _every_line(head, width, more)) is not None:
        return []
    query = "SELECT DISTINCT line, csv_line FROM relgraph_rejects ORDER BY line"
    found = engine.execute(query).fetchall()
    empty = _BLANK + head.dialect.separator
    if len(found) >= _REJECTS or any((text or "?").strip(empty) for _, text in found):
        return []
    return [int(line) for line, _ in found]


def _has_mixed_ends(head: Head) -> bool:
    if head.dialect.packed != "none" or head.dialect.encoding != "utf-8":
        return False
    pairs = alone = 0
    with head.path.open("rb") as file:
        for line in file:
            pairs, alone = (pairs + 1, alone) if line.endswith(b"\r\n") else (pairs, alone + line.endswith(b"\n"))
            if pairs and alone:
                return True
    return False


def _types(engine: duckdb.DuckDBPyConnection, table: str, files: Sequence[_File], notes: list[str]) -> dict[str, str]:
    """For every column the type that all values of all files have."""
    types: dict[str, str] = {}
    firsts: dict[str, Path] = {}
    empty = _without_values(engine, files)
    for file in files:
        for name, dtype in file.types.items():
            if (file.place, name) in empty:
                continue
            if dtype == "VARCHAR" != types.get(name, dtype) and not file.head.dialect.header:
                raise AdapterError(
                    f"{file.head.path}:1: expected a header with columns of {files[0].head.path}, or a row like its "
                    f"rows; got ({', '.join(file.head.fields)[:200]}), and {name!r} is {types[name]} there"
                )
            known = types.setdefault(name, dtype)
            first = firsts.setdefault(name, file.head.path)
            if _wider(known, dtype) != known:
                types[name] = _wider(known, dtype)
                both = f"{known} in {first} and {dtype} in {file.head.path}"
                notes.append(f"column {table}.{name} is {both}: read as {types[name]}")
    order = dict.fromkeys(name for file in files for name in file.names)
    return {name: types.get(name, "VARCHAR") for name in order}


def _without_values(engine: duckdb.DuckDBPyConnection, files: Sequence[_File]) -> set[tuple[int, str]]:
    """Columns that are text in one file, because nothing stands there, and of another type in others."""
    empty = set()
    several = {
        name: {file.types[name] for file in files if name in file.types} for file in files for name in file.types
    }
    for file in files:
        unsure = [name for name, dtype in file.types.items() if dtype == "VARCHAR" and len(several[name]) > 1]
        if unsure:
            reader = file.head.dialect.reader([file.head.path], {f"c{i}": "VARCHAR" for i in range(len(file.names))})
            counts = ", ".join(f"count(c{file.names.index(name)})" for name in unsure)
            row = engine.execute(f"SELECT {counts} FROM {reader}").fetchall()[0]
            empty |= {(file.place, name) for name, count in zip(unsure, row, strict=True) if not count}
    return empty


def _wider(one: str, other: str) -> str:
    if one == other:
        return one
    if kind_of(one) == kind_of(other) == "number":
        return "DOUBLE" if "DOUBLE" in (one, other) else "HUGEINT"
    return "TIMESTAMP" if {one, other} == {"DATE", "TIMESTAMP"} else "VARCHAR"


def _runs(
    engine: duckdb.DuckDBPyConnection,
    table: str,
    files: Sequence[_File],
    types: dict[str, str],
    kept: dict[str, str],
) -> list[Run]:
    """Files read alike go together; every line is read once with the types that it will have."""
    forms = {(f.head.dialect.date, f.head.dialect.timestamp) for f in files if _has_times(f, types)} or {("", "")}
    message = ""
    for date, timestamp in sorted(forms):
        alike = [_with_forms(file, date, timestamp) for file in files]
        groups = [list(g) for _, g in itertools.groupby(alike, lambda file: (file.head.dialect, file.names))]
        runs: list[Run] = []
        start = 0
        for group in groups:
            own = {name: types[name] for name in group[0].names}
            reader = _reader(group, own)
            message = _checked(engine, group, own) or ""
            if message:
                break
            columns = tuple(name if name in kept else None for name in own)
            places = tuple(file.place for file in group)
            runs.append(Run(reader, columns, tuple(own.values()), places, f"row_number() OVER () - 1 + {start}"))
            if len(groups) > 1:
                start += _count(engine, reader)
        else:
            return runs
    at = next((file.head for file in files if str(file.head.path) in message), files[0].head)
    if len(forms) == 1:
        raise _UnreadableError(explained(at.path, message, table, at.dialect.separator))
    named = ", ".join(repr(" ".join(form).strip() or "ISO") for form in sorted(forms))
    raise _UnreadableError(
        f"table {table!r}: its files write dates in several ways ({named}), none of which holds for all of them; write "
        "them in one way, or connect to a pattern that matches only files of one way"
    )


def _checked(engine: duckdb.DuckDBPyConnection, files: Sequence[_File], types: dict[str, str]) -> str | None:
    """What is wrong with reading every value of every line, None if nothing."""
    reader = _reader(files, types)
    message = complaint(engine, f"SELECT count(COLUMNS(*)) FROM {reader}")
    if message is None and files[0].head.dialect.blanks:
        # lines that hold nothing are left out, but none because of a value
        rows = _count(engine, _reader(files, dict.fromkeys(types, "VARCHAR")))
        found = engine.execute(f"SELECT count(*) FROM (SELECT hash(COLUMNS(*)) FROM {reader})").fetchall()[0][0]
        message = None if found == rows else f"of {rows} lines only {found} have values of the types {types}"
    return message


def _count(engine: duckdb.DuckDBPyConnection, reader: str) -> int:
    return int(engine.execute(f"SELECT count(*) FROM {reader}").fetchall()[0][0])


def _has_times(file: _File, types: dict[str, str]) -> bool:
    return any(kind_of(types[name]) == "time" for name in file.names if file.types[name] != "VARCHAR")


def _with_forms(file: _File, date: str, timestamp: str) -> _File:
    dialect: Dialect = replace(file.head.dialect, date=date, timestamp=timestamp)
    return replace(file, head=replace(file.head, dialect=dialect))


def _reader(files: Sequence[_File], types: dict[str, str]) -> str:
    own = {f"c{i}": dtype for i, dtype in enumerate(types.values())}
    return files[0].head.dialect.reader([file.head.path for file in files], own)
