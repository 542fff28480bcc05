"""A SQLite file opened for reading only, whatever state its writers are in or left it in."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit
from urllib.parse import quote as percent

from relgraph.adapters.urls import as_path, existing, has_magic
from relgraph.errors import AdapterError, SourceUnavailableError

__all__ = ["SQLiteFile"]

_SUFFIXES = (".sqlite", ".sqlite3", ".db", ".db3")
_MAGIC = b"SQLite format 3\0"
_WAL = b"\2\2"  # the format versions in the header of a file with a write-ahead log
_OLDEST = (3, 37)  # knows virtual and shadow tables
_PASSED_ON = ("immutable", "nolock", "vfs")
_IGNORED = ("mode", "cache", "uri", "check_same_thread", "cached_statements", "detect_types", "isolation_level")
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class SQLiteFile:
    """One file of tables.

    Args:
        source: The file, ``sqlite:///path`` or ``file:path``; after a ``?`` the options ``timeout`` (seconds to wait
            for a lock, 5 by default), ``immutable``, ``nolock`` and ``vfs``. It is read-only whatever ``mode`` says.
        understands: What messages say was expected.

    Raises:
        AdapterError: If there is no such file, it is no SQLite database, or an option is unknown.
    """

    def __init__(self, source: str | Path, understands: str) -> None:
        if sqlite3.sqlite_version_info < _OLDEST:
            raise AdapterError(
                f"SQLite {sqlite3.sqlite_version} is too old, expected 3.37 or newer; install a newer Python, or read "
                "the file through sqlite+pysqlite:///path"
            )
        path, options = _path_and_options(source)
        self.path = existing(path, understands)
        self._seen: tuple[int, int] | None = None  # before it was opened, if nothing else keeps writers out
        self._timeout = _seconds(path, options.get("timeout", "5"))
        self._options = {name: options[name] for name in _PASSED_ON if name in options}
        if path.stat().st_size and not has_magic(path, _MAGIC):
            raise AdapterError(
                f"{path} is no SQLite database: its first bytes are not 'SQLite format 3'; an encrypted one is to be "
                "decrypted first"
            )

    @staticmethod
    def named_by(source: object) -> bool:
        """Whether it is named like a SQLite file or is one."""
        if isinstance(source, str) and source.startswith(("sqlite:", "file:")):
            return True
        path = as_path(source)
        return path is not None and (path.suffix in _SUFFIXES or has_magic(path, _MAGIC))

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection on which everything is seen as it was at the first read, whatever others write meanwhile.

        Raises:
            SourceUnavailableError: If another process has locked the file, or changed it where that cannot be kept out.
            AdapterError: If it cannot be opened or read.
        """
        self._seen = self._at_rest()
        options = {"mode": "ro", **self._options}
        if self._seen is not None:
            options["immutable"] = "1"  # else SQLite would make two files beside it
        uri = f"file:{percent(str(self.path))}?" + "&".join(f"{k}={percent(v)}" for k, v in options.items())
        failure: AdapterError | None = None
        try:
            connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=self._timeout)
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                connection.close()
        except sqlite3.Error as error:
            failure = self.failure(error)
        if failure is not None:
            raise failure
        if self._changed():
            raise self._unavailable()

    def failure(self, error: sqlite3.Error, where: str = "") -> AdapterError:
        """An error of SQLite as one of ours, with what to do.

        Args:
            error: What SQLite said.
            where: What was read, such as ``table 'orders'``.
        """
        if self._changed():
            return self._unavailable()
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        message = f"{self.path}: {where} cannot be read: {error}" if where else f"{self.path} cannot be read: {error}"
        if code in _LOCKED:
            return SourceUnavailableError(f"{message}; another process holds a lock ({self._timeout:g} s waited for)")
        return AdapterError(message + self._remedy(code))

    def fingerprint(self) -> str:
        """Size and time of change of the file and of its write-ahead log."""
        files = (self.path, self._beside("-wal"))
        stats = [(f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file() and f.stat().st_size]
        return str(stats)

    def _remedy(self, code: int) -> str:
        journal, log = self._beside("-journal"), self._beside("-wal")
        if code in _DAMAGED:
            return "; the file is damaged: read other tables with tables=, or save what is left: sqlite3 FILE .recover"
        if code not in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
            return ""
        if journal.is_file() and journal.stat().st_size:
            return (
                f"; a writer ended in the middle of a transaction and left {journal.name}: open the file once for "
                "writing, so that SQLite takes that back, e.g. sqlite3 FILE .tables"
            )
        if log.is_file():
            return (
                f"; the latest changes are in {log.name}, which is only read where SQLite may make files: give write "
                "access to the folder, copy both files elsewhere, or let a writer run PRAGMA wal_checkpoint(TRUNCATE)"
            )
        return "; check the permissions of the file and of its folder"

    def _at_rest(self) -> tuple[int, int] | None:
        """Size and time of change, if the file has a write-ahead log that nobody has open."""
        if self._options or any(self._beside(end).exists() for end in ("-wal", "-shm", "-journal")):
            return None
        return self._stat() if has_magic(self.path, _WAL, 18) else None

    def _changed(self) -> bool:
        return self._seen is not None and self._stat() != self._seen

    def _unavailable(self) -> SourceUnavailableError:
        return SourceUnavailableError(f"{self.path} was changed by another process while it was read")

    def _stat(self) -> tuple[int, int] | None:
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return stat.st_size, stat.st_mtime_ns

    def _beside(self, end: str) -> Path:
        return Path(f"{self.path}{end}")


def _path_and_options(source: str | Path) -> tuple[Path, dict[str, str]]:
    body, query = str(source), ""
    if isinstance(source, str) and source.startswith(("sqlite:///", "file:")):
        body, _, query = source.removeprefix("sqlite:///").partition("?")
    path: Path | None
    if isinstance(source, str) and body.startswith("file:"):
        path = as_path(Path(unquote(urlsplit(body).path)))
    else:
        path = as_path(source, "sqlite")
    if path is None:
        raise AdapterError(f"{source} names no SQLite file; expected sqlite:///path")
    options = dict(parse_qsl(query))
    for name in options:
        if name not in ("timeout", *_PASSED_ON, *_IGNORED):
            raise AdapterError(f"{path}: unknown option {name!r}; understood are timeout, {', '.join(_PASSED_ON)}")
    return path, options


def _seconds(path: Path, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:
        raise AdapterError(f"{path}: timeout is {text!r}, expected seconds up to 86400")
    return seconds
