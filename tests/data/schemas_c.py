"""Invented databases whose names and values are harder; see ``schemas_a``."""

from __future__ import annotations

import datetime as dt
import uuid

import numpy as np

from tests.data.schemas_a import CASES, Case, Frames, case, days, gappy, later, moments, pick

__all__ = ["CASES"]


def texts(word: str, count: int) -> list[str]:
    """Different texts with a space."""
    return [f"{word} {i}" for i in range(count)]


@case
def soccer(rng: np.random.Generator) -> Case:
    countries = gappy(rng, 11, 3000)
    teams, players = 9000 + gappy(rng, 120, 40), 2600 + gappy(rng, 700, 300)
    fifa, n, m = 100_000 + gappy(rng, 700, 90), 800, 3000
    who = rng.integers(0, 700, m)
    side = {
        f"{s}_player_{i}": [None if x % 40 == i else int(x) for x in rng.choice(players, n)]
        for s in ("home", "away")
        for i in (1, 2, 3)
    }
    frames: Frames = {
        "Country": {"id": countries, "name": [f"Land{i}" for i in range(11)]},
        "League": {"id": countries, "country_id": countries, "name": texts("Liga", 11)},
        "Match": {
            "id": np.arange(1, n + 1),
            "country_id": pick(rng, countries, n),
            "league_id": pick(rng, countries, n),
            "season": rng.choice(["2008/2009", "2009/2010"], n),
            "stage": rng.integers(1, 39, n),
            "date": [f"{d} 00:00:00" for d in days(rng, n, "2008-07-18", 2800)],
            "match_api_id": 480_000 + gappy(rng, n, 9),
            "home_team_api_id": pick(rng, teams, n),
            "away_team_api_id": pick(rng, teams, n),
            "home_team_goal": rng.integers(0, 7, n),
            **side,
        },
        "Player": {"id": np.arange(1, 701), "player_api_id": players, "player_name": texts("Player", 700)}
        | {
            "player_fifa_api_id": fifa,
            "birthday": days(rng, 700, "1975-01-01", 6000),
            "height": rng.integers(160, 200, 700),
        },
        "Player_Attributes": {"id": np.arange(1, m + 1), "player_fifa_api_id": fifa[who], "player_api_id": players[who]}
        | {"date": moments(rng, m, "2008-07-18", 2800), "overall_rating": rng.integers(40, 95, m)},
        "Team": {
            "id": np.arange(1, 121),
            "team_api_id": teams,
            "team_fifa_api_id": [None, *rng.permutation(9000)[:119].tolist()],
        }
        | {"team_long_name": texts("FC", 120)},
        "Team_Attributes": {"id": np.arange(1, 501), "team_api_id": pick(rng, teams, 500), "date": moments(rng, 500)}
        | {"buildUpPlaySpeed": rng.integers(20, 80, 500)},
    }
    foreign = {"League.country_id -> Country", "Match.country_id -> Country", "Match.league_id -> League"}
    foreign |= {f"Match.{c} -> Player" for c in side} | {f"Match.{s}_team_api_id -> Team" for s in ("home", "away")}
    foreign |= {"Player_Attributes.player_api_id -> Player", "Player_Attributes.player_fifa_api_id -> Player"}
    times = {"Match": "date", "Player_Attributes": "date", "Team_Attributes": "date"}
    primary = dict.fromkeys(frames, ("id",))
    return Case(frames, primary, foreign | {"Team_Attributes.team_api_id -> Team"}, times)


