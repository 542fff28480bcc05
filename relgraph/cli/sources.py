"""What a command line names: databases, saved graphs, statements, tasks."""

from __future__ import annotations

import datetime
import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from relgraph.cli.output import log
from relgraph.errors import AdapterError, ProtocolError, SchemaError

if TYPE_CHECKING:
    from relgraph.data.database import Database
    from relgraph.data.statements import Statements
    from relgraph.tasks import Task

__all__ = ["is_graph", "is_statements", "open_database", "open_statements", "read_declarations", "read_task"]

_SECTIONS = ("keys", "times", "tables")
_STATEMENT_SUFFIXES = (".txt", ".tsv", ".csv")


def is_graph(source: str) -> bool:
    """Whether this is a folder that ``relgraph convert`` wrote."""
    with suppress(OSError):  # a name that no file can have
        return (Path(source) / "graph.json").is_file()
    return False


def is_statements(source: str) -> bool:
    """Whether this is a statement file, a folder with ``train`` and ``test`` files, or another source of facts."""
    from relgraph.adapters.facts import reader_of

    path = Path(source)
    if _is_folder(path):
        stems = {file.stem.lower() for file in path.iterdir() if file.suffix.lower() in _STATEMENT_SUFFIXES}
        return {"train", "test"} <= stems or reader_of(path) is not None
    return reader_of(path) is not None or path.suffix.lower() in _STATEMENT_SUFFIXES


def _is_folder(path: Path) -> bool:
    with suppress(OSError):
        return path.is_dir()
    return False


def open_database(
    source: str,
    keys: Path | Mapping[str, Any] | None = None,
    times: Sequence[str] | None = None,
    tables: Sequence[str] | None = None,
    *,
    schemas: Sequence[str] | None = None,
    views: bool = False,
    snapshot: Path | None = None,
    refresh: bool = False,
    progress: bool = True,
) -> Database:
    """Connect with what the options declare; ``keys`` is the file, or what :func:`read_declarations` read.

    Raises:
        AdapterError: If the source or the declaration file cannot be read.
        SchemaError: If a declaration names what does not exist.
    """
    from relgraph.adapters import connect

    declared = _declarations(keys)
    chosen: Any = declared["tables"] or None
    if tables:
        if chosen is not None:
            raise typer.BadParameter("give the tables either in the file of --keys or with --table, not both")
        chosen = list(tables)
    moments = {**declared["times"], **dict(_pair(text) for text in times or ())}
    if refresh and snapshot is None:
        raise typer.BadParameter("needs --snapshot, the file that is refreshed", param_hint="--refresh")
    db: Database = connect(
        source,
        tables=chosen,
        schemas=list(schemas) if schemas else None,
        views=views,
        keys=declared["keys"],
        times=moments,
        snapshot=snapshot,
        refresh=refresh,
        progress=progress,
    )
    for change in db.changes:
        log(change)
    return db


def open_statements(
    source: str,
    form: Literal["hyper", "triples"],
    split: Literal["auto", "random", "time"],
    seed: int,
    database: Mapping[str, Any],
) -> tuple[Statements, Statements | None, Statements]:
    """Train, validation and test statements of a folder, a file, a saved graph or a database.

    Args:
        source: What the command line names.
        form: How the rows of a database become statements.
        split: How a source without its own split is split; ``"auto"`` takes time where there is one.
        seed: Of a random split.
        database: Further arguments of :func:`open_database`.
    """
    if is_statements(source):
        from relgraph.adapters import read_statements

        found = read_statements(source)
        if isinstance(found, tuple):
            train, *valid, test = found
            return train, valid[0] if valid else None, test
        return _split(found, split, seed)
    if is_graph(source):
        from relgraph.data.graph import HeteroGraph

        return _split(HeteroGraph.load(source).statements(form), split, seed)
    from relgraph.data.build import build_graph

    with open_database(source, **database) as db:
        graph = build_graph(db, progress=database["progress"])
        return _split(graph.statements(form), split, seed)


