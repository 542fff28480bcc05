"""Databases that the rules were tried on only after they stood; more of ``schemas_d``."""

from __future__ import annotations

import uuid

import numpy as np

from tests.data.schemas_a import CASES, Case, case, days, gappy, later, moments, pick

__all__ = ["CASES"]


def texts(word: str, count: int) -> list[str]:
    """Different texts with a space."""
    return [f"{word} {i}" for i in range(count)]


@case
def ctu_imdb(r: np.random.Generator) -> Case:
    m, a, u, d = 1672000 + gappy(r, 300, 40), gappy(r, 500, 200), np.arange(1, 401), 67200 + gappy(r, 120, 90)
    ub = np.unique(np.stack([r.choice(u, 4000), r.choice(m, 4000)], 1), axis=0)
    ma = np.unique(np.stack([r.choice(m, 2000), r.choice(a, 2000)], 1), axis=0)
    return Case(
        {
            "actors": {"actorid": a, "a_gender": r.choice(["F", "M"], 500), "a_quality": r.integers(0, 6, 500)},
            "directors": {"directorid": d, "d_quality": r.integers(0, 6, 120), "avg_revenue": r.integers(0, 5, 120)},
            "movies": {
                "movieid": m,
                "year": r.integers(1, 5, 300),
                "isEnglish": r.choice(["T", "F"], 300),
                "country": r.choice(["USA", "UK", "other"], 300),
                "runningtime": r.integers(0, 4, 300),
            },
            "movies2actors": {"movieid": ma[:, 0], "actorid": ma[:, 1], "cast_num": r.integers(0, 4, len(ma))},
            "movies2directors": {
                "movieid": m,
                "directorid": r.choice(d, 300),
                "genre": r.choice(["Action", "Drama"], 300),
            },
            "users": {
                "userid": u,
                "age": r.choice([1, 18, 25, 35, 45, 50, 56], 400),
                "u_gender": r.choice(["F", "M"], 400),
                "occupation": r.integers(1, 6, 400),
            },
            "u2base": {"userid": ub[:, 0], "movieid": ub[:, 1], "rating": r.integers(1, 6, len(ub))},
        },
        {
            "actors": ("actorid",),
            "directors": ("directorid",),
            "movies": ("movieid",),
            "users": ("userid",),
            "movies2actors": ("movieid", "actorid"),
            "movies2directors": ("movieid", "directorid"),
            "u2base": ("userid", "movieid"),
        },
        {
            "movies2actors.movieid -> movies",
            "movies2actors.actorid -> actors",
            "movies2directors.movieid -> movies",
            "movies2directors.directorid -> directors",
            "u2base.userid -> users",
            "u2base.movieid -> movies",
        },
        {},
    )


@case
def spanish(r: np.random.Generator) -> Case:
    c, p, f = 1 + np.arange(200), 100 + gappy(r, 80, 3), [f"FAM{i}" for i in range(9)]
    n = 900
    o = np.arange(1, n + 1)
    ln = [(x, i) for x in o.tolist() for i in range(1, int(r.integers(2, 5)))]
    return Case(
        {
            "clientes": {
                "id_cliente": c,
                "nombre": texts("Ana", 200),
                "fecha_alta": days(r, 200),
                "fecha_nacimiento": days(r, 200, "1950-01-01", 12000),
                "id_provincia": r.integers(1, 53, 200),
            },
            "provincias": {"id_provincia": np.arange(1, 53), "provincia": texts("P", 52)},
            "familias": {"cod_familia": f, "descripcion": texts("D", 9)},
            "productos": {"codigo_producto": p, "cod_familia": pick(r, f, 80), "precio": r.gamma(2, 9, 80).round(2)},
            "pedidos": {
                "num_pedido": o,
                "id_cliente": pick(r, c, n),
                "fecha_pedido": days(r, n),
                "fecha_entrega": days(r, n, "2019-06-01"),
                "id_empleado": r.integers(1, 15, n),
            },
            "lineas_pedido": {
                "num_pedido": [a for a, _ in ln],
                "num_linea": [b for _, b in ln],
                "codigo_producto": r.choice(p, len(ln)),
                "cantidad": r.integers(1, 9, len(ln)),
            },
            "empleados": {
                "id_empleado": np.arange(1, 15),
                "nombre": texts("E", 14),
                "id_jefe": [None, 1, 1, 2, 2, 3, 3, 3, 4, 4, 5, 5, 1, 2],
            },
        },
        {
            "clientes": ("id_cliente",),
            "provincias": ("id_provincia",),
            "familias": ("cod_familia",),
            "productos": ("codigo_producto",),
            "pedidos": ("num_pedido",),
            "lineas_pedido": ("num_pedido", "num_linea"),
            "empleados": ("id_empleado",),
        },
        {
            "clientes.id_provincia -> provincias",
            "productos.cod_familia -> familias",
            "pedidos.id_cliente -> clientes",
            "pedidos.id_empleado -> empleados",
            "lineas_pedido.num_pedido -> pedidos",
            "lineas_pedido.codigo_producto -> productos",
            "empleados.id_jefe -> empleados",
        },
        {"clientes": "fecha_alta", "pedidos": "fecha_pedido"},
    )


