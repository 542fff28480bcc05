"""``relgraph explain``: which tables, columns and rows moved a prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from relgraph.cli.options import AsJson, Quiet
from relgraph.cli.output import guarded, log, show_document, show_table, show_text
from relgraph.cli.places import require_file
from relgraph.cli.rows import moment_for, open_rows, parse_key
from relgraph.errors import ProtocolError
from relgraph.runs.folder import read_run

__all__ = ["explain"]


@guarded
def explain(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that relgraph train wrote.", show_default=False)],
    key: Annotated[str, typer.Option(metavar="KEY", help="The row (JSON list if composite).", show_default=False)],
    target: Annotated[
        str | None, typer.Option(metavar="KEY", help="Of a recommender the row whose score is explained.")
    ] = None,
    time: Annotated[
        str | None, typer.Option(help="The moment of the prediction (ISO 8601); the last one in the data by default.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="The database as it is now, instead of the run's graph.")
    ] = None,
    output: Annotated[
        int | None, typer.Option(min=0, help="Of several classes or labels which one; the likeliest by default.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many lines of each part.")] = 8,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write .json or .html, complete.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say which tables, columns and rows moved a prediction, by their own keys.

    Scores are parts of the prediction: together they are what it is above or below the prediction for a row
    without any value and without related rows.

    **Examples**

        relgraph explain runs/churn --key 1023 --time 2024-06-01
        relgraph explain runs/churn --key 1023 --source shop.sqlite --json
    """
    found = read_run(run)
    if found.kind == "links":
        raise ProtocolError(f"{run} is a predictor of facts, and explanations are for predictions about rows")
    recommends = found.meta["task"].get("task") == "link"
    if recommends != (target is not None):
        raise typer.BadParameter(
            f"{run} recommends rows: say which one" if recommends else f"{run} does not recommend rows",
            param_hint="--target",
        )
    if out is not None:
        if out.suffix.lower() not in (".json", ".html"):
            raise typer.BadParameter(f"expected a name that ends in .json or .html, got {out}", param_hint="--out")
        require_file(out)
    with open_rows(found, None, source, not quiet) as opened:
        moment = moment_for(opened, time)
        row = parse_key(opened.graph, opened.task.entity_table, key)
        if target is not None:
            if output is not None:
                raise typer.BadParameter("a recommender has one output", param_hint="--output")
            other = parse_key(opened.graph, opened.target_table, target, "--target")
            explanation = opened.explain(key=row, target=other, time=moment)
        else:
            explanation = opened.explain(key=row, time=moment, output=output)
    if out is not None:
        text = explanation.to_json() if out.suffix.lower() == ".json" else explanation._repr_html_()
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(f"{text}\n", encoding="utf-8")
        log(f"the explanation is in {out}")
    if as_json:
        show_document(explanation.to_dict())
    elif out is None:
        show_text(explanation.title)
        for title, heads, rows in explanation.parts(top):
            show_table(title, heads, rows)
