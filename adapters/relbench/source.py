"""A RelBench v3 folder as a source: ``manifest.yaml`` names keys and times, ``db`` has a Parquet file per table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from relgraph.adapters.files.parquet import open_parquet
from relgraph.adapters.files.queries import QuerySource
from relgraph.adapters.files.runs import FileTable
from relgraph.adapters.files.watched import Watched
from relgraph.adapters.urls import as_path
from relgraph.data.schema import ColumnSchema, ForeignKey, Schema, TableSchema
from relgraph.data.source import Scan, Selection
from relgraph.data.sql import quote
from relgraph.errors import AdapterError, SchemaError

__all__ = ["MANIFEST", "VERSION", "Manifest", "RelBenchSource", "dump_yaml", "read_yaml"]

MANIFEST = "manifest.yaml"
VERSION = 1
_INDEX = re.compile(r"__index_level_\d+__")


@dataclass(frozen=True)
class Manifest:
    """What the manifest of a folder says.

    Args:
        path: The file.
        tables: Keys and times of each table; columns are the Parquet file's business.
        val_timestamp: Until when rows may be seen for validation, as it stands there.
        test_timestamp: The same for the test.
    """

    path: Path
    tables: Mapping[str, TableSchema]
    val_timestamp: Any = None
    test_timestamp: Any = None

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of a folder.

        Raises:
            AdapterError: If it cannot be read, is of another version, or says something of another form.
        """
        path = folder / MANIFEST
        value = read_yaml(path)
        tables = value.get("tables")
        if not isinstance(tables, dict) or not tables:
            raise AdapterError(f"{path}: expected 'tables', a mapping from table names; got {tables!r}")
        found = {name: _table(path, name, spec) for name, spec in tables.items()}
        return cls(path, found, value.get("val_timestamp"), value.get("test_timestamp"))

    def moments(self) -> tuple[int, int]:
        """Both timestamps in int64 microseconds.

        Raises:
            AdapterError: If one is missing or no date.
        """
        return self._moment("val_timestamp"), self._moment("test_timestamp")

    def _moment(self, name: str) -> int:
        from relgraph.data.time import to_moment

        value = getattr(self, name)
        if isinstance(value, str | date):
            with suppress(SchemaError):
                return to_moment(value, name)
        raise AdapterError(f"{self.path}: {name}: expected a date such as '2005-01-01', got {value!r}")


def read_yaml(path: Path) -> dict[str, Any]:
    """A manifest of a dataset or task as plain values.

    Raises:
        AdapterError: If the file is missing, no YAML, no mapping, or of another version of the format.
    """
    import yaml

    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"cannot read {path}: {error.strerror or error}"
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        message = f"{path} is no YAML: {' '.join(str(error).split())}"
    else:
        if not isinstance(value, dict):
            raise AdapterError(f"{path}: expected a manifest, which is a mapping; got a {type(value).__name__}")
        version = value.get("manifest_version", VERSION)
        if version != VERSION:
            raise AdapterError(f"{path}: expected manifest_version {VERSION}, got {version!r}")
        return value
    raise AdapterError(message)


