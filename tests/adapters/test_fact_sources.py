"""LibKGE folders, RDF and NetworkX graphs as statements."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import networkx
import pytest

import relgraph
from relgraph.adapters import from_networkx, read_libkge, read_rdf
from relgraph.data.statements import Statements
from relgraph.errors import AdapterError


def words(statements: Statements) -> list[tuple[str, ...]]:
    return [statements.labels(i) for i in range(len(statements))]


@pytest.fixture
def libkge(tmp_path: Path) -> Path:
    files = {
        "entity_ids.del": "1\tb\n0\ta \"quoted\n2\tc\n",
        "relation_ids.del": "0\tknows\n1\tlikes\n",
        "train.del": "0\t0\t1\n1\t1\t2\n",
        "valid.del": "2\t0\t0\n",
        "test.del": "0\t1\t2\n",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_libkge(libkge: Path) -> None:
    train, valid, test = read_libkge(libkge)
    assert words(train) == [('a "quoted', "knows", "b"), ("b", "likes", "c")]
    assert (words(valid), words(test)) == ([("c", "knows", 'a "quoted')], [('a "quoted', "likes", "c")])
    assert train.vocabulary is test.vocabulary
    assert train.vocabulary.entity("b") == 1
    again = relgraph.read_statements(libkge)
    assert isinstance(again, tuple)
    assert words(again[0]) == words(train)
    (libkge / "valid.del").unlink()
    assert len(read_libkge(libkge)) == 2


def test_libkge_names_its_files(libkge: Path) -> None:
    (libkge / "train.del").rename(libkge / "train_sample.del")
    (libkge / "dataset.yaml").write_text(
        "dataset:\n  name: toy\n  files.train.filename: train_sample.del\n  files:\n    test: {filename: valid.del}\n"
    )
    train, _, test = read_libkge(libkge)
    assert (len(train), words(test)) == (2, [("c", "knows", 'a "quoted')])
    (libkge / "dataset.yaml").write_text("dataset: [1]")
    with pytest.raises(AdapterError, match=r"dataset\.yaml: expected the files"):
        read_libkge(libkge)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("train.del", "0\t0\t1\n0\t2\t1\n", r"train\.del, line 2: expected a relation in 0\.\.1, got 2"),
        ("train.del", "0\t0\tb\n", r"train\.del: expected head and relation and tail between tabs"),
        ("train.del", "0 0 1\n", r"train\.del: expected head and relation and tail between tabs"),
        ("entity_ids.del", "0\ta\n2\tb\n", r"expected each number of 0\.\.1 once"),
        ("entity_ids.del", "0\ta\n1\ta\n2\tc\n", r"the label 'a' stands twice"),
        ("relation_ids.del", None, r"there is no .*relation_ids\.del"),
    ],
)
def test_libkge_faults(libkge: Path, file: str, text: str | None, message: str) -> None:
    if text is None:
        (libkge / file).unlink()
    else:
        (libkge / file).write_text(text)
    with pytest.raises(AdapterError, match=message):
        read_libkge(libkge)


TURTLE = """
@prefix : <http://x/> . @prefix rdf: <http://www.w3.org/1999/02/22-rdf-syntax-ns#> .
:merkel :office :chancellor ; :born 1954 ; :name "Angela"@de .
:merkel :party :cdu .
_:s a rdf:Statement ; rdf:subject :merkel ; rdf:predicate :office ; rdf:object :chancellor ;
  :start "2005" ; :of :germany .
