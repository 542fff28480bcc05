"""What an error of a database driver means, in words that say what to do; drivers agree on little but these codes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from relgraph.adapters.urls import without_secrets
from relgraph.errors import AdapterError, SourceUnavailableError

__all__ = ["explained", "fault", "sqlstate", "unavailable"]


@dataclass(frozen=True)
class _Kind:
    """One kind of fault.

    Args:
        says: What happened; ``{said}`` is the server's own message.
        remedy: What to do; ``{table}`` is the table's name or "it".
        passing: It may be over in a moment.
    """

    says: str
    remedy: str
    passing: bool = False


_AWAY = _Kind(
    "the server is not there, or does not accept connections now: {said}",
    "check that it is running and that host and port are right",
    passing=True,
)
_FULL = _Kind(
    "the server takes no more connections: {said}",
    "close other connections, or raise the limit of the server or of the user",
    passing=True,
)
_LOST = _Kind("the connection was lost: {said}", "connect again when the server and the way to it are sound", True)
_VICTIM = _Kind("the server ended this transaction in favour of another: {said}", "connect again", passing=True)
_LOGIN = _Kind(
    "the server refuses this user, password or client: {said}",
    "check user and password in the URL (special characters as %-codes, '@' as %40) and who may log in from here",
)
_DATABASE = _Kind("the database cannot be opened: {said}", "check the name after the last '/' of the URL")
_HOST = _Kind("the name of the host cannot be resolved: {said}", "check the host in the URL")
_DENIED = _Kind(
    "the user may not read it: {said}",
    "GRANT SELECT on {table} to the user, or leave it out by naming the others in tables=[...]",
)
_TIMEOUT = _Kind(
    "the server ended it at a time limit: {said}",
    "raise the limit for this user or in the URL (PostgreSQL statement_timeout, MariaDB max_statement_time, MySQL "
    "max_execution_time), or read less by naming tables in tables=[...]",
)
_LOCKED = _Kind("another transaction holds a lock on it: {said}", "connect again when that one is over")
_CHANGED = _Kind(
    "it is no longer what it was a moment ago, or refers to what is gone: {said}",
    "connect again; if it stays so, leave {table} out by naming the others in tables=[...]",
)
_ENCRYPTION = _Kind(
    "no encrypted connection could be made: {said}",
    "check the ssl settings in the URL (PostgreSQL sslmode and sslrootcert, MariaDB and MySQL ssl_ca and the like)",
)
_OPTION = _Kind("a setting in the URL is not understood: {said}", "check what follows '?' in the URL")
_FILE = _Kind("a file that the URL names cannot be read: {said}", "check the paths in the URL")
_DRIVER = _Kind("the driver lacks a package: {said}", "install it: pip install cryptography")
_DAMAGED = _Kind("the server cannot read it: {said}", "let the server check it, or leave {table} out (tables=[...])")
_OTHER = _Kind("{said}", "")
_WITHOUT = "mend it there, or leave {table} out by naming the others in tables=[...]"

_STATES = {  # SQLSTATE, or its beginning, of PostgreSQL; the longest that fits counts
    "08": _LOST,
    "08001": _AWAY,
    "08004": _LOGIN,
    "08P01": _OTHER,
    "25P03": _TIMEOUT,
    "25P04": _TIMEOUT,
    "28": _LOGIN,
    "3D000": _DATABASE,
    "3F000": _CHANGED,
    "40001": _VICTIM,
    "40P01": _VICTIM,
    "42501": _DENIED,
    "42703": _CHANGED,
    "42704": _CHANGED,
    "42804": _CHANGED,
    "42883": _CHANGED,
    "42P01": _CHANGED,
    "53300": _FULL,
    "55P03": _LOCKED,
    "57014": _TIMEOUT,
    "57P01": _LOST,
    "57P02": _LOST,
    "57P03": _AWAY,
    "57P04": _DATABASE,
    "57P05": _LOST,
    "58": _DAMAGED,
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
}
_NUMBERS = {  # error numbers of MariaDB and MySQL: of the server from 1000, of the client from 2000
    _AWAY: (1053, 1077, 1079, 2002, 2003),
    _FULL: (1040, 1203, 1226),
    _LOST: (1158, 1159, 1160, 1161, 1927, 2006, 2013, 2055, 4031),
    _VICTIM: (1213,),
    _LOGIN: (1045, 1129, 1130, 1251, 1275, 1524, 1698, 1820, 1862, 1873, 2059, 2061, 3118, 3955, 4151),
    _DATABASE: (1044, 1049),
    _HOST: (2005,),
    _DENIED: (1142, 1143, 1227, 1370),
    _TIMEOUT: (1317, 1969, 3024),
    _LOCKED: (1205, 3572),
    _CHANGED: (1051, 1054, 1109, 1146, 1356, 1412, 1449, 1615),
    _ENCRYPTION: (2012, 2026, 3159),
    _OPTION: (1193, 1231, 1232),
    _DAMAGED: (126, 127, 134, 144, 145, 1016, 1017, 1030, 1034, 1194, 1195, 1286, 1712, 1877, 1932),
}
_BY_NUMBER = {number: kind for kind, numbers in _NUMBERS.items() for number in numbers}
_WORDS = (  # what carries neither: PostgreSQL's library before it is connected or when that is lost; the first counts
    (
        r"closed the connection unexpectedly|has been closed unexpectedly|EOF detected|connection (is|was) (lost|closed"
        r"|already closed)|terminating connection|server has gone away|Lost connection|could not (receive|send) data|"
        r"Packet sequence number wrong|Connection reset|Broken pipe|no connection to the server",
        _LOST,
    ),
    (r"due to lock timeout", _LOCKED),
    (r"due to (statement timeout|user request)|transaction timeout|idle-in-transaction timeout", _TIMEOUT),
    (r"deadlock detected|could not serialize access|conflict with recovery", _VICTIM),
    (r"too many (clients|connections)|remaining connection slots", _FULL),
    (r"starting up|shutting down|in recovery mode|not (yet )?accept(ing)? connections|recovery state has not", _AWAY),
    (r"authentication failed|no password supplied|pg_hba\.conf|role \".*\" (does not exist|is not permitted)", _LOGIN),
    (r"database \".*\" does not exist|permission denied for database|not currently accepting", _DATABASE),
    (r"Temporary failure in name resolution", _AWAY),
    (r"could not translate host name|failed to resolve host|Name or service not known|nodename nor servname", _HOST),
    (r"'cryptography' package is required", _DRIVER),
    (r"\bSSL\b|certificate|\bTLS\b", _ENCRYPTION),
    (
        r"Connection refused|timeout expired|timed out|No route to host|Network is unreachable|Host is down|"
        r"Is the server running",
        _AWAY,
    ),
    (r"database (table )?is locked", _LOCKED),
    (r"no such (table|column)", _CHANGED),
    (r"unexpected keyword argument|invalid connection option|bad value for|invalid integer value", _OPTION),
)
_WORDED = re.compile(r"SQLSTATE: (\w{5})")


def unavailable(error: BaseException) -> bool:
    """Whether the same may go well in a moment: the server is away or full, or the connection was lost."""
    return _kind(error).passing


def sqlstate(error: BaseException) -> str:
    """The SQLSTATE that a driver gives with its error (psycopg, ADBC, also in the text alone); empty if none."""
    state = getattr(_inner(error), "sqlstate", None)
    if isinstance(state, str) and state:
        return state
    found = _WORDED.search(str(error))
    return found[1] if found else ""


def explained(error: BaseException, url: str = "", table: str | None = None) -> str:
    """What happened and what to do about it, in one line without any password of the URL.

    Args:
        error: Of a driver, of SQLAlchemy around it, or of the system.
        url: What was connected to.
        table: The table being read, if it was one.

    Example:
        >>> explained(ConnectionRefusedError(111, "Connection refused")).partition(": ")[0]
        'the server is not there, or does not accept connections now'
    """
    kind = _kind(error)
    said = " ".join(without_secrets(_said(_inner(error)), url).split()).rstrip(".")
    remedy = _WITHOUT if kind is _OTHER and table is not None else kind.remedy
    remedy = remedy.replace("{table}", "it" if table is None else repr(table))
    return kind.says.replace("{said}", said) + (f"; {remedy}" if remedy else "")


def fault(error: BaseException, name: str, url: str = "", table: str | None = None, column: str = "") -> AdapterError:
    """The error to raise instead of a driver's: outside its ``except`` block, so that it does not hang on.

    Args:
        error: Of a driver, of SQLAlchemy around it, or of the system.
        name: What was connected, without a password.
        url: What was connected, with its passwords, to keep them out.
        table: The table being read, if it was one.
        column: The column, where it is known.

    Returns:
        A :class:`SourceUnavailableError` if the source is only away for now, else a plain :class:`AdapterError`.
    """
    where = "" if table is None else f": {table}.{column}" if column else f": {table}"
    message = f"{name}{where} cannot be read: {explained(error, url, table)}"
    return SourceUnavailableError(message) if unavailable(error) else AdapterError(message)


def _inner(error: BaseException) -> BaseException:
    """The driver's own error inside SQLAlchemy's."""
    inner = getattr(error, "orig", None)
    return inner if isinstance(inner, BaseException) else error


def _kind(error: BaseException) -> _Kind:
    inner = _inner(error)
    number = _number(inner)
    if number in _BY_NUMBER:
        kind = _BY_NUMBER[number]
        return _HOST if kind is _AWAY and _worded(str(inner)) is _HOST else kind  # one number for both
    state = "" if number else sqlstate(error)
    for length in (5, 2):
        if state[:length] in _STATES:
            return _STATES[state[:length]]
    if getattr(error, "connection_invalidated", False):
        return _LOST
    if isinstance(inner, ConnectionRefusedError | TimeoutError):
        return _AWAY
    if isinstance(inner, ConnectionError):
        return _LOST
    if isinstance(inner, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError):
        return _FILE
    about_values = number or state or (isinstance(inner, ValueError) and not isinstance(inner, OSError))
    return _OTHER if about_values else _worded(str(inner))


def _worded(text: str) -> _Kind:
    return next((kind for pattern, kind in _WORDS if re.search(pattern, text, re.IGNORECASE)), _OTHER)


def _number(error: BaseException) -> int:
    """The number of MariaDB or MySQL, 0 if it has none; an OSError's numbers are the system's, not theirs."""
    if isinstance(error, OSError):
        return 0
    number: Any = getattr(error, "errno", None) or (error.args[0] if error.args else None)
    return number if isinstance(number, int) and number > 0 else 0


def _said(error: BaseException) -> str:
    """The message alone: drivers of MySQL put the number before it, ADBC its status and the query after it."""
    if _number(error) and len(error.args) > 1 and isinstance(error.args[1], str):
        return f"{error.args[1].rstrip(' .')} ({error.args[0]})"
    text = str(error) or type(error).__name__
    return re.sub(r"\s*Query was: .*?(?=\. SQLSTATE|$)", " ", text, flags=re.DOTALL)
