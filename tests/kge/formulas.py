"""The formula of every scorer, written out term by term in Python's floats."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from typing import Any

from relgraph.kge import Scorer
from tests.kge.transformer_by_loops import hyperformer_by_loops, stare_by_loops

__all__ = ["FORMULAS"]

Row = list[float]


def parameters(scorer: Scorer) -> dict[str, Any]:
    return {name: value.tolist() for name, value in scorer.state_dict().items()}


def parts(row: Row, count: int) -> list[Row]:
    length = len(row) // count
    return [row[i * length : (i + 1) * length] for i in range(count)]


def softplus(x: float) -> float:
    return math.log1p(math.exp(-abs(x))) + max(x, 0.0)


def batch_norm(p: dict[str, Any], name: str, x: Row) -> Row:
    mean, var = p[f"{name}.running_mean"], p[f"{name}.running_var"]
    weight, bias = p[f"{name}.weight"], p[f"{name}.bias"]
    return [(x[i] - mean[i]) / math.sqrt(var[i] + 1e-5) * weight[i] + bias[i] for i in range(len(x))]


def distmult(scorer: Scorer, h: int, r: int, t: int) -> float:
    p = parameters(scorer)
    e, w = p["entity.weight"], p["relation"]
    return math.fsum(a * b * c for a, b, c in zip(e[h], w[r], e[t], strict=True))


def complex_(scorer: Scorer, h: int, r: int, t: int) -> float:
    p = parameters(scorer)
    rows = p["entity.weight"][h], p["relation"][r], p["entity.weight"][t]
    head, weight, tail = ([complex(*x) for x in zip(*parts(row, 2), strict=True)] for row in rows)
    return math.fsum((a * b * c.conjugate()).real for a, b, c in zip(head, weight, tail, strict=True))


def transe(scorer: Scorer, h: int, r: int, t: int) -> float:
    p = parameters(scorer)
    e, w = p["entity.weight"], p["relation"]
    return scorer.arguments["gamma"] - math.fsum((a + b - c) ** 2 for a, b, c in zip(e[h], w[r], e[t], strict=True))


def rotate(scorer: Scorer, h: int, r: int, t: int) -> float:
    p = parameters(scorer)
    rows = p["entity.weight"][h], p["entity.weight"][t]
    head, tail = ([complex(*x) for x in zip(*parts(row, 2), strict=True)] for row in rows)
    turns = [cmath.exp(1j * phase) for phase in p["phase"][r]]
    distance = math.fsum(abs(a * b - c) ** 2 for a, b, c in zip(head, turns, tail, strict=True))
    return scorer.arguments["gamma"] - distance


def tucker(scorer: Scorer, h: int, r: int, t: int) -> float:
    p = parameters(scorer)
    e = batch_norm(p, "input_norm", p["entity.weight"][h])
    w, core, d = p["relation"][r], p["core"], len(e)
    z = [math.fsum(w[a] * e[i] * core[a][i][j] for a in range(len(w)) for i in range(d)) for j in range(d)]
    z = batch_norm(p, "output_norm", z)
    return math.fsum(a * b for a, b in zip(z, p["entity.weight"][t], strict=True))


def lowfer(scorer: Scorer, h: int, r: int, t: int) -> float:
    p = parameters(scorer)
    e = batch_norm(p, "input_norm", p["entity.weight"][h])
    w, d, k = p["relation"][r], len(e), scorer.arguments["rank"]
    x = [
        sum(e[i] * p["U"][i][c] for i in range(d)) * sum(w[i] * p["V"][i][c] for i in range(len(w)))
        for c in range(k * d)
    ]
    z = [sum(x[j * k : (j + 1) * k]) for j in range(d)]
    z = [math.copysign(math.sqrt(abs(v) + 1e-12), v) for v in z]
    length = math.sqrt(sum(v * v for v in z))
    z = batch_norm(p, "output_norm", [v / length for v in z])
    return sum(z[j] * p["entity.weight"][t][j] for j in range(d))


def nfe1(scorer: Scorer, h: int, r: int, t: int) -> float:
    p = parameters(scorer)
    h_mu, h_sigma = parts(p["entity.weight"][h], 2)
    r_mu, r_sigma = parts(p["relation"][r], 2)
    t_mu, t_sigma = parts(p["entity.weight"][t], 2)
    terms = []
    for j in range(len(h_mu)):
        terms.append((r_sigma[j] * h_mu[j] + r_mu[j] - t_mu[j]) ** 2)
        terms.append((abs(r_sigma[j] * h_sigma[j]) - abs(t_sigma[j])) ** 2)
    return scorer.arguments["gamma"] - math.fsum(terms)


def nfe2(scorer: Scorer, h: int, r: int, t: int) -> float:
    p = parameters(scorer)
    h_mu, h_s1, h_s2 = parts(p["entity.weight"][h], 3)
    r_mu, r_sigma = parts(p["relation"][r], 2)
    t_mu, t_s1, t_s2 = parts(p["entity.weight"][t], 3)
    terms = []
    for j in range(len(h_mu)):
        u = r_sigma[j] * h_mu[j] + r_mu[j] - t_mu[j]
        v1 = abs(r_sigma[j] * h_s1[j]) - abs(t_s1[j])
        v2 = abs(r_sigma[j] * h_s2[j]) - abs(t_s2[j])
        terms += [u**2, v1**2 / 2, v2**2 / 2, math.sqrt(2 / math.pi) * u * (v2 - v1)]
    return scorer.arguments["gamma"] - math.fsum(terms)


def nfe3(scorer: Scorer, h: int, r: int, t: int) -> float:
    p = parameters(scorer)
    h_mu, h_sigma = parts(p["entity.weight"][h], 2)
    r_mu, r_sigma = parts(p["relation"][r], 2)
    t_mu, t_sigma = parts(p["entity.weight"][t], 2)
    terms = []
    for j in range(len(h_mu)):
        mean, deviation = r_sigma[j] * h_mu[j] + r_mu[j], softplus(r_sigma[j]) * softplus(h_sigma[j])
        tau = softplus(t_sigma[j])
        terms += [math.log(tau / deviation), (deviation**2 + (mean - t_mu[j]) ** 2) / (2 * tau**2), -0.5]
    return scorer.arguments["gamma"] - math.fsum(terms)


def nfe_mu(scorer: Scorer, h: int, r: int, t: int) -> float:
    p = parameters(scorer)
    h_mu, t_mu = p["entity.weight"][h], p["entity.weight"][t]
    r_mu, r_sigma = parts(p["relation"][r], 2)
    distance = math.fsum((r_sigma[j] * h_mu[j] + r_mu[j] - t_mu[j]) ** 2 for j in range(len(h_mu)))
    return scorer.arguments["gamma"] - distance


def nfe_sigma(scorer: Scorer, h: int, r: int, t: int) -> float:
    p = parameters(scorer)
    e, r_sigma = p["entity.weight"], p["relation"][r]
    distance = math.fsum((abs(r_sigma[j] * e[h][j]) - abs(e[t][j])) ** 2 for j in range(len(r_sigma)))
    return scorer.arguments["gamma"] - distance


FORMULAS: dict[str, Callable[[Scorer, int, int, int], float]] = {
    "complex": complex_,
    "distmult": distmult,
    "hyperformer": hyperformer_by_loops,
    "lowfer": lowfer,
    "nfe1": nfe1,
    "nfe2": nfe2,
    "nfe3": nfe3,
    "nfe-mu": nfe_mu,
    "nfe-sigma": nfe_sigma,
    "rotate": rotate,
    "stare": stare_by_loops,
    "transe": transe,
    "tucker": tucker,
}