@case
def human_resources(rng: np.random.Generator) -> Case:
    people, hired = gappy(rng, 120, 2, 99), days(rng, 120, "1998-01-01", 3000)
    jobs = ["AD_PRES", "IT_PROG", "SA_REP", "ST_CLERK", "MK_MAN"]
    past = rng.choice(people, 30, replace=False)
    begun = days(rng, 30, "1990-01-01", 900)
    frames: Frames = {
        "regions": {"REGION_ID": [1, 2, 3, 4], "REGION_NAME": ["Europe", "Americas", "Asia", "Africa"]},
        "countries": {"COUNTRY_ID": ["AR", "AU", "BE", "BR", "CA", "CH"], "COUNTRY_NAME": texts("Land", 6)}
        | {"REGION_ID": [2, 3, 1, 2, 2, 1]},
        "locations": {"LOCATION_ID": np.arange(1000, 3000, 100), "CITY": rng.choice(["Roma", "Tokyo", "Bern"], 20)}
        | {"POSTAL_CODE": [str(x) for x in rng.choice(9000, 20, replace=False)]}
        | {"COUNTRY_ID": rng.choice(["AR", "AU", "BE", "CA"], 20)},
        "departments": {"DEPARTMENT_ID": np.arange(10, 120, 10), "DEPARTMENT_NAME": texts("Dept", 11)}
        | {"MANAGER_ID": [*rng.choice(people, 9, replace=False).tolist(), None, None]}
        | {"LOCATION_ID": rng.choice(np.arange(1000, 3000, 100), 11)},
        "jobs": {"JOB_ID": jobs, "JOB_TITLE": texts("Job", 5), "MIN_SALARY": [2000, 4000, 6000, 8000, 9000]},
        "employees": {
            "EMPLOYEE_ID": people,
            "EMAIL": [f"E{i}" for i in range(120)],
            "HIRE_DATE": hired,
            "JOB_ID": rng.choice(jobs, 120),
            "SALARY": rng.integers(2000, 24_000, 120),
            "COMMISSION_PCT": rng.choice([0.1, 0.2, 0.3], 120),
            "MANAGER_ID": [None, *rng.choice(people[:20], 119).tolist()],
            "DEPARTMENT_ID": rng.choice(np.arange(10, 120, 10), 120),
        },
        "job_history": {"EMPLOYEE_ID": past, "START_DATE": begun, "END_DATE": later(begun, rng, 900)}
        | {"JOB_ID": rng.choice(jobs, 30), "DEPARTMENT_ID": rng.choice(np.arange(10, 120, 10), 30)},
    }
    foreign = {
        "countries.REGION_ID -> regions",
        "locations.COUNTRY_ID -> countries",
        "departments.MANAGER_ID -> employees",
    }
    foreign |= {"departments.LOCATION_ID -> locations", "employees.JOB_ID -> jobs", "employees.MANAGER_ID -> employees"}
    foreign |= {"employees.DEPARTMENT_ID -> departments", "job_history.EMPLOYEE_ID -> employees"}
    foreign |= {"job_history.JOB_ID -> jobs", "job_history.DEPARTMENT_ID -> departments"}
    names = {"regions": "REGION", "countries": "COUNTRY", "locations": "LOCATION", "departments": "DEPARTMENT"}
    primary = {t: (f"{n}_ID",) for t, n in (names | {"jobs": "JOB", "employees": "EMPLOYEE"}).items()}
    # thirty rows with thirty people: nothing tells that one may come back
    primary["job_history"] = ("EMPLOYEE_ID",)
    return Case(frames, primary, foreign, {"employees": "HIRE_DATE", "job_history": ("START_DATE", "END_DATE")})


