"""Small databases in the manner of public ones, without declared keys, and what a person would declare for them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["CASES", "Case", "case", "days", "gappy", "moments", "pick"]

Frames = dict[str, dict[str, Any]]


@dataclass
class Case:
    """Frames and what should be proposed; ``maybe`` may be proposed but need not."""

    frames: Mapping[str, Any]
    primary: Mapping[str, tuple[str, ...]]
    foreign: set[str]
    times: Mapping[str, Any]
    maybe: set[str] = field(default_factory=set)


CASES: dict[str, Callable[[], Case]] = {}


def case(build: Callable[[np.random.Generator], Case]) -> Callable[[np.random.Generator], Case]:
    """Make a builder one of the cases; its columns become Arrow tables."""

    def built() -> Case:
        made = build(np.random.default_rng(sum(map(ord, build.__name__))))
        made.frames = {name: pa.table(columns) for name, columns in made.frames.items()}
        return made

    CASES[build.__name__] = built
    return build


def gappy(rng: np.random.Generator, count: int, step: int = 3, start: int = 1) -> np.ndarray:
    """Ascending numbers with gaps."""
    return start + np.cumsum(rng.integers(1, step + 1, count))


def pick(rng: np.random.Generator, keys: Any, count: int) -> np.ndarray:
    """Random keys, every one at least once where there are enough rows."""
    keys = np.asarray(keys)
    first = keys[:count]
    return rng.permutation(np.concatenate([first, rng.choice(keys, count - len(first))]))


def days(rng: np.random.Generator, count: int, first: str = "2015-01-01", span: int = 1500) -> list[dt.date]:
    """Random dates."""
    start = dt.date.fromisoformat(first)
    return [start + dt.timedelta(days=int(n)) for n in rng.integers(0, span, count)]


def moments(rng: np.random.Generator, count: int, first: str = "2015-01-01", span: int = 1500) -> list[dt.datetime]:
    """Random timestamps."""
    start = dt.datetime.fromisoformat(first)
    return [start + dt.timedelta(seconds=int(n)) for n in rng.integers(0, span * 86_400, count)]


def later(start: list[Any], rng: np.random.Generator, most: int = 20) -> list[Any]:
    """Each a little later."""
    return [t + dt.timedelta(days=int(n)) for t, n in zip(start, rng.integers(1, most, len(start)), strict=True)]


def short(dates: list[dt.date]) -> list[int]:
    """930705 for 1993-07-05."""
    return [(d.year % 100) * 10_000 + d.month * 100 + d.day for d in dates]


@case
def berka(rng: np.random.Generator) -> Case:
    accounts, clients, n = gappy(rng, 300, 4), gappy(rng, 330, 4), 4000
    owners = np.concatenate([accounts, rng.choice(accounts, 30, replace=False)])
    old = {"first": "1993-01-01", "span": 1800}
    born = [d.replace(year=1940 + i % 50) for i, d in enumerate(days(rng, 330))]
    number = [n + (5000 if i % 2 else 0) for i, n in enumerate(short(born))]
    disp = gappy(rng, 330, 3)
    frames: Frames = {
        "account": {
            "account_id": accounts,
            "district_id": pick(rng, np.arange(1, 78), 300),
            "frequency": rng.choice(["POPLATEK MESICNE", "POPLATEK TYDNE"], 300),
            "date": short(days(rng, 300, **old)),
        },
        "client": {"client_id": clients, "birth_number": number, "district_id": pick(rng, np.arange(1, 78), 330)},
        "disp": {
            "disp_id": disp,
            "client_id": rng.permutation(clients),
            "account_id": owners,
            "type": ["OWNER"] * 300 + ["DISPONENT"] * 30,
        },
        "trans": {
            "trans_id": gappy(rng, n, 5),
            "account_id": pick(rng, accounts, n),
            "date": short(days(rng, n, **old)),
            "type": rng.choice(["PRIJEM", "VYDAJ"], n),
            "amount": np.round(rng.gamma(2, 3000, n), 1),
            "balance": np.round(rng.gamma(4, 9000, n), 1),
            "k_symbol": rng.choice(["SIPO", "UROK", "SLUZBY"], n),
            "bank": rng.choice(["AB", "YZ", "QR", "CD"], n),
            "account": [None if i % 3 else int(x) for i, x in enumerate(rng.integers(0, 99_000_000, n))],
        },
        "loan": {
            "loan_id": 4000 + gappy(rng, 80, 9),
            "account_id": rng.choice(accounts, 80, replace=False),
            "date": short(days(rng, 80, **old)),
            "amount": rng.integers(5, 500, 80) * 1000,
            "duration": rng.choice([12, 24, 36, 48, 60], 80),
            "status": rng.choice(list("ABCD"), 80),
        },
        "order": {
            "order_id": 29_000 + gappy(rng, 500, 3),
            "account_id": pick(rng, accounts, 500),
            "bank_to": rng.choice(["AB", "YZ", "QR", "CD"], 500),
            "account_to": rng.integers(1000, 99_000_000, 500),
            "amount": np.round(rng.gamma(2, 1500, 500), 1),
        },
        "card": {
            "card_id": gappy(rng, 90, 9),
            "disp_id": rng.choice(disp, 90, replace=False),
            "type": rng.choice(["classic", "gold", "junior"], 90),
            "issued": [f"{n} 00:00:00" for n in short(days(rng, 90, **old))],
        },
        "district": {
            "A1": np.arange(1, 78),
            "A2": [f"Okres {i}" for i in range(77)],
            "A3": rng.choice(["west", "east"], 77),
        }
        | {f"A{i}": rng.integers(0, 90_000, 77) for i in (4, 5, 6)}
        | {f"A{i}": np.round(rng.normal(60, 10, 77), 1) for i in (10, 12)},
    }
    foreign = {f"{t}.account_id -> account" for t in ("disp", "trans", "loan", "order")}
    foreign |= {"account.district_id -> district", "client.district_id -> district", "disp.client_id -> client"}
    primary = {name: (f"{name}_id",) for name in frames if name != "district"} | {"district": ("A1",)}
    converted = {"account": "date", "trans": "date", "loan": "date", "card": "issued"}
    return Case(frames, primary, foreign | {"card.disp_id -> disp"}, converted)


@case
def movielens(rng: np.random.Generator) -> Case:
    movies, n = gappy(rng, 900, 12), 9000
    pairs = np.unique(np.stack([rng.integers(1, 201, n), rng.choice(movies, n)], 1), axis=0)
    users, rated = rng.permutation(pairs).T
    tagged = rng.integers(0, len(users), 400)
    unix = rng.integers(828_124_615, 1_537_799_250, len(users))
    frames: Frames = {
        "ratings": {
            "userId": users,
            "movieId": rated,
            "rating": rng.choice([1.0, 2.5, 3.0, 4.5, 5.0], len(users)),
            "timestamp": unix,
        },
        "movies": {
            "movieId": movies,
            "title": [f"Film {i} (19{i % 100:02})" for i in range(900)],
            "genres": rng.choice(["Drama", "Comedy|Drama", "Action"], 900),
        },
        "tags": {
            "userId": users[tagged],
            "movieId": rng.choice(movies, 400),
            "tag": rng.choice(["funny", "dark", "Al Pacino", "atmospheric"], 400),
            "timestamp": unix[tagged],
        },
        "links": {
            "movieId": movies,
            "imdbId": [f"{i:07}" for i in rng.choice(2_000_000, 900, replace=False)],
            "tmdbId": [None if i % 90 == 0 else float(x) for i, x in enumerate(rng.permutation(400_000)[:900])],
        },
    }
    foreign = {f"{t}.movieId -> movies" for t in ("ratings", "tags", "links")}
    primary = {"ratings": ("userId", "movieId"), "movies": ("movieId",), "links": ("movieId",)}
    return Case(frames, primary, foreign, {"ratings": "timestamp", "tags": "timestamp"})


@case
def sakila(rng: np.random.Generator) -> Case:
    load = [dt.datetime(2006, 2, 15, 4, 34, 33)]
    rented = moments(rng, 1500, "2005-05-24", 90)

    def table(count: int, key: str, **columns: Any) -> dict[str, Any]:
        return {key: np.arange(1, count + 1), **columns, "last_update": load * count}

    cast = np.unique(np.stack([rng.integers(1, 61, 900), rng.integers(1, 201, 900)], 1), axis=0)
    frames: Frames = {
        "actor": table(60, "actor_id", first_name=rng.choice(["ED", "JOE"], 60), last_name=rng.choice(["A", "B"], 60)),
        "film": table(
            200,
            "film_id",
            title=[f"FILM {i}" for i in range(200)],
            release_year=[2006] * 200,
            language_id=[1] * 200,
            original_language_id=pa.nulls(200, pa.int64()),
            rental_duration=rng.integers(3, 8, 200),
            rental_rate=rng.choice([0.99, 2.99, 4.99], 200),
            length=rng.integers(46, 186, 200),
        ),
        "film_actor": {"actor_id": cast[:, 0], "film_id": cast[:, 1], "last_update": load * len(cast)},
        "film_category": {
            "film_id": np.arange(1, 201),
            "category_id": rng.integers(1, 17, 200),
            "last_update": load * 200,
        },
        "category": table(16, "category_id", name=[f"C{i}" for i in range(16)]),
        "language": table(6, "language_id", name=["English", "Italian", "Japanese", "Mandarin", "French", "German"]),
        "inventory": table(
            600, "inventory_id", film_id=pick(rng, np.arange(1, 201), 600), store_id=rng.integers(1, 3, 600)
        ),
        "customer": table(
            100,
            "customer_id",
            store_id=rng.integers(1, 3, 100),
            email=[f"c{i}@sakila.org" for i in range(100)],
            address_id=np.arange(5, 105),
            active=rng.integers(0, 2, 100),
            create_date=moments(rng, 100, "2004-02-14", 300),
        ),
        "rental": table(
            1500,
            "rental_id",
            rental_date=rented,
            inventory_id=pick(rng, np.arange(1, 601), 1500),
            customer_id=pick(rng, np.arange(1, 101), 1500),
            return_date=later(rented, rng),
            staff_id=rng.integers(1, 3, 1500),
        ),
        "payment": table(
            1500,
            "payment_id",
            customer_id=pick(rng, np.arange(1, 101), 1500),
            staff_id=rng.integers(1, 3, 1500),
            rental_id=rng.permutation(np.arange(1, 1501)),
            amount=rng.choice([0.99, 2.99], 1500),
            payment_date=moments(rng, 1500, "2005-05-25", 90),
        ),
        "staff": table(2, "staff_id", first_name=["Mike", "Jon"], address_id=[3, 4], store_id=[1, 2]),
        "store": table(2, "store_id", manager_staff_id=[1, 2], address_id=[1, 2]),
        "address": table(104, "address_id", address=[f"{i} Way" for i in range(104)], city_id=rng.integers(1, 41, 104)),
        "city": table(40, "city_id", city=[f"City {i}" for i in range(40)], country_id=rng.integers(1, 11, 40)),
        "country": table(10, "country_id", country=[f"Land {i}" for i in range(10)]),
    }
    foreign = {"film.language_id -> language", "film_actor.actor_id -> actor", "film_actor.film_id -> film"}
    foreign |= {"film_category.film_id -> film", "film_category.category_id -> category", "inventory.film_id -> film"}
    foreign |= {"inventory.store_id -> store", "customer.store_id -> store", "customer.address_id -> address"}
    foreign |= {f"rental.{x}_id -> {x}" for x in ("inventory", "customer", "staff")}
    foreign |= {f"payment.{x}_id -> {x}" for x in ("rental", "customer", "staff")}
    foreign |= {"staff.address_id -> address", "staff.store_id -> store", "store.address_id -> address"}
    foreign |= {"store.manager_staff_id -> staff", "address.city_id -> city", "city.country_id -> country"}
    foreign |= {"film.original_language_id -> language"}
    single = {name: (f"{name}_id",) for name in frames}
    primary = single | {"film_actor": ("actor_id", "film_id"), "film_category": ("film_id", "category_id")}
    times = {"rental": "rental_date", "payment": "payment_date", "customer": "create_date"}
    return Case(frames, primary, foreign, times)


@case
def employees(rng: np.random.Generator) -> Case:
    numbers, forever = 10_000 + np.arange(1, 301), dt.date(9999, 1, 1)
    depts = [f"d{i:03}" for i in range(1, 10)]
    hired = days(rng, 300, "1985-01-01", 5000)

    def spells(most: int) -> tuple[list[int], list[dt.date], list[dt.date]]:
        who, start, end = [], [], []
        for number, first in zip(numbers.tolist(), hired, strict=True):
            begins = [first + dt.timedelta(days=365 * i) for i in range(int(rng.integers(1, most + 1)))]
            who += [number] * len(begins)
            start += begins
            end += [*begins[1:], forever]
        return who, start, end

    salary, title, dept = spells(6), spells(3), spells(1)
    manager = rng.choice(numbers, 24, replace=False)
    frames: Frames = {
        "employees": {
            "emp_no": numbers,
            "birth_date": days(rng, 300, "1952-01-01", 4000),
            "first_name": rng.choice(["Georgi", "Bezalel", "Parto"], 300),
            "gender": rng.choice(["M", "F"], 300),
            "hire_date": hired,
        },
        "departments": {"dept_no": depts, "dept_name": [f"Department {i}" for i in range(9)]},
        "dept_emp": {"emp_no": dept[0], "dept_no": pick(rng, depts, 300), "from_date": dept[1], "to_date": dept[2]},
        "dept_manager": {
            "dept_no": pick(rng, depts, 24),
            "emp_no": manager,
            "from_date": days(rng, 24, "1985-01-01", 900),
            "to_date": [*days(rng, 15, "1990-01-01", 900), *[forever] * 9],
        },
        "titles": {
            "emp_no": title[0],
            "title": rng.choice(["Engineer", "Staff"], len(title[0])),
            "from_date": title[1],
            "to_date": title[2],
        },
        "salaries": {
            "emp_no": salary[0],
            "salary": rng.integers(38_000, 150_000, len(salary[0])),
            "from_date": salary[1],
            "to_date": salary[2],
        },
    }
    foreign = {f"{t}.emp_no -> employees" for t in ("dept_emp", "dept_manager", "titles", "salaries")}
    foreign |= {"dept_emp.dept_no -> departments", "dept_manager.dept_no -> departments"}
    primary = {
        "employees": ("emp_no",),
        "departments": ("dept_no",),
        "dept_emp": ("emp_no", "dept_no"),
        "dept_manager": ("dept_no", "emp_no"),
        "titles": ("emp_no", "from_date"),
        "salaries": ("emp_no", "from_date"),
    }
    pair = ("from_date", "to_date")
    times = dict.fromkeys(("dept_emp", "dept_manager", "titles", "salaries"), pair) | {"employees": "hire_date"}
    return Case(frames, primary, foreign, times)
