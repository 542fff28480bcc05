"""``relgraph train``: a link predictor on statements, or a GNN on rows of a table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from relgraph.cli.options import AsJson, Keys, Quiet, Refresh, Schemas, Snapshot, Tables, Times, Views
from relgraph.cli.output import guarded, log, show_document, show_pairs
from relgraph.cli.places import require_folder
from relgraph.cli.sources import is_graph, is_statements, open_database, open_statements, read_declarations, read_task
from relgraph.errors import ProtocolError

__all__ = ["train"]

LINKS = "Link prediction"
ROWS = "Rows of a table (with --task)"
BOTH = "Training"
# arguments of relgraph.kge.fit that have an option of their own, or that this command decides
_NAMED = {
    "scorer", "train", "valid", "epochs", "batch_size", "loss", "label_smoothing", "regularizer", "lr", "decay",
    "valid_size", "validate_every", "patience", "checkpoint", "resume", "max_seconds", "seed", "accelerator",
    "progress",
}  # fmt: skip

Task = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="TOML or JSON: what to predict about rows of a table.", rich_help_panel=ROWS),
]


@guarded
def train(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Statements, a saved graph, or a database.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="RUN", help="Folder of the run.")],
    task: Task = None,
    keys: Keys = None,
    times: Times = None,
    table: Tables = None,
    schema: Schemas = None,
    views: Views = False,
    snapshot: Snapshot = None,
    refresh: Refresh = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    epochs: Annotated[int | None, typer.Option(min=1, rich_help_panel=BOTH)] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.", rich_help_panel=BOTH)] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, rich_help_panel=BOTH)] = None,
    patience: Annotated[
        int | None,
        typer.Option(min=1, help="Stop after so many validations without a better one.", rich_help_panel=BOTH),
    ] = None,
    max_seconds: Annotated[
        float | None, typer.Option(help="Stop in time; the same command goes on.", rich_help_panel=BOTH)
    ] = None,
    seed: Annotated[int, typer.Option(rich_help_panel=BOTH)] = 0,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, cuda, ...", rich_help_panel=BOTH)] = "auto",
    restart: Annotated[
        bool, typer.Option("--restart", help="Start anew, whatever is in RUN.", rich_help_panel=BOTH)
    ] = False,
    scorer: Annotated[
        str,
        typer.Option(
            help="distmult, complex, transe, rotate, tucker, lowfer, nfe1, ...; an unknown one names them all.",
            rich_help_panel=LINKS,
        ),
    ] = "lowfer",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="An argument of the scorer, or with --task of relgraph.fit, such as gnn=hgt; repeatable.",
            rich_help_panel=BOTH,
        ),
    ] = None,
    form: Annotated[
        Literal["hyper", "triples"],
        typer.Option(
            help="Rows of fact tables as statements with qualifiers, or each key a triple.", rich_help_panel=LINKS
        ),
    ] = "hyper",
    split: Annotated[
        Literal["auto", "time", "random"],
        typer.Option(help="How a source without train and test parts is split.", rich_help_panel=LINKS),
    ] = "auto",
    loss: Annotated[
        Literal["bce", "1-vs-all", "ce", "sampled"] | None,
        typer.Option(help="What is trained by; bce by default.", rich_help_panel=LINKS),
    ] = None,
    loss_set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="A choice of the loss, such as answers=all or negatives=1024; repeatable.",
            rich_help_panel=LINKS,
        ),
    ] = None,
    label_smoothing: Annotated[float | None, typer.Option(rich_help_panel=LINKS)] = None,
    n3: Annotated[float | None, typer.Option(help="Weight of the N3 regularizer.", rich_help_panel=LINKS)] = None,
    decay: Annotated[
        float | None, typer.Option(help="Factor of the learning rate per epoch.", rich_help_panel=LINKS)
    ] = None,
    fit_: Annotated[
        list[str] | None,
        typer.Option(
            "--fit",
            metavar="NAME=VALUE",
            help="Any other argument of relgraph.kge.fit, such as optimizer=adagrad, schedule=cosine, warmup=2, "
            "precision=bf16-mixed, tensorboard=logs or logger=csv:logs; repeatable.",
            rich_help_panel=LINKS,
        ),
    ] = None,
    validate_every: Annotated[
        int | None, typer.Option(min=1, help="Epochs between validations.", rich_help_panel=LINKS)
    ] = None,
    valid_size: Annotated[
        int | None, typer.Option(min=1, help="Validate on so many statements.", rich_help_panel=LINKS)
    ] = None,
    channels: Annotated[int | None, typer.Option(min=1, help="Width of the network.", rich_help_panel=ROWS)] = None,
    num_neighbors: Annotated[
        str | None, typer.Option(metavar="N,N,...", help="Neighbours per hop.", rich_help_panel=ROWS)
    ] = None,
    strategy: Annotated[
        Literal["uniform", "last"] | None,
        typer.Option(help="Neighbours drawn at random, or the last ones.", rich_help_panel=ROWS),
    ] = None,
    max_batches: Annotated[int | None, typer.Option(min=1, help="Batches per epoch.", rich_help_panel=ROWS)] = None,
    num_workers: Annotated[int | None, typer.Option(min=0, help="Sampling processes.", rich_help_panel=ROWS)] = None,
) -> None:
    """Train a link predictor on statements, or with --task a GNN that predicts rows of a table.

    SOURCE is a statement file, a folder with train and test files, a folder that `relgraph convert` wrote,
    or a database. The same command again goes on where a stopped one was.

    A task file has the arguments of `relgraph.EntityTask`: entity_table, sql, horizon, kind and, if the
    quantiles of the data will not do, val_time and test_time. Instead of sql and kind it may name a form, such as
    form = "count" with of = "orders"; task = "link" or "column" makes a LinkTask or ColumnTask.

    **Examples**

        relgraph train fb15k-237 -o runs/lowfer --set dim=200 --set rank=30
        relgraph train shop.sqlite -o runs/links --scorer distmult --epochs 20
        relgraph train wn18rr -o runs/complex --scorer complex --loss ce --n3 0.1 --fit optimizer=adagrad
        relgraph train shop.sqlite -o runs/churn --task churn.toml --keys shop.toml
        relgraph train shop.sqlite -o runs/hgt --task churn.toml --keys shop.toml --set gnn=hgt --epochs 3
    """
    common = _given(
        epochs=epochs, lr=lr, batch_size=batch_size, patience=patience, max_seconds=max_seconds, seed=seed,
        accelerator=accelerator, checkpoint=out / "checkpoint", resume=not restart, progress=not quiet,
    )  # fmt: skip
    database = {
        "keys": keys, "times": times, "tables": table, "schemas": schema, "views": views, "snapshot": snapshot,
        "refresh": refresh, "progress": not quiet,
    }  # fmt: skip
    for_links = _given(
        loss=loss, loss_set=loss_set, label_smoothing=label_smoothing, n3=n3, decay=decay, fit=fit_,
        validate_every=validate_every, valid_size=valid_size,
    )  # fmt: skip
    for_rows = _given(
        channels=channels,
        num_neighbors=_fan_out(num_neighbors),
        strategy=strategy,
        max_batches=max_batches,
        num_workers=num_workers,
    )
    require_folder(out)
    with _resumable(out):
        if task is None:
            _refuse(for_rows, "needs --task")
            _known_scorer(scorer)
            arguments = _arguments(set_)
            for_links = _fit_arguments(for_links)
            statements = open_statements(source, form, split, seed, database)
            report = _train_links(out, source, statements, scorer, arguments, seed, {**common, **for_links})
        else:
            _refuse(for_links, "is for link prediction, without --task")
            report = _train_rows(out, source, task, database, {**common, **for_rows, **_arguments(set_)})
    log(f"saved in {out}; next: relgraph evaluate {out}")
    if as_json:
        show_document(report)
    else:
        shown = {**{n: v for n, v in report.items() if not isinstance(v, dict | list)}, **report["validation"]}
        show_pairs(f"trained in {out}", shown)


@contextmanager
def _resumable(out: Path) -> Iterator[None]:
    """Say after Ctrl-C that nothing is lost, if so."""
    try:
        yield
    except KeyboardInterrupt:
        if (out / "checkpoint" / "checkpoint.json").exists():
            log(f"a checkpoint is in {out}; the same command goes on from there")
        raise


def _known_scorer(name: str) -> None:
    from relgraph import kge

    if name not in kge.SCORERS:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(kge.SCORERS)}", param_hint="--scorer")


def _fit_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of link prediction as arguments of :func:`relgraph.kge.fit`."""
    from relgraph import kge
    from relgraph.kge.losses import as_loss, with_choices

    options = dict(given)
    choices, others, weight = (options.pop(name, None) for name in ("loss_set", "fit", "n3"))
    try:
        if choices:
            smoothing = options.pop("label_smoothing", None)
            named = as_loss(options.get("loss", "bce"), smoothing)
            options["loss"] = with_choices(named, _arguments(choices, "--loss-set"))
        if weight is not None:
            options["regularizer"] = kge.N3(weight)
    except ProtocolError as error:
        raise typer.BadParameter(str(error), param_hint="--loss-set" if choices else "--n3") from None
    free = [name for name in signature(kge.fit).parameters if name not in _NAMED]
    for name, value in _arguments(others, "--fit").items():
        if name not in free:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(free)}", param_hint="--fit")
        options[name] = value
    return options