@case
def web_shop(rng: np.random.Generator) -> Case:
    """UUIDs, roles, own synonyms, small numbers that lie in every key, a second unique number."""

    def uuids(count: int) -> list[str]:
        return [str(uuid.UUID(bytes=rng.bytes(16))) for _ in range(count)]

    people, places, things, baskets = uuids(150), uuids(200), np.arange(1, 61), uuids(700)
    ordered = moments(rng, 700, "2021-01-01", 600)
    lines = [(b, i + 1) for b in baskets for i in range(int(rng.integers(1, 4)))]
    n = len(lines)
    back = rng.choice(n, 90, replace=False)
    frames: Frames = {
        "tblPeople": {"id": people, "fullName": texts("Ada", 150), "age": rng.integers(18, 90, 150)}
        | {"createdAt": moments(rng, 150, "2020-01-01", 300), "updatedAt": moments(rng, 150, "2021-01-01", 600)},
        "tblAddresses": {"id": places, "personId": pick(rng, people, 200), "street": texts("Way", 200)},
        "tblCategories": {"id": np.arange(1, 9), "label": texts("Cat", 8), "parentId": [None, None, 1, 1, 2, 2, 2, 3]},
        "tblProducts": {"id": things, "sku": [f"SKU-{i:05}" for i in rng.permutation(90_000)[:60]]}
        | {
            "categoryId": rng.integers(1, 9, 60),
            "stars": rng.integers(1, 6, 60),
            "price": np.round(rng.gamma(2, 9, 60), 2),
        },
        "tblOrders": {
            "uuid": baskets,
            "orderNumber": np.arange(1, 701),
            "buyerPersonId": pick(rng, people, 700),
            "shippingAddressId": rng.choice(places, 700),
            "billingAddressId": rng.choice(places, 700),
            "orderedAt": ordered,
            "shippedAt": later(ordered, rng),
            "priority": rng.integers(1, 4, 700),
        },
        "tblOrderLines": {"orderUuid": [b for b, _ in lines], "lineNo": [i for _, i in lines]}
        | {"productId": rng.choice(things, n), "quantity": rng.integers(1, 9, n), "rank": rng.integers(1, 9, n)},
        "tblReturns": {
            "id": np.arange(1, 91),
            "orderUuid": [lines[i][0] for i in back],
            "lineNo": [lines[i][1] for i in back],
        }
        | {"returnedOn": days(rng, 90, "2022-06-01", 300), "reasonCode": rng.integers(1, 7, 90)},
        "tblReviews": {
            "id": 5 + np.arange(300),
            "product": rng.choice(things, 300),
            "authorId": rng.choice(people, 300),
        }
        | {"rating": rng.integers(1, 6, 300), "writtenOn": [str(d) for d in days(rng, 300, "2021-01-01", 600)]},
    }
    foreign = {"tblAddresses.personId -> tblPeople", "tblCategories.parentId -> tblCategories"}
    foreign |= {"tblProducts.categoryId -> tblCategories", "tblOrders.buyerPersonId -> tblPeople"}
    foreign |= {f"tblOrders.{x}AddressId -> tblAddresses" for x in ("shipping", "billing")}
    foreign |= {"tblOrderLines.orderUuid -> tblOrders", "tblOrderLines.productId -> tblProducts"}
    foreign |= {"tblReturns.orderUuid+lineNo -> tblOrderLines", "tblReviews.product -> tblProducts"}
    primary = dict.fromkeys(frames, ("id",))
    primary |= {"tblOrders": ("uuid",), "tblOrderLines": ("orderUuid", "lineNo")}
    times = {"tblPeople": "createdAt", "tblOrders": "orderedAt", "tblReturns": "returnedOn", "tblReviews": "writtenOn"}
    return Case(frames, primary, foreign | {"tblReviews.authorId -> tblPeople"}, times)


@case
def clinic(rng: np.random.Generator) -> Case:
    """A row number besides the key that others refer to, as in hospital data; numbers held as text on one side."""
    subjects, stays, items = 10_000 + gappy(rng, 90, 9), 100_000 + gappy(rng, 140, 200), 220_000 + gappy(rng, 70, 5)
    admitted = moments(rng, 140, "2101-01-01", 9000)
    admitted = [t - dt.timedelta(days=33_000) for t in admitted]
    n = 4000
    stay = rng.integers(0, 140, n)
    subject = pick(rng, subjects, 140)
    frames: Frames = {
        "PATIENTS": {"ROW_ID": np.arange(1, 91), "SUBJECT_ID": subjects, "GENDER": rng.choice(["M", "F"], 90)}
        | {"DOB": moments(rng, 90, "1940-01-01", 9000), "DOD": [None] * 60 + moments(rng, 30, "2011-01-01", 90)},
        "ADMISSIONS": {"ROW_ID": np.arange(1, 141), "SUBJECT_ID": subject, "HADM_ID": stays, "ADMITTIME": admitted}
        | {"DISCHTIME": later(admitted, rng), "DIAGNOSIS": rng.choice(["SEPSIS", "ASTHMA"], 140)},
        "CHARTEVENTS": {
            "ROW_ID": np.arange(1, n + 1),
            "SUBJECT_ID": subject[stay],
            "HADM_ID": [str(x) for x in stays[stay]],
        }
        | {
            "ITEMID": pick(rng, items, n),
            "CHARTTIME": moments(rng, n, "2011-01-01", 9000),
            "VALUENUM": rng.normal(0, 1, n),
        },
        "D_ITEMS": {"ROW_ID": np.arange(1, 71), "ITEMID": items, "LABEL": texts("Item", 70)},
    }
    foreign = {"ADMISSIONS.SUBJECT_ID -> PATIENTS", "CHARTEVENTS.SUBJECT_ID -> PATIENTS"}
    foreign |= {"CHARTEVENTS.HADM_ID -> ADMISSIONS", "CHARTEVENTS.ITEMID -> D_ITEMS"}
    times = {"ADMISSIONS": ("ADMITTIME", "DISCHTIME"), "CHARTEVENTS": "CHARTTIME"}
    return Case(frames, dict.fromkeys(frames, ("ROW_ID",)), foreign, times)


