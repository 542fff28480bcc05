"""Trains small models in the processes that torchrun starts, or in this one; the first writes what came out.

Arguments: the folder to write to, and which (``links``, ``sampled``, ``softmax``, ``rows``, ``resume``, ``sharded``).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch

import relgraph
from relgraph.data.statements import Statements, Vocabulary
from relgraph.kge import CE, N3, DistMult, Embeddings, LowFER, Sampled, fit
from relgraph.kge.file_table import file_tables
from relgraph.training import History
from tests.training.link_shop import SMALL, make_db, make_task


def statements() -> Statements:
    """Random triples; the last batch of an epoch of a loss with one answer a row has one row."""
    generator = torch.Generator().manual_seed(0)
    vocabulary = Vocabulary([f"e{i}" for i in range(30)], ["likes", "knows"])
    head, tail = (torch.randint(30, (120,), generator=generator) for _ in range(2))
    return Statements(head, torch.randint(2, (120,), generator=generator), tail, vocabulary)


def links(**options: Any) -> tuple[torch.nn.Module, History]:
    data = statements()
    scorer = DistMult(data.num_entities, data.num_relations, dim=8, seed=1)
    chosen: dict[str, Any] = {"loss": "ce", "regularizer": N3(0.01), "epochs": 4, "batch_size": 33, "lr": 0.05}
    chosen |= {"valid": data, "validate_every": 2, "optimizer": "adagrad", "clip_norm": 1.0, **options}
    history = fit(scorer, data, seed=2, accelerator="cpu", progress=True, **chosen)
    return scorer, history


def sampled() -> tuple[torch.nn.Module, History]:
    return links(loss=Sampled(7, mask_known=True), optimizer="sgd", regularizer=None)


def softmax() -> tuple[torch.nn.Module, History]:
    return links(loss=CE(answers="all", negatives=5), optimizer="sgd")


def rows() -> tuple[torch.nn.Module, History]:
    with make_db() as db:
        times = {"val_time": "2021-07-01", "test_time": "2021-10-01"}
        task = relgraph.EntityTask.count(db, "customer", "purchase", "60 days", **times)
        graph = relgraph.build_graph(db, fit_until=task.val_time, progress=False)
        found = relgraph.fit(
            db, graph, task, channels=8, num_neighbors=[64, 64], strategy="last", encoder_layers=1, dropout=0.0,
            batch_size=20, epochs=2, accelerator="cpu", progress=False,
        )  # fmt: skip
        return found.model, found.history


def recommend(model: str) -> tuple[torch.nn.Module, History]:
    """Batches with fewer sources than processes too: a moment has 13 sources, a batch 12 of them."""
    with make_db() as db:
        task = make_task()
        graph = relgraph.build_graph(db, fit_until=task.val_time, progress=False)
        small = {**SMALL, "epochs": 2, "batch_size": 12, "num_neighbors": [6, 4], "num_negatives": 20}
        found = relgraph.fit(db, graph, task, model=model, **small)
        return found.model, found.history


def towers() -> tuple[torch.nn.Module, History]:
    return recommend("two_tower")


def inside() -> tuple[torch.nn.Module, History]:
    return recommend("hybrid")


def resume(folder: Path) -> tuple[torch.nn.Module, History]:
    """Dropout, batch statistics, a stop in the middle of an epoch, and on from there."""
    data, ways = statements(), []
    for checkpoint, epochs in ((None, 5), (folder, 2), (folder, 5)):
        scorer = LowFER(data.num_entities, data.num_relations, dim=8, rank=2, seed=1)
        history = fit(
            scorer, data, epochs=epochs, batch_size=16, checkpoint=checkpoint, seed=2, accelerator="cpu", progress=False
        )
        ways.append([p.detach().clone() for p in scorer.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(ways[0], ways[2], strict=True))
    return scorer, history


def sharded(folder: Path) -> tuple[torch.nn.Module, History]:
    """Rows of entities in two shards; stopped after two epochs and gone on with, the result is the same to the bit."""
    data, ways = statements(), []
    for place, stops in ((folder / "whole", (4,)), (folder / "halves", (2, 4))):
        for epochs in stops:
            rows = Embeddings.sharded(place / "rows", data.num_entities, 8, shards=2, seed=5)
            scorer = DistMult(data.num_entities, data.num_relations, dim=8, seed=1, entities=rows)
            history = fit(
                scorer, data, valid=data, epochs=epochs, batch_size=33, lr=0.2, loss=Sampled(7, mask_known=True),
                optimizer="adagrad", checkpoint=place / "checkpoint", validate_every=2, seed=2, accelerator="cpu",
                progress=False,
            )  # fmt: skip
        ways.append([rows.weight, *(p.detach().clone() for p in scorer.parameters())])
    assert all(torch.equal(one, other) for one, other in zip(*ways, strict=True))
    return scorer, history


def main() -> None:
    folder = Path(sys.argv[1])
    for what in sys.argv[2:]:
        if what == "sharded":
            model, history = sharded(folder / f"shards-{os.environ.get('WORLD_SIZE', '1')}")
        else:
            model, history = resume(folder / "run") if what == "resume" else globals()[what]()
        parameters = {name: value.tolist() for name, value in model.named_parameters()}
        parameters |= {name: part.weight.tolist() for name, part in file_tables(model).items()}
        file = folder / f"{what}-{os.environ.get('RANK', 'alone')}"
        losses = history.curve("loss")[1]
        file.write_text(json.dumps({"parameters": parameters, "losses": losses, "best": history.best}))


if __name__ == "__main__":
    main()
