"""What the demo found, told twice: as a short text and as one HTML page."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING

from relgraph.data.html import graph_html, schema_svg, table_html
from relgraph.data.time import format_time
from relgraph.demo.links import LinkOutcome
from relgraph.pictures import Section, bars, curves, page_html, paragraph, preformatted, side_by_side, write_whole

if TYPE_CHECKING:
    from relgraph.demo.entities import EntityOutcome
    from relgraph.demo.run import DemoResult

__all__ = ["summary", "write_story"]

_LINK_METRICS = ("mrr", "hits@1", "hits@3", "hits@10")
_CHANCE = {"auroc": 0.5}


def summary(result: DemoResult) -> str:
    """The figures as aligned text."""
    lines = _findings(result)
    lines.append(f"{sum(result.seconds.values()):.0f} seconds; everything on one page: {result.page}")
    return "\n".join(lines)


def _findings(result: DemoResult) -> list[str]:
    graph, entities, links = result.graph, result.entities, result.links
    rows = sum(table.rows for table in result.report.tables)
    lines = [
        f"{result.name}: {len(result.report.tables)} tables, {rows:,} rows, "
        f"{len(result.report.foreign_keys)} foreign keys, {len(result.report.problems)} problems",
        f"graph: {graph.num_nodes:,} nodes, {graph.num_edges:,} edges",
        "",
        f"predicting rows of {entities.task.entity_table} ({entities.task.kind}, {entities.splits[-1][1]:,} test rows)",
        *_score_lines(entities.scores),
        "",
        "highest predictions: "
        + "; ".join(f"{key} ({value:.2f}, was {label:g})" for key, _, value, label in entities.top[:5]),
        "",
    ]
    if links is not None:
        lines += [
            f"predicting the next {links.relation} ({links.counts[3]:,} test statements)",
            *_score_lines([(name, {m: metrics[m] for m in _LINK_METRICS}) for name, metrics in links.scores]),
            "",
            *(
                f"next {links.relation} of {head}: {', '.join(tail for tail, _ in tails)}"
                for head, tails in links.top[:3]
            ),
            "",
        ]
    return lines + result.notes


def _score_lines(scores: list[tuple[str, dict[str, float]]]) -> list[str]:
    width = max(len(name) for name, _ in scores)
    return [
        f"  {name:<{width}}  " + "  ".join(f"{metric} {value:.4f}" for metric, value in metrics.items())
        for name, metrics in scores
    ]


def write_story(result: DemoResult, generated: bool) -> None:
    """Write the page.

    Args:
        result: What to tell.
        generated: Whether the database is the generated shop.

    Raises:
        AdapterError: If it cannot be written.
    """
    lead = (
        "A relational database became a graph; a graph neural network learned on it to predict what will happen to its "
        "rows, and a link predictor learned which facts come next. "
    )
    if generated:
        lead += (
            "The shop is generated: customers leave after orders with damaged or bad lines, which the customer table "
            "does not show. So the further a model looks, the more it can know."
        )
    short = Section("In short", [preformatted("\n".join(_findings(result)))])
    sections = [short, _database(result), _entities(result.entities)]
    if result.links is not None:
        sections.append(_links(result.links))
    sections.append(_run(result))
    title = "relgraph on a generated shop" if generated else f"relgraph on {result.name}"
    write_whole(result.page, page_html(title, lead, sections, _versions()))


def _database(result: DemoResult) -> Section:
    counts = {table.table: table.rows for table in result.report.tables}
    parts: list[str] = []
    if result.graph.schema is not None:
        parts.append(schema_svg(result.graph.schema, counts))
        parts.append(paragraph("◆ primary key   → foreign key   ◷ when a row happened"))
    parts += ["<h3>Integrity</h3>", result.report._repr_html_(), "<h3>The graph</h3>"]
    parts.append(graph_html(result.graph.replace(schema=None)))
    return Section("The database", parts)


def _entities(entities: EntityOutcome) -> Section:
    task = entities.task
    metric = task.metric
    values = [(name, metrics[metric]) for name, metrics in entities.scores]
    names = list(entities.scores[0][1])
    binary = task.kind == "binary"
    return Section(
        f"Predicting rows of {task.entity_table}",
        [
            paragraph(
                f"Seeds and labels are one SQL query, asked at several moments. Training labels end by "
                f"{format_time(task.moments[0])}, the test begins {format_time(task.moments[1])}; "
                "nothing later than its own moment is seen for any row."
            ),
            preformatted(task.sql.strip()),
            table_html(
                ("split", "rows", "share of positives" if binary else "mean label", "first", "last"), entities.splits
            ),
            "<h3>On the test split</h3>",
            bars(f"{metric} on the test split", values, base=_CHANCE.get(metric, 0.0)),
            table_html(("model", *names), [(name, *metrics.values()) for name, metrics in entities.scores]),
            "<h3>Training of the GNNs</h3>",
            side_by_side(
                curves("training loss", {_short(n): h.curve("loss") for n, h in entities.histories.items()}),
                curves(f"validation {metric}", {_short(n): h.curve(metric) for n, h in entities.histories.items()}),
            ),
            "<h3>The highest predictions</h3>",
            paragraph(
                f"Of the GNN with the best validation ({entities.chosen}), by the database's own key of "
                f"{task.entity_table}, with what then really happened."
            ),
            table_html(
                (task.entity_table, "asked at", "prediction", "label"),
                [(*row, f"{label:g}") for *row, label in entities.top],
            ),
        ],
    )


def _short(name: str) -> str:
    return name.removeprefix("GNN, ").removesuffix(" of neighbours")


def _links(links: LinkOutcome) -> Section:
    everything, train, valid, test = links.counts
    head, relation, tail, *pairs = links.example
    words = f"({head}, {relation}, {tail})" + (" with " if pairs else "")
    words += ", ".join(f"{pairs[i]}: {pairs[i + 1]}" for i in range(0, len(pairs), 2))
    protocol = links.scores[0][1].protocol
    return Section(
        f"Predicting the next {links.relation}",
        [
            paragraph(
                f"The same graph is {everything:,} statements. A row of a table with two or more keys that nothing "
                f"refers to is one statement, its further keys and categories are qualifiers; for example: {words}."
            ),
            paragraph(
                f"Learned on {train:,} statements, chosen by {valid:,}, tested on {test:,} later ones; "
                f"{links.unseen:,} test statements name something that training has never seen, of which such a model "
                f"knows nothing, and are not counted. Each answer is ranked among {protocol['num_candidates']:,} "
                "candidates, known answers filtered, ties at their mean rank."
            ),
            bars("MRR on the test statements", [(name, metrics["mrr"]) for name, metrics in links.scores]),
            table_html(("model", *_LINK_METRICS), [(name, *(m[k] for k in _LINK_METRICS)) for name, m in links.scores]),
            side_by_side(
                curves("training loss", {"loss": links.history.curve("loss")}),
                curves("validation MRR", {"mrr": links.history.curve("mrr")}),
            ),
            "<h3>What comes next</h3>",
            table_html(
                (head.partition(":")[0], "likeliest new answers"),
                [(who, ", ".join(f"{what} ({score:.2f})" for what, score in tails)) for who, tails in links.top],
            ),
        ],
    )


def _run(result: DemoResult) -> Section:
    seconds: Mapping[str, float] = result.seconds
    parts = [table_html(("step", "seconds"), [(what, round(value, 2)) for what, value in seconds.items()])]
    parts += [paragraph(note) for note in result.notes]
    return Section("How long it took", parts)


def _versions() -> str:
    names = ("relgraph", "torch", "torch-geometric", "duckdb")
    return ", ".join([f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in names)])
