"""What a source is: a URL, a file or a folder; and how it is named without its password."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote

from relgraph.errors import AdapterError

__all__ = ["as_path", "existing", "has_magic", "is_url", "masked", "without_secrets"]

_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9_+.\-]*://")
_USER = re.compile(r"^([A-Za-z][A-Za-z0-9_+.\-]*://[^:/?#]*):(.*)@", re.DOTALL)
_SECRET = re.compile(
    r"([?&;][^=&;]*(?:pass|pwd|secret|token|key|credential|odbc_connect)[^=&;]*=)([^&;]*)", re.IGNORECASE
)


def is_url(source: object) -> bool:
    """Whether this is text that starts like ``name://``."""
    return isinstance(source, str) and _SCHEME.match(source) is not None


def as_path(source: object, scheme: str | None = None) -> Path | None:
    """The file or folder that is meant, or None for a URL or anything else.

    Args:
        source: What the user gave.
        scheme: Also take ``scheme:///path`` (three slashes: relative to here, four: absolute).

    Raises:
        AdapterError: If the system cannot even look for such a path: it is too long, or behind a locked folder.
    """
    if isinstance(source, os.PathLike):
        return _looked_up(Path(source))
    if not isinstance(source, str) or not source:
        return None
    if scheme is not None and source.startswith(f"{scheme}:///"):
        return _looked_up(Path(unquote(source.removeprefix(f"{scheme}:///").partition("?")[0])))
    return None if is_url(source) else _looked_up(Path(source))


def _looked_up(path: Path) -> Path:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return path
    except OSError as error:
        reason = error.strerror or str(error)
    except ValueError:
        reason = "it holds a NUL character"
    else:
        return path
    raise AdapterError(f"cannot look for {str(path)[:100]!r}: {reason}; expected a file, a folder or a URL")


def existing(path: Path, what: str) -> Path:
    """The path, if there is a file.

    Raises:
        AdapterError: If there is none, or it is a folder.
    """
    if path.is_dir():
        raise AdapterError(f"{path} is a folder, expected {what}")
    if not path.is_file():
        raise AdapterError(f"there is no file {path}; expected {what} (looked in {Path.cwd()})")
    return path


def has_magic(path: Path, magic: bytes, offset: int = 0) -> bool:
    """Whether a file exists and has these bytes at an offset.

    Raises:
        AdapterError: If there is a file that cannot be read.
    """
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(len(magic)) == magic
    except OSError as error:
        reason = error.strerror or str(error)
    raise AdapterError(f"{path} cannot be read: {reason}")


def masked(url: str) -> str:
    """A URL with ``***`` in place of passwords.

    Example:
        >>> masked("oracle://me:secret@host/db?sslpassword=also")
        'oracle://me:***@host/db?sslpassword=***'
    """
    return _SECRET.sub(r"\1***", _USER.sub(r"\1:***@", url))


def without_secrets(text: str, url: str) -> str:
    """A message with every password of a URL masked, as written there or decoded."""
    user = _USER.match(url)
    secrets = [value for _, value in _SECRET.findall(url)] + ([user[2]] if user else [])
    spelled = {spelling for raw in secrets for spelling in (raw, unquote(raw), quote(unquote(raw))) if spelling}
    for secret in sorted(spelled, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
