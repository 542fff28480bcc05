"""Files that are read in place: what they were when they were connected, and whether they still are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from relgraph.errors import AdapterError

__all__ = ["Watched"]

_Stat = tuple[int, int, int]  # size, time of change, inode


class Watched:
    """The files of one table. Made before they are read, so that no change is missed.

    Args:
        files: They may also be absent, and must then stay so.
        folders: Where other files of the table may come to lie.
        listed: Gives the table's files as they are now; needed if there are ``folders``.
    """

    def __init__(
        self,
        files: Iterable[Path],
        folders: Iterable[Path] = (),
        listed: Callable[[], Iterable[Path]] | None = None,
    ) -> None:
        self._folders = {os.path.abspath(folder): _moment(folder) for folder in folders}
        self._files = {os.path.abspath(file): _stat(file) for file in files}
        self._listed = listed

    def check(self) -> None:
        """Compare what is there with what was there: a look at each file and folder, and no reading.

        Raises:
            AdapterError: If a file has another size, time of change or inode, is gone, or has come.
        """
        for file, before in self._files.items():
            now = _stat(file)
            if now != before:
                raise AdapterError(f"{file} {_difference(before, now)}; {_REMEDY}")
        # a folder's time also changes by files that are none of ours
        moved = {folder: _moment(folder) for folder, before in self._folders.items() if _moment(folder) != before}
        if not moved or self._listed is None:
            return
        now_there = {os.path.abspath(file) for file in self._listed()}
        for file in sorted(now_there ^ set(self._files)):
            what = "was added to its table" if file in now_there else "is no longer part of its table"
            raise AdapterError(f"{file} {what} since it was connected; {_REMEDY}")
        self._folders.update(moved)

    def fingerprint(self) -> str:
        """Names, sizes and times of change."""
        return repr(sorted((file, stat and stat[:2]) for file, stat in self._files.items()))


_REMEDY = "connect to it again, or call refresh() of the database"


def _stat(file: str | Path) -> _Stat | None:
    try:
        stat = os.stat(file)
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def _moment(folder: str | Path) -> int | None:
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return None


def _difference(before: _Stat | None, now: _Stat | None) -> str:
    if now is None:
        return "is gone since it was connected"
    if before is None:
        return "was not there when it was connected"
    if before[0] != now[0]:
        return f"has changed since it was connected: {before[0]:,} bytes then, {now[0]:,} now"
    return "has changed since it was connected: " + (
        "it was written at another time" if before[1] != now[1] else "it is another file of the same name"
    )
