"""Results on stdout, everything else on stderr, errors without a traceback."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import typer

from relgraph.data.text_table import value_text
from relgraph.errors import RelGraphError

__all__ = ["guarded", "log", "show_document", "show_pairs", "show_table", "show_text"]

P = ParamSpec("P")
T = TypeVar("T")

INTERRUPTED = 130


def guarded(command: Callable[P, T]) -> Callable[P, T]:
    """A command whose expected errors end it with code 1 and one message, and Ctrl-C with code 130.

    With ``--json`` the message is also a document on stdout, that of wrong usage (code 2) too.
    """

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except RelGraphError as error:
            if kwargs.get("as_json"):
                show_document({"error": {"type": type(error).__name__, "message": str(error)}})
            log(f"error: {error}")
            raise typer.Exit(1) from None
        except typer.BadParameter as error:
            if kwargs.get("as_json"):
                show_document({"error": {"type": "UsageError", "message": error.format_message()}})
            raise
        except KeyboardInterrupt:
            log("interrupted")
            raise typer.Exit(INTERRUPTED) from None

    return wrapped


def log(text: str) -> None:
    """A line for the person, not for the result."""
    sys.stderr.write(f"{text}\n")


def show_document(value: Mapping[str, Any]) -> None:
    """One JSON document."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")


def show_text(text: str) -> None:
    """Plain text."""
    sys.stdout.write(f"{text}\n")


def show_pairs(title: str, values: Mapping[str, Any]) -> None:
    """Names and values, one pair a line."""
    show_table(title, ["", ""], [[name, value] for name, value in values.items()])


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table: drawn on a terminal, aligned text elsewhere.

    Args:
        title: What it is about.
        columns: Their names; no head if all are empty.
        rows: Values; numbers are aligned right.
    """
    cells = [[value_text(value) for value in row] for row in rows]
    right = [bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in range(len(columns))]
    if sys.stdout.isatty():
        _draw(title, columns, cells, right)
        return
    head = [list(columns)] if any(columns) else []
    widths = [max((len(row[i]) for row in head + cells), default=0) for i in range(len(columns))]
    show_text(title)
    for row in head + cells:
        padded = [t.rjust(w) if r else t.ljust(w) for t, w, r in zip(row, widths, right, strict=True)]
        show_text(f"  {'  '.join(padded)}".rstrip())


def _draw(title: str, columns: Sequence[str], cells: list[list[str]], right: list[bool]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", show_header=any(columns))
    for name, numeric in zip(columns, right, strict=True):
        table.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))  # Text: brackets in the data are no markup
    Console().print(table)
