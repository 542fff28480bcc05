"""The compiled engine gives the samples of the tensor engine, bit by bit, however it is run."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.loader import NodeLoader
from torch_geometric.sampler import HeteroSamplerOutput, NodeSamplerInput

from relgraph.data.graph import EdgeStore, HeteroGraph, NodeStore
from relgraph.data.time import STATIC, UNKNOWN
from relgraph.errors import BackendError, ShapeError
from relgraph.sampling import Adjacency, Sample, TemporalSampler, engine_numba, engine_tensor, numba_kernel
from relgraph.sampling.decay import LONGEST_HALF_LIFE
from relgraph.sampling.hashing import seed_state
from tests.sampling.cases import graphs

STRATEGIES = st.sampled_from(["uniform", "last", "decayed"])


@pytest.fixture(autouse=True)
def _threads() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def both_directions(graph: HeteroGraph) -> list[Adjacency]:
    return [Adjacency.from_graph(graph, edge_type, reverse) for edge_type in graph.edges for reverse in (False, True)]


def require_same(one: Sample, other: Sample) -> None:
    for field in ("node", "batch", "row", "col", "edge"):
        given, wanted = getattr(one, field), getattr(other, field)
        assert list(given) == list(wanted)
        for name in wanted:
            assert given[name].dtype == wanted[name].dtype == torch.int64
            assert torch.equal(given[name], wanted[name]), (field, name)
    assert (one.num_nodes, one.num_edges) == (other.num_nodes, other.num_edges)


@st.composite
def calls(draw: Any) -> dict[str, Any]:
    graph = draw(graphs())
    chosen = draw(st.lists(st.sampled_from(both_directions(graph)), unique=True)) if graph.edges else []
    hops = draw(st.integers(0, 3))
    fan_outs = st.lists(st.integers(-1, 4), min_size=hops, max_size=hops)
    seeds = {}
    for name in draw(st.permutations(list(graph.nodes))):
        most = graph.nodes[name].num_nodes - 1
        numbers = draw(st.lists(st.integers(0, most), max_size=20)) if most >= 0 else []
        if numbers or draw(st.booleans()):
            seeds[name] = torch.tensor(numbers, dtype=torch.int64)
    count = sum(node.numel() for node in seeds.values())
    moments = st.integers(-5, 9) | st.sampled_from([STATIC, UNKNOWN - 1])
    return {
        "adjacencies": chosen,
        "num_nodes": {name: store.num_nodes for name, store in graph.nodes.items()},
        "seeds": seeds,
        "visible": torch.tensor(draw(st.lists(moments, min_size=count, max_size=count)), dtype=torch.int64),
        "state": torch.tensor(
            draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=count, max_size=count)), dtype=torch.int64
        ),
        "num_neighbors": {adjacency.edge_type: draw(fan_outs) for adjacency in chosen},
        "strategy": draw(STRATEGIES),
        "half_life": draw(st.integers(1, 9) | st.just(LONGEST_HALF_LIFE)),
    }


@pytest.mark.slow
@settings(max_examples=80)
@given(calls(), st.sampled_from([1, 2, 3]))
def test_it_samples_what_the_tensor_engine_samples(call: dict[str, Any], threads: int) -> None:
    torch.set_num_threads(threads)
    require_same(engine_numba.sample(**call), engine_tensor.sample(**call))


def random_graph(sizes: list[int], edges: int, edge_types: int, seed: int) -> HeteroGraph:
    """Skewed ends, times with ties, some static and some unknown."""
    rng = np.random.default_rng(seed)

    def times(count: int) -> Tensor:
        time = rng.integers(-(10**15), 10**15, count) // 10**12 * 10**12
        time[rng.random(count) < 0.05] = STATIC
        time[rng.random(count) < 0.05] = UNKNOWN
        return torch.from_numpy(time)

    nodes = {f"t{i}": NodeStore(size, time=times(size) if i % 2 else None) for i, size in enumerate(sizes)}
    stores = {}
    for i in range(edge_types):
        ends = [int(rng.integers(len(sizes))) for _ in range(2)]
        columns = [(rng.random(edges) ** 3 * sizes[end]).astype(np.int64) for end in ends]
        time = times(edges) if i % 3 == 0 else None
        stores[f"t{ends[0]}", f"r{i}", f"t{ends[1]}"] = EdgeStore(torch.from_numpy(np.stack(columns)), time)
    return HeteroGraph(nodes, stores)


def call_on(graph: HeteroGraph, fan_outs: list[int], strategy: str, seeds: int = 40) -> dict[str, Any]:
    rng = np.random.default_rng(7)
    names = list(graph.nodes)[:2]
    nodes = {name: torch.from_numpy(rng.integers(0, graph.nodes[name].num_nodes, seeds)) for name in names}
    every = torch.cat(list(nodes.values()))
    time = torch.from_numpy(rng.integers(-(10**15), 10**15, every.numel()))
    adjacencies = both_directions(graph)
    return {
        "adjacencies": adjacencies,
        "num_nodes": {name: store.num_nodes for name, store in graph.nodes.items()},
        "seeds": nodes,
        "visible": time,
        "state": seed_state(3, 1, 0, every, time),
        "num_neighbors": {adjacency.edge_type: fan_outs for adjacency in adjacencies},
        "strategy": strategy,
        "half_life": 10**14,
    }


@pytest.mark.parametrize("strategy", ["uniform", "last", "decayed"])
@pytest.mark.parametrize("fan_outs", [[3, 200], [10, 8, 6], [-1, 7], [150], []])
@pytest.mark.parametrize("threads", [1, 2])
def test_large_subgraphs_are_the_same(strategy: str, fan_outs: list[int], threads: int) -> None:
    """Long rows, radix sorts, and a hash table and buffers that grow."""
    torch.set_num_threads(threads)
    call = call_on(random_graph([50, 3000, 40_000], 8000, 3, seed=0), fan_outs, strategy, seeds=12)
    require_same(engine_numba.sample(**call), engine_tensor.sample(**call))


@pytest.mark.parametrize("strategy", ["uniform", "last", "decayed"])
@pytest.mark.parametrize("seeds", ["event", "place"])
def test_rows_that_point_to_what_was_there_before_them(strategy: str, seeds: str) -> None:
    """Times of edges are left unread where what was reached says that they are known, but not at seeds."""
    rng = np.random.default_rng(5)
    size, places = 4000, 7
    time = torch.from_numpy(rng.integers(-40, 40, size))
    time[::50], time[1::50] = STATIC, UNKNOWN
    ends = torch.stack([torch.arange(size), torch.from_numpy((rng.random(size) ** 3 * places).astype(np.int64))])
    nodes = {"event": NodeStore(size, time=time), "place": NodeStore(places)}
    graph = HeteroGraph(nodes, {("event", "at", "place"): EdgeStore(ends)})
    call = call_on(graph, [50, 3, 2], strategy)
    assert [adjacency.settled for adjacency in call["adjacencies"]] == [False, True]
    node = torch.from_numpy(rng.integers(0, graph.nodes[seeds].num_nodes, 60))
    call["seeds"], call["visible"] = {seeds: node}, torch.from_numpy(rng.integers(-45, 45, 60))
    call["state"], call["half_life"] = seed_state(0, 0, 0, node, call["visible"]), 10
    require_same(engine_numba.sample(**call), engine_tensor.sample(**call))


@pytest.mark.parametrize("length", [1, 31, 32, 33, 63, 64, 65, 1023, 1024, 1025])
@pytest.mark.parametrize("before", [0, 1, 31, 32])
def test_the_visible_prefix_of_long_rows(length: int, before: int) -> None:
    """Rows that start and end anywhere among the blocks, with many equal times, at every moment."""
    target = torch.cat([torch.zeros(before), torch.ones(length), torch.full((40,), 2.0)]).long()
    time = torch.arange(target.numel()) // 5
    nodes = {"a": NodeStore(target.numel()), "b": NodeStore(3)}
    graph = HeteroGraph(nodes, {("a", "r", "b"): EdgeStore(torch.stack([torch.arange(target.numel()), target]), time)})
    moments = torch.arange(-1, int(time.max()) + 2).repeat(3)
    call = call_on(graph, [-1], "last")
    call["seeds"] = {"b": torch.arange(3).repeat_interleave(moments.numel() // 3)}
    call["visible"] = call["state"] = moments
    out = engine_numba.sample(**call)
    counted = ((time <= moments[:, None]) & (target == call["seeds"]["b"][:, None])).sum(1)
    assert torch.equal(torch.bincount(out.batch["a"], minlength=moments.numel()), counted)


def test_tensors_that_move_are_found_again() -> None:
    """Starting a worker by spawning moves the tensors of the sampler to shared memory, in the parent too."""
    call = call_on(random_graph([50, 3000], 6000, 2, seed=4), [5, 5], "uniform")
    wanted = engine_numba.sample(**call)
    moved = 0
    for adjacency in call["adjacencies"]:
        given = (adjacency.ptr, adjacency.source, adjacency.edge, adjacency.time)
        before = engine_numba._columns_of(adjacency)[:4]
        for tensor in given:
            if tensor is not None:
                tensor.share_memory_()
        after = engine_numba._columns_of(adjacency)[:4]
        for old, new, tensor in zip(before, after, given, strict=True):
            assert new == 0 or (tensor is not None and new == tensor.data_ptr())
            moved += old != new
    assert moved
    require_same(engine_numba.sample(**call), wanted)


def test_memory_grows_in_the_midst_of_a_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_numba, "_idle", [])
    ends = torch.stack([torch.arange(60_000), torch.arange(60_000) % 3])
    graph = HeteroGraph({"a": NodeStore(60_000), "b": NodeStore(3)}, {("a", "r", "b"): EdgeStore(ends)})
    call = call_on(graph, [-1, -1], "uniform", seeds=8)
    wanted = engine_tensor.sample(**call)
    assert sum(wanted.num_nodes["a"]) > 2**17
    for _ in range(2):  # once it has grown, and is used again
        require_same(engine_numba.sample(**call), wanted)


def test_many_seeds_without_neighbours_need_room_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_numba, "_idle", [])
    node = torch.arange(300_000)
    out = engine_numba.sample([], {"t": node.numel()}, {"t": node}, node, node, {})
    assert torch.equal(out.node["t"], node)
    assert torch.equal(out.batch["t"], node)
    assert out.num_nodes == {"t": [node.numel()]}


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["uniform", "decayed"])
def test_many_types(strategy: str) -> None:
    call = call_on(random_graph([30] * 64, 40, 200, seed=2), [2, 2], strategy)
    require_same(engine_numba.sample(**call), engine_tensor.sample(**call))


def test_node_numbers_beyond_32_bits() -> None:
    """Node numbers are taken whole, and so is their sum over types."""
    large = 2**61
    adjacency = Adjacency(
        ("a", "r", "b"), 0, torch.tensor([0, 3]), torch.tensor([large - 1, 0, large - 1]), torch.arange(3), None
    )
    one = torch.zeros(1, dtype=torch.int64)
    out = engine_numba.sample(
        [adjacency], {"c": large, "a": large, "b": 1}, {"b": one}, one, one, {("a", "r", "b"): [-1]}
    )
    assert out.node["a"].tolist() == [0, large - 1]
    assert out.row["a", "r", "b"].tolist() == [1, 0, 1]
    with pytest.raises(ShapeError, match="fewer than 2\\^63 nodes"):
        engine_numba.sample([], {"a": 2**62, "b": 2**62}, {"b": one}, one, one, {})


def test_edges_in_shuffled_storage_keep_their_numbers() -> None:
    graph = random_graph([20, 300], 2000, 2, seed=3)
    order = torch.from_numpy(np.random.default_rng(0).permutation(2000))
    mixed = HeteroGraph(
        graph.nodes,
        {
            name: EdgeStore(store.edge_index[:, order].contiguous(), None if store.time is None else store.time[order])
            for name, store in graph.edges.items()
        },
    )
    call = call_on(mixed, [5, 5], "uniform")
    require_same(engine_numba.sample(**call), engine_tensor.sample(**call))


def test_only_the_cpu() -> None:
    one = torch.zeros(1, dtype=torch.int64)
    with pytest.raises(BackendError, match="on the CPU"):
        engine_numba.sample([], {"a": 1}, {"a": one}, one.to("meta"), one, {})
    elsewhere = Adjacency(("a", "r", "a"), 0, torch.tensor([0, 1]).to("meta"), one, one, None)
    with pytest.raises(BackendError, match="on the CPU"):
        engine_numba.sample([elsewhere], {"a": 1}, {"a": one}, one, one, {("a", "r", "a"): [1]})


def test_adjacencies_must_lie_in_one_piece() -> None:
    one, gaps = torch.zeros(1, dtype=torch.int64), torch.zeros(4, dtype=torch.int64)[::2]
    adjacency = Adjacency(("a", "r", "a"), 0, torch.tensor([0, 2]), gaps, gaps, None)
    with pytest.raises(ShapeError, match="contiguous"):
        engine_numba.sample([adjacency], {"a": 1}, {"a": one}, one, one, {("a", "r", "a"): [1]})


def sampled(out: HeteroSamplerOutput) -> list[Any]:
    return [{k: v.tolist() for k, v in part.items()} for part in (out.node, out.batch, out.row, out.col, out.edge)]


@pytest.mark.parametrize("strategy", ["uniform", "last"])
def test_workers_after_threads_have_run(strategy: Any) -> None:
    """Forked workers have none of the parent's threads, and sample the same."""
    graph = random_graph([50, 3000], 6000, 2, seed=4)
    sampler = TemporalSampler(graph, [4, 3], strategy=strategy)
    node = torch.arange(50)
    time = torch.full_like(node, 10**14)
    torch.set_num_threads(2)
    whole = sampled(sampler.sample_from_nodes(NodeSamplerInput(None, node, time, "t0")))
    torch.set_num_threads(1)
    assert sampled(sampler.sample_from_nodes(NodeSamplerInput(None, node, time, "t0"))) == whole
    torch.set_num_threads(2)
    batches = [
        [
            [batch[name].n_id.tolist() for name in graph.nodes]
            for batch in NodeLoader(
                graph.to_hetero_data(features=False),
                node_sampler=sampler,
                input_nodes=("t0", node),
                input_time=time,
                batch_size=10,
                num_workers=workers,
            )
        ]
        for workers in (0, 2)
    ]
    assert batches[0] == batches[1]