def _train_links(
    out: Path,
    source: str,
    parts: Sequence[Any],
    name: str,
    arguments: dict[str, Any],
    seed: int,
    options: dict[str, Any],
) -> dict[str, Any]:
    from relgraph import kge
    from relgraph.adapters.urls import masked
    from relgraph.runs import LinkRun

    known, valid, test = parts
    sizes = (known.num_entities, known.num_relations)
    try:
        scorer = kge.SCORERS[name](*sizes, **{"seed": seed, **arguments})
    except TypeError as error:
        raise typer.BadParameter(f"{name}: {error}", param_hint="--set") from None
    valid = valid if valid is not None and len(valid) else None
    history = kge.fit(scorer, known, valid=valid, **options)
    splits = {"train": known, "valid": valid, "test": test}
    present = {split: part for split, part in splits.items() if part is not None}
    run = LinkRun(scorer, known.vocabulary, present, history, {"source": masked(source), **_summary(history)})
    run.save(out)
    return {**run.describe(), **_summary(history)}


def _train_rows(
    out: Path, source: str, task_file: Path, database: Mapping[str, Any], options: dict[str, Any]
) -> dict[str, Any]:
    from relgraph.data.build import build_graph
    from relgraph.runs import RowRun
    from relgraph.training.entity import fit

    if is_graph(source) or (is_statements(source) and not Path(source).is_dir()):
        raise ProtocolError(f"--task needs a database, whose SQL gives the labels; {source} is none")
    progress = database["progress"]
    make_task = read_task(task_file)
    with open_database(source, **database) as db:
        task = make_task(db, progress=progress).with_times(db, progress=progress)
        graph = build_graph(db, fit_until=task.val_time, hide=task.hidden, progress=progress)
        predictor = fit(db, graph, task, **options)
        # what predict --source connects with
        connect = {name: database[name] for name in ("times", "tables", "schemas", "views")}
        connect["keys"] = read_declarations(database["keys"])
        run = RowRun.of(predictor, db, {"connect": connect, **_summary(predictor.history)})
    for split, why in run.meta["left_out"].items():
        log(f"no split {split}: {why}")
    run.save(out)
    return {**run.describe(), "source": run.meta["source"], **_summary(run.history)}


def _summary(history: Any) -> dict[str, Any]:
    best = [row for row in history.epochs if row["epoch"] == (history.best_epoch or len(history))]
    return {
        "epochs": len(history),
        "stopped": history.stopped,
        "best_epoch": history.best_epoch,
        "loss": history.epochs[-1]["loss"] if history.epochs else None,
        "seconds": round(sum(row["seconds"] for row in history.epochs), 3),
        "validation": best[0]["metrics"] if best else {},
    }


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _refuse(given: Mapping[str, Any], why: str) -> None:
    for name in given:
        raise typer.BadParameter(why, param_hint=f"--{name.replace('_', '-')}")


def _arguments(pairs: Sequence[str] | None, option: str = "--set") -> dict[str, Any]:
    found = {}
    for text in pairs or ():
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"expected NAME=VALUE, got {text!r}", param_hint=option)
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _fan_out(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"expected whole numbers such as 128,64, got {text!r}", param_hint="--num-neighbors"
        ) from None
