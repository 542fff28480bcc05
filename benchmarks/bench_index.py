"""An approximate index of a trained scorer: how many of the true best answers it finds, and how fast.

    python benchmarks/bench_index.py [--minutes 3]

A ComplEx is trained on FB15k-237 for a few minutes, since the vectors of a random scorer are harder to search than any
that mean something. Then every different question of the test set is asked for its best ten entities: exactly, by
scoring all 14,541, and through each index. Recall is the share of the exact ten that the index gives; its scores are
asserted to be the exact ones. Sides take turns.
"""

from __future__ import annotations

import argparse
import os
import time
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from measure import in_turn, merge
from torch import Tensor

from relgraph.adapters.statement_files import read_statements
from relgraph.kge import CE, N3, ComplEx, evaluate, export_index, fit
from relgraph.kge.blocks import ScoreSource
from relgraph.kge.questions import Questions, ask, question_keys
from relgraph.ops import top_k_scores

DATA = Path(os.environ.get("RELGRAPH_DATA", Path(__file__).parents[1] / ".." / "shared" / "data")) / "kg" / "fb15k-237"
RESULT = Path(__file__).parent / "results" / "bench_index.json"
K = 10
BATCH = 512


def questions_of(test: Any) -> Questions:
    """Every different question for a tail or a head."""
    every = Questions.cat([ask(test, position)[0] for position in ("tail", "head")])
    key = question_keys(every, with_qualifiers=False)
    first = key.new_full((int(key.max()) + 1,), len(key)).scatter_reduce_(0, key, torch.arange(len(key)), "amin")
    return every.select(first)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--minutes", type=float, default=3, help="of training")
    parser.add_argument("--dim", type=int, default=100, help="complex coordinates")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=RESULT)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    train, valid, test = read_statements(args.data)
    scorer = ComplEx(train.num_entities, train.num_relations, dim=args.dim)
    fit(
        scorer,
        train,
        epochs=1000,
        batch_size=256,
        loss=CE(answers="all", negatives=2048),
        regularizer=N3(0.03),
        optimizer="adagrad",
        lr=0.1,
        max_seconds=60 * args.minutes,
        accelerator="cpu",
    )
    mrr = evaluate(scorer, test.select(torch.arange(2000)), [train, valid, test], candidates="all")["mrr"]
    asked, source = questions_of(test), ScoreSource(scorer.eval())
    parts = [asked.select(torch.arange(start, min(start + BATCH, len(asked)))) for start in range(0, len(asked), BATCH)]

    @torch.no_grad()
    def exact() -> list[tuple[Tensor, Tensor]]:
        return [top_k_scores(source(part), K) for part in parts]

    expected = exact()
    for kind in ("usearch", "faiss"):
        if not find_spec(kind):
            continue
        with TemporaryDirectory() as folder:
            start = time.perf_counter()
            index = export_index(scorer, folder, kind)  # type: ignore[arg-type]
            seconds = time.perf_counter() - start

            @torch.no_grad()
            def found(index: Any = index) -> list[tuple[Tensor, Tensor]]:
                free = [
                    (torch.zeros(len(part) + 1, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)) for part in parts
                ]
                return [
                    index.top_k(source(part), K, none, train.num_entities)
                    for part, none in zip(parts, free, strict=True)
                ]

            hits = 0
            for (value, number), (best, place) in zip(found(), expected, strict=True):
                same = number[:, :, None] == place[:, None]
                hits += int(same.sum())
                torch.testing.assert_close(value[same.any(2)], best[same.any(1)], rtol=1e-4, atol=1e-5)
            section = {
                "data": args.data.name,
                "scorer": "ComplEx",
                "dim": args.dim,
                "test_mrr_of_2000": mrr,
                "questions": len(asked),
                "candidates": train.num_entities,
                "k": K,
                "recall": hits / (K * len(asked)),
                "export_seconds": seconds,
                "equal": True,
                **in_turn({"ours": found, "exact": exact}, {"ours": args.repeats, "exact": args.repeats}),
            }
            merge(
                args.output,
                kind,
                section,
                "approximate index of a trained scorer",
                ("relgraph", "torch", {"faiss": "faiss-cpu"}.get(kind, kind)),
            )


if __name__ == "__main__":
    main()