def test_a_stale_cache_cannot_mix() -> None:
    """Numba looks at the time stamp of one file: whatever is compiled must lie in it."""
    tree = ast.parse(inspect.getsource(numba_kernel))
    imported = {
        f"{node.module}.{name.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("relgraph")
        for name in node.names
    }
    # two numbers, and what compiles
    assert imported == {"relgraph.data.time.STATIC", "relgraph.sampling.decay.REACH", "relgraph.ops.compiled.compiled"}


@pytest.mark.slow
@pytest.mark.parametrize("writable", [True, False])
def test_it_compiles_where_the_package_cannot_be_written(tmp_path: Path, writable: bool) -> None:
    """The cache goes to the user's folder, or there is none; nothing is said on stderr."""
    home = tmp_path / "home"
    home.mkdir()
    script = textwrap.dedent(f"""
        import sys
        import numba.core.caching as caching
        caching.InTreeCacheLocator.from_function = classmethod(lambda *_: None)
        if not {writable}:
            caching.UserWideCacheLocator.from_function = classmethod(lambda *_: None)
        import torch
        from relgraph.sampling import engine_numba
        one = torch.zeros(1, dtype=torch.int64)
        out = engine_numba.sample([], {{"a": 1}}, {{"a": one}}, one, one, {{}})
        assert out.num_nodes == {{"a": [1]}}
    """)
    environment = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert bool(list(home.rglob("*.nbc"))) is writable
