"""Parquet, CSV and TSV files, read where they lie; :mod:`~relgraph.adapters.files.layout` says what makes a table."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from relgraph.adapters.files.delimited import complaint
from relgraph.adapters.files.delimited_table import open_delimited
from relgraph.adapters.files.layout import PARQUET, TableFiles, find_tables, is_pattern, table_suffix
from relgraph.adapters.files.parquet import open_parquet
from relgraph.adapters.files.partitions import find_partitions
from relgraph.adapters.files.queries import QuerySource
from relgraph.adapters.files.runs import FileTable
from relgraph.adapters.files.watched import Watched
from relgraph.adapters.urls import as_path
from relgraph.data.schema import ColumnSchema, Schema, TableSchema
from relgraph.data.source import Scan, Selection, TableBatches, Tail
from relgraph.data.sql import quote
from relgraph.errors import AdapterError

__all__ = ["FolderSource"]


class FolderSource(QuerySource):
    """Files as tables, rows in the order of the files and of their lines. Only what is asked for is looked at.

    Args:
        source: A folder, a file, or a pattern such as ``data/**/*.parquet``.
        selection: See :class:`QuerySource`; SQL sees every table under its name, and its result is copied.

    Raises:
        AdapterError: If there is no such file or folder, or no table in it.
        SchemaError: If the selection names schemas.
    """

    understands = "a folder of .parquet, .csv, .tsv or .txt files, one such file, or a pattern such as data/*.parquet"

    def __init__(self, source: str | Path, selection: Selection) -> None:
        path = as_path(source)
        if path is None or not (path.exists() or is_pattern(path)):
            link = " (it is a link to nothing)" if path is not None and path.is_symlink() else ""
            raise AdapterError(f"there is no file or folder {path}{link} (looked in {Path.cwd()})")
        selection.require_no_schemas(str(path))
        absolute = Path(os.path.abspath(path))
        found = find_tables(absolute, none=isinstance(selection.tables, Mapping))
        self._files = {table.name: table for table in found}
        # before anything is read, so that no change is missed
        self._watched = {name: Watched(table.files, table.folders, table.listed) for name, table in self._files.items()}
        self._opened: dict[str, FileTable] = {}
        self._in_place: list[Watched] = []
        super().__init__(str(path), selection)

    @staticmethod
    def matches(source: object) -> bool:
        """Whether it is a folder, a pattern, or is named like a table file."""
        path = as_path(source)
        return path is not None and (path.is_dir() or is_pattern(source) or table_suffix(path.name) is not None)

    def listed(self) -> list[TableSchema]:
        """One table per file or folder."""
        return [TableSchema(name, ()) for name in self._files]

    def make(self, table: TableSchema) -> TableSchema:
        """Look at the table's files."""
        files = self._files[table.name]
        opened = self._opened[table.name] = self._open(files)
        self.notes += opened.notes
        if len(files.files) > 1:
            self.notes.append(f"the {len(files.files)} files of {files.where} are one table, {table.name!r}")
        self._run(table.name, f"CREATE OR REPLACE VIEW {quote(table.name)} AS {opened.query}")
        # a footer does not show that columns are encrypted or damaged
        first = f"SELECT hash(COLUMNS(*)) FROM (SELECT * FROM {quote(table.name)} LIMIT 1)"
        message = complaint(self._engine, first) if _is_parquet(files.files[0]) else None
        if message is not None:
            raise AdapterError(self.explain(table.name, message))
        return TableSchema(table.name, tuple(ColumnSchema(name) for name in opened.names))

    def scans(self, schema: Schema) -> Mapping[str, Scan]:
        """Every table that is not SQL over others."""
        names = [table.name for table in schema if self.query(table.name) is None]
        self._in_place = [self._watched[name] for name in names]
        return {name: self._opened[name].scan for name in names}

    def read(self, schema: Schema, tails: Mapping[str, Tail] | None = None) -> Iterator[TableBatches]:
        """Every table of the schema as Arrow batches; then a look whether the files stayed the same meanwhile."""
        yield from super().read(schema, tails)
        for name in self._opened:
            self._watched[name].check()

    def unchanged(self) -> None:
        """Look at size, time of change and inode of every file that is read in place.

        Raises:
            AdapterError: If a file has changed, is gone, or has come to a table of several files.
        """
        for watched in self._in_place:
            watched.check()

    def explain(self, table: str, message: str) -> str:
        """Name the file or folder."""
        if table not in self._files:
            return super().explain(table, message)
        return f"{self._files[table].where} cannot be read: {message}"

    def counted(self, table: str) -> bool:
        """Parquet files know how many rows they have; a CSV would be read once more for it."""
        return _is_parquet(self._files[table].files[0])

    def fingerprint(self) -> str:
        """Names, sizes and times of change of the files."""
        files = {name: watched.fingerprint() for name, watched in self._watched.items()}
        return f"{super().fingerprint()} {files}"

    def _open(self, table: TableFiles) -> FileTable:
        kinds = {_is_parquet(file): file for file in table.files}
        if len(kinds) > 1:
            raise AdapterError(
                f"{kinds[False]} and {kinds[True]} would be parts of one table, {table.name!r}; expected files of one "
                f"kind: connect to a pattern such as {table.root}/*.parquet"
            )
        files = [file for file in table.files if False in kinds or _size(file) or len(table.files) == 1]
        if not files:
            raise AdapterError(f"every file in {table.where} is empty; expected Parquet files with a footer")
        if len(files) < len(table.files):
            self.notes.append(f"{len(table.files) - len(files)} files of {table.where} are empty")
        partitions = find_partitions(self._engine, table.root, files)
        opener = open_parquet if True in kinds else open_delimited
        return opener(self._engine, table.name, files, partitions)


def _is_parquet(file: Path) -> bool:
    return (table_suffix(file.name) or "").lower() in PARQUET


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError as error:
        message = error.strerror or str(error)
    raise AdapterError(f"{file} cannot be read: {message}")
