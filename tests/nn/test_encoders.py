"""Table encoders hold for any row; ages are exact; distinct rows are encoded once."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from relgraph.data.features import Features
from relgraph.data.graph import NodeStore
from relgraph.data.schema import SemanticType
from relgraph.data.time import STATIC, UNKNOWN
from relgraph.errors import ShapeError
from relgraph.nn import HeteroEncoder, RelativeTimeEncoder, TableEncoder
from relgraph.nn.encoders import days_between
from relgraph.nn.fused import run_resnet

DAY = 86_400_000_000
NUMBER, CATEGORY, STAMP = SemanticType.NUMERICAL, SemanticType.CATEGORICAL, SemanticType.TIMESTAMP


def features(rows: list[tuple[float, float, int, list[int]]]) -> Features:
    """Two numbers (the second was constant when fitted), a category of three, a timestamp of 2001 to 2003."""
    stats: dict[str, dict[str, Any]] = {
        "price": {"mean": 10.0, "std": 2.0, "quantiles": [6.0, 9.0, 10.0, 11.0, 14.0]},
        "fixed": {"mean": 5.0, "std": 0.0, "quantiles": [5.0] * 5},
        "colour": {"categories": ["red", "blue", "green"], "counts": [5, 4, 3]},
        "made": {
            "year_range": [2001, 2003],
            "oldest": [2001, 0, 0, 0, 0, 0, 0],
            "newest": [2003, 5, 1, 2, 3, 4, 5],
            "median": [2002, 3, 4, 1, 5, 6, 7],
        },
    }
    return Features(
        len(rows),
        {
            NUMBER: torch.tensor([row[:2] for row in rows], dtype=torch.float32).reshape(-1, 2),
            CATEGORY: torch.tensor([[row[2]] for row in rows], dtype=torch.int64).reshape(-1, 1),
            STAMP: torch.tensor([[row[3]] for row in rows], dtype=torch.int16).reshape(-1, 1, 7),
        },
        {NUMBER: ("price", "fixed"), CATEGORY: ("colour",), STAMP: ("made",)},
        stats,
    )


MEDIAN = [2002, 3, 4, 1, 5, 6, 7]
NULL = [-1] * 7


def _long(given: Features) -> Any:
    """The ``TensorFrame`` with timestamps in the dtype of their medians."""
    frame = given.to_tensor_frame()
    frame.feat_dict = {kind: v.long() if kind.value == "timestamp" else v for kind, v in frame.feat_dict.items()}
    return frame


def encode(rows: list[tuple[float, float, int, list[int]]]) -> torch.Tensor:
    torch.manual_seed(0)
    given = features(rows)
    encoder = TableEncoder(given, channels=8, num_layers=2).eval()
    with torch.no_grad():
        return encoder(given, len(rows))


def same(left: tuple[float, float, int, list[int]], right: tuple[float, float, int, list[int]]) -> bool:
    out = encode([left, right])
    assert out.isfinite().all()
    return torch.allclose(out[0], out[1])


@pytest.mark.parametrize("kinds", [(NUMBER, CATEGORY, STAMP), (NUMBER,), (CATEGORY,), (STAMP,), (CATEGORY, STAMP)])
@pytest.mark.parametrize("num_rows", [2, 50])  # fewer and more than categories
def test_the_fast_path_is_pytorch_frames_resnet(kinds: tuple[SemanticType, ...], num_rows: int) -> None:
    """Values and every gradient, with NULLs in every column."""
    torch.manual_seed(0)
    rows = [
        (
            math.nan if i % 7 == 0 else i - 3.0,
            math.nan if i % 5 == 1 else 5.0,
            i % 4 - 1,
            NULL if i % 3 == 0 else [2001 + i % 3, i % 12, i % 28, i % 7, i % 24, i % 60, i % 60],
        )
        for i in range(num_rows)
    ]
    whole = features(rows)
    names = {kind: whole.names[kind] for kind in kinds}
    given = Features(num_rows, {kind: whole.values[kind] for kind in kinds}, names, whole.stats)
    encoder = TableEncoder(given, channels=8, num_layers=3, dropout=0.0).double()
    for parameter in encoder.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    if CATEGORY in kinds:
        encoder.network.encoder.encoder_dict["categorical"].emb.weight.data[0] = 0.0
    frame = _long(given)
    # PyTorch Frame encodes timestamps in float32: bring both sides to one precision
    if STAMP in kinds:
        encoder = encoder.float()
    out = {}
    for path in ("plain", "fast"):
        encoder.zero_grad()
        y = encoder.network(frame) if path == "plain" else run_resnet(encoder.network, frame)
        y.sin().sum().backward()
        out[path] = {"value": y.detach()} | {
            name: p.grad.clone() for name, p in encoder.named_parameters() if p.grad is not None
        }
    assert out["plain"].keys() == out["fast"].keys()
    for name, fast in out["fast"].items():
        plain = out["plain"][name]
        if name.endswith("encoder_dict.numerical.weight"):
            # NaN times a zero gradient is NaN: PyTorch Frame loses the weights of a numerical column with a NULL
            assert plain.isnan().any()
            assert fast.isfinite().all()
            plain = torch.where(plain.isnan(), fast, plain)
        torch.testing.assert_close(fast, plain, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("columns", [2, 1])
def test_the_gradient_of_a_column_with_null_is_that_of_its_other_rows(columns: int) -> None:
    whole = features([(11.0, 5.0, 0, MEDIAN), (math.nan, math.nan, 1, MEDIAN), (7.0, 4.0, 2, MEDIAN)])
    names = {NUMBER: ("price", "fixed")[:columns]}
    given = Features(3, {NUMBER: whole.values[NUMBER][:, :columns]}, names, whole.stats)
    torch.manual_seed(0)
    encoder = TableEncoder(given, channels=8, num_layers=2, dropout=0.0)
    weight = encoder.network.encoder.encoder_dict["numerical"].weight
    with_null = torch.autograd.grad(encoder(given, 3)[[0, 2]].sin().sum(), weight)[0]
    without = given.select(torch.tensor([0, 2])).to_tensor_frame()
    plain = torch.autograd.grad(encoder.network(without).sin().sum(), weight)[0]
    torch.testing.assert_close(with_null, plain, rtol=1e-3, atol=1e-5)


def test_rows_differ_by_every_column() -> None:
    row = (10.0, 5.0, 0, MEDIAN)
    assert not same(row, (14.0, 5.0, 0, MEDIAN))
    assert not same(row, (10.0, 5.0, 1, MEDIAN))
    assert not same(row, (10.0, 5.0, 0, [2003, *MEDIAN[1:]]))


def test_null_and_infinite_numbers_are_one_thing() -> None:
    row = (math.nan, 5.0, 0, MEDIAN)
    assert same(row, (math.inf, 5.0, 0, MEDIAN))
    assert same(row, (-math.inf, 5.0, 0, MEDIAN))


def test_unseen_categories_are_one_thing() -> None:
    assert same((10.0, 5.0, -1, MEDIAN), (10.0, 5.0, 3, MEDIAN))
    assert not same((10.0, 5.0, -1, MEDIAN), (10.0, 5.0, 2, MEDIAN))


def test_null_timestamps_are_the_median_and_years_are_clamped() -> None:
    assert same((10.0, 5.0, 0, NULL), (10.0, 5.0, 0, MEDIAN))
    assert same((10.0, 5.0, 0, [1950, *MEDIAN[1:]]), (10.0, 5.0, 0, [2001, *MEDIAN[1:]]))
    assert same((10.0, 5.0, 0, [2050, *MEDIAN[1:]]), (10.0, 5.0, 0, [2003, *MEDIAN[1:]]))


def test_a_column_constant_when_fitted_is_not_blown_up() -> None:
    torch.manual_seed(0)
    given = features([(10.0, 6.0, 0, MEDIAN)])
    encoder = TableEncoder(given, channels=8, num_layers=2)
    column = encoder.network.encoder.encoder_dict["numerical"](given.values[NUMBER])
    weight = encoder.network.encoder.encoder_dict["numerical"].weight
    torch.testing.assert_close(column[0, 1], weight[1] * 1.0, atol=1e-5, rtol=1e-4)  # (6 - 5) / 1


def test_empty_table_and_no_rows() -> None:
    encoder = TableEncoder(None, channels=4)
    assert encoder(None, 3).shape == (3, 4)
    assert torch.equal(encoder(None, 2)[0], encoder(None, 2)[1])
    encoder(None, 3).sum().backward()
    assert torch.equal(encoder.constant.grad, torch.full((4,), 3.0))
    assert encode([]).shape == (0, 8)


def test_other_columns_are_refused() -> None:
    given = features([(10.0, 5.0, 0, MEDIAN)])
    encoder = TableEncoder(given, channels=8)
    other = Features(1, {NUMBER: torch.zeros(1, 1)}, {NUMBER: ("price",)}, {"price": given.stats["price"]})
    with pytest.raises(ShapeError, match=r"expected columns .*colour.*, got .*price"):
        encoder(other, 1)
    with pytest.raises(ShapeError, match=r"got \{\}"):
        encoder(None, 1)


def test_days_are_exact_and_reserved_times_have_none() -> None:
    # 300 years apart: float32 microseconds would be off by half a minute
    far = 300 * 365 * DAY
    days, known = days_between(
        torch.tensor([far, 5 * DAY, 0, 0, STATIC]), torch.tensor([1_000_000, 6 * DAY, STATIC, UNKNOWN, 3 * DAY])
    )
    assert known.tolist() == [True, True, False, False, False]
    assert days.tolist() == [pytest.approx(300 * 365 - 1 / 86_400, rel=1e-7), -1.0, 0.0, 0.0, 0.0]


def test_relative_time_is_the_written_formula() -> None:
    torch.manual_seed(0)
    encoder = RelativeTimeEncoder(4)
    w, b, d = encoder.linear.weight, encoder.linear.bias, 2.5
    position = torch.tensor([math.sin(d), math.sin(d / 100), math.cos(d), math.cos(d / 100)])  # 10000^(-2/4) = 1/100
    torch.testing.assert_close(encoder(torch.tensor([d]))[0], w @ position + b)
    with pytest.raises(ShapeError, match="even number for sine and cosine, got 5"):
        RelativeTimeEncoder(5)


def test_distinct_rows_are_encoded_once_and_ages_added_after() -> None:
    torch.manual_seed(0)
    rows = features([(float(i), 5.0, i % 3, MEDIAN) for i in range(5)])
    time = torch.tensor([0, DAY, 2 * DAY, STATIC, UNKNOWN])
    encoder = HeteroEncoder(
        {"a.b": NodeStore(5, time=time, features=rows), "c": NodeStore(3)}, channels=8, num_layers=1
    )
    encoder.eval()
    seen: list[int] = []
    encoder.tables[0].register_forward_hook(lambda module, inputs, output: seen.append(inputs[1]))
    n_id = {"a.b": torch.tensor([4, 1, 1, 3, 1]), "c": torch.tensor([2, 2])}
    batch = {"a.b": torch.tensor([0, 0, 1, 1, 1]), "c": torch.tensor([0, 1])}
    out = encoder(n_id, batch, torch.tensor([3 * DAY, 5 * DAY]))
    assert seen == [3]
    table = encoder.tables[0](rows, 5)
    age = encoder.times["0"](torch.tensor([2.0, 4.0]))
    torch.testing.assert_close(out["a.b"][1], table[1] + age[0])
    torch.testing.assert_close(out["a.b"][2], table[1] + age[1])
    torch.testing.assert_close(out["a.b"][3], table[3])  # static: no age
    torch.testing.assert_close(out["a.b"][0], table[4])  # unknown: no age
    torch.testing.assert_close(out["c"][0], out["c"][1])
    assert list(encoder.times) == ["0"]
    torch.testing.assert_close(encoder(n_id)["a.b"][1], table[1])
