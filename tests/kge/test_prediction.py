"""Answers by label in batches, the best of all statements, and the approximate index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from relgraph.errors import AdapterError, ProtocolError, SchemaError
from relgraph.kge import DistMult, export_index, load_index, predict, top_k_statements
from relgraph.kge import top_statements as module
from relgraph.kge.blocks import ScoreSource
from relgraph.kge.questions import Questions
from tests.kge.test_evaluation import MAIN, VOCABULARY, N, R, integer_scorer, statements
from tests.kge.test_protocol import Table


@pytest.mark.parametrize("asked", ["head", "tail", "relation"])
def test_a_list_gives_what_single_questions_give(asked: str) -> None:
    scorer = integer_scorer(3)
    known = [statements([(0, 0, 1, ()), (2, 1, 1, ((0, 4),)), (1, 0, 3, ())])]
    lists: dict[str, Any] = {"head": ["a", "c", "b"], "relation": "x", "tail": ["b", "b", "d"]}
    if asked == "relation":
        lists["relation"] = None
    else:
        lists |= {asked: None, "relation": ["x", "y", "x"]}
    table = predict(scorer, VOCABULARY, **lists, k=3, known=known).to_pandas()
    for i in range(3):
        one = {name: x[i] if isinstance(x, list) else x for name, x in lists.items()}
        expected = predict(scorer, VOCABULARY, **one, k=3, known=known)
        rows = table[table["question"] == i]
        assert list(zip(rows[asked], rows["score"], strict=True)) == [tuple(answer) for answer in expected]
        assert rows["rank"].tolist() == list(range(1, len(expected) + 1))
        for name, value in one.items():
            assert value is None or (rows[name] == value).all()


def test_values_of_qualifiers_by_label() -> None:
    # of an odd relation the odd numbers are 10 higher: f (5), d (3), b (1)
    ask: dict[str, Any] = {"head": "a", "relation": "x", "tail": "b", "qualifiers": {"y": None}, "k": 2}
    assert [a.label for a in predict(Table(), VOCABULARY, **ask)] == ["f", "d"]
    known = [statements([(0, 0, 1, ((1, 5), (0, 4)))])]
    assert [a.label for a in predict(Table(), VOCABULARY, **ask, known=known)] == ["d", "b"]
    assert [a.label for a in predict(Table(), VOCABULARY, **ask, known=known, filter="strict")] == ["f", "d"]
    ask["qualifiers"] = [{"y": None}, {"y": None, "x": "e"}, {"x": None}]
    table = predict(Table(), VOCABULARY, **ask).to_pylist()
    assert [row["value"] for row in table] == ["f", "d", "f", "e", "e", "c"]
    assert [row["tail"] for row in table] == ["b"] * 6


def test_qualifiers_are_part_of_a_question() -> None:
    plain = predict(Table(), VOCABULARY, head="a", relation="x", k=2)
    assert [a.label for a in plain] == ["d", "c"]
    given = predict(Table(), VOCABULARY, head="a", relation="x", qualifiers={"x": "e"}, k=2)
    assert [tuple(a) for a in given] == [("c", 12.0), ("a", 10.0)]


def test_bad_questions() -> None:
    scorer = Table()
    ask: dict[str, Any] = {"head": "a", "relation": "x"}
    for words, options in (
        ("expected lists of one length", {**ask, "head": ["a", "b"], "relation": ["x"]}),
        ("expected lists of one length", {**ask, "head": []}),
        ("the value of a qualifier left out", {**ask, "qualifiers": {"x": None}}),
        (r"one value of None.*got \[2\]", {**ask, "tail": "b", "qualifiers": {"x": None, "y": None}}),
        (r"one value of None.*got \[1, 0\]", {**ask, "tail": "b", "qualifiers": [{"x": None}, {}]}),
        ("expected a mapping from relations", {**ask, "qualifiers": ["x"]}),
        ("filter: expected 'loose' or 'strict'", {**ask, "filter": "none"}),
    ):
        with pytest.raises(ProtocolError, match=words):
            predict(scorer, VOCABULARY, **options)
    with pytest.raises(SchemaError, match="relation 'z' is not in the vocabulary"):
        predict(scorer, VOCABULARY, **ask, qualifiers={"z": "a"})
    with pytest.raises(ProtocolError, match="DistMult sees the main triple only; leave qualifiers= out"):
        predict(integer_scorer(0), VOCABULARY, **ask, qualifiers={"x": "a"})


facts = st.tuples(st.integers(0, MAIN - 1), st.integers(0, R - 1), st.integers(0, MAIN - 1), st.just(()))


@given(
    seed=st.integers(0, 1000),
    k=st.integers(1, 40),
    known=st.lists(facts, max_size=6),
    parts=st.tuples(*(st.lists(st.integers(0, n), min_size=1, max_size=3) for n in (R - 1, N - 1, N - 1))),
    blocks=st.booleans(),
)
def test_top_statements_equal_brute_force(
    seed: int, k: int, known: list[Any], parts: tuple[list[int], ...], blocks: bool
) -> None:
    scorer = Table() if blocks else integer_scorer(seed)
    names = [[labels[i] for i in numbers] for labels, numbers in zip(("xy", "abcdef", "abcdef"), parts, strict=True)]
    patch = pytest.MonkeyPatch()
    with patch.context() as small:
        for name, value in (("_ROWS", 2), ("_COLUMNS", 2), ("_KEPT", 3)):
            small.setattr(module, name, value)
        got = top_k_statements(
            scorer, VOCABULARY, k, known=[statements(known)], relations=names[0], heads=names[1], tails=names[2],
            progress=False,
        )  # fmt: skip
    rows = []
    for r in set(parts[0]):
        for h in set(parts[1]):
            with torch.no_grad():
                tiles = ScoreSource(scorer)(Questions(torch.tensor([h]), torch.tensor([r])))
                score = tiles.tile(slice(0, 1), slice(0, N))
            rows += [(-float(score[0, t]), r, h, t) for t in set(parts[2]) if (h, r, t, ()) not in known]
    expected = [("abcdef"[h], "xy"[r], "abcdef"[t], -score) for score, r, h, t in sorted(rows)[:k]]
    assert list(got) == expected


def test_top_statements_of_many_tiles(tmp_path: Path) -> None:
    scorer = DistMult(700, 2, dim=4, seed=0).eval()
    names = type(VOCABULARY)([f"e{i}" for i in range(700)], ["r", "s"])
    found = top_k_statements(scorer, names, 500, out=tmp_path / "top.parquet", progress=False)
    every = torch.stack([scorer.query(torch.arange(700), torch.full((700,), r))[0] for r in (0, 1)])
    expected = (every @ scorer.entity.weight.T).flatten().sort(descending=True).values[:500]
    torch.testing.assert_close(found.score, expected)
    table = pyarrow.parquet.read_table(tmp_path / "top.parquet")
    assert table.to_pylist()[7] == dict(zip(("head", "relation", "tail", "score"), list(found)[7], strict=True))
    found.write(tmp_path / "top.csv")
    assert pyarrow.csv.read_csv(tmp_path / "top.csv")["tail"].to_pylist() == table["tail"].to_pylist()
    assert found.to_frame().shape == (500, 4)
    assert "the first 20 of 500" in found._repr_html_()


def test_top_statements_refuse(tmp_path: Path) -> None:
    scorer = integer_scorer(0)
    with pytest.raises(ProtocolError, match="k: expected"):
        top_k_statements(scorer, VOCABULARY, 0)
    with pytest.raises(ProtocolError, match="relations: expected a list of at least one label, got 'x'"):
        top_k_statements(scorer, VOCABULARY, 1, relations="x")
    with pytest.raises(SchemaError, match="entity 'z' is not"):
        top_k_statements(scorer, VOCABULARY, 1, heads=["z"])
    with pytest.raises(AdapterError, match=r"ends in \.parquet or \.csv"):
        top_k_statements(scorer, VOCABULARY, 1, out=tmp_path / "top.txt")
    with torch.no_grad():
        scorer.entity.weight[2, 0] = torch.nan
    with pytest.raises(ProtocolError, match="got NaN"):
        top_k_statements(scorer, VOCABULARY, 1, progress=False)


class Biased(DistMult):
    """With a factor and biases, as scorers by distance have."""

    alpha = 2.0

    def candidates(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        rows, _ = super().candidates()
        return rows, -rows.square().sum(1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["usearch", "faiss"])
def test_index_finds_what_is_best(kind: Any, tmp_path: Path) -> None:
    pytest.importorskip("usearch.index" if kind == "usearch" else "faiss", reason=f"{kind} is not installed")
    size = 2000
    scorer = Biased(size, 2, dim=16, seed=0).eval()
    names = type(VOCABULARY)([f"e{i}" for i in range(size)], ["r", "s"])
    export_index(scorer, tmp_path, kind)
    index = load_index(tmp_path)
    heads = [f"e{i}" for i in range(0, size, 20)]
    ask: dict[str, Any] = {"head": heads, "relation": "r", "k": 10}
    exact = predict(scorer, names, **ask).to_pylist()
    near = predict(scorer, names, **ask, index=index).to_pylist()
    pairs = {(row["question"], row["tail"]): row["score"] for row in exact}
    found = [row for row in near if (row["question"], row["tail"]) in pairs]
    assert len(found) / len(exact) >= 0.9, "usearch links rows in the order its threads come to them: 0.94 to 0.99"
    assert all(row["score"] == pytest.approx(pairs[row["question"], row["tail"]], abs=1e-5) for row in found)
    known = predict(scorer, names, head="e0", relation="r", k=1)[0].label
    fact = statements([(0, 0, names.entity(known), ())], names)
    assert known not in [a.label for a in predict(scorer, names, head="e0", relation="r", known=[fact], index=index)]
    with pytest.raises(ProtocolError, match="it is of a Biased with 2,000 entities, got a DistMult with 6"):
        predict(integer_scorer(0), VOCABULARY, head="a", relation="x", index=index)
    with pytest.raises(ProtocolError, match="cannot find relations"):
        predict(scorer, names, head="e0", tail="e1", index=index)


def test_index_refuses(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="kind: expected 'usearch' or 'faiss'"):
        export_index(integer_scorer(0), tmp_path, "annoy")  # type: ignore[arg-type]
    with pytest.raises(AdapterError, match="holds no index"):
        load_index(tmp_path)
