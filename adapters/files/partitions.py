"""Columns that stand in the names of folders, as Hive and Spark write them: ``year=2024/month=05/part-0.parquet``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from relgraph.data.sql import literal
from relgraph.errors import AdapterError

if TYPE_CHECKING:
    import duckdb

__all__ = ["Partition", "find_partitions"]

_NULL = "__HIVE_DEFAULT_PARTITION__"
_TYPES = {"BIGINT": r"[+-]?\d{1,18}", "DATE": r"\d{4}-\d\d-\d\d", "TIMESTAMP": r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d.*"}


class Partition:
    """One such column.

    Args:
        name: Its name.
        values: Its value for each file of the table.
        dtype: BIGINT, DATE or TIMESTAMP if every value is one, else VARCHAR.
    """

    def __init__(self, name: str, values: Sequence[str | None], dtype: str) -> None:
        self.name = name
        self.dtype = dtype
        self._values = tuple(values)

    def sql(self, files: Sequence[int]) -> str:
        """SQL of the value where a table function reads these files of the table, and them alone."""
        values = [self._values[file] for file in files]
        if len(set(values)) == 1:
            return f"CAST({literal(values[0])} AS {self.dtype})"
        # not DuckDB's own partitions: it would count files after it left some out, and file_index gives row numbers
        listed = ", ".join(map(literal, values))
        return f"list_extract(CAST([{listed}] AS {self.dtype}[]), CAST(file_index AS BIGINT) + 1)"


def find_partitions(engine: duckdb.DuckDBPyConnection, root: Path | None, files: Sequence[Path]) -> list[Partition]:
    """The partition columns of a table.

    Args:
        engine: Any DuckDB.
        root: The table's own folder; folders above it say nothing.
        files: Its files.

    Raises:
        AdapterError: If not all files have the same ones.
    """
    if root is None:
        return []
    found = [_pairs(file.relative_to(root)) for file in files]
    first = [name for name, _ in found[0]]
    for file, pairs in zip(files, found, strict=True):
        names = [name for name, _ in pairs]
        if names != first or len({name.casefold() for name in names}) < len(names):
            raise AdapterError(
                f"{file} lies in partitions ({', '.join(names)}), but {files[0]} in ({', '.join(first)}); the files of "
                f"one table must have the same, each once: connect to a folder below {root}, or to a pattern"
            )
    partitions = []
    for index, name in enumerate(first):
        values = [pairs[index][1] for pairs in found]
        partitions.append(Partition(name, values, _type(engine, [v for v in values if v is not None])))
    return partitions


def _pairs(path: Path) -> list[tuple[str, str | None]]:
    pairs = []
    for part in path.parent.parts:
        name, equals, value = part.partition("=")
        if equals and name:
            pairs.append((unquote(name), None if value == _NULL else unquote(value)))
    return pairs


def _type(engine: duckdb.DuckDBPyConnection, values: list[str]) -> str:
    for dtype, form in _TYPES.items():
        query = (
            f"SELECT bool_and(regexp_full_match(v, ?) AND TRY_CAST(v AS {dtype}) IS NOT NULL) "
            "FROM (SELECT unnest(CAST(? AS VARCHAR[])) AS v)"
        )
        if values and engine.execute(query, [form, sorted(set(values))]).fetchall()[0][0]:
            return dtype
    return "VARCHAR"
