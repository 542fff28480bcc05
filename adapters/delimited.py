r"""CSV and TSV files for DuckDB: one dialect, types that every line allows, and errors that name the line.

The dialect: a header line, ``"`` as quote (doubled inside), UTF-8 text, ``\N`` or nothing for NULL.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING

from relgraph.data.sql import literal
from relgraph.errors import AdapterError

if TYPE_CHECKING:
    import duckdb

__all__ = ["SUFFIXES", "DelimitedFile"]

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")

_SEPARATORS = ",;|\t"
_OPTIONS = r"""header = true, skip = 0, quote = '"', escape = '"', comment = '', nullstr = ['\N', '']"""


class DelimitedFile:
    """A text file with separators.

    Args:
        path: The file; TSV means tab, else the separator is the one of ``, ; |`` or tab the header has most of.

    Raises:
        AdapterError: If the header is missing, unreadable, or names two columns alike.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            opener = gzip.open if path.name.lower().endswith(".gz") else open
            # bytes that are no UTF-8 are reported with their line when DuckDB reads the file
            with opener(path, "rt", encoding="utf-8-sig", errors="replace", newline="") as file:
                first = next(file, "")
                separator = "\t" if ".tsv" in path.name.lower() else max(_SEPARATORS, key=first.count)
                self.names = next(csv.reader(itertools.chain([first], file), delimiter=separator), [])
        except (OSError, EOFError, csv.Error) as error:
            message = str(error)
        else:
            self._check_header()
            self._source = f"{literal(str(path))}, delim = {literal(separator)}, {_OPTIONS}"
            return
        raise AdapterError(f"{path}:1: the header line cannot be read: {message}")

    def reader(self, engine: duckdb.DuckDBPyConnection) -> str:
        """SQL of a table function that reads the file with the types every line of it allows.

        Args:
            engine: Where the types are found; reads the file once.

        Raises:
            AdapterError: At the first malformed line, with its number.
        """
        import duckdb

        query = f"SELECT Columns, DateFormat, TimestampFormat FROM sniff_csv({self._source}, sample_size = -1)"
        try:
            columns, date, timestamp = engine.execute(query).fetchall()[0]
        except duckdb.Error as error:
            message = str(error)
        else:
            if len(columns) == len(self.names):
                types = {column["name"]: column["type"] for column in columns}
                formats = [("dateformat", date), ("timestampformat", timestamp)]
                options = "".join(f", {option} = {literal(value)}" for option, value in formats if value)
                return self._typed(types) + options + ")"
            message = f"expected {len(self.names)} columns, got {len(columns)}"
        raise AdapterError(self.explain(engine, message))

    def explain(self, engine: duckdb.DuckDBPyConnection, message: str) -> str:
        """A message of DuckDB as ``path:line: what is wrong``.

        Args:
            engine: Reads the file once more as text if the message names no line, which those about types do not.
            message: What DuckDB said.
        """
        return str(self.path) + (
            _line(message) or _line(self._read_as_text(engine)) or f" cannot be read: {message.splitlines()[0]}"
        )

    def _check_header(self) -> None:
        if not self.names:
            raise AdapterError(f"{self.path} is empty; expected a header line with the names of the columns")
        for name in self.names:
            if name and self.names.count(name) > 1:
                raise AdapterError(f"{self.path}:1: two columns are named {name!r}; names must be unique")

    def _typed(self, types: dict[str, str]) -> str:
        columns = ", ".join(f"{literal(name)}: {literal(dtype)}" for name, dtype in types.items())
        return f"read_csv({self._source}, auto_detect = false, columns = {{{columns}}}"

    def _read_as_text(self, engine: duckdb.DuckDBPyConnection) -> str:
        import duckdb

        reader = self._typed({f"c{i}": "VARCHAR" for i in range(len(self.names))})
        try:
            engine.execute(f"SELECT count(COLUMNS(*)) FROM {reader})").fetchall()
        except duckdb.Error as error:
            return str(error)
        return ""


def _line(message: str) -> str:
    found = re.search(r"CSV Error on Line: (\d+)\nOriginal Line: ?(.*?)\n([^\n]+)\n+Possible", message, re.DOTALL)
    return f":{found[1]}: {found[3]}; the line is {found[2][:200]!r}" if found else ""
