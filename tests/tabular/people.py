"""A small database with every kind of row: NULL times, NULL keys, no times, a self reference, a composite key."""

from __future__ import annotations

from typing import Any

import pandas as pd
from hypothesis import strategies as st

import relgraph
from relgraph.data.database import Database
from relgraph.data.graph import HeteroGraph
from tests.tabular.oracle import DAY, Tables

EPOCH = 10_000  # days; all times are this and a few days more
TYPES = {
    "coun try.size": "numerical",
    "person.level": "categorical",
    "person.born": "timestamp",
    "sale.price": "numerical",
    "sale.stars": "categorical",
    "line.amount": "numerical",
}


def rows() -> st.SearchStrategy[dict[str, list[dict[str, Any]]]]:
    """Up to 3 countries, 4 persons, 12 sales and 8 lines."""
    price = st.none() | st.integers(-40, 40).map(lambda n: n / 4)
    days = st.none() | st.integers(0, 20)

    def of(draw: Any) -> dict[str, list[dict[str, Any]]]:
        def reference(size: int) -> Any:
            return draw(st.none() | st.integers(0, size - 1)) if size else None

        countries = [{"size": draw(price)} for _ in range(draw(st.integers(1, 3)))]
        size = draw(st.integers(1, 4))
        persons = [
            {
                "country": reference(len(countries)),
                "boss": reference(size),
                "level": draw(st.sampled_from([None, "a", "b", "c"])),
                "born": draw(days),
                "time": draw(days) if draw(st.booleans()) else 0,
            }
            for _ in range(size)
        ]
        sales = [
            {
                "buyer": reference(size),
                "country": reference(len(countries)),
                "price": draw(price),
                "stars": draw(st.sampled_from([None, "1", "2", "4"])),
                "time": draw(days),
            }
            for _ in range(draw(st.integers(0, 12)))
        ]
        lines = [{"sale": reference(len(sales)), "amount": draw(price)} for _ in range(draw(st.integers(0, 8)))]
        return {"coun try": countries, "person": persons, "sale": sales, "line": lines}

    return st.composite(lambda draw: of(draw))()


KEYS = {
    ("person", "country"): "coun try",
    ("person", "boss"): "person",
    ("sale", "buyer"): "person",
    ("sale", "country"): "coun try",
    ("line", "sale"): "sale",
}


def database(given: dict[str, list[dict[str, Any]]]) -> Database:
    """The rows as a database: person has a text key, sale a composite one."""

    def frame(table: str, columns: dict[str, str]) -> pd.DataFrame:
        return pd.DataFrame(
            {name: pd.array([row[name] for row in given[table]], dtype=kind) for name, kind in columns.items()}
        )

    def stamp(days: list[Any]) -> Any:
        return pd.to_datetime([None if day is None else (EPOCH + day) * DAY * 1000 for day in days])

    country = frame("coun try", {"size": "Float64"}).assign(id=range(len(given["coun try"])))
    person = frame("person", {"country": "Int64", "level": "string"})
    person["id"] = [f"p{i}" for i in range(len(person))]
    person["boss"] = pd.array([None if r["boss"] is None else f"p{r['boss']}" for r in given["person"]], dtype="string")
    person["born"] = stamp([row["born"] for row in given["person"]])
    person["joined"] = stamp([row["time"] for row in given["person"]])
    sale = frame("sale", {"country": "Int64", "price": "Float64", "stars": "string"})
    sale["buyer"] = pd.array([None if r["buyer"] is None else f"p{r['buyer']}" for r in given["sale"]], dtype="string")
    sale["day"] = stamp([row["time"] for row in given["sale"]])
    sale["shop"], sale["no"] = 7, range(len(sale))
    line = frame("line", {"sale": "Int64", "amount": "Float64"}).rename(columns={"sale": "no"})
    line["shop"] = pd.array([7] * len(line), dtype="Int64")
    return relgraph.connect(
        {"coun try": country, "person": person, "sale": sale, "line": line},
        keys={
            "coun try": "id",
            "person": {"primary_key": "id", "foreign_keys": {"country": "coun try", "boss": "person"}},
            "sale": {
                "primary_key": ("shop", "no"),
                "foreign_keys": {"buyer": "person", "country": "coun try"},
            },
            "line": {"foreign_keys": {("shop", "no"): "sale"}},
        },
        times={"person": "joined", "sale": "day"},
        progress=False,
    )


def graph_of(given: dict[str, list[dict[str, Any]]], fit_until: int | None = None) -> HeteroGraph:
    """The rows as a graph, with the types fixed where a column has values."""
    with database(given) as db:
        return relgraph.build_graph(db, fit_until=fit_until, types=TYPES, text=None, progress=False)


def tables_of(given: dict[str, list[dict[str, Any]]], graph: HeteroGraph) -> Tables:
    """The same rows for the oracle."""
    codes = {}
    for table, store in graph.nodes.items():
        for name in () if store.features is None else store.features.column_names:
            if "categories" in store.features.stats[name]:
                codes[f"{table}.{name}"] = [str(text) for text in store.features.stats[name]["categories"]]
    return Tables(given, KEYS, {"person", "sale"}, codes, {"shop+no": "sale"})
