"""Many columns at once give what each gives alone; the order of rows changes nothing but the order of rows."""

from __future__ import annotations

import math
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

import relgraph
from relgraph.data import encode, stream
from relgraph.data.database import Database
from relgraph.data.features import Features
from relgraph.data.number_stats import _stats
from relgraph.data.schema import SemanticType
from tests.data.same_graph import require_same
from tests.data.shop import shop


def features_of(frame: Any, types: dict[str, str] | None = None, **options: Any) -> Features:
    with relgraph.connect({"t": frame}, progress=False) as db:
        given = {f"t.{name}": kind for name, kind in (types or {}).items()}
        graph = relgraph.build_graph(db, types=given, progress=False, **options)
    features = graph.nodes["t"].features
    assert features is not None
    return features


def wide_frame(rows: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {}
    for i in range(15):
        numbers = rng.normal(size=rows) * 10**i
        numbers[rng.integers(0, rows, 5)] = math.nan
        columns[f"number {i}"] = numbers
        columns[f"kind{i}"] = [None if k == 0 else f"k{k}" for k in rng.integers(0, 4 + i // 3, rows)]
        days = pd.Series(pd.Timestamp("1999-12-31 23:59:58") + pd.to_timedelta(rng.integers(0, 10**9, rows), unit="s"))
        days[rng.integers(0, rows, 3)] = pd.NaT
        columns[f"day{i}"] = days
    return pd.DataFrame(columns)


@pytest.mark.slow
def test_many_columns_in_one_scan_are_each_encoded_as_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "_TOGETHER", 7)
    monkeypatch.setattr(encode, "_HELD", 300)
    monkeypatch.setattr(stream, "_BATCH", 2048)
    frame = wide_frame()
    features = features_of(frame)
    assert features.num_columns == 45
    for name in frame.columns:
        alone = features_of(frame[[name]].assign(other=1.5))
        assert alone.column_names == (name,)
        assert alone.stats[str(name)] == features.stats[str(name)]
        assert torch.equal(alone.column(str(name)).nan_to_num(-5), features.column(str(name)).nan_to_num(-5))
        missing = frame[name].isna().to_numpy()
        found = features.column(str(name))
        empty = found.isnan() if found.is_floating_point() else (found == -1).reshape(len(frame), -1).all(1)
        assert empty.tolist() == missing.tolist()


@pytest.mark.slow
def test_statistics_and_categories_by_numpy() -> None:
    frame = wide_frame(501)
    features = features_of(frame)
    for i in range(15):
        values = frame[f"number {i}"].dropna().to_numpy()
        stats = features.stats[f"number {i}"]
        expected = [values.mean(), values.std(), *np.quantile(values, [0, 0.25, 0.5, 0.75, 1])]
        scale = np.abs(values).max()
        assert np.allclose([stats["mean"], stats["std"], *stats["quantiles"]], expected, rtol=1e-11, atol=1e-11 * scale)
        counts = frame[f"kind{i}"].value_counts()
        ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        assert features.stats[f"kind{i}"] == {"categories": [k for k, _ in ordered], "counts": [n for _, n in ordered]}
        codes = features.column(f"kind{i}").tolist()
        place = {kind: code for code, (kind, _) in enumerate(ordered)}
        assert codes == [place.get(kind, -1) for kind in frame[f"kind{i}"]]
        for row, day in enumerate(frame[f"day{i}"]):
            if day is not pd.NaT:
                parts = [day.year, day.month - 1, day.day - 1, day.weekday(), day.hour, day.minute, day.second]
                assert features.column(f"day{i}")[row].tolist() == parts


@pytest.mark.slow
def test_statistics_do_not_depend_on_the_order_of_rows() -> None:
    frame = wide_frame(3000)
    order = np.random.default_rng(1).permutation(len(frame))
    first, second = features_of(frame), features_of(frame.iloc[order].reset_index(drop=True))
    for name, stats in first.stats.items():
        assert stats == second.stats[name], name
    for kind, values in first.values.items():
        assert isinstance(values, torch.Tensor)
        assert torch.equal(values[torch.from_numpy(order)].nan_to_num(-5), second.values[kind].nan_to_num(-5)), kind


@pytest.mark.parametrize(
    ("values", "mean", "std", "quantiles"),
    [
        ([3.0, 1.0, 2.0, 6.0], 3.0, math.sqrt(3.5), [1, 1.75, 2.5, 3.75, 6]),
        ([math.inf, 5.0, -math.inf, math.nan], 5.0, 0.0, [5.0] * 5),
        ([math.nan, math.inf], 0.0, 0.0, [0.0] * 5),
        ([], 0.0, 0.0, [0.0] * 5),
        ([-0.0, 0.0], 0.0, 0.0, [0.0] * 5),
        ([1e300, 3e300], 2e300, 1e300, [1e300, 1.5e300, 2e300, 2.5e300, 3e300]),
        ([-1.7e308, 1.7e308], 0.0, 1.7e308, [-1.7e308, -0.85e308, 0.0, 0.85e308, 1.7e308]),
        ([1e15 + 1, 1e15 + 3], 1e15 + 2, 1.0, [1e15 + 1, 1e15 + 1.5, 1e15 + 2, 1e15 + 2.5, 1e15 + 3]),
    ],
)
def test_statistics_by_hand(values: list[float], mean: float, std: float, quantiles: list[float]) -> None:
    found = _stats(np.array(values))
    expected = [float(f"{value:.12g}") for value in (mean, std, *quantiles)]
    assert [found["mean"], found["std"], *found["quantiles"]] == expected
    assert not any(math.copysign(1, value) < 0 for value in found["quantiles"] if value == 0)


@pytest.mark.slow
def test_rows_that_come_in_any_order_land_at_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = relgraph.build_graph(shop(), "2020-01-31", progress=False)
    numbered = Database.numbered
    monkeypatch.setattr(
        Database,
        "numbered",
        lambda db, table, columns=None: f'SELECT * FROM ({numbered(db, table, columns)}) ORDER BY hash("__row")',
    )
    require_same(expected, relgraph.build_graph(shop(), "2020-01-31", progress=False))


def test_categories_of_any_type_keep_their_values() -> None:
    rows = 24
    frame = duckdb.sql(
        f"SELECT i % 2 = 0 AS flag, CAST(i % 3 AS UTINYINT) AS small, CAST(i % 4 AS HUGEINT) AS huge, "
        "CASE WHEN i % 2 = 0 THEN 0.0 ELSE -0.0 END AS zero, CAST(i % 2 AS DOUBLE) AS half, "
        "CAST('00000000-0000-0000-0000-00000000000' || i % 3 AS UUID) AS uuid "
        f"FROM range({rows}) t(i)"
    ).to_arrow_table()
    chosen = {"zero": "categorical", "half": "categorical", "uuid": "categorical"}
    features = features_of(frame, chosen)
    assert features.column("flag").tolist() == [(i + 1) % 2 for i in range(rows)]  # false, true: as many of each
    assert features.column("small").tolist() == [i % 3 for i in range(rows)]
    assert features.column("zero").tolist() == [0] * rows  # 0 and -0 are one value
    assert features.stats["half"]["categories"] == ["0.0", "1.0"]
    assert features.column("uuid").tolist() == [i % 3 for i in range(rows)]


def test_a_column_name_may_hold_braces_and_quotes() -> None:
    names = ["{x}", 'a"b', "{", "ünï"]
    frame = pa.table({name: [1.5, 2.5, None, i + 9.0] for i, name in enumerate(names)})
    features = features_of(frame)
    assert set(features.names[SemanticType.NUMERICAL]) == set(names)
    for i, name in enumerate(names):
        assert features.column(name)[3] == i + 9.0
        assert features.column(name)[2].isnan()
