"""``relgraph predict``: answers of a link predictor, or predictions for rows by their own keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relgraph.cli.options import AsJson, Quiet
from relgraph.cli.output import guarded, log, show_document, show_table
from relgraph.cli.places import require_file
from relgraph.cli.rows import moment_for, open_rows, parse_key, source_file
from relgraph.errors import SchemaError
from relgraph.runs.folder import read_run

if TYPE_CHECKING:
    import pyarrow

    from relgraph.runs.folder import RunFolder

__all__ = ["predict"]

LINKS = "Link prediction"
ROWS = "Rows of a table"
_SHOWN = 20


@guarded
def predict(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that relgraph train wrote.", show_default=False)],
    head: Annotated[str | None, typer.Option(help="Label of the head.", rich_help_panel=LINKS)] = None,
    relation: Annotated[str | None, typer.Option(help="Label of the relation.", rich_help_panel=LINKS)] = None,
    tail: Annotated[str | None, typer.Option(help="Label of the tail.", rich_help_panel=LINKS)] = None,
    qualifier: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REL=VALUE",
            help="A qualifier of the statement; REL=? asks for its value; repeatable.",
            rich_help_panel=LINKS,
        ),
    ] = None,
    k: Annotated[
        int | None,
        typer.Option(
            "-k", min=1, help="How many answers, or targets of each row: 10, or the task's k.", rich_help_panel=LINKS
        ),
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Leave out what the data already says.", rich_help_panel=LINKS)
    ] = False,
    time: Annotated[
        str | None,
        typer.Option(help="Predict at this moment (ISO 8601) instead of the test rows.", rich_help_panel=ROWS),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Only this row (JSON list if composite); repeatable.", rich_help_panel=ROWS),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE", help="The database as it is now, with new rows; not trained again.", rich_help_panel=ROWS
        ),
    ] = None,
    graph: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="A newer graph with the same statistics.", rich_help_panel=ROWS),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Write .csv, .json, .parquet, or a new table in a .duckdb or .sqlite file.",
            rich_help_panel=ROWS,
        ),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The new table; 'predictions' by default.", rich_help_panel=ROWS),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Ask a link predictor for the missing part of a statement, or predict rows of a table.

    For links, give two of --head, --relation and --tail, or all three and a --qualifier REL=? to ask for its value. For
    rows, the test rows are predicted, or with --time all rows known at that moment (or those of --key). With --source
    the model is used on the database as it is now: at --time, or at its last moment.

    **Examples**

        relgraph predict runs/lowfer --head /m/02mjmr --relation /people/person/profession -k 5
        relgraph predict runs/churn -o churn.csv
        relgraph predict runs/churn --time 2024-06-01 --key 1023
        relgraph predict runs/churn --source shop.sqlite -o out.duckdb --table churn_today
    """
    found = read_run(run)
    if found.kind == "links":
        only_rows = {"--time": time, "--key": key, "--source": source, "--graph": graph, "--out": out, "--table": table}
        _refuse_for("a link predictor", only_rows)
        parts = {"head": head, "relation": relation, "tail": tail}
        _predict_links(found, parts, _qualifiers(qualifier), 10 if k is None else k, new, as_json)
        return
    only_links = {
        "--head": head,
        "--relation": relation,
        "--tail": tail,
        "--qualifier": qualifier,
        "--new": new or None,
    }
    _refuse_for("a predictor of rows", only_links)
    if found.meta["task"].get("task") != "link":
        _refuse_for("a predictor of single values", {"-k": k})
    place = None if out is None else _place(out, table)
    if table is not None and out is None:
        raise typer.BadParameter("needs --out, the .duckdb or .sqlite file", param_hint="--table")
    predictions = _predict_rows(found, time, key, graph, source, not quiet, {} if k is None else {"k": k})
    if out is not None and place is not None:
        from relgraph.training.predictions import write_predictions

        write_predictions(predictions, out, table, source=source_file(source or found.meta.get("source")))
        log(f"{len(predictions):,} predictions in {out}")
    if as_json:
        written = {"predictions": predictions.to_pylist()} if out is None else {"file": str(place)}
        show_document({"kind": "rows", "table": found.meta["table"], "rows": len(predictions), **written})
    elif out is None:
        _show(predictions)


def _predict_links(
    found: RunFolder, parts: dict[str, str | None], qualifiers: dict[str, str | None], k: int, new: bool, as_json: bool
) -> None:
    missing = [f"--{name}" for name, value in parts.items() if value is None]
    if len(missing) != (0 if None in qualifiers.values() else 1):
        raise typer.BadParameter(
            "give exactly two of --head, --relation, --tail, or all three and a --qualifier REL=?; left out: "
            f"{', '.join(missing) or 'none'}"
        )
    from relgraph.runs import LinkRun

    run = LinkRun.read(found)
    answers = run.predict(parts["head"], parts["relation"], parts["tail"], qualifiers=qualifiers or None, k=k, new=new)
    if as_json:
        rows = [{"label": answer.label, "score": answer.score} for answer in answers]
        given = {"qualifiers": qualifiers} if qualifiers else {}
        show_document({"kind": "links", **parts, **given, "answers": rows})
    else:
        pairs = [f"{name}={value or '?'}" for name, value in qualifiers.items()]
        asked = "  ".join([*(value or "?" for value in parts.values()), *pairs])
        show_table(asked, ["", "answer", "score"], [[i, *answer] for i, answer in enumerate(answers, 1)])


def _qualifiers(texts: list[str] | None) -> dict[str, str | None]:
    pairs: dict[str, str | None] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise typer.BadParameter(f"expected REL=VALUE or REL=?, got {text!r}", param_hint="--qualifier")
        pairs[name] = None if value == "?" else value
    return pairs


def _predict_rows(
    found: RunFolder,
    time: str | None,
    keys: list[str] | None,
    newer: Path | None,
    source: str | None,
    progress: bool,
    options: dict[str, Any],
) -> pyarrow.Table:
    with open_rows(found, newer, source, progress) as run:
        timed = run.task.regime != "static"
        if keys and time is None and source is None and timed:
            raise typer.BadParameter("needs --time, the moment of the prediction", param_hint="--key")
        if time is None and source is None and not keys:
            return run.predict(progress=progress, **options)
        moment = moment_for(run, time)
        chosen = [parse_key(run.graph, run.task.entity_table, text) for text in keys or ()]
        return run.predict(keys=chosen or "all", time=moment, progress=progress, **options)


def _refuse_for(what: str, options: dict[str, Any]) -> None:
    for name, value in options.items():
        if value:
            raise typer.BadParameter(f"the run is {what}, which has no such option", param_hint=name)


def _show(table: pyarrow.Table) -> None:
    # whole numbers are keys and classes here, not quantities
    rows = [
        [str(value) if isinstance(value, int) else value for value in row.values()]
        for row in table.slice(0, _SHOWN).to_pylist()
    ]
    show_table(f"{len(table):,} predictions", table.column_names, rows)
    if len(table) > _SHOWN:
        log(f"the first {_SHOWN} of {len(table):,}; write all with -o FILE")


def _place(out: str, table: str | None) -> Path:
    """The file of ``--out``, looked at before the work starts."""
    from relgraph.training.predictions import split_place

    try:
        file, _ = split_place(out, table)
    except SchemaError as error:
        raise typer.BadParameter(str(error), param_hint="--out") from None
    require_file(file)
    return file
