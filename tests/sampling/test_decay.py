"""The time-decayed strategy against plain Python arithmetic, and its frequencies against its weights."""

from __future__ import annotations

import math
import struct
from datetime import timedelta

import pytest
import torch
from torch_geometric.sampler import NodeSamplerInput

from relgraph.data.graph import EdgeStore, HeteroGraph, NodeStore
from relgraph.data.time import STATIC, UNKNOWN
from relgraph.errors import ProtocolError, ShapeError
from relgraph.sampling import TemporalSampler, decay
from relgraph.sampling.decay import LONGEST_HALF_LIFE, log2
from tests.sampling.test_sampling_hashing import python_fold

KIND = ("s", "r", "t")
SEED, EPOCH = 3, 2


def python_log2(x: float) -> float:
    bits = struct.unpack("<q", struct.pack("<d", x))[0]
    exponent = (bits >> 52) - 1023
    m = struct.unpack("<d", struct.pack("<q", (bits & (2**52 - 1)) | (1023 << 52)))[0]
    if m > 1.4142135623730951:
        m, exponent = m * 0.5, exponent + 1
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    p = 1 / 21
    for i in range(9, -1, -1):
        p = p * z + 1 / (2 * i + 1)
    return float(exponent) + (s * p) * 2.8853900817779268


def python_positions(times: list[int], known: int, k: int, half_life: int, base: int) -> list[int]:
    """The specification, word by word, for one target whose row has these times."""
    if k == known:
        return list(range(known))
    visible = times[:known]
    statics = visible.count(STATIC)
    edge, newest = visible[known - k], visible[-1]
    first = 0
    if edge >= STATIC + 60 * half_life:
        first = sum(time < edge - 60 * half_life for time in visible)
        first = 0 if first <= statics else first
    keys = []
    for position in range(first, known):
        time = visible[statics] if visible[position] == STATIC and newest != STATIC else visible[position]
        age = min(newest - time, 2**63 - 1)
        r = (python_fold(base, position) >> 12) % 2**52
        key = python_log2(-python_log2((2 * r + 1) * 2.0**-53)) + float(age) / float(half_life)
        keys.append((key, -position))
    return sorted(-position for _, position in sorted(keys)[:k])


def one_row(times: list[int]) -> HeteroGraph:
    index = torch.stack([torch.arange(len(times)), torch.zeros(len(times), dtype=torch.int64)])
    return HeteroGraph({"s": NodeStore(len(times)), "t": NodeStore(1)}, {KIND: EdgeStore(index, torch.tensor(times))})


def test_log2_is_a_logarithm_with_the_same_bits_in_python() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.cat(
        [
            torch.rand(2000, dtype=torch.float64, generator=generator),
            1 - torch.arange(1, 200, dtype=torch.float64) * 2.0**-53,
            torch.tensor([2.0**-53, 1.0, 53.0, 1e-16, 2.0, math.sqrt(2), 0.5 * math.sqrt(2)], dtype=torch.float64),
        ]
    )
    assert log2(x).tolist() == [python_log2(value) for value in x.tolist()]
    assert torch.allclose(log2(x), torch.log2(x), rtol=1e-15, atol=0)
    assert log2(torch.tensor([1.0, 8.0], dtype=torch.float64)).tolist() == [0.0, 3.0]


