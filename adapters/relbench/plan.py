"""How a schema becomes one that RelBench takes: every key one column of row numbers, every name a file or a word."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from relgraph.data.schema import ForeignKey, Schema, TableSchema

__all__ = ["PlannedColumn", "PlannedTable", "free", "plan", "untimed"]

_NO_FILE = re.compile(r"[/\\\x00-\x1f\x7f]")
_LONGEST = 200  # bytes; file systems take 255


@dataclass(frozen=True)
class PlannedColumn:
    """A column of a table that will be written.

    Args:
        name: Its name there.
        source: The column whose values it has; None for a number of rows.
        key: Set where it has row numbers of the table that this key refers to.
    """

    name: str
    source: str | None = None
    key: ForeignKey | None = None


@dataclass(frozen=True)
class PlannedTable:
    """A table that will be written.

    Args:
        file: Its name there.
        source: The table.
        columns: In order.
        key: The column that numbers its rows, one of ``columns``.
        time: The column with its time, one of ``columns``.
        notes: What differs from the source.
    """

    file: str
    source: TableSchema
    columns: tuple[PlannedColumn, ...]
    key: str | None
    time: str | None
    notes: tuple[str, ...]


def plan(schema: Schema, entities: Collection[str] = ()) -> dict[str, PlannedTable]:
    """What is written for each table of a schema.

    A key of one column keeps its name; a table with a composite key, and one without a key that is referred to or
    predicted, gets a column for it. A foreign key keeps its column where that is possible; one of several columns, or
    on a column that is taken, gets a column.

    Args:
        schema: The tables.
        entities: Tables that tasks predict rows of.
    """
    numbered = {table.name for table in schema if table.primary_key}
    numbered |= {key.table for _, key in schema.foreign_keys} | set(entities)
    files = _files(schema)
    return {table.name: _planned(schema, table, files[table.name], files, table.name in numbered) for table in schema}


def _planned(schema: Schema, table: TableSchema, file: str, files: Mapping[str, str], numbered: bool) -> PlannedTable:
    notes = [] if file == table.name else [f"table {table.name!r} is called {file!r}: its name is no name of a file"]
    names = {name: name for name in table.column_names}
    time = table.time_column
    if time is not None and not _is_word(time):
        names[time] = free(_word(time), names.values())
        notes.append(f"{file}.{time} is called {names[time]!r}: RelBench takes only a word for a time")
    taken = set(names.values())
    key = table.primary_key[0] if len(table.primary_key) == 1 and time not in table.primary_key else None
    columns: list[PlannedColumn] = []
    if numbered and key is None:
        name = free(f"{file}_row", taken)
        taken.add(name)
        columns.append(PlannedColumn(name))
        why = "it has none" if not table.primary_key else f"({', '.join(table.primary_key)}) cannot be row numbers"
        notes.append(f"{file}.{name} is added as its primary key: {why}")
    filled = {key, time}
    own: dict[str, ForeignKey] = {}
    added: list[PlannedColumn] = []
    for foreign in table.foreign_keys:
        (column, *more), target = foreign.columns, files[foreign.table]
        if not more and column not in filled:
            own[column] = foreign
            filled.add(column)
        else:
            name = free("_".join(foreign.columns if more else (column, target)), taken)
            taken.add(name)
            added.append(PlannedColumn(name, key=foreign))
            why = "is of several columns" if more else "shares its column with another key or the time"
            notes.append(f"{file}.{name} is added for the foreign key {foreign.name} to {target}, which {why}")
        if set(schema.target_columns(foreign)) != set(schema[foreign.table].primary_key):
            where = ", ".join(schema.target_columns(foreign))
            notes.append(f"{file}.{foreign.name} refers to rows of {target}, no longer to its column {where}")
    for name in table.column_names:
        source = None if name == key else name
        columns.append(PlannedColumn(names[name], source, own.get(name)))
    if table.end_column is not None:
        notes.append(
            f"{file}.{table.end_column} says until when a row holds, which is known only then; RelBench knows no such "
            "column and shows it from the start: name it in the remove_columns of a task"
        )
    number = columns[0].name if numbered and key is None else None if key is None else names[key]
    return PlannedTable(file, table, (*columns, *added), number, None if time is None else names[time], tuple(notes))


def untimed(schema: Schema) -> list[str]:
    """The tables without a time whose rows come with the rows that they refer to."""
    return [table.name for table in schema if table.time_column is None and _happens(schema, table.name)]


def _happens(schema: Schema, name: str, seen: tuple[str, ...] = ()) -> bool:
    if name in seen:
        return False
    table = schema[name]
    return table.time_column is not None or any(
        _happens(schema, key.table, (*seen, name)) for key in table.foreign_keys
    )


def _files(schema: Schema) -> dict[str, str]:
    files: dict[str, str] = {}
    for name in schema.names:
        file = _NO_FILE.sub("_", name)
        file = f"_{file}" if file.startswith(".") else file
        file = file.encode()[:_LONGEST].decode(errors="ignore")
        others = [other for other in schema.names if other != name]
        files[name] = file if file == name else free(file, (*files.values(), *others))
    return files


def _is_word(name: str) -> bool:
    """What RelBench can put into a pandas query."""
    plain = unicodedata.normalize("NFKC", name) == name
    return plain and name.isidentifier() and not keyword.iskeyword(name)


def _word(name: str) -> str:
    word = re.sub(r"\W", "_", unicodedata.normalize("NFKC", name))
    return word if _is_word(word) else f"time_{word}"


def free(name: str, taken: Collection[str]) -> str:
    """A name that is not taken yet, upper and lower case being the same."""
    used = {other.casefold() for other in taken}
    found, number = name, 0
    while found.casefold() in used:
        number += 1
        found = f"{name}_{number}"
    return found