def read_task(path: Path) -> Callable[..., Task]:
    """The task of a TOML or JSON file with the arguments of a task, or of one of its forms.

    ``task`` says which: ``"entity"`` (default), ``"link"`` or ``"column"``; with ``form``, such as ``"count"`` or
    ``"next"``, the file has the arguments of that form instead of SQL.

    Returns:
        What makes the task for a database; it takes ``progress=``.

    Raises:
        AdapterError: If the file cannot be read.
        ProtocolError: If an argument is missing, unknown or makes no sense.
    """
    from relgraph.tasks.from_dict import task_maker

    # a TOML date without a time of day is no datetime
    values = {n: v.isoformat() if type(v) is datetime.date else v for n, v in _read_mapping(path, "a task").items()}
    if values.get("task") == "node":
        raise ProtocolError(f"{path}: a task about nodes brings its labels and cannot come from a file")
    try:
        return task_maker(values)
    except ProtocolError as error:
        message = str(error)
    raise ProtocolError(f"{path}: {message}")


def _split(
    statements: Statements, split: Literal["auto", "random", "time"], seed: int
) -> tuple[Statements, Statements, Statements]:
    from relgraph.data.time import STATIC

    if not len(statements):
        raise ProtocolError("there are no statements: the source has no foreign key with a value; see relgraph inspect")
    if split == "auto":
        timed = statements.time is not None and bool((statements.time != STATIC).any())
        split = "time" if timed else "random"
    parts = statements.split(by=split, seed=seed)
    sizes = ", ".join(f"{len(part):,} {name}" for name, part in zip(("train", "valid", "test"), parts, strict=True))
    log(f"split by {split}: {sizes}")
    return parts


def read_declarations(path: Path | Mapping[str, Any] | None) -> dict[str, Any]:
    """What a file of --keys holds, as it stands there; what was read before passes.

    Raises:
        AdapterError: If the file cannot be read.
    """
    if path is None:
        return {}
    return _read_mapping(path, "declarations") if isinstance(path, Path) else dict(path)


def _declarations(path: Path | Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    found = read_declarations(path)
    unknown = [name for name in found if name not in _SECTIONS or not isinstance(found[name], dict)]
    if unknown:
        raise SchemaError(
            f"{path}: expected the sections {', '.join(_SECTIONS)}, each a mapping from table names; "
            f"got {', '.join(unknown)}"
        )
    sections = {name: dict(found.get(name, {})) for name in _SECTIONS}
    sections["keys"] = {table: _declaration(value) for table, value in sections["keys"].items()}
    return sections


def _declaration(value: Any) -> Any:
    """Files spell a key of several columns ``a+b``, and its target ``["table", ["x", "y"]]``."""
    if not isinstance(value, dict) or not isinstance(value.get("foreign_keys"), dict):
        return value
    keys: dict[Any, Any] = {}
    for columns, target in value["foreign_keys"].items():
        pair = isinstance(target, list) and len(target) == 2 and isinstance(target[1], list)
        keys[tuple(columns.split("+")) if "+" in columns else columns] = (
            (target[0], tuple(target[1])) if pair else target
        )
    return {**value, "foreign_keys": keys}


def _read_mapping(path: Path, what: str) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise AdapterError(f"cannot read {path}: {error.strerror or error}; expected {what} as TOML or JSON") from None
    except UnicodeDecodeError as error:
        raise AdapterError(f"{path} is no UTF-8 text ({error.reason}); expected {what} as TOML or JSON") from None
    try:
        value = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except ValueError as error:
        kind = "JSON" if path.suffix.lower() == ".json" else "TOML"
        raise AdapterError(f"{path} is no {kind}: {error}") from None
    if not isinstance(value, dict):
        raise AdapterError(f"{path}: expected {what} as a mapping, got a {type(value).__name__}")
    return value


def _pair(text: str) -> tuple[str, str | tuple[str, ...]]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise typer.BadParameter(f"expected TABLE=COLUMN or TABLE=FROM,UNTIL, got {text!r}", param_hint="--times")
    return name, tuple(value.split(",")) if "," in value else value
