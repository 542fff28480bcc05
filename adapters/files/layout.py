"""Which files of a folder are which table.

One rule for all: what was given is looked at in this order.

1. A file is a table, named by its stem: ``races.csv``, ``races.csv.gz`` and ``races.snappy.parquet`` are ``races``.
2. A pattern with ``*``, ``?`` or ``[`` is one table of all files it matches (``**`` crosses folders), named by the text
   before its first wildcard: ``data/events-*.parquet`` is ``events``, ``data/**/*.csv`` is ``data``.
3. A folder is one table of all table files in and below it, named by the folder, if it says so itself: its name ends
   like a table file's (``events.parquet/``), or it holds ``_SUCCESS``, ``_metadata`` or ``_common_metadata``, or a
   folder ``key=value``, or nothing but files ``part-<number>...`` or ``data_<number>...``.
4. Any other folder is a database. Each file in it is a table, and so is each folder in it with table files in or below
   it. Other files are no tables.

A ``.txt`` file is a table like a CSV file if it looks like one: its first lines, two at least, have one number of the
same separator. A pattern has to end in ``.txt`` to match it.

Names that begin with ``.`` are left aside everywhere, those that begin with ``_`` also inside of a table. Files of one
table come in the order of their paths. Folders ``key=value`` on the way from the table's own folder to a file give
columns.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from relgraph.data.sql import literal
from relgraph.errors import AdapterError

__all__ = ["PARQUET", "SEPARATORS", "TEXT", "TableFiles", "find_tables", "is_pattern", "table_suffix"]

PARQUET = (".parquet", ".parq", ".pq")
"""Endings of Parquet files, in lower case."""

TEXT = (*(f"{kind}{packed}" for kind in (".csv", ".tsv") for packed in ("", ".gz", ".zst")), ".txt")
"""Endings of CSV and TSV files, in lower case."""

SEPARATORS = ",;|\t"
"""What stands between the fields of a text file, the likeliest first."""

_ENDINGS = ", ".join((PARQUET[0], *TEXT[:-1])) + " or .txt with a header and a separator"
_LOOKED_AT = 1 << 16
_LINES = 20
_PACKED = re.compile(r"\.(snappy|gz|gzip|zst|zstd|lz4|lz4raw|brotli|br|lzo)$", re.IGNORECASE)
_MARKS = frozenset(("_SUCCESS", "_metadata", "_common_metadata"))
_PART = re.compile(r"(part-|data_)\d+", re.IGNORECASE)
_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class TableFiles:
    """The files of one table.

    Args:
        name: The table's name.
        files: In the order of their rows.
        root: The folder that they are in or below; None for a file that stands for itself.
        listed: Looks again: gives the files that there are now.
        folders: Every folder that ``listed`` looks at.
    """

    name: str
    files: tuple[Path, ...]
    root: Path | None = None
    listed: Callable[[], tuple[Path, ...]] | None = None
    folders: tuple[Path, ...] = ()

    @property
    def where(self) -> Path:
        """What to call it in a message."""
        return self.files[0] if self.root is None else self.root


def is_pattern(source: object) -> bool:
    """Whether this is text with wildcards, and no file or folder bears that very name."""
    return isinstance(source, str | os.PathLike) and bool(_WILD.search(str(source))) and not Path(source).exists()


def table_suffix(name: str) -> str | None:
    """How a name ends, if it ends like a table file's and has something before."""
    low = name.lower()
    return next((name[-len(s) :] for s in (*TEXT, *PARQUET) if low.endswith(s) and len(name) > len(s)), None)


def find_tables(source: Path, none: bool = False) -> list[TableFiles]:
    """The tables of a file, pattern or folder, in the order of their names.

    Args:
        source: What was given.
        none: Whether a folder may have none, because SQL names what is read.

    Raises:
        AdapterError: If there is none, two have one name, or a folder is a table that other rules hold for (Delta).
    """
    if is_pattern(source):
        return [_of_pattern(source)]
    if not source.is_dir():
        return [TableFiles(_stem(source.name), (source,))]
    if _is_table(source):
        found = [_of_folder(source)]
    else:
        found = [_of_folder(path) if path.is_dir() else TableFiles(_stem(path.name), (path,)) for path in _in(source)]
    found = [table for table in found if table.files]
    if not found and not none:
        raise AdapterError(f"there is no table in {source}; expected files ending in {_ENDINGS}{_other(source)}")
    taken: dict[str, TableFiles] = {}  # the engine that reads them is blind to case
    for table in found:
        other = taken.setdefault(table.name.casefold(), table)
        if other is not table:
            raise AdapterError(
                f"{other.where.name} and {table.where.name} in {source} would both be table {table.name!r}, upper and "
                "lower case being the same; rename one"
            )
    return found