@case
def models_and_world(rng: np.random.Generator) -> Case:
    """Glued and misspelt names, codes, a town that a country points back to."""
    staff, clients, orders = 1000 + gappy(rng, 23, 40), 100 + gappy(rng, 120, 6), 10_100 + np.arange(320)
    goods, kinds = [f"S{i:02}_{1000 + i * 7}" for i in range(110)], ["Classic Cars", "Planes", "Ships", "Trains"]
    lands, towns = [f"{a}{b}Z" for a in "ABCDEF" for b in "KLMNOP"], np.arange(1, 501)
    asked = days(rng, 320, "2003-01-06", 800)
    pairs = sorted({(int(o), goods[int(g)]) for o in orders for g in rng.integers(0, 110, 9)})
    frames: Frames = {
        "offices": {
            "officeCode": [str(i) for i in range(1, 8)],
            "city": ["SF", "Boston", "NYC", "Paris", "Tokyo", "Sydney", "London"],
        },
        "employees": {"employeeNumber": staff, "officeCode": pick(rng, [str(i) for i in range(1, 8)], 23)}
        | {"reportsTo": [None, *rng.choice(staff[:6], 22).tolist()], "extension": [f"x{i}" for i in range(23)]},
        "customers": {"customerNumber": clients, "city": rng.choice(["Paris", "NYC", "Lyon"], 120)}
        | {"salesRepEmployeeNumber": [None if i % 6 == 0 else int(x) for i, x in enumerate(rng.choice(staff, 120))]}
        | {"creditLimit": rng.integers(0, 90, 120) * 1000},
        "orders": {
            "orderNumber": orders,
            "orderDate": asked,
            "requiredDate": later(asked, rng),
            "shippedDate": later(asked, rng, 7),
        }
        | {"status": rng.choice(["Shipped", "Resolved"], 320), "customerNumber": pick(rng, clients, 320)},
        "orderdetails": {"orderNumber": [o for o, _ in pairs], "productCode": [g for _, g in pairs]}
        | {"quantityOrdered": rng.integers(20, 60, len(pairs)), "orderLineNumber": rng.integers(1, 18, len(pairs))},
        "payments": {
            "customerNumber": rng.choice(clients, 250),
            "checkNumber": [f"HQ{i}" for i in rng.permutation(99_999)[:250]],
        }
        | {"paymentDate": days(rng, 250, "2003-01-06", 800), "amount": np.round(rng.gamma(2, 9000, 250), 2)},
        "products": {
            "productCode": goods,
            "productLine": rng.choice(kinds, 110),
            "quantityInStock": rng.integers(10, 9999, 110),
        },
        "productlines": {"productLine": kinds, "textDescription": texts("Fine", 4)},
        "country": {"Code": lands, "Name": texts("Land", 36), "IndepYear": rng.integers(1200, 1994, 36)}
        | {"Capital": rng.choice(towns, 36, replace=False)},
        "city": {"ID": towns, "Name": texts("Town", 500), "CountryCode": pick(rng, lands, 500)}
        | {"Population": rng.integers(900, 9_000_000, 500)},
        "countrylanguage": {"CountryCode": np.repeat(lands, 3), "Language": ["English", "Dutch", "Papiamento"] * 36}
        | {"IsOfficial": rng.choice(["T", "F"], 108), "Percentage": np.round(rng.uniform(0, 100, 108), 1)},
    }
    foreign = {
        "employees.officeCode -> offices",
        "employees.reportsTo -> employees",
        "orders.customerNumber -> customers",
    }
    foreign |= {"customers.salesRepEmployeeNumber -> employees", "orderdetails.orderNumber -> orders"}
    foreign |= {"orderdetails.productCode -> products", "payments.customerNumber -> customers"}
    foreign |= {"products.productLine -> productlines", "city.CountryCode -> country"}
    primary = {"offices": ("officeCode",), "employees": ("employeeNumber",), "customers": ("customerNumber",)}
    primary |= {
        "orders": ("orderNumber",),
        "orderdetails": ("orderNumber", "productCode"),
        "payments": ("checkNumber",),
    }
    primary |= {"products": ("productCode",), "productlines": ("productLine",), "country": ("Code",), "city": ("ID",)}
    primary |= {"countrylanguage": ("CountryCode", "Language")}
    times = {"orders": "orderDate", "payments": "paymentDate"}
    return Case(
        frames, primary, foreign | {"countrylanguage.CountryCode -> country"}, times, {"country.Capital -> city"}
    )
