"""Scorers by distance: what their matrix form may lose, whatever precision surrounds it."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from relgraph.data.statements import Statements, Vocabulary
from relgraph.errors import ShapeError
from relgraph.kge import Embeddings, Scorer, TransE, fit
from relgraph.kge.scorers import SCORERS
from tests.kge.formulas import FORMULAS

DISTANCES = [name for name, kind in SCORERS.items() if kind.alpha != 1]
N, R, D = 12, 2, 48


def random(name: str, scale: float, dtype: torch.dtype) -> Scorer:
    """Parameters as large as ``scale``, rounded to ``dtype``; the answers of relation 0 are true, at distance zero."""
    scorer = SCORERS[name](N, R, dim=D, gamma=0.5).to(dtype)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in scorer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
        row = scorer.entity.weight
        if name in ("nfe1", "nfe2"):
            # the identity: relation 0 leads from entity 0 to itself, and to its copy, entity 1
            scorer.get_parameter("relation")[0] = torch.cat([torch.zeros(D), torch.ones(D)])
            row[1] = row[0]
        if name in ("transe", "rotate"):
            next(p for n, p in scorer.named_parameters() if not n.startswith("entity"))[0] = 0
            row[1] = row[0]
    return scorer


def by_formula(name: str, scorer: Scorer) -> Tensor:
    """``[N, N]`` scores of every head, asked about relation ``head % R``."""
    rows = [[FORMULAS[name](scorer, h, h % R, t) for t in range(N)] for h in range(N)]
    return torch.tensor(rows, dtype=torch.float64)


def test_there_are_distances() -> None:
    assert {"nfe1", "nfe2", "nfe3", "nfe-mu", "nfe-sigma", "transe", "rotate"} <= set(DISTANCES)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("name", DISTANCES)
def test_the_product_is_the_distance(name: str, scale: float, dtype: torch.dtype, tolerance: float) -> None:
    if name == "nfe3" and scale > 1:
        scale = 5.0  # a softplus of -60 leaves float32
    scorer = random(name, scale, dtype)
    head, relation = torch.arange(N), torch.arange(N) % R
    with torch.no_grad():
        query, query_bias = scorer.query(head, relation)
        candidates, candidate_bias = scorer.candidates()
    assert query_bias is not None
    assert candidate_bias is not None
    assert query.dtype == query_bias.dtype == candidates.dtype == candidate_bias.dtype == dtype
    score = scorer.alpha * query @ candidates.T + query_bias[:, None] + candidate_bias
    exact = by_formula(name, scorer)
    size = query.norm(dim=1)[:, None] * candidates.norm(dim=1) + query_bias.abs()[:, None] + candidate_bias.abs()
    assert ((score.double() - exact).abs() <= tolerance * size.double()).all()
    if name in ("nfe1", "nfe2", "transe", "rotate"):
        assert exact[0, 0] == exact[0, 1] == 0.5


@pytest.mark.parametrize("name", DISTANCES)
def test_half_precision_around_it_changes_nothing(name: str) -> None:
    width = SCORERS[name](N, R, dim=D).entity.dim
    scorer = SCORERS[name](N, R, dim=D, entities=Embeddings(N, width, weight=torch.randn(N, 7)))
    head, relation = torch.arange(N), torch.arange(N) % R
    plain = (*scorer.query(head, relation), *scorer.candidates())
    with torch.autocast("cpu", torch.bfloat16):
        mixed = (*scorer.query(head, relation), *scorer.candidates())
    assert all(torch.equal(a, b) and a.dtype == torch.float32 for a, b in zip(plain, mixed, strict=True))
    exact = copy.deepcopy(scorer).double()
    for one, other in zip(plain, (*exact.query(head, relation), *exact.candidates()), strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4)
    low = scorer.bfloat16()
    assert {x.dtype for x in (*low.query(head, relation), *low.candidates())} == {torch.float32}


@pytest.mark.parametrize("name", ["nfe1", "nfe2", "nfe3"])
def test_mixed_training_is_full_training(name: str) -> None:
    head = torch.arange(N)
    train = Statements(head, head % 2, (head * 5 + 1) % N, Vocabulary([f"e{i}" for i in range(N)], "rs"))
    states = []
    for precision in ("32-true", "bf16-mixed"):
        scorer = SCORERS[name](N, 2, dim=8)
        fit(scorer, train, epochs=3, batch_size=8, lr=0.01, precision=precision, accelerator="cpu", progress=False)
        states.append(torch.cat([p.detach().flatten() for p in scorer.parameters()]))
    assert torch.equal(*states)


def test_nfe2_is_a_distance() -> None:
    """The published sum is never negative, and zero at equal distributions only."""
    scorer = random("nfe2", 1.0, torch.float64)
    score = by_formula("nfe2", scorer)[::2]  # of relation 0, the identity
    same = scorer.entity.weight[::2, None].abs() == scorer.entity.weight.abs()
    assert (score <= 0.5).all()
    assert torch.equal(score == 0.5, same.all(2))


@pytest.mark.parametrize("name", DISTANCES)
@pytest.mark.parametrize("value", [math.nan, math.inf, "x", None, True])
def test_gamma_is_a_number(name: str, value: Any) -> None:
    with pytest.raises(ShapeError, match=rf"^gamma: expected a finite number.*, got {value!r}"):
        SCORERS[name](N, R, dim=2, gamma=value)


def test_rotate_has_no_negative_gamma() -> None:
    with pytest.raises(ShapeError, match=r"^gamma: expected a finite number of at least 0, got -1"):
        SCORERS["rotate"](N, R, dim=2, gamma=-1)
    assert TransE(N, R, dim=2, gamma=-1.0).gamma == -1


@pytest.mark.parametrize("name", ["nfe1", "nfe2", "nfe3"])
def test_nfe_starts_as_published(name: str) -> None:
    scorer = SCORERS[name](200, 50, dim=50)
    for parameter in (scorer.entity.weight, scorer.get_parameter("relation")):
        assert -0.1 <= parameter.min() < -0.099
        assert 0.099 < parameter.max() <= 0.1
    assert scorer.entity.dim == (150 if name == "nfe2" else 100)
    assert SCORERS[name](2, 1).arguments["dim"] == 1024