def _other(folder: Path) -> str:
    """How a file of another kind that is there can be read, in words."""
    files = [path for path in _listed(folder) if path.is_file()]
    if not files:
        return ""
    path = next((path for path in files if ".json" in path.name.lower() or ".ndjson" in path.name.lower()), files[-1])
    reader = "read_json" if "json" in path.name.lower() else "read_csv"
    query = f"SELECT * FROM {reader}({literal(str(path))})"
    more = "" if reader == "read_json" else ", with delim = '::', header = false, names = ['a', 'b'] where needed"
    return f"; what else DuckDB can read is named by tables={{{path.name.partition('.')[0]!r}: {query!r}}}{more}"


def _in(folder: Path) -> Iterator[Path]:
    for path in _listed(folder):
        # a link to nothing is a table that cannot be read, which is better said than passed over
        if path.is_dir() or ((path.is_file() or path.is_symlink()) and _is_table_file(path)):
            yield path


def _is_table_file(path: Path) -> bool:
    suffix = table_suffix(path.name)
    return suffix is not None and (suffix.lower() != ".txt" or _looks_delimited(path))


def _looks_delimited(path: Path) -> bool:
    """Whether the first lines of a text, two at least, have one number of the same separator."""
    try:
        with path.open("rb") as file:
            start = file.read(_LOOKED_AT)
    except OSError:
        return True  # better said when it is read than passed over
    # Latin-1 reads everything, and separators are the same in it
    lines = re.sub(r'"[^"]*"', '""', start.decode("latin-1").removeprefix("\xef\xbb\xbf")).splitlines()
    lines = [line for line in (lines[:-1] if len(start) == _LOOKED_AT else lines) if line.strip()][:_LINES]
    for separator in SEPARATORS:
        counts = {line.count(separator) for line in lines}
        if len(counts) == 1 and 0 not in counts:
            return len(lines) > 1
    return False


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        message = error.strerror or str(error)
    raise AdapterError(f"the folder {folder} cannot be read: {message}")


def _is_table(folder: Path) -> bool:
    if table_suffix(folder.name):
        return True
    paths = _listed(folder)
    names = [path.name for path in paths if table_suffix(path.name)]
    if any(path.name in _MARKS or path.name == "_delta_log" or ("=" in path.name and path.is_dir()) for path in paths):
        return True
    return bool(names) and all(_PART.match(name) for name in names)


def _of_folder(folder: Path) -> TableFiles:
    def listed() -> tuple[Path, ...]:
        return tuple(_walk(folder)[0])

    files, folders = _walk(folder)
    suffix = table_suffix(folder.name)
    name = folder.name if suffix is None else _stem(folder.name)
    return TableFiles(name or folder.resolve().name, tuple(files), folder, listed, tuple(folders))


def _walk(folder: Path, within: frozenset[str] = frozenset()) -> tuple[list[Path], list[Path]]:
    """Table files in and below a folder, and these folders; a link back to a folder above is not followed."""
    real = os.path.realpath(folder)
    if real in within:
        return [], []
    files: list[Path] = []
    folders = [folder]
    for path in _listed(folder):
        if path.name == "_delta_log":
            raise AdapterError(
                f"{folder} is a Delta table: its log says which of its files count, and nothing here reads it; write "
                "its rows to plain Parquet files first"
            )
        if path.is_dir():
            if not path.name.startswith("_") or "=" in path.name:
                below = _walk(path, within | {real})
                files += below[0]
                folders += below[1]
        elif not path.name.startswith("_") and (path.is_file() or path.is_symlink()) and _is_table_file(path):
            files.append(path)
    return files, folders


def _of_pattern(pattern: Path) -> TableFiles:
    def listed() -> tuple[Path, ...]:
        found = sorted(Path(path) for path in glob.glob(str(pattern), recursive=True))
        wanted = (path for path in found if path.suffix.lower() != ".txt" or pattern.suffix.lower() == ".txt")
        return tuple(path for path in wanted if path.is_file() and table_suffix(path.name))

    parts = pattern.parts
    first = next(index for index, part in enumerate(parts) if _WILD.search(part))
    root = Path(*parts[:first]) if first else Path(".")
    files = listed()
    if not files:
        raise AdapterError(f"no file matches {pattern}; expected files ending in {_ENDINGS}")
    start = _WILD.split(parts[first])[0].rstrip("-_. ") if first == len(parts) - 1 else ""
    name = start or root.resolve().name or "files"
    folders = [Path(path) for path, _, _ in os.walk(root)] if first < len(parts) - 1 else [root]
    return TableFiles(name, files, root, listed, tuple(folders))


def _stem(name: str) -> str:
    return _PACKED.sub("", name[: -len(table_suffix(name) or "")]) or name
