r"""One CSV or TSV file: its dialect, its header, the types that every line allows, and errors that name the line.

The dialect: ``"`` as quote (doubled inside; a TSV file that cannot be read so has no quotes), ``\N`` or nothing for
NULL, UTF-8, or UTF-16 if it is little-endian; packed by gzip or zstd if the name says so. A first line ``sep=;``, as
Excel writes it, names the separator. Numbers may have a decimal comma. A file is read twice when it is connected, to
find the types and to be sure of every line, and then by every query: a graph of 2.6 million rows in 214 MB took four
times as long to build as from a copy. ``snapshot="file.duckdb"`` makes that copy, and keeps it.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from relgraph.adapters.files.layout import SEPARATORS, table_suffix
from relgraph.adapters.files.runs import file_list, file_literal
from relgraph.data.sql import literal
from relgraph.errors import AdapterError

if TYPE_CHECKING:
    import duckdb

__all__ = ["Dialect", "Head", "complaint", "explained", "read_head", "remedy"]

_OPTIONS = r"""comment = '', nullstr = ['\N', '']"""
_SAID = re.compile(r'"?sep=(.)"?\r?\n?')
_COMMA = re.compile(r"[+-]?\d+,\d+")
_LINES = 100
_LONGEST = 1 << 26
"""Bytes of the longest line that is read; DuckDB's own limit, 2 MB, is for files whose lines are short."""


@dataclass(frozen=True)
class Dialect:
    """How a file is to be read; files of one dialect are read by one table function.

    Args:
        separator: Between fields.
        encoding: ``utf-8`` or ``utf-16``.
        packed: ``none``, ``gzip`` or ``zstd``.
        header: Whether the first line names the columns.
        skip: Lines before it.
        quoted: Whether ``"`` encloses values.
        long_lines: Whether a line is longer than 2 MB.
        mixed_ends: Whether lines end in different ways.
        blanks: Whether lines that hold nothing are left out; then a malformed line would be, too.
        date: The form of its dates, empty for ISO.
        timestamp: The form of its moments, empty for ISO.
        decimal: What stands before the fraction of a number.
    """

    separator: str
    encoding: str
    packed: str
    header: bool
    skip: int = 0
    quoted: bool = True
    long_lines: bool = False
    mixed_ends: bool = False
    blanks: bool = False
    date: str = ""
    timestamp: str = ""
    decimal: str = "."

    def options(self, blanks: bool | None = None) -> str:
        """As arguments of ``read_csv`` and ``sniff_csv``."""
        parts = [
            f"delim = {literal(self.separator)}",
            f"encoding = {literal(self.encoding)}",
            f"compression = {literal(self.packed)}",
            f"header = {literal(self.header)}",
            f"skip = {self.skip}",
            """quote = '"', escape = '"'""" if self.quoted else "quote = '', escape = ''",
            _OPTIONS,
        ]
        if self.decimal != ".":
            parts.append(f"decimal_separator = {literal(self.decimal)}")
        if self.long_lines:
            parts.append(f"max_line_size = {_LONGEST}")
        if self.mixed_ends:
            parts.append("strict_mode = false")
        if self.blanks if blanks is None else blanks:
            parts.append("ignore_errors = true")
        return ", ".join(parts)

    def reader(self, files: list[Path], types: dict[str, str], more: str = "") -> str:
        """SQL of the table function over files whose columns are these."""
        columns = ", ".join(f"{literal(name)}: {literal(dtype)}" for name, dtype in types.items())
        forms = [("dateformat", self.date), ("timestampformat", self.timestamp)]
        formats = "".join(f", {option} = {literal(form)}" for option, form in forms if form)
        return (
            f"read_csv({file_list(files)}, {self.options()}, auto_detect = false, hive_partitioning = false, "
            f"columns = {{{columns}}}{formats}{more})"
        )


@dataclass(frozen=True)
class Head:
    """The start of a file.

    Args:
        path: The file.
        dialect: How it is read.
        fields: Those of the first line: the header, if there is one. Empty if the file is.
        comma: Whether one of the next lines has a number with a comma, which may be a decimal one.
    """

    path: Path
    dialect: Dialect
    fields: tuple[str, ...]
    comma: bool = False

    def without_header(self) -> Head:
        """The same file whose first line is a row."""
        return replace(self, dialect=replace(self.dialect, header=False))


