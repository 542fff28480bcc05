"""The shell of relgraph: thin commands over the library, each importing what it needs when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from relgraph import __version__
from relgraph.cli.compare import compare
from relgraph.cli.convert import convert
from relgraph.cli.demo import demo
from relgraph.cli.evaluate import evaluate
from relgraph.cli.explain import explain
from relgraph.cli.inspect import inspect
from relgraph.cli.predict import predict
from relgraph.cli.report import report
from relgraph.cli.train import train

__all__ = ["app", "main"]

app = typer.Typer(
    name="relgraph",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    # locals in a traceback may hold passwords
    pretty_exceptions_enable=False,
)
for command in (inspect, convert, train, compare, evaluate, predict, explain, report, demo):
    app.command()(command)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"relgraph {__version__}")
        raise typer.Exit


@app.callback()
def _relgraph(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Learn on relational databases and knowledge graphs.

    Results go to stdout (one JSON document with --json), log and progress to stderr. Exit codes: 0 done, 1 an error
    with a message, 2 wrong usage, 130 Ctrl-C.
    """


def main() -> None:
    """Run the command line."""
    app(prog_name="relgraph")
