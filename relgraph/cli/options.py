"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["AsJson", "Keys", "Quiet", "Refresh", "Schemas", "Snapshot", "Source", "Tables", "Times", "Views"]

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A database: SQLAlchemy URL, SQLite or DuckDB file, folder of Parquet, CSV or TSV files.",
        show_default=False,
    ),
]
Times = Annotated[
    list[str] | None,
    typer.Option(
        "--times",
        metavar="TABLE=COLUMN",
        help="Which column says when a row happened, or FROM,UNTIL for those between which it holds; repeatable.",
    ),
]
Keys = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        metavar="FILE",
        help="TOML or JSON with sections \\[keys], \\[times], \\[tables]: what the source does not declare itself.",
    ),
]
Tables = Annotated[list[str] | None, typer.Option("--table", metavar="NAME", help="Read only this table; repeatable.")]
Schemas = Annotated[
    list[str] | None,
    typer.Option("--schema", metavar="NAME", help="Read this schema of the database; '*' for all; repeatable."),
]
Views = Annotated[bool, typer.Option("--views", help="Read views too.")]
Snapshot = Annotated[
    Path | None,
    typer.Option("--snapshot", metavar="FILE", help="Keep what is read in this DuckDB file, and reuse it."),
]
Refresh = Annotated[
    bool, typer.Option("--refresh", help="Bring the file of --snapshot up to date, reading what is new.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
