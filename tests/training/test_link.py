"""Recommendation end to end on a small shop: what is learned, what is ranked, and what is not seen."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import relgraph
from relgraph.data.graph import EdgeStore, HeteroGraph
from relgraph.data.time import to_microseconds
from relgraph.errors import AdapterError, LeakageError, ProtocolError, SchemaError, ShapeError
from relgraph.tasks import LinkSeeds
from relgraph.training.link import LinkJob, fit_links, link_loss
from relgraph.training.link_predictor import LinkPredictor
from tests.training.link_shop import CUSTOMERS, PRODUCTS, SMALL, favourites, make_db, make_task

JUNE = int(to_microseconds("2021-06-01"))


@pytest.fixture(scope="module")
def db() -> Iterator[Any]:
    with make_db() as database:
        yield database


@pytest.fixture(scope="module")
def graph(db: Any) -> HeteroGraph:
    return relgraph.build_graph(db, fit_until=make_task().val_time, progress=False)


@pytest.fixture(scope="module")
def predictor(db: Any, graph: HeteroGraph) -> LinkPredictor:
    return fit_links(db, graph, make_task(), **SMALL)


@pytest.mark.slow
def test_what_is_bought_again_and_again_is_found(db: Any, predictor: LinkPredictor) -> None:
    found = predictor.evaluate(db, progress=False)
    seeds = predictor.task.seeds(db, "test")
    popular = torch.bincount(predictor.task.seeds(db, "train").target, minlength=PRODUCTS).argsort(descending=True)
    baseline = predictor.task.metrics(seeds, popular[:3].expand(len(seeds), 3))
    assert found["recall@3"] > 0.9 > 0.4 > baseline["recall@3"]
    assert (found["regime"], found["split"], found["rows"]) == ("seed-time", "test", len(seeds))
    assert predictor.history.best == max(row["metrics"]["map@3"] for row in predictor.history.epochs)
    again = predictor.evaluate(seeds, progress=False)
    assert {**again, "split": "test"} == found


@pytest.mark.slow
def test_an_idgnn_finds_it_too(db: Any, graph: HeteroGraph) -> None:
    found = fit_links(db, graph, make_task(), model="idgnn", **{**SMALL, "epochs": 2}).evaluate(db, progress=False)
    assert found["recall@3"] > 0.9


@pytest.mark.slow
def test_two_towers_find_a_taste() -> None:
    """Anything dear, or anything cheap: the towers need not have seen the pair."""
    task = make_task(k=10)
    with make_db(taste=True) as db:
        graph = relgraph.build_graph(db, fit_until=task.val_time, progress=False)
        trained = fit_links(db, graph, task, model="two_tower", **{**SMALL, "lr": 0.01}, aggr="mean")
    target, _ = trained.rank(torch.arange(CUSTOMERS), torch.full((CUSTOMERS,), int(to_microseconds("2021-10-01"))))
    dear = (target % 2).double().mean(1)
    assert dear[::2].mean() > 0.8
    assert dear[1::2].mean() < 0.2


def all_scores(predictor: LinkPredictor, node: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    """The score of every pair, ``[n, PRODUCTS]``, in one call."""
    each = torch.arange(PRODUCTS).repeat(len(node))
    return predictor.scores(*(x.repeat_interleave(PRODUCTS) for x in (node, time)), each).view(-1, PRODUCTS)


@pytest.mark.parametrize("k", [1, 4, PRODUCTS + 5])
def test_the_ranking_is_the_order_of_all_scores(predictor: LinkPredictor, k: int) -> None:
    node = torch.tensor([3, 0, 7, 3, 29])
    time = torch.tensor([JUNE, JUNE, JUNE + 10**12, JUNE + 10**12, JUNE])
    exclude = (torch.tensor([0, 2, 2, 3, 3, 3]), torch.tensor([int(favourites()[3][0]), 39, 5]))
    score = all_scores(predictor, node, time)
    score[0, exclude[1][:2]] = score[2, 5] = -torch.inf
    value, order = score.sort(dim=1, descending=True, stable=True)
    target, found = predictor.rank(node, time, k, exclude)
    assert target.shape == found.shape == (5, k)
    width = min(k, PRODUCTS)
    torch.testing.assert_close(found[:, :width], value[:, :width], rtol=1e-4, atol=1e-4)
    assert torch.equal(target[:, :width], order[:, :width].masked_fill(value[:, :width] == -torch.inf, -1))
    assert (target[:, width:] == -1).all()


def with_late_products(graph: HeteroGraph, late: list[int]) -> HeteroGraph:
    """The same shop where products have times, some after June."""
    time = torch.full((PRODUCTS,), JUNE - 10**14)
    time[late] = JUNE + 1
    nodes = dict(graph.nodes)
    nodes["product"] = replace(nodes["product"], time=time)
    return graph.replace(nodes=nodes)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["hybrid", "idgnn", "two_tower"])
def test_nothing_is_recommended_before_it_exists(db: Any, graph: HeteroGraph, kind: Any) -> None:
    late = favourites()[3].tolist()
    shop = with_late_products(graph, late)
    trained = fit_links(db, shop, make_task(), model=kind, **{**SMALL, "epochs": 1, "max_batches": 1})
    node, time = torch.tensor([3, 4]), torch.full((2,), JUNE)
    target, _ = trained.rank(node, time, PRODUCTS)
    assert sorted(target[0].tolist()) == [-1] * 3 + sorted(set(range(PRODUCTS)) - set(late))
    assert trained.scores(node[:1], time[:1], torch.tensor(late[:1])).tolist() == [-math.inf]
    assert set(late) <= set(trained.rank(node, time + 1, PRODUCTS)[0][0].tolist())
    job = LinkJob(trained, trained.task.seeds(db, "train"), trained.task.seeds(db, "val"))
    for batch in job.batches(0):
        early = bool((job.train.time[batch["seed"]] <= JUNE).all())  # type: ignore[index]
        assert set(late).isdisjoint(batch["rows"].tolist()) is early


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["hybrid", "two_tower"])
def test_a_ranking_sees_nothing_later(db: Any, graph: HeteroGraph, kind: Any) -> None:
    """Giving every later purchase to another customer and product changes no score; training labels lie there too."""
    trained = fit_links(db, graph, make_task(), model=kind, **{**SMALL, "epochs": 1, "max_batches": 2})
    edges = {}
    for name, store in graph.edges.items():
        late = graph.nodes["purchase"].time[store.edge_index[0]] > JUNE  # type: ignore[index]
        index = store.edge_index.clone()
        index[1, late] = index[1, late].flip(0)
        edges[name] = EdgeStore(index)
        assert not torch.equal(index, store.edge_index)
    sampling = {"num_neighbors": [16, 8], "strategy": "last", "seed": 0}
    other = LinkPredictor(trained.model, graph.replace(edges=edges), trained.task, trained.settings, sampling)
    node, time = torch.arange(CUSTOMERS), torch.full((CUSTOMERS,), JUNE)
    torch.testing.assert_close(all_scores(other, node, time), all_scores(trained, node, time))
    later = time + 60 * 86_400_000_000
    assert not torch.allclose(all_scores(other, node, later), all_scores(trained, node, later))


@pytest.mark.slow
def test_the_frozen_regime_ends_at_the_test_time(graph: HeteroGraph, predictor: LinkPredictor) -> None:
    task = make_task(regime="frozen")
    sampling = {"num_neighbors": [16, 8], "strategy": "last", "seed": 0}
    frozen = LinkPredictor(predictor.model, graph, task, predictor.settings, sampling)
    node = torch.arange(CUSTOMERS)
    early, late = (torch.full((CUSTOMERS,), int(to_microseconds(day))) for day in ("2021-10-15", "2021-12-01"))
    assert torch.equal(frozen.rank(node, early)[1], predictor.rank(node, early)[1])
    assert not torch.equal(frozen.rank(node, late)[1], predictor.rank(node, late)[1])
    asked = [frozen.predict(keys="all", time="2021-12-01", progress=False) for frozen in (frozen, predictor)]
    assert asked[0].equals(asked[1])  # the regime is a rule for test rows


def test_the_loss_is_the_written_one() -> None:
    score = torch.tensor([[1.0, 2.0, 0.5], [0.0, 1.0, 3.0], [9.0, 9.0, 9.0], [0.0, 0.0, 0.0]], requires_grad=True)
    linked = torch.tensor([[1, 1, 0], [0, 0, 1], [0, 0, 0], [1, 1, 1]]).bool()
    first = (math.log(1 + math.exp(0.5 - 1)) + math.log(1 + math.exp(0.5 - 2))) / 2
    second = -math.log(math.exp(3) / (math.exp(0) + math.exp(1) + math.exp(3)))
    loss = link_loss(score, linked)
    assert loss.item() == pytest.approx((first + second + 0) / 3, rel=1e-6)  # the third has no link
    loss.backward()
    assert score.grad is not None
    assert score.grad.isfinite().all()
    assert not score.grad[2:].any()
    empty = link_loss(score, torch.zeros_like(linked))
    assert empty.item() == 0
    empty.backward()


def test_the_loss_of_a_batch_is_that_of_its_scores(db: Any, predictor: LinkPredictor) -> None:
    train = predictor.task.seeds(db, "train")
    job = LinkJob(predictor, train, train, seed=3)
    batch = next(iter(job.batches(-1)))  # the samples of evaluation
    node, time = train.node[batch["seed"]], train.moments[batch["seed"]]
    linked = torch.zeros(len(node), PRODUCTS, dtype=torch.bool)
    for row, seed in enumerate(batch["seed"].tolist()):
        linked[row, train.target[train.ptr[seed] : train.ptr[seed + 1]]] = True
    predictor.model.eval()
    with torch.no_grad():
        torch.testing.assert_close(job.loss(batch), link_loss(all_scores(predictor, node, time), linked))


def test_batches_are_of_one_moment_and_depend_on_seed_and_epoch(db: Any, predictor: LinkPredictor) -> None:
    train = predictor.task.seeds(db, "train")

    def content(epoch: int, start: int = 0, seed: int = 0) -> list[tuple[list[int], ...]]:
        job = LinkJob(predictor, train, train, seed=seed, num_negatives=10)
        return [
            (b["seed"].tolist(), b["rows"].tolist(), b["source"]["purchase"].n_id.tolist())
            for b in job.batches(epoch, start)
        ]

    whole = content(1)
    assert len(whole) == LinkJob(predictor, train, train).num_batches()
    assert sorted(i for seeds, _, _ in whole for i in seeds) == list(range(len(train)))
    assert all(len(train.moments[seeds].unique()) == 1 for seeds, _, _ in whole)
    assert all(rows == sorted(set(rows)) for _, rows, _ in whole)
    assert any(len(rows) < PRODUCTS for _, rows, _ in whole)
    assert content(1, start=2) == whole[2:]
    assert content(0) != whole
    assert content(1, seed=1) != whole
    short = LinkJob(predictor, train, train, max_batches=2)
    assert short.num_batches() == len(list(short.batches(0))) == 2


@pytest.mark.slow
def test_training_is_the_same_again_and_goes_on_after_a_stop(
    db: Any, graph: HeteroGraph, predictor: LinkPredictor, tmp_path: Path
) -> None:
    fit_links(db, graph, make_task(), **{**SMALL, "epochs": 2}, checkpoint=tmp_path)
    whole = fit_links(db, graph, make_task(), **SMALL, checkpoint=tmp_path)
    assert [row["loss"] for row in whole.history.epochs] == [row["loss"] for row in predictor.history.epochs]
    for name, value in predictor.model.state_dict().items():
        assert torch.equal(value, whole.model.state_dict()[name]), name
    other = fit_links(db, graph, make_task(), **{**SMALL, "epochs": 1, "seed": 1})
    assert other.history.epochs[0]["loss"] != predictor.history.epochs[0]["loss"]
    with pytest.raises(ProtocolError, match="num_negatives"):
        fit_links(db, graph, make_task(), **SMALL, num_negatives=7, checkpoint=tmp_path)


def test_predictions_carry_the_databases_keys(db: Any, predictor: LinkPredictor) -> None:
    table = predictor.predict(db, progress=False)
    assert table.column_names == ["code", "timestamp", "rank", "id", "score", "label"]
    seeds = predictor.task.seeds(db, "test")
    assert len(table) == 3 * len(seeds)
    assert table["rank"].to_pylist() == [1, 2, 3] * len(seeds)
    hits = table.to_pandas().groupby("code", sort=False)["label"].sum()
    recall = (hits.to_numpy() / seeds.ptr.diff().clamp(max=3).numpy()).mean()
    assert recall == pytest.approx(predictor.evaluate(seeds, progress=False)["recall@3"])
    asked = predictor.predict(keys=["c07", "c04"], time="2021-10-01", k=2, progress=False)
    assert asked.column_names == ["code", "timestamp", "rank", "id", "score"]
    assert asked["code"].to_pylist() == ["c07", "c07", "c04", "c04"]
    assert str(asked["timestamp"][0]) == "2021-10-01 00:00:00"
    assert set(asked["id"].to_pylist()[:2]) < set((favourites()[7] + 100).tolist())
    everybody = predictor.predict(time="2021-10-01", progress=False)
    assert len(everybody) == 3 * CUSTOMERS


def test_what_is_linked_already_can_be_left_out(db: Any, predictor: LinkPredictor) -> None:
    known = predictor.task.seeds(db, "train")
    new = predictor.predict(keys="all", time="2021-08-15", exclude=known, progress=False).to_pylist()
    bought = {
        (f"c{known.node[i]:02d}", 100 + t)
        for i in range(len(known))
        for t in known.target[known.ptr[i] : known.ptr[i + 1]].tolist()
    }
    assert len(bought) > CUSTOMERS
    assert not {(row["code"], row["id"]) for row in new} & bought
    whole = predictor.predict(keys="all", time="2021-08-15", progress=False).to_pylist()
    assert {(row["code"], row["id"]) for row in whole} & bought
    with pytest.raises(ShapeError, match=r"exclude.ptr: expected 2 values for 1 rows"):
        predictor.rank(torch.tensor([0]), torch.tensor([JUNE]), exclude=(torch.tensor([0]), known.target))


@pytest.mark.slow
def test_saved_and_loaded(db: Any, graph: HeteroGraph, predictor: LinkPredictor, tmp_path: Path) -> None:
    predictor.save(tmp_path / "model")
    graph.save(tmp_path / "graph")
    expected = predictor.predict(db, progress=False)
    loaded = LinkPredictor.load(tmp_path / "model", HeteroGraph.load(tmp_path / "graph"))
    assert loaded.predict(db, progress=False).equals(expected)
    assert loaded.history.epochs == predictor.history.epochs
    assert repr(loaded) == repr(predictor)
    bare = LinkPredictor.load(tmp_path / "model")
    assert bare.has_no_rows
    assert bare.predict(db, progress=False).equals(expected)
    assert bare.evaluate(db, progress=False) == predictor.evaluate(db, progress=False)
    with pytest.raises(ProtocolError, match="loaded without a graph"):
        bare.predict(time="2021-10-01")
    later = relgraph.build_graph(db, fit_until="2021-12-01", progress=False)
    with pytest.raises(SchemaError, match="not like the one trained on"):
        LinkPredictor.load(tmp_path / "model", later)
    with pytest.raises(AdapterError, match="no folder"):
        LinkPredictor.load(tmp_path / "nothing", graph)
    pointer = tmp_path / "model" / "link_predictor.json"
    pointer.write_text(pointer.read_text().replace('"kind": "hybrid"', '"kind": "foo"'))
    with pytest.raises(ShapeError, match="expected one of two_tower, idgnn, hybrid, got 'foo'"):
        LinkPredictor.load(tmp_path / "model", graph)
    pointer.write_text(pointer.read_text().replace('"kind": "foo"', '"knd": "foo"'))
    with pytest.raises(AdapterError, match=r"is damaged: link_predictor\.json"):
        LinkPredictor.load(tmp_path / "model", graph)


def test_statistics_from_the_future_are_refused(db: Any) -> None:
    with pytest.raises(LeakageError, match=r"build .* build_graph\(db, fit_until=task.val_time\)"):
        fit_links(db, relgraph.build_graph(db, progress=False), make_task(), **SMALL)


def test_what_does_not_fit_together_is_refused(db: Any, graph: HeteroGraph, predictor: LinkPredictor) -> None:
    with pytest.raises(ProtocolError, match=r"one fan-out for each of 3 layers, got \[2\]"):
        fit_links(db, graph, make_task(), **SMALL, layers=3)
    with pytest.raises(ShapeError, match="model: expected one of"):
        fit_links(db, graph, make_task(), **SMALL, model="foo")  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match="num_negatives: expected at least 1, got 0"):
        fit_links(db, graph, make_task(), **SMALL, num_negatives=0)
    with pytest.raises(ProtocolError, match="k: expected at least 1, got 0"):
        predictor.rank(torch.tensor([0]), torch.tensor([JUNE]), 0)
    with pytest.raises(SchemaError, match="no row with code = 'nobody'"):
        predictor.predict(keys=["nobody"], time="2021-10-01")
    with pytest.raises(ProtocolError, match="keys need time="):
        predictor.predict(keys=["c07"])
    with pytest.raises(ProtocolError, match="expected a database and a split"):
        predictor.predict()


def test_seeds_of_ones_own(predictor: LinkPredictor) -> None:
    keys = predictor.predict(keys=["c03"], time="2021-06-01", k=1, progress=False).select(["code"])
    target = torch.from_numpy(favourites()[3]).sort().values
    seeds = LinkSeeds(torch.tensor([3]), torch.tensor([JUNE]), torch.tensor([0, 3]), target, keys)
    assert predictor.evaluate(seeds, progress=False)["split"] == "given"
    assert set(predictor.predict(seeds, progress=False)["label"].to_pylist()) <= {0, 1}


def test_a_task_without_time(db: Any) -> None:
    """Links of the whole database, split by customer: everything is seen, nothing is asked at a moment."""
    sql = "SELECT DISTINCT customer AS code, product AS id FROM purchase"
    task = relgraph.LinkTask("customer", "product", sql, None, k=3, regime="static", fractions=(0.5, 0.25, 0.25))
    graph = relgraph.build_graph(db, progress=False)
    trained = fit_links(db, graph, task, model="idgnn", **SMALL)
    found = trained.evaluate(db, progress=False)
    assert found["regime"] == "static"
    assert found["recall@3"] > 0.9
    assert trained.predict(keys=["c03"], progress=False).column_names == ["code", "rank", "id", "score"]
    with pytest.raises(ProtocolError, match="has no time"):
        trained.predict(keys=["c03"], time="2021-10-01")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["hybrid", "idgnn", "two_tower"])
def test_moments_before_any_target_exists(db: Any, graph: HeteroGraph, kind: Any) -> None:
    shop = with_late_products(graph, list(range(PRODUCTS)))
    trained = fit_links(db, shop, make_task(), model=kind, **{**SMALL, "epochs": 1})
    target, score = trained.rank(torch.tensor([3]), torch.tensor([JUNE]))
    assert target.tolist() == [[-1, -1, -1]]
    assert score.tolist() == [[-math.inf] * 3]
    assert (trained.rank(torch.tensor([3]), torch.tensor([JUNE + 1]))[0] >= 0).all()
