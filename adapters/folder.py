"""A folder of Parquet, CSV or TSV files: each file is a table named by its stem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from relgraph.adapters.delimited import SUFFIXES, DelimitedFile
from relgraph.adapters.queries import QuerySource
from relgraph.adapters.urls import as_path
from relgraph.data.schema import ColumnSchema, TableSchema
from relgraph.data.sql import literal, quote
from relgraph.errors import AdapterError

__all__ = ["FolderSource"]

_ALL_SUFFIXES = (".parquet", *SUFFIXES)


class FolderSource(QuerySource):
    """Files in one folder (not below it), in the order of their names; rows in the order of their file.

    Args:
        source: The folder, or one file.
        tables: See :class:`QuerySource`; SQL sees every file under its stem.

    Raises:
        AdapterError: If there is no such folder or no table in it.
    """

    understands = "a folder of .parquet, .csv or .tsv files, or one such file"

    def __init__(self, source: str | Path, tables: Sequence[str] | Mapping[str, str | None] | None) -> None:
        path = as_path(source)
        if path is None or not path.exists():
            raise AdapterError(f"there is no file or folder {path} (looked in {Path.cwd()})")
        self._files = _files(path)
        self._texts = {name: DelimitedFile(p) for name, p in self._files.items() if _suffix(p) in SUFFIXES}
        super().__init__(str(path), tables)

    @staticmethod
    def matches(source: object) -> bool:
        """Whether it is a folder, or is named like a table file."""
        path = as_path(source)
        return path is not None and (path.is_dir() or _suffix(path) is not None)

    def views(self) -> list[TableSchema]:
        """One table per file."""
        found = []
        for name, path in self._files.items():
            if name in self._texts:
                reader, names = self._texts[name].reader(self._engine), self._texts[name].names
            else:
                reader, names = f"read_parquet({literal(str(path))})", self._parquet_names(name, path)
            self._run(name, f"CREATE OR REPLACE VIEW {quote(name)} AS SELECT * FROM {reader}")
            found.append(TableSchema(name, tuple(ColumnSchema(column) for column in names)))
        return found

    def explain(self, table: str, message: str) -> str:
        """Name file and line of a malformed CSV."""
        if table in self._texts:
            return self._texts[table].explain(self._engine, message)
        if table in self._files:
            return f"{self._files[table]} cannot be read: {message}"
        return super().explain(table, message)

    def counted(self, table: str) -> bool:
        """Parquet files know how many rows they have; a CSV would be read once more for it."""
        return table not in self._texts

    def fingerprint(self) -> str:
        """Names, sizes and times of change of the files."""
        stats = {name: (path.stat().st_size, path.stat().st_mtime_ns) for name, path in self._files.items()}
        return f"{super().fingerprint()} {stats}"

    def _parquet_names(self, name: str, path: Path) -> list[str]:
        import pyarrow
        import pyarrow.parquet

        try:
            return list(pyarrow.parquet.read_schema(path).names)
        except (pyarrow.ArrowException, OSError) as error:
            message = str(error)
        raise AdapterError(self.explain(name, message))


def _files(path: Path) -> dict[str, Path]:
    found = [path] if path.is_file() else sorted(p for p in path.iterdir() if p.is_file())
    files: dict[str, Path] = {}
    taken: dict[str, Path] = {}  # the engine that reads them is blind to case
    for file in found:
        suffix = _suffix(file)
        if suffix is None or file.name.startswith("."):
            continue
        name = file.name[: -len(suffix)]
        other = taken.setdefault(name.casefold(), file)
        if other is not file:
            raise AdapterError(
                f"{other.name} and {file.name} in {path} would both be table {name!r}, upper and lower case being the "
                "same; rename one"
            )
        files[name] = file
    if not files:
        raise AdapterError(f"there is no table in {path}; expected files ending in {', '.join(_ALL_SUFFIXES)}")
    return files


def _suffix(path: Path) -> str | None:
    return next((s for s in _ALL_SUFFIXES if path.name.lower().endswith(s) and len(path.name) > len(s)), None)
