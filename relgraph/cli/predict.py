"""``relgraph predict``: answers of a link predictor, or predictions for rows by their own keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relgraph.cli.options import AsJson, Quiet
from relgraph.cli.output import guarded, log, show_document, show_table
from relgraph.cli.places import require_file
from relgraph.cli.runs import read_run, read_seeds, read_statement_parts
from relgraph.errors import AdapterError

if TYPE_CHECKING:
    import pyarrow

    from relgraph.cli.runs import Run
    from relgraph.data.graph import HeteroGraph

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
    k: Annotated[int, typer.Option("-k", min=1, help="How many answers.", rich_help_panel=LINKS)] = 10,
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
    graph: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="A newer graph with the same statistics.", rich_help_panel=ROWS),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Write .csv, .json or .parquet.", rich_help_panel=ROWS),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Ask a link predictor for the missing part of a statement, or predict rows of a table.

    For links, give two of --head, --relation and --tail. For rows, the test rows are predicted, or with --time all rows
    known at that moment (or those of --key).

    **Examples**

        relgraph predict runs/lowfer --head /m/02mjmr --relation /people/person/profession -k 5
        relgraph predict runs/churn -o churn.csv
        relgraph predict runs/churn --time 2024-06-01 --key 1023
    """
    found = read_run(run)
    if found.kind == "links":
        _refuse_for("a link predictor", {"--time": time, "--key": key, "--graph": graph, "--out": out})
        _predict_links(found, {"head": head, "relation": relation, "tail": tail}, k, new, as_json)
        return
    _refuse_for("a predictor of rows", {"--head": head, "--relation": relation, "--tail": tail, "--new": new or None})
    if key and time is None:
        raise typer.BadParameter("needs --time, the moment of the prediction", param_hint="--key")
    if out is not None:
        _require_out(out)
    table = _predict_rows(found, time, key, graph, not quiet)
    if out is not None:
        _write(table, out)
        log(f"{len(table):,} predictions in {out}")
    if as_json:
        written = {"predictions": table.to_pylist()} if out is None else {"file": str(out)}
        show_document({"kind": "rows", "table": found.meta["table"], "rows": len(table), **written})
    elif out is None:
        _show(table)


def _predict_links(run: Run, parts: dict[str, str | None], k: int, new: bool, as_json: bool) -> None:
    missing = [f"--{name}" for name, value in parts.items() if value is None]
    if len(missing) != 1:
        raise typer.BadParameter(
            f"give exactly two of --head, --relation, --tail; left out: {', '.join(missing) or 'none'}"
        )
    from relgraph import kge

    scorer, vocabulary, _ = kge.load_scorer(run.path / "model")
    known = list(read_statement_parts(run, vocabulary).values()) if new else None
    answers = kge.predict(scorer, vocabulary, **parts, k=k, known=known)
    if as_json:
        rows = [{"label": answer.label, "score": answer.score} for answer in answers]
        show_document({"kind": "links", **parts, "answers": rows})
    else:
        asked = "  ".join(value or "?" for value in parts.values())
        show_table(asked, ["", "answer", "score"], [[i, *answer] for i, answer in enumerate(answers, 1)])


def _predict_rows(
    run: Run, time: str | None, keys: list[str] | None, newer: Path | None, progress: bool
) -> pyarrow.Table:
    from relgraph.data.graph import HeteroGraph
    from relgraph.data.time import to_moment
    from relgraph.training.predictor import EntityPredictor

    graph = HeteroGraph.load(run.path / "graph" if newer is None else newer)
    predictor = EntityPredictor.load(run.path / "model", graph)
    if time is None:
        return predictor.predict(read_seeds(run, "test", graph), progress=progress)
    table = predictor.task.entity_table
    moment = to_moment(time, "--time")
    chosen = _visible(graph, table, moment) if not keys else [_key(graph, table, text) for text in keys]
    return predictor.predict(keys=chosen, time=moment, progress=progress)


def _visible(graph: HeteroGraph, table: str, moment: int) -> list[Any]:
    """Keys of the rows that are known at a moment."""
    import torch

    store = graph.nodes[table]
    rows = torch.arange(store.num_nodes)
    return graph.node_keys(table, rows if store.time is None else rows[store.time <= moment])


def _key(graph: HeteroGraph, table: str, text: str) -> Any:
    """A key as the graph has it: whole numbers, text, or a tuple of them."""
    from torch import Tensor

    keys = graph.nodes[table].keys
    numeric = [True] if keys is None else [isinstance(column, Tensor) for column in keys.columns]
    if len(numeric) > 1:
        try:
            values = json.loads(text)
        except ValueError:
            values = None
        if not isinstance(values, list) or len(values) != len(numeric):
            names = ", ".join(keys.names) if keys is not None else ""
            raise typer.BadParameter(f"expected a JSON list for ({names}), got {text!r}", param_hint="--key")
        if any(whole and type(value) is not int for value, whole in zip(values, numeric, strict=True)):
            raise typer.BadParameter(f"expected whole numbers where the key has them, got {text!r}", param_hint="--key")
        return tuple(value if whole else str(value) for value, whole in zip(values, numeric, strict=True))
    if not numeric[0]:
        return text
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"the keys of {table!r} are whole numbers, got {text!r}", param_hint="--key") from None


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


def _require_out(path: Path) -> None:
    if path.suffix.lower() not in (".csv", ".json", ".parquet"):
        raise typer.BadParameter(
            f"expected a name that ends in .csv, .json or .parquet, got {path}", param_hint="--out"
        )
    require_file(path)


def _write(table: pyarrow.Table, path: Path) -> None:
    suffix = path.suffix.lower()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if suffix == ".json":
            rows = table.to_pylist()
            path.write_text(json.dumps(rows, ensure_ascii=False, indent=1, default=str) + "\n", encoding="utf-8")
        elif suffix == ".csv":
            import pyarrow.csv

            pyarrow.csv.write_csv(table, path)
        else:
            import pyarrow.parquet

            pyarrow.parquet.write_table(table, path)
    except OSError as error:
        raise AdapterError(f"cannot write {path}: {error.strerror or error}") from error
