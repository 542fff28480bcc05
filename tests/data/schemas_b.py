"""More small databases in the manner of public ones; see ``schemas_a``."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import numpy as np

from tests.data.schemas_a import CASES, Case, Frames, case, days, gappy, later, moments, pick

__all__ = ["CASES"]


def hexes(rng: np.random.Generator, count: int) -> list[str]:
    """Ids of 32 hex digits."""
    return [uuid.UUID(bytes=rng.bytes(16)).hex for _ in range(count)]


@case
def imdb(rng: np.random.Generator) -> Case:
    titles, names = ([f"{p}{i:07}" for i in gappy(rng, n, 3)] for p, n in (("tt", 600), ("nm", 400)))
    cast = np.repeat(titles, 4)
    akas = np.repeat(titles[:300], 2)
    frames: Frames = {
        "title.basics": {
            "tconst": titles,
            "titleType": rng.choice(["movie", "short", "tvEpisode"], 600),
            "primaryTitle": [f"Title {i // 2}" for i in range(600)],
            "isAdult": rng.integers(0, 2, 600),
            "startYear": rng.integers(1894, 2024, 600),
            "runtimeMinutes": rng.integers(1, 240, 600),
            "genres": rng.choice(["Drama", "Comedy,Drama"], 600),
        },
        "title.crew": {"tconst": titles, "directors": [",".join(rng.choice(names, 2)) for _ in titles]},
        "title.ratings": {
            "tconst": sorted(rng.choice(titles, 400, replace=False)),
            "averageRating": np.round(rng.uniform(1, 10, 400), 1),
            "numVotes": rng.integers(5, 90_000, 400),
        },
        "title.principals": {
            "tconst": cast,
            "ordering": np.tile([1, 2, 3, 4], 600),
            "nconst": pick(rng, names, 2400),
            "category": rng.choice(["actor", "director", "writer"], 2400),
        },
        "title.akas": {
            "titleId": akas,
            "ordering": np.tile([1, 2], 300),
            "title": [f"Aka {i}" for i in range(600)],
            "region": rng.choice(["US", "DE", "FR"], 600),
        },
        "title.episode": {
            "tconst": titles[400:],
            "parentTconst": rng.choice(titles[:50], 200),
            "seasonNumber": rng.integers(1, 9, 200),
            "episodeNumber": rng.integers(1, 25, 200),
        },
        "name.basics": {
            "nconst": names,
            "primaryName": [f"Name {i}" for i in range(400)],
            "birthYear": rng.integers(1890, 2000, 400),
            "deathYear": [None if i % 3 else 1990 for i in range(400)],
        },
    }
    foreign = {f"title.{t}.tconst -> title.basics" for t in ("crew", "ratings", "principals", "episode")}
    foreign |= {"title.principals.nconst -> name.basics", "title.akas.titleId -> title.basics"}
    primary = {f"title.{t}": ("tconst",) for t in ("basics", "crew", "ratings", "episode")}
    primary |= {"name.basics": ("nconst",), "title.principals": ("tconst", "ordering")}
    primary |= {"title.akas": ("titleId", "ordering")}
    times = {"title.basics": "startYear"}
    return Case(frames, primary, foreign | {"title.episode.parentTconst -> title.basics"}, times)


@case
def olist(rng: np.random.Generator) -> Case:
    orders, customers, products, sellers = (hexes(rng, n) for n in (800, 800, 200, 60))
    bought = moments(rng, 800, "2016-09-04", 700)
    lines = [(o, i + 1) for o in orders for i in range(int(rng.integers(1, 4)))]
    n = len(lines)
    zips = rng.integers(1003, 99_990, 300)
    kinds = [f"categoria_{i}" for i in range(40)]
    text = [str(t) for t in bought]
    frames: Frames = {
        "olist_customers_dataset": {
            "customer_id": customers,
            "customer_unique_id": pick(rng, hexes(rng, 760), 800),
            "customer_zip_code_prefix": rng.choice(zips, 800),
            "customer_city": rng.choice(["sao paulo", "franca"], 800),
            "customer_state": rng.choice(["SP", "RJ"], 800),
        },
        "olist_geolocation_dataset": {
            "geolocation_zip_code_prefix": rng.choice(zips, 900),
            "geolocation_lat": rng.normal(-23, 3, 900),
            "geolocation_lng": rng.normal(-46, 3, 900),
            "geolocation_state": rng.choice(["SP", "RJ"], 900),
        },
        "olist_order_items_dataset": {
            "order_id": [o for o, _ in lines],
            "order_item_id": [i for _, i in lines],
            "product_id": pick(rng, products, n),
            "seller_id": pick(rng, sellers, n),
            "shipping_limit_date": moments(rng, n, "2016-09-10", 700),
            "price": np.round(rng.gamma(2, 50, n), 2),
        },
        "olist_order_payments_dataset": {
            "order_id": [o for o in orders for _ in range(2)],
            "payment_sequential": [1, 2] * 800,
            "payment_type": rng.choice(["boleto", "credit_card"], 1600),
            "payment_installments": rng.integers(1, 10, 1600),
            "payment_value": np.round(rng.gamma(2, 50, 1600), 2),
        },
        "olist_order_reviews_dataset": {
            "review_id": hexes(rng, 800),
            "order_id": rng.permutation(orders),
            "review_score": rng.integers(1, 6, 800),
            "review_creation_date": later(bought, rng, 9),
            "review_answer_timestamp": later(later(bought, rng, 9), rng, 9),
        },
        "olist_orders_dataset": {
            "order_id": orders,
            "customer_id": rng.permutation(customers),
            "order_status": rng.choice(["delivered", "canceled"], 800),
            "order_purchase_timestamp": text,
            "order_approved_at": [str(t + dt.timedelta(hours=1)) for t in bought],
            "order_delivered_customer_date": [str(t) for t in later(bought, rng)],
            "order_estimated_delivery_date": [str(t) for t in later(bought, rng, 40)],
        },
        "olist_products_dataset": {
            "product_id": products,
            "product_category_name": pick(rng, [*kinds, "pc_gamer", "outros"], 200),
            "product_name_lenght": rng.integers(5, 76, 200),
            "product_photos_qty": rng.integers(1, 9, 200),
            "product_weight_g": rng.integers(50, 30_000, 200),
        },
        "olist_sellers_dataset": {
            "seller_id": sellers,
            "seller_zip_code_prefix": rng.choice(zips, 60),
            "seller_city": rng.choice(["sao paulo", "campinas"], 60),
        },
        "product_category_name_translation": {
            "product_category_name": kinds,
            "product_category_name_english": [f"category_{i}" for i in range(40)],
        },
    }
    foreign = {
        f"olist_order_{t}_dataset.order_id -> olist_orders_dataset" for t in ("items", "payments", "reviews")
    } | {
        "olist_orders_dataset.customer_id -> olist_customers_dataset",
        "olist_order_items_dataset.product_id -> olist_products_dataset",
        "olist_order_items_dataset.seller_id -> olist_sellers_dataset",
        "olist_products_dataset.product_category_name -> product_category_name_translation",
    }
    primary = {f"olist_{x}s_dataset": (f"{x}_id",) for x in ("customer", "order", "product", "seller")} | {
        "olist_order_items_dataset": ("order_id", "order_item_id"),
        "olist_order_payments_dataset": ("order_id", "payment_sequential"),
        "olist_order_reviews_dataset": ("review_id",),
        "product_category_name_translation": ("product_category_name",),
    }
    times = {"olist_orders_dataset": "order_purchase_timestamp", "olist_order_reviews_dataset": "review_creation_date"}
    return Case(frames, primary, foreign, times)


@case
def stackexchange(rng: np.random.Generator) -> Case:
    users, posts, made = gappy(rng, 500, 4), gappy(rng, 1500, 3), moments(rng, 1500, "2010-07-19", 1400)
    made.sort()
    answer = rng.random(1500) < 0.6
    answer[:50] = False
    questions = posts[~answer]
    parent = [int(rng.choice(posts[:i][~answer[:i]])) if a else None for i, a in enumerate(answer)]
    accepted = {q: int(p) for q, p in zip(parent, posts.tolist(), strict=True) if q is not None}

    def linked(count: int, **more: Any) -> dict[str, Any]:
        return {"Id": gappy(rng, count, 2), "PostId": rng.choice(posts, count), **more}

    def some(count: int) -> list[int | None]:
        return [None if i % 9 == 0 else int(u) for i, u in enumerate(pick(rng, users, count))]

    frames: Frames = {
        "Posts": {
            "Id": posts,
            "PostTypeId": np.where(answer, 2, 1),
            "ParentId": parent,
            "AcceptedAnswerId": [None if a else accepted.get(p) for p, a in zip(posts.tolist(), answer, strict=True)],
            "CreationDate": made,
            "Score": rng.integers(-5, 90, 1500),
            "OwnerUserId": [-1 if i % 50 == 0 else u for i, u in enumerate(some(1500))],
            "LastEditorUserId": [None if i % 2 else u for i, u in enumerate(some(1500))],
            "LastEditDate": [None if i % 2 else t for i, t in enumerate(later(made, rng))],
            "LastActivityDate": later(made, rng, 40),
            "AnswerCount": rng.integers(0, 9, 1500),
        },
        "Users": {
            "Id": users,
            "Reputation": rng.integers(1, 9000, 500),
            "CreationDate": moments(rng, 500, "2010-07-19", 1400),
            "DisplayName": [f"user{i}" for i in range(500)],
            "LastAccessDate": moments(rng, 500, "2013-07-19", 400),
            "AccountId": rng.choice(9_000_000, 500, replace=False),
        },
        "Comments": linked(900, Score=rng.integers(0, 9, 900), CreationDate=moments(rng, 900), UserId=some(900)),
        "Votes": linked(
            3000,
            VoteTypeId=rng.integers(1, 16, 3000),
            CreationDate=days(rng, 3000),
            UserId=[None if i % 5 else u for i, u in enumerate(some(3000))],
        ),
        "Badges": {"Id": gappy(rng, 700, 2), "UserId": pick(rng, users, 700), "Name": ["Teacher", "Student"] * 350}
        | {"Date": moments(rng, 700), "Class": rng.integers(1, 4, 700)},
        "PostHistory": linked(1200, PostHistoryTypeId=rng.integers(1, 38, 1200), CreationDate=moments(rng, 1200)),
        "PostLinks": linked(200, CreationDate=moments(rng, 200), RelatedPostId=rng.choice(questions, 200))
        | {"LinkTypeId": rng.choice([1, 3], 200)},
        "Tags": {"Id": np.arange(1, 61), "TagName": [f"tag-{i}" for i in range(60)], "Count": rng.integers(1, 99, 60)}
        | {"ExcerptPostId": rng.choice(posts, 60), "WikiPostId": rng.choice(posts, 60)},
    }
    foreign = {f"{t}.PostId -> Posts" for t in ("Comments", "Votes", "PostHistory", "PostLinks")}
    foreign |= {f"{t}.UserId -> Users" for t in ("Comments", "Votes", "Badges")}
    foreign |= {f"Posts.{c} -> Users" for c in ("OwnerUserId", "LastEditorUserId")}
    foreign |= {f"Posts.{c} -> Posts" for c in ("ParentId", "AcceptedAnswerId")}
    foreign |= {"PostLinks.RelatedPostId -> Posts", "Tags.ExcerptPostId -> Posts", "Tags.WikiPostId -> Posts"}
    times = {name: "CreationDate" for name in frames if name not in ("Badges", "Tags")} | {"Badges": "Date"}
    return Case(frames, dict.fromkeys(frames, ("Id",)), foreign, times)


@case
def tpch(rng: np.random.Generator) -> Case:
    parts, orders = np.arange(1, 301), gappy(rng, 900, 8)
    pairs = [(p, (p + i * 7) % 40 + 1) for p in parts.tolist() for i in range(4)]
    lines = [(o, i + 1) for o in orders.tolist() for i in range(int(rng.integers(1, 8)))]
    n = len(lines)
    chosen = rng.integers(0, len(pairs), n)
    ordered = dict(zip(orders.tolist(), days(rng, 900, "1992-01-01", 2400), strict=True))
    ship = later([ordered[o] for o, _ in lines], rng, 120)
    frames: Frames = {
        "region": {"r_regionkey": np.arange(5), "r_name": ["AFRICA", "AMERICA", "ASIA", "EUROPE", "MIDDLE EAST"]},
        "nation": {"n_nationkey": np.arange(25), "n_name": [f"NATION {i}" for i in range(25)]}
        | {"n_regionkey": np.arange(25) % 5, "n_comment": [f"final {i}" for i in range(25)]},
        "supplier": {"s_suppkey": np.arange(1, 41), "s_name": [f"Supplier#{i}" for i in range(40)]}
        | {"s_nationkey": pick(rng, np.arange(25), 40), "s_acctbal": np.round(rng.normal(4000, 900, 40), 2)},
        "customer": {"c_custkey": np.arange(1, 151), "c_name": [f"Customer#{i}" for i in range(150)]}
        | {"c_nationkey": pick(rng, np.arange(25), 150), "c_mktsegment": rng.choice(["BUILDING", "AUTO"], 150)},
        "part": {"p_partkey": parts, "p_name": [f"part {i}" for i in parts], "p_size": rng.integers(1, 51, 300)}
        | {"p_brand": rng.choice(["Brand#11", "Brand#12"], 300)},
        "partsupp": {"ps_partkey": [p for p, _ in pairs], "ps_suppkey": [s for _, s in pairs]}
        | {"ps_availqty": rng.integers(1, 9999, 1200), "ps_supplycost": np.round(rng.uniform(1, 999, 1200), 2)}
        | {"ps_comment": ["slow"] * 1200, "ps_rank": rng.integers(1, 9, 1200)},
        "orders": {
            "o_orderkey": orders,
            "o_custkey": pick(rng, np.arange(1, 151), 900),
            "o_orderstatus": rng.choice(["O", "F"], 900),
            "o_orderdate": list(ordered.values()),
            "o_clerk": [f"Clerk#{i:09}" for i in rng.integers(1, 100, 900)],
            "o_shippriority": [0] * 900,
        },
        "lineitem": {
            "l_orderkey": [o for o, _ in lines],
            "l_partkey": [pairs[i][0] for i in chosen],
            "l_suppkey": [pairs[i][1] for i in chosen],
            "l_linenumber": [i for _, i in lines],
            "l_quantity": rng.integers(1, 51, n),
            "l_shipdate": ship,
            "l_commitdate": later(ship, rng, 9),
            "l_receiptdate": later(ship, rng, 30),
        },
    }
    foreign = {"nation.n_regionkey -> region", "supplier.s_nationkey -> nation", "customer.c_nationkey -> nation"}
    foreign |= {"partsupp.ps_partkey -> part", "partsupp.ps_suppkey -> supplier", "orders.o_custkey -> customer"}
    foreign |= {"lineitem.l_orderkey -> orders", "lineitem.l_partkey+l_suppkey -> partsupp"}
    foreign |= {"lineitem.l_partkey -> part", "lineitem.l_suppkey -> supplier"}
    keys = {"region": "region", "nation": "nation", "supplier": "supp", "customer": "cust", "part": "part"}
    primary = {t: (f"{t[0]}_{k}key",) for t, k in keys.items()} | {"orders": ("o_orderkey",)}
    primary |= {"partsupp": ("ps_partkey", "ps_suppkey"), "lineitem": ("l_orderkey", "l_linenumber")}
    return Case(frames, primary, foreign, {"orders": "o_orderdate"})