_:broken rdf:subject :merkel .
"""


class TestRdf:
    @pytest.fixture(autouse=True)
    def rdflib(self) -> Any:
        return pytest.importorskip("rdflib", reason="rdflib is not installed")

    def test_triples_and_reified_statements(self, tmp_path: Path) -> None:
        (tmp_path / "facts.ttl").write_text(TURTLE)
        found = relgraph.read_statements(tmp_path / "facts.ttl")
        assert isinstance(found, Statements)
        assert [row for row in words(found) if not row[0].startswith("_:")] == [
            ("http://x/merkel", "http://x/office", "http://x/chancellor", "http://x/of", "http://x/germany"),
            ("http://x/merkel", "http://x/party", "http://x/cdu"),
        ]
        assert found.dropped == (("triples with a literal", 2), ("qualifiers with a literal", 1))
        every = read_rdf(tmp_path / "facts.ttl", literals="entities")
        office = next(row for row in words(every) if row[1] == "http://x/office")
        assert office[2:] == ("http://x/chancellor", "http://x/of", "http://x/germany", "http://x/start", '"2005"')
        assert every.num_entities - every.vocabulary.num_main_entities == 2
        labels = set(every.vocabulary.entities)
        assert {'"1954"^^<http://www.w3.org/2001/XMLSchema#integer>', '"Angela"@de'} <= labels
        plain = read_rdf(tmp_path / "facts.ttl", literals="entities", reified="triples")
        assert plain.qualifiers is None
        assert len(plain) == len(every) + 6

    def test_named_graphs(self, tmp_path: Path) -> None:
        (tmp_path / "facts.trig").write_text(
            "@prefix : <http://x/> . :g { :a :p :b . :b :p :c } :h { :a :p :b } :c :p :a ."
        )
        merged = read_rdf(tmp_path / "facts.trig")
        assert [row[0][-1] + row[2][-1] for row in words(merged)] == ["ab", "bc", "ca"]
        apart = read_rdf(tmp_path / "facts.trig", graphs="qualifier")
        assert [row[3:] for row in words(apart)] == [
            ("graph", "http://x/g"),
            ("graph", "http://x/h"),
            ("graph", "http://x/g"),
            (),
        ]

    def test_a_graph_of_rdflib(self, rdflib: Any) -> None:
        graph = rdflib.Graph().parse(data=TURTLE, format="turtle")
        assert len(read_rdf(graph, literals="entities", reified="triples")) == len(graph)

    def test_faults(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        broken = tmp_path / "broken.nt"
        broken.write_text("<http://x/a> <http://x/b>\n")
        with pytest.raises(AdapterError, match=r"broken\.nt cannot be read as nt"):
            read_rdf(broken)
        with pytest.raises(AdapterError, match="there is no file"):
            read_rdf(tmp_path / "no.ttl")
        (tmp_path / "a.xyz").write_text("")
        with pytest.raises(AdapterError, match="or format="):
            read_rdf(tmp_path / "a.xyz")
        broken.write_text('<http://x/a> <http://x/b> "c" .\n')
        with pytest.raises(AdapterError, match="1 triples, all with literals; pass literals='entities'"):
            read_rdf(broken)
        with pytest.raises(AdapterError, match="literals: expected 'drop' or 'entities'"):
            read_rdf(broken, literals="keep")  # type: ignore[arg-type]
        monkeypatch.setitem(sys.modules, "rdflib", None)
        with pytest.raises(AdapterError, match=r"pip install 'relgraph\[rdf\]'"):
            relgraph.read_statements(broken)


def test_networkx() -> None:
    graph = networkx.MultiDiGraph()
    graph.add_nodes_from(["alone", "a"])
    graph.add_edge("a", 7, relation="knows", qualifiers={"since": 1990})
    graph.add_edge("a", 7, relation="likes", qualifiers=[("where", "alone"), ("where", "b")])
    graph.add_edge(7, "a", key="key", relation="knows")
    found = from_networkx(graph)
    assert words(found) == [
        ("a", "knows", "7", "since", "1990"),
        ("a", "likes", "7", "where", "alone", "where", "b"),
        ("7", "knows", "a"),
    ]
    assert list(found.vocabulary.entities) == ["alone", "a", "7", "1990", "b"]
    assert found.vocabulary.num_main_entities == 3
    assert words(from_networkx(graph, relation=None))[2] == ("7", "key", "a")
    assert len(from_networkx(networkx.DiGraph())) == 0


def test_networkx_faults() -> None:
    def one(**attributes: object) -> networkx.DiGraph:
        graph = networkx.DiGraph()
        graph.add_edge("a", "b", **attributes)
        return graph

    for graph, options, message in (
        (one(kind="x"), {}, "the edge 'a' -> 'b' has no attribute 'relation'"),
        (one(relation="x").to_undirected(), {}, "no head and no tail"),
        (one(relation="x"), {"relation": None}, "takes the keys of a MultiDiGraph"),
        (one(relation="x", qualifiers=["ab", 1]), {}, r"qualifiers of the edge 'a' -> 'b': expected a mapping"),
        ("graph", {}, "expected a NetworkX graph, got str"),
    ):
        with pytest.raises(AdapterError, match=message):
            from_networkx(graph, **options)  # type: ignore[arg-type]
    twice = networkx.DiGraph()
    twice.add_nodes_from([1, "1"])
    with pytest.raises(AdapterError, match="two nodes have the same text"):
        from_networkx(twice)
