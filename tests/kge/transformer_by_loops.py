"""The published transformers over statements, one number at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from relgraph.kge.scorers import Scorer
from tests.kge.test_evaluation import Fact

Vector = list[float]
State = dict[str, Any]


def add(*vectors: Vector) -> Vector:
    return [sum(parts) for parts in zip(*vectors, strict=True)]


def dot(a: Vector, b: Vector) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def linear(p: State, name: str, x: Vector) -> Vector:
    return [dot(row, x) + bias for row, bias in zip(p[f"{name}.weight"], p[f"{name}.bias"], strict=True)]


def layer_norm(p: State, name: str, x: Vector) -> Vector:
    mean = sum(x) / len(x)
    deviation = math.sqrt(sum((v - mean) ** 2 for v in x) / len(x) + 1e-5)
    return [(v - mean) / deviation * w + b for v, w, b in zip(x, p[f"{name}.weight"], p[f"{name}.bias"], strict=True)]


def softmax(x: Vector) -> Vector:
    total = sum(math.exp(v) for v in x)
    return [math.exp(v) / total for v in x]


def attention(p: State, name: str, tokens: list[Vector], heads: int) -> list[Vector]:
    d = len(tokens[0])
    size = d // heads
    projected = [linear(p, f"{name}.project", x) for x in tokens]
    out = []
    for i in range(len(tokens)):
        joined: Vector = []
        for head in range(heads):
            q, k, v = (slice(part * d + head * size, part * d + (head + 1) * size) for part in range(3))
            weight = softmax([dot(projected[i][q], x[k]) / math.sqrt(size) for x in projected])
            joined += [sum(w * x[v][c] for w, x in zip(weight, projected, strict=True)) for c in range(size)]
        out.append(linear(p, f"{name}.out", joined))
    return out


def experts(p: State, name: str, x: Vector, top: int) -> Vector:
    gate = linear(p, f"{name}.gate", x)
    best = sorted(range(len(gate)), key=lambda e: -gate[e])[:top]
    answer = [0.0] * len(x)
    for e, share in zip(best, softmax([gate[e] for e in best]), strict=True):
        columns = zip(*p[f"{name}.up"][e], strict=True)
        hidden = [max(dot(x, list(c)) + b, 0.0) for c, b in zip(columns, p[f"{name}.up_bias"][e][0], strict=True)]
        columns = zip(*p[f"{name}.down"][e], strict=True)
        out = [dot(hidden, list(c)) + b for c, b in zip(columns, p[f"{name}.down_bias"][e][0], strict=True)]
        answer = add(answer, [share * v for v in out])
    return answer


def hyperformer_by_loops(scorer: Scorer, h: int, r: int, t: int, pairs: Sequence[tuple[int, int]] = ()) -> float:
    """The plain pass with one layer and experts, the tail asked for."""
    p = {name: value.tolist() for name, value in scorer.state_dict().items()}
    arguments = scorer.arguments
    tokens = [layer_norm(p, "norm", p["entity.weight"][h]), layer_norm(p, "norm", p["relation"][r]), p["mask"][0]]
    for relation, value in pairs:
        tokens += [layer_norm(p, "norm", p["relation"][relation]), layer_norm(p, "norm", p["entity.weight"][value])]
    layer = "encoder.layers.0"
    normed = [layer_norm(p, f"{layer}.first_norm", x) for x in tokens]
    tokens = [add(x, y) for x, y in zip(tokens, attention(p, layer, normed, arguments["heads"]), strict=True)]
    mask = add(
        tokens[2],
        experts(p, f"{layer}.feed_forward", layer_norm(p, f"{layer}.second_norm", tokens[2]), arguments["top"]),
    )
    return dot(layer_norm(p, "encoder.norm", mask), p["entity.weight"][t]) + p["bias"][t]


FACTS: list[Fact] = [(0, 0, 1, ((2, 5),)), (1, 1, 2, ()), (2, 0, 0, ((0, 4), (1, 3))), (0, 2, 3, ()), (3, 1, 3, ())]
"""What every scorer of the contract was trained on."""


def rotate(entity: Vector, relation: Vector) -> Vector:
    half = len(entity) // 2
    product = [complex(entity[j], entity[j + half]) * complex(relation[j], relation[j + half]) for j in range(half)]
    return [x.real for x in product] + [x.imag for x in product]


def times(x: Vector, matrix: list[Vector]) -> Vector:
    return [sum(x[i] * matrix[i][j] for i in range(len(x))) for j in range(len(matrix[0]))]


def conv(p: State, name: str, num_relations: int) -> tuple[list[Vector], list[Vector]]:
    """One layer of message passing over ``FACTS``, with rotations and a relation's share of 0.8."""
    entity, relation = p["entity.weight"], p["relation"]
    directions = []
    for number in range(2):
        edges = [
            ((h, r, t) if number == 0 else (t, r + num_relations, h), pairs) for h, r, t, pairs in FACTS
        ]  # to, along, from
        directions.append(edges)
    new = []
    for u in range(len(entity)):
        total = times(rotate(entity[u], p[f"{name}.loop_relation"][0]), p[f"{name}.loop"])
        for edges, weight in zip(directions, ("forth", "back"), strict=True):
            degree = [max(sum(edge[0] == e for edge, _ in edges), 1) for e in range(len(entity))]
            for (to, along, source), pairs in edges:
                if to != u:
                    continue
                qualifier = [0.0] * len(entity[0])
                for q, v in pairs:
                    qualifier = add(qualifier, rotate(entity[v], relation[q]))
                qualifier = times(qualifier, p[f"{name}.qualifier"])
                mixed = [0.8 * a + 0.2 * b for a, b in zip(relation[along], qualifier, strict=True)]
                message = times(rotate(entity[source], mixed), p[f"{name}.{weight}"])
                total = add(total, [x / math.sqrt(degree[u] * degree[source]) for x in message])
        norm = [p[f"{name}.norm.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        new.append(
            [math.tanh((x / 3 - m) / math.sqrt(v + 1e-5) * w + b) for x, m, v, w, b in zip(total, *norm, strict=True)]
        )
    return new, [times(row, p[f"{name}.relation"]) for row in relation]


def stare_by_loops(scorer: Scorer, h: int, r: int, t: int, pairs: Sequence[tuple[int, int]] = ()) -> float:
    """One layer of messages, one of the transformer, the tail asked for."""
    p = {name: value.tolist() for name, value in scorer.state_dict().items()}
    entity, relation = conv(p, "convs.0", scorer.num_relations)
    tokens = [entity[h], relation[r], p["mask"][0]]
    for q, v in pairs:
        tokens += [relation[q], entity[v]]
    tokens = [add(token, p["place"][i]) for i, token in enumerate(tokens)]
    layer = "transformer.layers.0"
    normed = [layer_norm(p, f"{layer}.first_norm", x) for x in tokens]
    attended = attention(p, layer, normed, scorer.arguments["heads"])
    mask = add(tokens[2], attended[2])
    hidden = linear(p, f"{layer}.feed_forward.0", layer_norm(p, f"{layer}.second_norm", mask))
    mask = add(mask, linear(p, f"{layer}.feed_forward.3", [max(x, 0.0) for x in hidden]))
    return dot(linear(p, "linear", layer_norm(p, "transformer.norm", mask)), entity[t])
