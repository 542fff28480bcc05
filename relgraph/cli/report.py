"""``relgraph report``: one page, or a model card, about a trained run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from relgraph.cli.options import AsJson, Quiet
from relgraph.cli.output import guarded, log, show_document
from relgraph.cli.places import require_file

__all__ = ["report"]


@guarded
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A folder that relgraph train wrote.", show_default=False)],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", help="page.html, or card.md for a model card.", show_default=False),
    ],
    split: Annotated[str, typer.Option(help="Which part is evaluated: test, valid, val or train.")] = "test",
    licence: Annotated[str | None, typer.Option(metavar="TEXT", help="Under which terms the data may be used.")] = None,
    seed: Annotated[int, typer.Option(help="Of the map of entities.")] = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Evaluate a run and write what was found: one self-contained page with pictures, or a model card.

    The page has metrics with what they mean, training curves, ranks or predictions beside the truth, relation by
    relation or the schema, a map of entities or what moved the strongest prediction.

    **Examples**

        relgraph report runs/lowfer -o lowfer.html
        relgraph report runs/churn -o card.md --licence "CC BY 4.0"
    """
    import relgraph
    from relgraph.runs.report import ENDINGS

    if out.suffix.lower() not in ENDINGS:
        raise typer.BadParameter(f"expected a name that ends in {' or '.join(ENDINGS)}, got {out}", param_hint="--out")
    require_file(out)
    opened = relgraph.load(run)
    named = {"val": "valid", "valid": "val"}
    known = opened.statements if opened.kind == "links" else opened.seeds
    chosen = named.get(split, split) if split not in known else split
    file = opened.report(out, chosen, licence=licence, seed=seed, progress=not quiet)
    log(f"the report is in {file}")
    if as_json:
        show_document({**opened.describe(), "split": chosen, "file": str(file)})
