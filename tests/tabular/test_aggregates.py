"""Aggregates equal plain Python for every column, see nothing from the future, and take every kind of key."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import relgraph
from relgraph.errors import SchemaError, ShapeError
from relgraph.tabular import Aggregates, seed_features_from_dict, windows
from tests.data.shop import shop
from tests.tabular.oracle import DAY, column
from tests.tabular.people import EPOCH, database, graph_of, rows, tables_of

WINDOWS = (3, 10)
Rows = dict[str, list[dict[str, Any]]]
quick = settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def at(*days: int) -> torch.Tensor:
    return torch.tensor([(EPOCH + day) * DAY for day in days], dtype=torch.int64)


@pytest.mark.slow
@quick
@given(rows(), st.data(), st.booleans())
def test_every_column_equals_plain_python(data: Rows, draw: st.DataObject, crowded: bool) -> None:
    check_every_column(data, draw, crowded)


@pytest.mark.slow
@settings(quick, max_examples=10)
@given(rows(), st.data(), st.booleans())
def test_every_column_equals_plain_python_often(data: Rows, draw: st.DataObject, crowded: bool) -> None:
    check_every_column(data, draw, crowded)


def check_every_column(data: Rows, draw: st.DataObject, crowded: bool) -> None:
    graph = graph_of(data)
    tables = tables_of(data, graph)
    asked = [(person, draw.draw(st.integers(0, 21))) for person in range(len(data["person"]))]
    strict = draw.draw(st.booleans())
    source = Aggregates(graph, "person", windows=WINDOWS, last=(1, 2, 4), max_columns=10_000, strict=strict)
    assert len(set(source.names)) == len(source.names)
    with pytest.MonkeyPatch.context() as patch:
        if crowded:  # runs of two rows summed up beforehand, as where very many refer to the same row
            patch.setattr(windows, "_MOST_PAIRS", -1)
            patch.setattr(windows, "_BLOCK", 2)
        found = source.matrix(torch.tensor([person for person, _ in asked]), at(*(day for _, day in asked)))
    # a moment earlier is what a strict seed sees
    late = 1 / DAY if strict else 0.0
    for (person, day), values in zip(asked, found, strict=True):
        expected = [column(tables, "person", name, person, day - late, WINDOWS) for name in source.names]
        for name, value, right in zip(source.names, values, expected, strict=True):
            assert value == pytest.approx(right, abs=1e-7, nan_ok=True), f"{name} of {person} at {day}"


@pytest.mark.slow
@quick
@given(rows(), st.integers(0, 20), st.data())
def test_nothing_from_the_future(data: Rows, now: int, draw: st.DataObject) -> None:
    graph = graph_of(data, fit_until=int(at(now)))
    source = Aggregates(graph, "person", windows=WINDOWS, max_columns=10_000, until=int(at(now)))
    persons = torch.arange(len(data["person"]))
    before = source.matrix(persons, at(*[now + 5] * len(persons)))
    other = {table: [dict(row) for row in found] for table, found in data.items()}
    hidden = [i for i, row in enumerate(data["sale"]) if row["time"] is None or row["time"] > now]
    for i in hidden:  # other values, another buyer, another later time
        other["sale"][i] |= {
            "price": draw.draw(st.integers(-9, 9)),
            "stars": draw.draw(st.sampled_from(["1", "2", "4"])),
            "time": draw.draw(st.integers(now + 1, 30)),
            "buyer": draw.draw(st.integers(0, len(persons) - 1)),
        }
    for row in other["line"]:
        if row["sale"] in hidden:
            row["amount"] = draw.draw(st.integers(-9, 9))
    changed = Aggregates(
        graph_of(other, fit_until=int(at(now))), "person", windows=WINDOWS, max_columns=10_000, until=int(at(now))
    )
    assert changed.names == source.names
    np.testing.assert_array_equal(changed.matrix(persons, at(*[now + 5] * len(persons))), before)


def sales(*given: tuple[int | None, float | None]) -> dict[str, list[dict[str, Any]]]:
    person = {"country": 0, "boss": None, "level": "a", "born": 0, "time": 0}
    return {
        "coun try": [{"size": 4.0}],
        "person": [person, {**person, "country": None, "level": "b"}],
        "sale": [
            {"buyer": 0, "country": None, "price": price, "stars": str(1 + i % 3), "time": time}
            for i, (time, price) in enumerate(given)
        ],
        "line": [],
    }


@pytest.mark.slow
def test_by_hand() -> None:
    graph = graph_of(sales((1, 2.0), (5, 4.0), (9, 9.0), (9, None), (12, 100.0), (None, 50.0)))
    source = Aggregates(graph, "person", hops=1, windows=WINDOWS, last=(1, 2, 3))
    values = dict(zip(source.names, source.matrix(torch.tensor([0]), at(9))[0], strict=True))
    path = "<- sale[buyer]: "
    assert values[path + "count, all"] == 4
    assert values[path + "count, 3 d"] == 2
    assert values[path + "days since first"] == 8
    assert values[path + "rate 3 d less rate 10 d"] == pytest.approx(2 / 3 - 4 / 10)
    assert values[path + "mean price, all"] == 5
    assert values[path + "sum price, 10 d"] == 15
    assert values[path + "std price, all"] == pytest.approx(np.std([2, 4, 9]))
    assert np.isnan(values[path + "mean price, last"])
    assert values[path + "mean price, last 3"] == 6.5
    assert values[path + "mean price, 3 d less all"] == 4
    assert values[path + "slope price, last 3"] == 5
    assert values["-> coun try[country]: size"] == 4


@pytest.mark.slow
def test_seeds_of_the_same_row_and_moment_and_none_at_all() -> None:
    source = Aggregates(graph_of(sales((1, 2.0), (5, 4.0))), "person")
    found = source.matrix(torch.tensor([1, 0, 1, 0]), at(9, 9, 9, 2))
    np.testing.assert_array_equal(found[0], found[2])
    assert not np.array_equal(found[1], found[3])
    assert source.matrix(torch.tensor([], dtype=torch.int64), at()).shape == (0, len(source.names))
    # without a time all that is known at some time is seen
    whole = source.matrix(torch.tensor([0]), None)[0]
    assert whole[source.names.index("<- sale[buyer]: count, all")] == 2


@pytest.mark.slow
def test_runs_summed_up_beforehand_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    data = sales(
        *(
            (int(day), float(price))
            for day, price in zip(random.integers(0, 400, 300), random.normal(1e6, 1, 300), strict=True)
        )
    )
    source = Aggregates(graph_of(data), "person", windows=(30, 90), max_columns=10_000)
    seeds = (torch.zeros(60, dtype=torch.int64), at(*random.integers(0, 420, 60).tolist()))
    plain = source.matrix(*seeds)
    monkeypatch.setattr(windows, "_MOST_PAIRS", 0)
    monkeypatch.setattr(windows, "_BLOCK", 16)
    np.testing.assert_allclose(source.matrix(*seeds), plain, rtol=1e-9, atol=1e-6)
    assert np.nanmin(plain[:, source.names.index("<- sale[buyer]: std price, all")]) < 2


@pytest.mark.slow
def test_frozen_seeds_see_no_more_than_until() -> None:
    graph = graph_of(sales((1, 2.0), (5, 4.0), (9, 9.0)))
    frozen = Aggregates(graph, "person", until=int(at(5)))
    free = Aggregates(graph, "person")
    count = free.names.index("<- sale[buyer]: count, all")
    node = torch.tensor([0, 0, 0])
    assert frozen.matrix(node, at(3, 5, 20))[:, count].tolist() == [1, 2, 2]
    assert free.matrix(node, at(3, 5, 20))[:, count].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(frozen.matrix(node[:1], at(20)), free.matrix(node[:1], at(5)))


@pytest.mark.slow
def test_the_most_telling_columns_stay() -> None:
    graph = graph_of(sales((1, 2.0), (5, 4.0)))
    whole, some = Aggregates(graph, "person", max_columns=10_000), Aggregates(graph, "person", max_columns=30)
    assert len(some.names) == 30
    assert set(some.names) < set(whole.names)
    assert {"<- sale[buyer]: count, all", "<- sale[buyer]: days since last"} <= set(some.names)
    at_nine = (torch.tensor([0]), at(9))
    values = dict(zip(whole.names, whole.matrix(*at_nine)[0], strict=True))
    np.testing.assert_array_equal(some.matrix(*at_nine)[0], [values[name] for name in some.names])


def test_hidden_columns_and_the_way_back_from_json() -> None:
    graph = graph_of(sales((1, 2.0), (5, 4.0)))
    source = Aggregates(graph, "person", hide=("sale.price",), windows=(7,), strict=True)
    assert not any("price" in name for name in source.names)
    again = seed_features_from_dict(source.describe(), graph)
    assert again.names == source.names
    assert again.describe() == source.describe()
    assert all("sale" in source.names[i] or "person" in source.names[i] for i in source.categorical)


@pytest.mark.slow
def test_a_database_does_as_well() -> None:
    with database(sales((1, 2.0), (5, 4.0))) as db:
        found = Aggregates(db, "person", until=int(at(5)))
        count = found.names.index("<- sale[buyer]: count, all")
        assert found.matrix(torch.tensor([0, 1]), at(9, 9))[:, count].tolist() == [2, 0]


def test_two_keys_to_one_table() -> None:
    with shop() as db:
        graph = relgraph.build_graph(db, text=None, progress=False)
        source = Aggregates(graph, "person")
    names = set(source.names)
    assert {"<- sale[buyer]: count, all", "<- sale[seller]: count, all", "<- log[person]: count, all"} <= names
    assert "-> country[country]: size" in names


def test_what_cannot_be_asked() -> None:
    graph = graph_of(sales((1, 2.0)))
    for wrong in ({"hops": 3}, {"windows": (0,)}, {"last": (True,)}, {"max_columns": 0}, {"until": "soon"}):
        with pytest.raises(SchemaError):
            Aggregates(graph, "person", **wrong)  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match="no table 'nobody'"):
        Aggregates(graph, "nobody")
    with pytest.raises(ShapeError, match=r"expected numbers in 0\.\.1"):
        Aggregates(graph, "person").matrix(torch.tensor([2]), at(1))
    with pytest.raises(ShapeError, match="one per node"):
        Aggregates(graph, "person").matrix(torch.tensor([0]), at(1, 2))
    with pytest.raises(SchemaError, match="source"):
        seed_features_from_dict({"source": "other"}, graph)
