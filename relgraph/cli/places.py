"""Where results go: looked at before the work starts, so that hours of it are not lost for a typing error."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from relgraph.errors import AdapterError

__all__ = ["require_file", "require_folder"]


def require_folder(path: Path) -> None:
    """Check that a folder can be written, or made; nothing stays behind.

    Raises:
        AdapterError: If it cannot.
    """
    try:
        place = path
        while not place.exists():
            place = place.parent
        if not place.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{place} is a file")
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        shown = path if len(path.name) <= os.pathconf("/", "PC_NAME_MAX") else f"{path.parent}/{path.name[:20]}..."
        raise AdapterError(
            f"cannot write to {shown}: {error.strerror or error}; expected a folder that you may write, or a new one"
        ) from None


def require_file(path: Path) -> None:
    """Check that a file can be written; nothing stays behind.

    Raises:
        AdapterError: If it cannot.
    """
    if path.is_dir():
        raise AdapterError(f"cannot write to {path}: it is a folder, expected a file")
    require_folder(path.parent)
