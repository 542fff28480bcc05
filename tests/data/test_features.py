"""The layouts of features: lists, embeddings and texts beside the plain types, through every view and the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import relgraph
from relgraph.data.features import Features
from relgraph.data.graph import HeteroGraph, NodeStore
from relgraph.data.ragged import Ragged
from relgraph.data.schema import SemanticType
from relgraph.errors import ShapeError

NAN = float("nan")
EMPTY = Ragged(1, 1, torch.empty(0, dtype=torch.int64), torch.tensor([0, 0]))
TYPES = {
    "t.genres": "multicategorical",
    "t.labels": "multicategorical",
    "t.shape": "embedding",
    "t.place": "embedding",
    "t.remark": "text",
    "t.price": "numerical",
    "t.kind": "categorical",
}


def rows() -> Any:
    """Rows of every type; the last row is later than the fit time."""
    return duckdb.sql(
        """SELECT * FROM (VALUES
        ('b|a', ['x', 'y', 'x'], [1.0, 2.0]::DOUBLE[], [3.0]::FLOAT[1], 'one remark', 1.5, 'k', DATE '2020-01-01'),
        ('a', [], NULL, [4.0]::FLOAT[1], 'two remarks', 2.5, 'k', DATE '2020-01-02'),
        (NULL, ['y', NULL], [2.0, NULL], NULL, NULL, NULL, 'l', DATE '2020-01-03'),
        (' a | c|', NULL, ['-inf'::DOUBLE, 1e300], [0.0]::FLOAT[1], 'one remark', 3.5, NULL, DATE '2020-01-04'),
        ('d|c', ['z'], [1.0], [1e30]::FLOAT[1], 'three', 9.5, 'm', DATE '2021-01-01')
        ) t(genres, labels, shape, place, remark, price, kind, day)"""
    ).to_arrow_table()


def two_numbers(texts: list[str]) -> torch.Tensor:
    return torch.tensor([[float(len(text)), -1.0] for text in texts])


@pytest.fixture(scope="module")
def graph() -> HeteroGraph:
    db = relgraph.connect({"t": rows()}, times={"t": "day"}, progress=False)
    return relgraph.build_graph(db, "2020-12-31", types=TYPES, text=two_numbers, progress=False)


@pytest.fixture(scope="module")
def features(graph: HeteroGraph) -> Features:
    found = graph.nodes["t"].features
    assert found is not None
    return found


def same(value: Any, expected: list[Any]) -> bool:
    return torch.equal(torch.as_tensor(value).nan_to_num(7e7), torch.tensor(expected).nan_to_num(7e7))


def test_lists_are_codes_of_parts_known_at_the_fit_time(features: Features) -> None:
    assert features.stats["genres"] == {"categories": ["a", "b", "c"], "counts": [3, 1, 1]}
    assert features.stats["labels"] == {"categories": ["y", "x"], "counts": [2, 1]}
    lists = features.values[SemanticType.MULTICATEGORICAL]
    assert isinstance(lists, Ragged)
    # NULL, an empty list and a list of unseen parts are all empty
    assert lists.tolist() == [[[0, 1], [0, 1]], [[0], []], [[], [0]], [[0, 2], []], [[2], []]]
    assert features.column("labels").tolist() == [[[0, 1]], [[]], [[0]], [[]], [[]]]


def test_embeddings_stand_side_by_side_and_keep_no_infinity(features: Features) -> None:
    assert features.stats["shape"] == {"emb_dim": 2, "scale": float(f"{3**0.5:.12g}")}  # sqrt((1 + 4 + 4) / 3)
    assert features.stats["place"] == {"emb_dim": 1, "scale": float(f"{(25 / 3) ** 0.5:.12g}")}  # (9 + 16 + 0) / 3
    together = features.tensor(SemanticType.EMBEDDING)
    expected = [[1.0, 2.0, 3.0], [NAN, NAN, 4.0], [2.0, NAN, NAN], [NAN, NAN, 0.0], [NAN, NAN, 1e30]]
    assert same(together, expected)
    assert same(features.column("place"), [row[2:] for row in expected])


def test_texts_are_as_encoded(features: Features) -> None:
    expected = [[10.0, -1.0], [11.0, -1.0], [0.0, 0.0], [10.0, -1.0], [5.0, -1.0]]
    assert same(features.column("remark"), expected)
    assert features.kind("remark") is SemanticType.TEXT


def test_rows_are_selected_in_every_type(features: Features) -> None:
    index = torch.tensor([3, 0, 0])
    chosen = features.select(index)
    for name in features.column_names:
        column, whole = chosen.column(name), features.column(name)
        if isinstance(column, Ragged) and isinstance(whole, Ragged):
            assert column.tolist() == [whole.tolist()[i] for i in index.tolist()]
        else:
            assert torch.equal(column.nan_to_num(7e7), whole[index].nan_to_num(7e7))  # type: ignore[union-attr]


def assert_same(first: Features | None, second: Features | None) -> None:
    assert first is not None
    assert second is not None
    assert dict(first.names) == dict(second.names)
    assert first.stats == second.stats
    for kind, value in first.values.items():
        other = second.values[kind]
        if isinstance(value, Ragged) and isinstance(other, Ragged):
            assert value.tolist() == other.tolist()
        else:
            assert torch.equal(value.nan_to_num(7e7), other.nan_to_num(7e7))  # type: ignore[union-attr]


def test_disk_and_hetero_data_give_the_same_back(graph: HeteroGraph, features: Features, tmp_path: Path) -> None:
    assert_same(features, HeteroGraph.load(graph.save(tmp_path / "g")).nodes["t"].features)
    data = graph.to_hetero_data()
    assert data["t"].tf[torch.tensor([3, 0])].num_rows == 2  # as a loader takes rows
    assert_same(features, HeteroGraph.from_hetero_data(data).nodes["t"].features)
    assert_same(features, HeteroGraph.from_hetero_data(graph.replace(schema=None).to_hetero_data()).nodes["t"].features)


def test_a_tensor_frame_has_pytorch_frames_own_containers(features: Features) -> None:
    from torch_frame import stype
    from torch_frame.data import MultiEmbeddingTensor, MultiNestedTensor
    from torch_frame.data.stats import StatType

    frame, stats = features.to_tensor_frame(), features.to_col_stats()
    lists, vectors = frame.feat_dict[stype.multicategorical], frame.feat_dict[stype.embedding]
    assert isinstance(lists, MultiNestedTensor)
    assert isinstance(vectors, MultiEmbeddingTensor)
    assert lists[3, 0].tolist() == [0, 2]
    assert frame.col_names_dict[stype.embedding] == ["shape", "place", "remark"]
    assert vectors[1, 2].tolist() == [11.0, -1.0]
    assert stats["genres"][StatType.MULTI_COUNT] == (["a", "b", "c"], [3, 1, 1])
    assert [stats[name][StatType.EMB_DIM] for name in ("shape", "place", "remark")] == [2, 1, 2]
    # what the frame alone can say comes back
    back = Features.from_tensor_frame(frame)
    assert back is not None
    assert back.names[SemanticType.EMBEDDING] == ("shape", "place", "remark")
    assert same(back.column("remark"), features.column("remark").tolist())
    assert back.stats["genres"] == {"categories": ["0", "1", "2"], "counts": [3, 1, 2]}


def test_missing_codes_of_somebody_elses_frame_are_left_out() -> None:
    from torch_frame import stype
    from torch_frame.data import MultiNestedTensor, TensorFrame

    cells = [[torch.tensor([-1])], [torch.tensor([1, 0])], [torch.tensor([], dtype=torch.int64)]]
    frame = TensorFrame(
        {stype.multicategorical: MultiNestedTensor.from_tensor_mat(cells)}, {stype.multicategorical: ["a"]}
    )
    back = Features.from_tensor_frame(frame)
    assert back is not None
    assert back.column("a").tolist() == [[[]], [[1, 0]], [[]]]


def test_features_print_themselves(features: Features) -> None:
    text, html = repr(features), features._repr_html_()
    for line in ("genres multicategorical 3 categories", "place embedding 1 numbers", "price numerical mean 2.5"):
        assert line in text
    assert "remark text 2 numbers of tests.data.test_features.two_numbers" in text
    assert "<td" in html
    assert "multicategorical" in html


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (SemanticType.MULTICATEGORICAL, torch.zeros(2, 1), r"expected Ragged \[2, 1\], got Tensor"),
        (SemanticType.MULTICATEGORICAL, EMPTY, r"expected Ragged \[2, 1\], got \[1, 1\]"),
        (SemanticType.EMBEDDING, torch.zeros(2, 4), r"expected torch.float32 \[2, 3\], got torch.float32 \[2, 4\]"),
        (SemanticType.TEXT, torch.zeros(2, 3).half(), r"expected torch.float32 \[2, 3\], got torch.float16"),
        (SemanticType.NUMERICAL, EMPTY, r"got Ragged\(1 rows"),
        (SemanticType.IDENTIFIER, torch.zeros(2, 1), "identifier columns are no features"),
    ],
)
def test_values_of_another_shape_are_refused(kind: SemanticType, value: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        Features(2, {kind: value}, {kind: ("a",)}, {"a": {"emb_dim": 3}})


def test_what_is_not_there_is_refused(features: Features) -> None:
    with pytest.raises(ShapeError, match="no feature column 'nope'; columns: price"):
        features.column("nope")
    with pytest.raises(ShapeError, match="no tensor of multicategorical columns"):
        features.tensor(SemanticType.MULTICATEGORICAL)
    assert NodeStore(5, features=features).tf.num_rows == 5


CELLS = st.integers(0, 5).flatmap(
    lambda n: st.integers(1, 3).flatmap(
        lambda c: st.lists(
            st.lists(st.lists(st.integers(0, 4), max_size=3), min_size=c, max_size=c), min_size=n, max_size=n
        ).map(lambda cells: (n, c, cells))
    )
)


@given(CELLS, st.data())
def test_ragged_is_a_list_of_lists_of_lists(shape: tuple[int, int, list[list[list[int]]]], data: st.DataObject) -> None:
    num_rows, num_columns, cells = shape
    columns = []
    for j in range(num_columns):
        codes = [code for row in cells for code in row[j]]
        lengths = [len(row[j]) for row in cells]
        columns.append((torch.tensor(codes, dtype=torch.int64), torch.tensor(lengths, dtype=torch.int64)))
    ragged = Ragged.from_columns(num_rows, columns)
    assert ragged.tolist() == cells
    index = data.draw(st.lists(st.integers(0, num_rows - 1), max_size=6)) if num_rows else []
    assert ragged[torch.tensor(index, dtype=torch.int64)].tolist() == [cells[i] for i in index]
    for j in range(num_columns):
        assert ragged.column(j).tolist() == [[row[j]] for row in cells]
    kept = ragged.keep(ragged.values < 2)
    assert kept.tolist() == [[[code for code in cell if code < 2] for cell in row] for row in cells]
    places = [j for row in cells for j in range(num_columns) for _ in row[j]]
    assert ragged.column_of_values().tolist() == places


@pytest.mark.parametrize(
    ("values", "offsets", "message"),
    [
        (torch.zeros(2), torch.tensor([0, 2]), "values: expected int64"),
        (torch.tensor([1, 2]), torch.tensor([0, 1, 2]), "expected 2 for 1 cells, got 3"),
        (torch.tensor([1, 2]), torch.tensor([0, 1]), r"rise from 0 to 2, got \[0, 1\]"),
    ],
)
def test_ragged_that_does_not_hold_together(values: Any, offsets: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        Ragged(1, 1, values, offsets)