@case
def superhero_ids(r: np.random.Generator) -> Case:
    h = np.arange(1, 301)
    pw = np.arange(1, 60)
    hp = np.unique(np.stack([r.choice(h, 2000), r.choice(pw, 2000)], 1), axis=0)
    pid = 2000 + gappy(r, 200, 90)
    lab = np.sort(pick(r, pid, 2500))
    return Case(
        {
            "superhero": {
                "id": h,
                "superhero_name": texts("H", 300),
                "gender_id": r.integers(1, 4, 300),
                "eye_colour_id": r.integers(1, 31, 300),
                "hair_colour_id": r.integers(1, 31, 300),
                "publisher_id": r.integers(1, 20, 300),
                "height_cm": r.integers(60, 300, 300),
            },
            "gender": {"id": [1, 2, 3], "gender": ["Male", "Female", "N/A"]},
            "colour": {"id": np.arange(1, 31), "colour": texts("c", 30)},
            "publisher": {"id": np.arange(1, 20), "publisher_name": texts("p", 19)},
            "superpower": {"id": pw, "power_name": texts("pw", 59)},
            "hero_power": {"hero_id": hp[:, 0], "power_id": hp[:, 1]},
            "Patient": {
                "ID": pid,
                "SEX": r.choice(["F", "M"], 200),
                "Birthday": days(r, 200, "1930-01-01", 20000),
                "First Date": days(r, 200, "1980-01-01", 6000),
                "Diagnosis": r.choice(["SLE", "RA"], 200),
            },
            "Laboratory": {
                "ID": lab,
                "Date": days(r, 2500, "1985-01-01", 5000),
                "GOT": r.integers(5, 90, 2500),
                "GPT": r.integers(5, 90, 2500),
            },
        },
        {
            "superhero": ("id",),
            "gender": ("id",),
            "colour": ("id",),
            "publisher": ("id",),
            "superpower": ("id",),
            "hero_power": ("hero_id", "power_id"),
            "Patient": ("ID",),
        },
        {
            "superhero.gender_id -> gender",
            "superhero.eye_colour_id -> colour",
            "superhero.hair_colour_id -> colour",
            "superhero.publisher_id -> publisher",
            "hero_power.hero_id -> superhero",
            "hero_power.power_id -> superpower",
            "Laboratory.ID -> Patient",
        },
        {"Laboratory": "Date", "Patient": "First Date"},
    )


@case
def saas(r: np.random.Generator) -> Case:
    org, us, pj, iss = np.arange(1, 41), np.arange(1, 301), np.arange(1, 81), np.arange(1, 1501)
    mem = np.unique(np.stack([r.choice(us, 500), r.choice(pj, 500)], 1), axis=0)
    ca = moments(r, 1500)
    return Case(
        {
            "organizations": {
                "id": org,
                "name": texts("o", 40),
                "plan": r.choice(["free", "pro"], 40),
                "seats": r.integers(1, 40, 40),
                "created_at": moments(r, 40),
            },
            "users": {
                "id": us,
                "organization_id": pick(r, org, 300),
                "email": [f"u{i}@x.y" for i in range(300)],
                "invited_by_id": [None] * 50 + r.choice(us[:50], 250).tolist(),
                "sign_in_count": r.integers(0, 200, 300),
                "last_sign_in_at": moments(r, 300),
                "created_at": moments(r, 300),
                "updated_at": moments(r, 300),
            },
            "projects": {
                "id": pj,
                "org_id": pick(r, org, 80),
                "owner_id": r.choice(us, 80),
                "name": texts("pj", 80),
                "created_at": moments(r, 80),
                "archived_at": [None] * 70 + moments(r, 10),
            },
            "memberships": {
                "user_id": mem[:, 0],
                "project_id": mem[:, 1],
                "role": r.integers(0, 3, len(mem)),
                "created_at": moments(r, len(mem)),
            },
            "issues": {
                "id": iss,
                "project_id": pick(r, pj, 1500),
                "reporter_id": r.choice(us, 1500),
                "assignee_id": [None if i % 3 else int(x) for i, x in enumerate(r.choice(us, 1500))],
                "parent_issue_id": [None if i % 5 else int(x) for i, x in enumerate(r.choice(iss, 1500))],
                "priority": r.integers(1, 6, 1500),
                "story_points": r.integers(1, 14, 1500),
                "created_at": ca,
                "due_on": days(r, 1500, "2019-01-01"),
                "closed_at": later(ca, r),
            },
            "comments": {
                "id": np.arange(1, 3001),
                "commentable_id": r.integers(1, 81, 3000),
                "commentable_type": r.choice(["Issue", "Project"], 3000),
                "user_id": r.choice(us, 3000),
                "body": texts("text", 3000),
                "created_at": moments(r, 3000),
            },
            "labels": {"id": np.arange(1, 13), "name": texts("l", 12), "color": r.choice(["red", "blue"], 12)},
            "issue_labels": {"issue_id": iss[:900], "label_id": r.integers(1, 13, 900)},
            "api_keys": {
                "id": np.arange(1, 61),
                "user_id": r.choice(us, 60, replace=False),
                "token": [uuid.UUID(bytes=r.bytes(16)).hex for _ in range(60)],
                "expires_at": moments(r, 60, "2025-01-01"),
                "created_at": moments(r, 60),
            },
        },
        {
            **dict.fromkeys(
                ("organizations", "users", "projects", "issues", "comments", "labels", "api_keys"), ("id",)
            ),
            "memberships": ("user_id", "project_id"),
            "issue_labels": ("issue_id", "label_id"),
        },
        {
            "users.organization_id -> organizations",
            "users.invited_by_id -> users",
            "projects.org_id -> organizations",
            "projects.owner_id -> users",
            "memberships.user_id -> users",
            "memberships.project_id -> projects",
            "issues.project_id -> projects",
            "issues.reporter_id -> users",
            "issues.assignee_id -> users",
            "issues.parent_issue_id -> issues",
            "comments.user_id -> users",
            "issue_labels.issue_id -> issues",
            "issue_labels.label_id -> labels",
            "api_keys.user_id -> users",
        },
        {
            **dict.fromkeys(
                ("organizations", "users", "projects", "memberships", "issues", "comments", "api_keys"), "created_at"
            )
        },
    )