@pytest.mark.parametrize("half_life", [1, 7, 100, LONGEST_HALF_LIFE])
@pytest.mark.parametrize(
    "times",
    [
        list(range(50)),
        [*range(0, 5000, 250), 100_000, 100_010, 100_020],  # all but the last three lie far behind
        [STATIC] * 5 + list(range(10, 400, 13)),
        [STATIC] * 40 + [3],
        [STATIC] * 30,
        [5] * 20,
        [-(2**62) - 7] * 6 + [2**62] * 6,  # differences that int64 does not hold
    ],
)
def test_it_does_what_the_specification_says(times: list[int], half_life: int) -> None:
    graph = one_row(times)
    for k in (1, 3, 8):
        for moment in sorted({times[-1], times[len(times) // 2]}):
            sampler = TemporalSampler(
                graph, {KIND: [k]}, "decayed", seed=SEED, half_life=half_life, cutoff="inclusive", engine="tensor"
            )
            sampler.set_epoch(EPOCH)
            out = sampler.sample_from_nodes(NodeSamplerInput(None, torch.tensor([0]), torch.tensor([moment]), "t"))
            base = 0
            for value in (SEED, EPOCH, 1, 0, moment, 0, 0, 0):  # seed .. time, then hop, edge type, target
                base = python_fold(base, value)
            known = sum(time <= moment for time in times)
            expected = python_positions(times, known, min(k, known), half_life, base % 2**63)
            assert out.edge[KIND].tolist() == expected


def test_frequencies_follow_the_weights() -> None:
    """One of four neighbours of ages 0, 10, 20, 30 and half-life 10: 8, 4, 2 and 1 of 15; then two of them."""
    draws, times = 3000, torch.tensor([0, 10, 20, 30])
    index = torch.stack([torch.arange(4 * draws), torch.arange(draws).repeat_interleave(4)])
    graph = HeteroGraph(
        {"s": NodeStore(4 * draws), "t": NodeStore(draws)}, {KIND: EdgeStore(index, times.repeat(draws))}
    )
    weight = [1.0, 2.0, 4.0, 8.0]
    total = sum(weight)
    first = [w / total for w in weight]
    second = [
        sum(weight[j] / total * w / (total - weight[j]) for j in range(4) if j != i) for i, w in enumerate(weight)
    ]
    for k, expected in ((1, first), (2, [a + b for a, b in zip(first, second, strict=True)])):
        sampler = TemporalSampler(graph, {KIND: [k]}, "decayed", half_life=10, engine="tensor")
        out = sampler.sample_from_nodes(NodeSamplerInput(None, torch.arange(draws), torch.full((draws,), 99), "t"))
        counts = torch.bincount(out.node["s"] % 4, minlength=4).tolist()
        assert sum(counts) == k * draws
        for count, share in zip(counts, expected, strict=True):
            assert abs(count - draws * share) < 4 * math.sqrt(draws * share * (1 - share))


def test_many_candidates_are_taken_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    number = 40
    index = torch.stack([torch.arange(25 * number), torch.arange(25 * number) % number])
    graph = HeteroGraph(
        {"s": NodeStore(25 * number), "t": NodeStore(number)}, {KIND: EdgeStore(index, torch.arange(25 * number))}
    )
    sampler = TemporalSampler(graph, {KIND: [3]}, "decayed", half_life="1 hour", engine="tensor")
    seeds = NodeSamplerInput(None, torch.arange(number), torch.full((number,), 700), "t")
    whole = sampler.sample_from_nodes(seeds).edge[KIND]
    monkeypatch.setattr(decay, "_AT_ONCE", 30)
    assert torch.equal(sampler.sample_from_nodes(seeds).edge[KIND], whole)


def test_a_neighbour_sixty_half_lives_behind_is_never_drawn() -> None:
    graph = one_row([0, 61, 61, 61])
    for epoch in range(20):
        sampler = TemporalSampler(graph, {KIND: [2]}, "decayed", half_life=1, engine="tensor")
        sampler.set_epoch(epoch)
        out = sampler.sample_from_nodes(NodeSamplerInput(None, torch.tensor([0]), torch.tensor([61]), "t"))
        assert 0 not in out.edge[KIND].tolist()


def test_half_lives() -> None:
    graph = one_row([STATIC, *range(0, 1100, 100), UNKNOWN])

    def length(half_life: object = None, until: int | None = None) -> int:
        return TemporalSampler(graph, [2], "decayed", half_life=half_life, until=until).half_life  # type: ignore[arg-type]

    assert length("30 days") == length(timedelta(days=30)) == length(30 * 86_400_000_000)
    assert length() == 80  # a tenth of 100 .. 900
    assert length(until=500) == 40  # of 0 .. 400, among what lies up to it
    assert TemporalSampler(one_row([STATIC] * 3), [2], "decayed").half_life == 1
    assert "half_life=80" in repr(TemporalSampler(graph, [2], "decayed"))
    for bad in (0, -5, 2**60, 1.5, True):
        with pytest.raises(ShapeError, match="half_life: expected"):
            length(bad)
    for bad in ("3 months", "0 days", timedelta(0)):
        with pytest.raises(ProtocolError, match="half_life: expected"):
            length(bad)
