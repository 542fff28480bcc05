"""The best of all statements of FB15k-237, 14,541 x 237 x 14,541 of them: how long one relation takes.

Equality first: on a few heads the result is that of scoring everything and sorting. Then one relation is timed whole,
with the statements of train left out, and all relations are extrapolated from it. The scorer is random: the time does
not depend on what it knows, but for how often a score reaches the best so far.

    python benchmarks/bench_top_statements.py
"""

from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path

import torch

import relgraph
from relgraph.kge import DistMult, top_k_statements

DATA = Path(os.environ.get("RELGRAPH_DATA", Path(__file__).parents[1] / ".." / "shared" / "data")) / "kg" / "fb15k-237"
RESULT = Path(__file__).parent / "results" / "bench_top_statements.json"
K = 1000
DIM = 200


def check(scorer: DistMult, train: relgraph.Statements) -> None:
    names = train.vocabulary
    heads = [names.entities[i] for i in range(20)]
    found = top_k_statements(
        scorer, names, K, known=[train], relations=names.relations[:2], heads=heads, progress=False
    )
    rows = []
    taken = set(zip(train.head.tolist(), train.relation.tolist(), train.tail.tolist(), strict=True))
    with torch.no_grad():
        for relation in (0, 1):
            query = scorer.query(torch.arange(20), torch.full((20,), relation))[0]
            score = (query @ scorer.candidates()[0].T).tolist()
            rows += [
                (-score[h][t], relation, h, t)
                for h in range(20)
                for t in range(len(names.entities))
                if (h, relation, t) not in taken
            ]
    expected = [-row[0] for row in sorted(rows)[:K]]
    torch.testing.assert_close(found.score, torch.tensor(expected))


def main() -> None:
    train = relgraph.read_statements(DATA)[0]
    assert isinstance(train, relgraph.Statements)
    scorer = DistMult(train.num_entities, train.num_relations, dim=DIM, seed=0).eval()
    check(scorer, train)
    one = [train.vocabulary.relations[0]]
    start = time.perf_counter()
    found = top_k_statements(scorer, train, K, known=[train], relations=one, progress=False)
    seconds = time.perf_counter() - start
    assert len(found) == K
    scored = train.num_entities**2
    start = time.perf_counter()
    with torch.no_grad():  # the same products alone
        table = scorer.candidates()[0]
        query = scorer.query(torch.arange(train.num_entities), torch.zeros(train.num_entities, dtype=torch.int64))[0]
        for part in query.split(256):
            _ = part @ table.T
    products = time.perf_counter() - start
    result = {
        "command": "python benchmarks/bench_top_statements.py",
        "data": "FB15k-237",
        "scorer": f"DistMult, {DIM} dimensions",
        "k": K,
        "statements_one_relation": scored,
        "seconds_one_relation": round(seconds, 2),
        "statements_per_second": round(scored / seconds),
        "ratio_to_products_alone": round(seconds / products, 2),
        "statements_all": scored * train.num_relations,
        "hours_all_extrapolated": round(seconds * train.num_relations / 3600, 2),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
