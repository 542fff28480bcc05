"""Files that are one table, as SQL: which table functions read them, where each column stands, which row is which."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from relgraph.adapters.files.partitions import Partition
from relgraph.data.source import Scan
from relgraph.data.sql import FRACTIONS, WHOLE_NUMBERS, literal, quote
from relgraph.errors import AdapterError

__all__ = ["FileTable", "Run", "distinct", "file_list", "file_literal", "kind_of", "put_together", "require_alike"]


@dataclass(frozen=True)
class Run:
    """Consecutive files of a table that one table function reads alike.

    Args:
        reader: SQL of the table function.
        columns: The table's column for each of its own, in its order; None where it is not wanted.
        types: The DuckDB types it gives them.
        files: Places of its files among the table's.
        row: SQL of the row number in the table.
    """

    reader: str
    columns: tuple[str | None, ...]
    types: tuple[str, ...]
    files: tuple[int, ...]
    row: str


@dataclass(frozen=True)
class FileTable:
    """A table of files.

    Args:
        names: Its columns, in any case distinct.
        scan: Where they are read.
        notes: What was changed on the way in.
    """

    names: tuple[str, ...]
    scan: Scan
    notes: tuple[str, ...] = ()

    @property
    def query(self) -> str:
        """A SELECT of every column under its name, rows in their order."""
        columns = ", ".join(f"{sql} AS {quote(name)}" for sql, name in zip(self.scan.columns, self.names, strict=True))
        return f"SELECT {columns} FROM {self.scan.relation}"


def put_together(
    runs: Sequence[Run],
    types: Mapping[str, str],
    partitions: Sequence[Partition],
    notes: Iterable[str] = (),
    costly: bool = False,
) -> FileTable:
    """One table of all runs.

    Args:
        runs: In the order of the rows.
        types: The table's columns without those of partitions, with the type each is to have.
        partitions: Columns that stand in the names of folders.
        notes: What was changed already.
        costly: See :class:`~relgraph.data.source.Scan`.
    """
    names = (*types, *(partition.name for partition in partitions))
    selects = [_selected(run, types, partitions) for run in runs]
    if len(runs) == 1:
        return FileTable(names, Scan(_aliased(runs[0]), selects[0], runs[0].row, costly=costly), tuple(notes))
    # each branch knows its own row numbers, so that no order among them matters
    branches = [
        f"SELECT {', '.join(f'{sql} AS c{i}' for i, sql in enumerate(select))}, {run.row} AS r FROM {_aliased(run)}"
        for run, select in zip(runs, selects, strict=True)
    ]
    relation = f"({' UNION ALL '.join(branches)}) AS files"
    scan = Scan(relation, tuple(f"c{i}" for i in range(len(names))), "r", costly=costly)
    return FileTable(names, scan, tuple(notes))


def distinct(names: Sequence[str], what: str, notes: list[str]) -> list[str]:
    """Names for columns, no two of which an engine blind to case would confuse.

    Args:
        names: As the file has them; a column without a name is called by its place.
        what: The table, for the notes.
        notes: Grows by a sentence for each name that was changed.
    """
    taken = {name.casefold() for name in names}
    used: set[str] = set()
    out = []
    for place, name in enumerate(names):
        base = new = name or f"column{place}"
        number = 0
        while new.casefold() in used or (new != name and new.casefold() in taken):
            number += 1
            new = f"{base}_{number}"
        used.add(new.casefold())
        out.append(new)
        if new != name:
            notes.append(f"column {what}.{name or '(without a name)'} is called {new!r}")
    return out


def require_alike(file: Path, own: Iterable[str], first: Path, known: Iterable[str]) -> None:
    """Refuse a file that shares less than half of its columns with the files before, or they with it.

    Raises:
        AdapterError: If the files are hardly parts of one table.
    """
    mine, theirs = {name.casefold() for name in own}, {name.casefold() for name in known}
    if 2 * len(mine & theirs) < min(len(mine), len(theirs)):
        raise AdapterError(
            f"{file} and {first} can hardly be parts of one table: of their columns ({', '.join(sorted(mine))}) and "
            f"({', '.join(sorted(theirs))}) they share {len(mine & theirs)}. If they are different tables, connect to "
            "their folder; to leave their folder out, name the other tables with tables="
        )


def file_list(files: Iterable[Path]) -> str:
    """SQL of a list of these very files, whatever wildcards are in their names."""
    return "[" + ", ".join(map(file_literal, files)) + "]"


def file_literal(file: Path) -> str:
    """SQL of the name of this very file, whatever wildcards are in it."""
    return literal(re.sub(r"([*?\[])", r"[\1]", os.path.abspath(file)))


def kind_of(dtype: str) -> str:
    """What a type is at heart: types of one kind can be widened to each other."""
    if dtype in WHOLE_NUMBERS or dtype in FRACTIONS or dtype.startswith("DECIMAL"):
        return "number"
    if dtype == "DATE" or dtype.startswith("TIMESTAMP"):
        return "zoned time" if "ZONE" in dtype or dtype.startswith("TIMESTAMPTZ") else "time"
    if dtype == '"NULL"':
        return "null"
    if dtype.endswith("]"):
        return "list"
    return "text" if dtype.startswith("ENUM") or dtype == "VARCHAR" else dtype.partition("(")[0]


def _aliased(run: Run) -> str:
    # names of our own, so that file_row_number and file_index are never a column of the file
    return f"{run.reader} AS t({', '.join(f'c{i}' for i in range(len(run.columns)))})"


def _selected(run: Run, types: Mapping[str, str], partitions: Sequence[Partition]) -> tuple[str, ...]:
    place = {name: i for i, name in enumerate(run.columns) if name is not None}
    out = []
    for name, dtype in types.items():
        if name not in place:
            out.append(f"CAST(NULL AS {dtype})")
        elif run.types[place[name]] != dtype:
            out.append(f"CAST(c{place[name]} AS {dtype})")
        else:
            out.append(f"c{place[name]}")
    return (*out, *(partition.sql(run.files) for partition in partitions))