def read_head(path: Path) -> Head:
    """Look at the start of a file.

    TSV means tab; else the separator is what the first line says, or the one of ``, ; |`` and tab that it has most of.

    Raises:
        AdapterError: If it cannot be read as text.
    """
    packed = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix.lower(), "none")
    try:
        with _opened(path, packed) as file:
            encoding = _encoding(path, file.read(4096))
        with _opened(path, packed) as file:
            # bytes that are no UTF-8 are reported with their line when DuckDB reads the file
            text = io.TextIOWrapper(file, "utf-8-sig" if encoding == "utf-8" else "utf-16-le", "replace", newline="")
            first = next(text, "")
            said = _SAID.fullmatch(first)
            first = first if said is None else next(text, "")
            ending = (table_suffix(path.name) or "").lower()
            unquoted = re.sub(r'"[^"]*"', "", first)
            separator = "\t" if ending.startswith(".tsv") else max(SEPARATORS, key=unquoted.count)
            separator = separator if said is None else said[1]
            # a field may be longer than the module's own limit
            csv.field_size_limit(max(csv.field_size_limit(), _LONGEST))
            lines = csv.reader(itertools.chain([first], text), delimiter=separator)
            fields = next(lines, [])
            comma = separator != "," and any(
                _COMMA.fullmatch(field) for line in itertools.islice(lines, _LINES) for field in line
            )
    except (OSError, EOFError, ValueError, csv.Error) as error:
        message = getattr(error, "strerror", None) or str(error)
    else:
        dialect = Dialect(separator, encoding, packed, True, skip=int(said is not None))
        return Head(path, dialect, tuple(name.lstrip("\ufeff") for name in fields), comma)
    raise AdapterError(f"{path}:1: the header line cannot be read: {message}")


def explained(path: Path, message: str, table: str, separator: str) -> str:
    """A message of DuckDB as ``path:line: what is wrong``, with what to do."""
    line = _line(message)
    if not line:
        return f"{path} cannot be read: {message.splitlines()[0]}"
    number, what, text = line
    last = ", the last of the file, which seems to be cut off," if _is_last(path, text) else ""
    encoded = "utf-8" in what.lower() or "utf8" in what.lower()
    return f"{path}:{number}: {what}; the line{last} is {text[:200]!r}; {remedy(path, table, separator, encoded)}"


def remedy(path: Path, table: str, separator: str, encoded: bool = False) -> str:
    """What to do about a line that cannot be read."""
    if encoded and _has_control_bytes(path):
        return (
            "write it anew as UTF-8 under another name, from Windows-1252 if it is that, and leave this one out: "
            f"iconv -f WINDOWS-1252 -t UTF-8 {shlex.quote(str(path))}"
        )
    how = "encoding = 'latin-1'" if encoded else "ignore_errors = true"
    query = f"SELECT * FROM read_csv({file_literal(path)}, delim = {literal(separator)}, {how})"
    what = "read it as Latin-1, if it is," if encoded else "leave such lines out"
    return f"repair the file, or {what} by tables={{'*': None, {table!r}: {query!r}}}"


def complaint(engine: duckdb.DuckDBPyConnection, query: str) -> str | None:
    """What DuckDB has against a query, None if nothing."""
    import duckdb

    try:
        engine.execute(query).fetchall()
    except duckdb.Error as error:
        return str(error)
    return None


def _opened(path: Path, packed: str) -> IO[bytes]:
    import pyarrow

    if packed == "none":
        return path.open("rb")
    opened: IO[bytes] = io.BufferedReader(pyarrow.input_stream(str(path), compression=packed))
    return opened


def _encoding(path: Path, start: bytes) -> str:
    if start.startswith((b"\xfe\xff", b"\0\0\xfe\xff", b"\xff\xfe\0\0")):
        raise AdapterError(
            f"{path} is text in big-endian UTF-16 or in UTF-32, which nothing here reads; write it anew as UTF-8"
        )
    odd = start[1::2]
    return "utf-16" if start.startswith(b"\xff\xfe") or (odd and odd.count(0) > 0.4 * len(odd)) else "utf-8"


def _line(message: str) -> tuple[int, str, str] | None:
    found = re.search(r"CSV Error on Line: (\d+)\nOriginal Line: ?(.*?)\n([^\n]+)\n+Possible", message, re.DOTALL)
    return (int(found[1]), found[3], found[2]) if found else None


def _has_control_bytes(path: Path) -> bool:
    """Whether a file has bytes that are letters in Windows-1252, and which DuckDB refuses as Latin-1."""
    packed = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix.lower(), "none")
    with _opened(path, packed) as file:
        return any(re.search(rb"[\x80-\x9f]", chunk) for chunk in iter(lambda: file.read(1 << 20), b""))


def _is_last(path: Path, text: str) -> bool:
    line = text.strip().encode()
    if table_suffix(path.name) not in (".csv", ".tsv", ".txt") or not line:
        return False
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(line) - 64))
        return file.read().rstrip().endswith(line)