def dump_yaml(value: Mapping[str, Any], path: Path) -> None:
    """Write a manifest; text of several lines stays several lines."""
    import yaml

    def text(dumper: Any, value: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    dumper: Any = type("Dumper", (yaml.SafeDumper,), {})
    dumper.add_representer(str, text)
    written = yaml.dump(dict(value), Dumper=dumper, sort_keys=False, allow_unicode=True, width=4096)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(written, encoding="utf-8")


def _table(path: Path, name: object, spec: object) -> TableSchema:
    where = f"{path}: table {name!r}"
    if not isinstance(name, str):
        raise AdapterError(f"{where}: expected a name that is text; put it in quotes")
    if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise AdapterError(f"{where}: this is no name of a file in the folder 'db'")
    if not isinstance(spec, dict | None):
        raise AdapterError(f"{where}: expected a mapping with pkey, time_col and fkeys, got {spec!r}")
    spec = spec or {}
    key, time, others = spec.get("pkey"), spec.get("time_col"), spec.get("fkeys") or {}
    if not isinstance(others, dict):
        raise AdapterError(f"{where}: fkeys: expected a mapping from columns to tables, got {others!r}")
    for what, word in (
        ("pkey", key),
        ("time_col", time),
        *(("fkeys", word) for pair in others.items() for word in pair),
    ):
        if not isinstance(word, str | None) or (word is None and what == "fkeys"):
            raise AdapterError(f"{where}: {what}: expected a name that is text, got {word!r}; put it in quotes")
    keys = tuple(ForeignKey((column,), target) for column, target in others.items())
    return TableSchema(name, (), (key,) if key else (), keys, time or None)


class RelBenchSource(QuerySource):
    """The tables that the manifest lists, in its order; rows in the order of their file, read where they lie.

    Args:
        source: The folder.
        selection: See :class:`QuerySource`; SQL sees every table under its name.

    Raises:
        AdapterError: If the manifest or a file that it lists cannot be read.
        SchemaError: If the selection names schemas.
    """

    understands = "a RelBench v3 folder (manifest.yaml and db/*.parquet)"

    def __init__(self, source: str | Path, selection: Selection) -> None:
        path = as_path(source)
        if path is None:
            raise AdapterError(f"{source} is no folder")
        selection.require_no_schemas(str(path))
        folder = path.resolve() / "db"
        # before anything is read, so that no change is missed
        self._watched = {"": Watched([folder.parent / MANIFEST])}
        self._manifest = Manifest.read(folder.parent)
        self._files = {name: folder / f"{name}.parquet" for name in self._manifest.tables}
        self._watched |= {name: Watched([file]) for name, file in self._files.items()}
        self._opened: dict[str, FileTable] = {}
        self._in_place: list[Watched] = []
        super().__init__(str(source), selection)
        others = sorted({file.name for file in folder.glob("*.parquet")} - {file.name for file in self._files.values()})
        if others:
            self.notes.append(f"left out, because the manifest does not list them: {', '.join(others)}")

    @staticmethod
    def matches(source: object) -> bool:
        """Whether it is a folder with a manifest and a folder ``db``."""
        path = as_path(source)
        return path is not None and (path / MANIFEST).is_file() and (path / "db").is_dir()

    def listed(self) -> list[TableSchema]:
        """One table per entry of the manifest, with its keys and time."""
        return list(self._manifest.tables.values())

    def make(self, table: TableSchema) -> TableSchema:
        """Look at the table's file."""
        file = self._files[table.name]
        if not file.is_file():
            raise AdapterError(f"{self._manifest.path} lists table {table.name!r}, but there is no {file}")
        found = open_parquet(self._engine, table.name, [file], ())
        types = [str(row[1]) for row in self._run(table.name, f"DESCRIBE {found.query}").fetchall()]
        index = [name for name in found.names if _INDEX.fullmatch(name)]
        names = tuple(name for name in found.names if name not in index)
        self.notes += found.notes
        if index:
            self.notes.append(f"left out of table {table.name!r}: {', '.join(index)}, the row index of a pandas frame")
        self._require_columns(table, names)
        columns = zip(found.names, found.scan.columns, types, strict=True)
        values = tuple(_value(table, name, sql, dtype) for name, sql, dtype in columns if name not in index)
        opened = self._opened[table.name] = FileTable(names, replace(found.scan, columns=values))
        self._run(table.name, f"CREATE OR REPLACE VIEW {quote(table.name)} AS {opened.query}")
        return replace(table, columns=tuple(ColumnSchema(name) for name in names))

    def scans(self, schema: Schema) -> Mapping[str, Scan]:
        """Every table that is not SQL over the files."""
        names = [table.name for table in schema if self.query(table.name) is None]
        self._in_place = [self._watched[name] for name in ("", *names)]
        return {name: self._opened[name].scan for name in names}

    def unchanged(self) -> None:
        """Look at the manifest and every file that is read in place.

        Raises:
            AdapterError: If one of them is another one than when it was connected.
        """
        for watched in self._in_place:
            watched.check()

    def explain(self, table: str, message: str) -> str:
        """Name the file."""
        where = self._files.get(table)
        return super().explain(table, message) if where is None else f"{where} cannot be read: {message}"

    def fingerprint(self) -> str:
        """Sizes and times of change of the manifest and every file."""
        return f"{super().fingerprint()} { {name: watched.fingerprint() for name, watched in self._watched.items()} }"

    def _require_columns(self, table: TableSchema, columns: tuple[str, ...]) -> None:
        for what, name in (
            *(("pkey", name) for name in table.primary_key),
            *(("fkeys", key.name) for key in table.foreign_keys),
            *(("time_col", name) for name in (table.time_column,) if name is not None),
        ):
            if name not in columns:
                raise SchemaError(
                    f"{self._manifest.path}: {what} of table {table.name!r} is {name!r}, which is no column of "
                    f"{self._files[table.name]}; columns: {', '.join(columns)}"
                )


def _value(table: TableSchema, column: str, sql: str, dtype: str) -> str:
    """A key in floats, as pandas keeps one with gaps, may say NaN where it leads nowhere."""
    if dtype in ("FLOAT", "DOUBLE") and any(column in key.columns for key in table.foreign_keys):
        return f"CASE WHEN isnan({sql}) THEN NULL ELSE {sql} END"
    return sql
