"""Quick regressions: what scorers reach on UMLS, Nations and Kinships within seconds, and no less."""

from __future__ import annotations

from typing import Any

import pytest

from relgraph.kge import evaluate, fit
from relgraph.kge.scorers import SCORERS

pytest.importorskip("pykeen")
from relgraph.adapters import from_pykeen

SIZES: dict[str, dict[str, Any]] = {
    "tucker": {"relation_dim": 16, "input_dropout": 0.1, "matrix_dropout": 0.1, "output_dropout": 0.2},
    "nfe1": {"gamma": 2.0},
    "nfe2": {"gamma": 2.0},
    "nfe3": {"gamma": 4.0},
}


# floors .03 below the lower of two seeds; the untrained score .06 (UMLS), .05 (Kinships) and .4 (Nations)
@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "name", "floor"),
    [
        ("umls", "complex", 0.88),
        ("umls", "transe", 0.58),
        ("umls", "rotate", 0.82),
        ("umls", "nfe1", 0.82),
        ("umls", "nfe3", 0.75),
        ("kinships", "complex", 0.74),
        ("kinships", "tucker", 0.73),
        ("kinships", "rotate", 0.74),
        ("kinships", "nfe2", 0.66),
        ("nations", "complex", 0.63),
        ("nations", "tucker", 0.74),
        ("nations", "nfe1", 0.74),
    ],
)
def test_filtered_mrr_on_test(data: str, name: str, floor: float) -> None:
    train, valid, test = from_pykeen(data)
    scorer = SCORERS[name](train.num_entities, train.num_relations, dim=32, **SIZES.get(name, {}))
    fit(scorer, train, valid=valid, epochs=25, batch_size=128, lr=0.02, progress=False)
    assert evaluate(scorer, test, [train, valid, test], candidates="all", progress=False)["mrr"] >= floor
