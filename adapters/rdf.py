"""RDF files and rdflib graphs: triples, named graphs, and reified statements with their qualifiers."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from relgraph.adapters.statement_files import number_statements
from relgraph.data.statements import Statements
from relgraph.errors import AdapterError

if TYPE_CHECKING:
    from rdflib import Graph

__all__ = ["matches", "read", "read_rdf"]

_FORMATS = {
    ".ttl": "turtle",
    ".nt": "nt",
    ".n3": "n3",
    ".rdf": "xml",
    ".owl": "xml",
    ".nq": "nquads",
    ".trig": "trig",
    ".trix": "trix",
    ".jsonld": "json-ld",
}
GRAPH = "graph"
"""The relation of the qualifier that says in which named graph a triple stands."""

_Row = tuple[str, ...]


def matches(path: Path) -> bool:
    """Whether a file ends as RDF files do."""
    return path.suffix.lower() in _FORMATS and not os.path.isdir(path)


def read_rdf(
    source: str | Path | Graph,
    *,
    format: str | None = None,
    literals: Literal["drop", "entities"] = "drop",
    graphs: Literal["merge", "qualifier"] = "merge",
    reified: Literal["qualifiers", "triples"] = "qualifiers",
) -> Statements:
    """Read RDF as statements.

    IRIs are labels as they are, blank nodes as ``_:name``, literals as in N-Triples (``"42"^^<...integer>``). Triples
    are put in the order of their text, so the same file gives the same numbers unless it has blank nodes without names.
    A reified statement (``rdf:subject``, ``rdf:predicate``, ``rdf:object``) becomes a statement of its own, and
    what else is said about it its qualifiers; the same triple without qualifiers is then not repeated. RDF-star is not
    read: rdflib has no quoted triples.

    Args:
        source: A file (``.ttl``, ``.nt``, ``.n3``, ``.rdf``, ``.owl``, ``.nq``, ``.trig``, ``.trix``, ``.jsonld``), or
            an ``rdflib.Graph`` or ``Dataset``.
        format: What rdflib calls the format; by the file's name by default.
        literals: Whether triples and qualifiers whose value is a literal are left out and counted in ``dropped``, or
            literals are entities like others.
        graphs: Of several named graphs, whether their triples are put together, or each says with a qualifier
            ``graph`` where it stands.
        reified: Whether reified statements are read as such, or as the triples that they are written with.

    Raises:
        AdapterError: If rdflib is not installed, the file is missing or malformed, or nothing is left of it.
    """
    for name, value, words in (
        ("literals", literals, ("drop", "entities")),
        ("graphs", graphs, ("merge", "qualifier")),
        ("reified", reified, ("qualifiers", "triples")),
    ):
        if value not in words:
            raise AdapterError(f"{name}: expected {words[0]!r} or {words[1]!r}, got {value!r}")
    rdflib = _rdflib()
    graph = source if isinstance(source, rdflib.Graph) else _parsed(rdflib, Path(source), format)
    rows = {(_word(s), _word(p), _word(o), *_graph(name, graphs)) for s, p, o, name in _quads(rdflib, graph)}
    if reified == "qualifiers":
        rows = _unreified(rows, str(rdflib.RDF))
    dropped: tuple[tuple[str, int], ...] = ()
    kept = rows
    if literals == "drop":
        kept = {row for row in rows if not _is_literal(row[2])}
        pairs = sum(_is_literal(value) for row in kept for value in row[4::2])
        counts = (("triples with a literal", len(rows) - len(kept)), ("qualifiers with a literal", pairs))
        dropped = tuple((what, count) for what, count in counts if count)
        kept = {_without_literals(row) for row in kept}
    if not kept:
        found = f"{len(rows):,} triples, all with literals; pass literals='entities'" if rows else "no triple"
        raise AdapterError(f"{source if not isinstance(source, rdflib.Graph) else 'the graph'} has {found}")
    return replace(number_statements([sorted(kept)])[0], dropped=dropped)


def read(path: Path) -> Statements:
    """:func:`read_rdf` with its defaults."""
    return read_rdf(path)


def _rdflib() -> Any:
    try:
        import rdflib
    except ImportError as error:
        raise AdapterError(
            f"RDF needs rdflib, which cannot be imported ({error}): pip install 'relgraph[rdf]'"
        ) from None
    return rdflib


def _parsed(rdflib: Any, path: Path, format: str | None) -> Any:
    if not path.is_file():
        raise AdapterError(f"there is no file {path}; expected RDF to read")
    format = format or _FORMATS.get(path.suffix.lower())
    if format is None:
        raise AdapterError(f"{path}: expected a name that ends in {', '.join(_FORMATS)}, or format=")
    graph = rdflib.Dataset()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of rdflib about itself
            graph.parse(data=path.read_bytes(), format=format, publicID=path.absolute().as_uri())
    except Exception as error:  # every parser of rdflib has exceptions of its own
        raise AdapterError(f"{path} cannot be read as {format}: {str(error)[:500]}") from error
    return graph


def _quads(rdflib: Any, graph: Any) -> Iterator[tuple[Any, Any, Any, Any]]:
    """Subject, predicate, object, and the name of the graph, ``None`` for the default graph."""
    if not isinstance(graph, rdflib.Dataset | rdflib.ConjunctiveGraph):
        yield from ((s, p, o, None) for s, p, o in graph)
        return
    for s, p, o, context in graph.quads():
        name = getattr(context, "identifier", context)
        yield s, p, o, None if name is None or str(name) == "urn:x-rdflib:default" else name


def _graph(name: Any, graphs: str) -> _Row:
    return () if name is None or graphs == "merge" else (GRAPH, _word(name))


def _word(term: Any) -> str:
    # n3 writes IRIs in brackets, blank nodes and literals as they are to stand
    text: str = term.n3()
    return text[1:-1] if text.startswith("<") else text


def _is_literal(word: str) -> bool:
    return word.startswith('"')


def _without_literals(row: _Row) -> _Row:
    pairs = zip(row[3::2], row[4::2], strict=True)
    return row[:3] + tuple(word for pair in pairs if not _is_literal(pair[1]) for word in pair)


def _unreified(rows: set[_Row], rdf: str) -> set[_Row]:
    """Reified statements as rows with qualifiers, and whatever else there is."""
    parts: dict[str, dict[str, str]] = {}
    for row in rows:
        if row[1] in (f"{rdf}subject", f"{rdf}predicate", f"{rdf}object"):
            parts.setdefault(row[0], {})[row[1].removeprefix(rdf)] = row[2]
    whole = {name: found for name, found in parts.items() if len(found) == 3}
    about: dict[str, list[_Row]] = {name: [] for name in whole}
    out = set()
    for row in rows:
        if row[0] not in whole:
            out.add(row)
        elif row[1] not in (f"{rdf}subject", f"{rdf}predicate", f"{rdf}object", f"{rdf}type"):
            about[row[0]].append(row[1:3])
    made = set()
    for name, found in whole.items():
        pairs = [word for pair in sorted(about[name]) for word in pair]
        made.add((found["subject"], found["predicate"], found["object"], *pairs))
    return (out - {row[:3] for row in made}) | made
