"""SQLAlchemy engines from URLs, with the drivers that relgraph's extras bring."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from relgraph.adapters.urls import as_path, existing, is_url, masked, without_secrets
from relgraph.errors import AdapterError

if TYPE_CHECKING:
    import sqlalchemy

__all__ = ["dialect_of", "knows", "make_engine"]

_DRIVERS = {  # dialect named without a driver -> the one of our extra
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
_EXTRAS = {"postgresql": "relgraph[postgres]", "mysql": "relgraph[mysql]", "mariadb": "relgraph[mysql]"}


def dialect_of(source: object) -> str:
    """The dialect of a URL without its driver, in SQLAlchemy's spelling; empty for anything else."""
    if not isinstance(source, str) or not is_url(source):
        return ""
    dialect = source.partition("://")[0].partition("+")[0].lower()
    return "postgresql" if dialect == "postgres" else dialect


def knows(source: object) -> bool:
    """Whether it is a URL of a dialect that is there."""
    import sqlalchemy

    dialect = dialect_of(source)
    try:
        return bool(dialect) and sqlalchemy.dialects.registry.load(dialect) is not None
    except sqlalchemy.exc.NoSuchModuleError:
        return False


def make_engine(source: str, options: Callable[[sqlalchemy.URL], dict[str, Any]]) -> sqlalchemy.Engine:
    """An engine that opens a connection for each use and keeps none.

    Args:
        source: A URL that :func:`knows`.
        options: Further arguments of ``sqlalchemy.create_engine``, by the URL with its driver.

    Raises:
        AdapterError: If the driver is not installed, the URL is malformed, or names a SQLite file that does not exist.
    """
    import sqlalchemy

    name, dialect, driver = masked(source), dialect_of(source), ""
    try:
        url = sqlalchemy.make_url(source)
        if "@" in (url.host or ""):  # of the password; a driver would show it as the host
            raise ValueError("an '@' in the user or password has to be written as %40")
        driver = url.drivername.partition("+")[2]
        url = url.set(drivername=f"{dialect}+{driver}" if driver else _DRIVERS.get(dialect, dialect))
        if dialect == "sqlite":
            _require_file(url, name)
        return sqlalchemy.create_engine(url, **{"poolclass": sqlalchemy.NullPool, **options(url)})
    except ImportError as error:
        missing = error.name or str(error)
        extra = _EXTRAS.get(dialect)
        remedy = f"pip install '{extra or missing}'"
        if extra is not None and driver and f"{dialect}+{driver}" != _DRIVERS[dialect]:
            remedy = f"install it, or {remedy} and write {dialect}://..."  # the extra brings another driver
        message = f"{name} needs the driver {missing!r}, which is not installed: {remedy}"
    except (sqlalchemy.exc.SQLAlchemyError, ValueError, TypeError) as error:
        message = (
            f"{name} is no URL that SQLAlchemy takes: {without_secrets(str(error), source)}; expected "
            "dialect+driver://user:password@host:port/database"
        )
    raise AdapterError(message)


def _require_file(url: sqlalchemy.URL, name: str) -> None:
    """Every driver of SQLite makes a file that is missing."""
    database = url.database or ":memory:"
    if "uri" in url.query and database.startswith("file:"):
        database = unquote(urlsplit(database).path)
    path = None if database == ":memory:" else as_path(Path(database))
    if path is None:
        raise AdapterError(f"{name} names no SQLite file; expected {url.drivername}:///path")
    existing(path, "a SQLite file")
