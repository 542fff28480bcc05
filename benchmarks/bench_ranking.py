"""Filtered ranking: ours against PyKEEN's evaluator, from the same query and candidate rows of FB15k-237.

    python benchmarks/bench_ranking.py

Both sides get the same rows and the same known triples, and build their filters inside the timed part. Equality of
every rank is asserted before anything is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from pykeen.evaluation import RankBasedEvaluator
from pykeen.evaluation.evaluator import create_sparse_positive_filter_, filter_scores_
from torch import Tensor

from relgraph.adapters.statement_files import read_statements
from relgraph.data.statements import Statements
from relgraph.kge import LowFER
from relgraph.kge.known import KnownAnswers
from relgraph.kge.questions import ask
from relgraph.ops import rank

DATA = Path(os.environ.get("RELGRAPH_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
RESULT = Path(__file__).parent / "results" / "bench_ranking.json"
COLUMNS = (("head", 0), ("tail", 2))
BATCH = 256


def ours(query: dict[str, Tensor], candidates: Tensor, test: Statements, known: list[Statements]) -> dict[str, Tensor]:
    ranks = {}
    for position, _ in COLUMNS:
        questions, target, _ = ask(test, position)
        answers = KnownAnswers(known, questions, position, strict=False)
        parts = []
        for start in range(0, len(test), BATCH):
            rows = slice(start, start + BATCH)
            parts.append(rank(query[position][rows], candidates, target[rows], answers.rows(rows)).realistic)
        ranks[position] = torch.cat(parts)
    return ranks


def theirs(
    query: dict[str, Tensor], candidates: Tensor, test: Statements, known: list[Statements]
) -> dict[str, Tensor]:
    evaluator = RankBasedEvaluator()
    every = torch.cat([torch.stack([p.head, p.relation, p.tail], 1) for p in known])
    triples = torch.stack([test.head, test.relation, test.tail], 1)
    for position, column in COLUMNS:
        for start in range(0, len(test), BATCH):
            batch = triples[start : start + BATCH]
            rows = torch.arange(len(batch))
            scores = query[position][start : start + BATCH] @ candidates.T
            true = scores[rows, batch[:, column]]
            positives, _ = create_sparse_positive_filter_(batch, every, filter_col=column)
            scores = filter_scores_(scores, positives)
            scores[rows, batch[:, column]] = true
            evaluator.process_scores_(batch, position, scores, true[:, None])
    return {
        position: torch.cat([torch.from_numpy(part) for part in evaluator.ranks[position, "realistic"]]).double()
        for position, _ in COLUMNS
    }


def seconds(work: Callable[[], object], repeats: int) -> list[float]:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return times


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA / "kg" / "fb15k-237")
    parser.add_argument("--triples", type=int, default=512)
    parser.add_argument("--dim", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=RESULT)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    train, valid, whole = read_statements(args.data)
    test = whole.select(torch.randperm(len(whole), generator=torch.Generator().manual_seed(0))[: args.triples])
    known = [train, valid, whole]
    scorer = LowFER(train.num_entities, train.num_relations, dim=args.dim, rank=2).eval()
    query = {p: scorer.query(test.head, test.relation, test.tail, position=p)[0] for p in ("head", "tail")}
    candidates = scorer.candidates()[0].detach()
    inputs = (query, candidates, test, known)
    first, second = ours(*inputs), theirs(*inputs)
    for position, _ in COLUMNS:
        assert torch.equal(first[position], second[position]), f"{position} ranks differ"
    # interleaved, so that other work on the machine meets both sides alike
    times: dict[str, list[float]] = {"ours": [], "pykeen": []}
    for _ in range(args.repeats):
        times["ours"] += seconds(lambda: ours(*inputs), 1)
        times["pykeen"] += seconds(lambda: theirs(*inputs), 1)
    median = {name: statistics.median(values) for name, values in times.items()}
    result = {
        "benchmark": "filtered realistic ranks, both positions, FB15k-237, dense rows given",
        "command": " ".join(["python", *sys.argv]),
        "triples": args.triples,
        "dim": args.dim,
        "batch_size": BATCH,
        "equal": True,
        "seconds": times,
        "median_seconds": median,
        "ratio": median["pykeen"] / median["ours"],
        "versions": {"python": platform.python_version()} | {n: version(n) for n in ("torch", "pykeen", "relgraph")},
        "machine": {"cpu_count": os.cpu_count(), "threads": args.threads, "load_average": os.getloadavg()},
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({"median_seconds": median, "ratio": result["ratio"]}))


if __name__ == "__main__":
    main()
