r"""Neighbours drawn without replacement, the older the rarer: the strategy ``"decayed"``.

A neighbour of age :math:`a` has weight :math:`2^{-a / h}` with half-life :math:`h`. The :math:`k` with the smallest
keys of an exponential race (Efraimidis and Spirakis 2006, in logarithms) are a weighted sample without replacement:

.. math:: \text{key}_p = \log_2(-\log_2 u_p) + a_p / h

What every engine does, bit by bit. A target has ``known`` visible neighbours at the positions ``0 .. known - 1`` of its
row, in order of time, and :math:`k` = ``min(fan-out, known)`` are taken. If :math:`k` = ``known`` all are, and nothing
is drawn. Otherwise, in int64:

1. ``statics`` is how many of the ``known`` have time ``STATIC``, ``newest`` the time at position ``known - 1``,
   ``edge`` the time at position ``known - k``. A direction without times has ``STATIC`` everywhere.
2. Candidates are the positions ``first .. known - 1``: ``first`` is the first with time at least ``edge - 60 h``, but 0
   where ``edge < STATIC + 60 h``, and 0 where it is not above ``statics``. (Others have a chance below
   :math:`2^{-60}` against each of the :math:`k` latest.)
3. The time of a candidate is its own; a static one is as old as the oldest dated candidate, ``time[statics]``. Where
   ``newest`` is ``STATIC`` every age is 0. Else the age is ``newest`` minus that time; where that overflows (is
   negative in two's complement), :math:`2^{63} - 1`.
4. ``word = fold(draw(state, hop, edge type, target), position)`` of :mod:`relgraph.sampling.hashing`;
   ``r = (word >> 12) mod 2^52``; ``u = float64(2 r + 1) * 2^-53``, which is exact.
5. ``key = log2(-log2(u)) + float64(age) / float64(h)``, every operation rounded once to float64, never fused.
6. The :math:`k` candidates with the smallest keys are taken, of equal keys the later position, and listed by position.

``log2(x)`` is not the library's, whose last bits differ between machines, but: split ``x`` by its bits into exponent
``e`` and ``m`` in [1, 2); if ``m > 1.4142135623730951`` then ``m = m * 0.5``, ``e = e + 1``; then

.. math:: s = (m - 1) / (m + 1), \quad z = s s, \quad \log_2 x = e + (s\, p(z)) \cdot 2.8853900817779268

with :math:`p` by Horner's rule, ``p = 1/21; p = p * z + 1/(2 i + 1)`` for ``i = 9 .. 0`` (the series of
:math:`2\,\mathrm{artanh}(s) / \ln 2`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from relgraph.data.time import STATIC
from relgraph.sampling.adjacency import Adjacency
from relgraph.sampling.hashing import fold

__all__ = ["LONGEST_HALF_LIFE", "REACH", "decayed", "log2"]

REACH = 60  # half-lives
LONGEST_HALF_LIFE = 2**57 - 1  # microseconds; 60 of them still fit
_AT_ONCE = 2**21  # candidates: about 200 MB of temporaries
_SQRT2 = 1.4142135623730951
_TWO_OVER_LN2 = 2.8853900817779268
_TERMS = 11


def decayed(adjacency: Adjacency, target: Tensor, known: Tensor, k: Tensor, base: Tensor, half_life: int) -> Tensor:
    """Positions of the neighbours taken.

    Args:
        adjacency: The direction followed.
        target: Target nodes, int64 ``[F]``, each with ``k < known``.
        known: Length of the visible prefix of each row, int64 ``[F]``.
        k: How many to take, int64 ``[F]``, at least 0.
        base: ``draw(state, hop, edge type, target)``, int64 ``[F]``.
        half_life: In microseconds, 1 to ``LONGEST_HALF_LIFE``.

    Returns:
        int64 ``[sum(k)]``, by target and position.
    """
    first = _first(adjacency, target, known, k, half_life)
    total = int((known - first).sum())
    if total <= _AT_ONCE or target.numel() == 1:
        return _race(adjacency, target, known, k, base, first, half_life)
    half = target.numel() // 2
    halves = (slice(half), slice(half, None))
    return torch.cat([decayed(adjacency, target[i], known[i], k[i], base[i], half_life) for i in halves])


def _first(adjacency: Adjacency, target: Tensor, known: Tensor, k: Tensor, half_life: int) -> Tensor:
    """Where the candidates of each target start."""
    if adjacency.time is None:
        return torch.zeros_like(known)
    reach = REACH * half_life
    # with k = 0 nothing is asked; the position stays inside the row
    edge = adjacency.time[adjacency.ptr[target] + (known - k).clamp(max=known - 1)]
    all_of_them = edge < STATIC + reach
    first = adjacency.visible(target, torch.where(all_of_them, STATIC + reach, edge) - reach - 1)
    statics = adjacency.visible(target, torch.full_like(edge, STATIC))
    return torch.where(all_of_them | (first <= statics), 0, first)


def _race(
    adjacency: Adjacency, target: Tensor, known: Tensor, k: Tensor, base: Tensor, first: Tensor, half_life: int
) -> Tensor:
    size = known - first
    owner = torch.repeat_interleave(size)
    start = size.cumsum(0) - size
    position = torch.arange(owner.numel(), device=owner.device) - (start - first)[owner]
    word = fold(base[owner], position)
    u = (((word >> 12) & (2**52 - 1)) * 2 + 1).to(torch.float64) * 2.0**-53
    key = log2(-log2(u))
    if adjacency.time is not None:
        # a tensor: CUDA multiplies by the reciprocal of a Python number, which rounds twice
        length = torch.full((1,), half_life, device=key.device).to(torch.float64)
        key = key + _age(adjacency, adjacency.time, target, known, owner, position).to(torch.float64) / length
    # smallest key first, of equal keys the later position: sorted backwards by a stable sort
    order = torch.argsort(key.flip(0), stable=True)
    order = owner.numel() - 1 - order
    order = order[torch.argsort(owner[order], stable=True)]
    place = torch.arange(owner.numel(), device=owner.device) - start[owner]  # owners are sorted: their own, in order
    won = torch.zeros(owner.numel(), dtype=torch.bool, device=owner.device)
    won[order] = place < k[owner]
    return position[won]


def _age(adjacency: Adjacency, time: Tensor, target: Tensor, known: Tensor, owner: Tensor, position: Tensor) -> Tensor:
    """Age of each candidate against the newest visible neighbour of its target, int64."""
    row = adjacency.ptr[target]
    newest = time[row + known - 1]
    statics = adjacency.visible(target, torch.full_like(newest, STATIC))
    # the oldest dated one, or any where there is none
    dated = torch.minimum(statics, known - 1)
    age = newest[owner] - time[row[owner] + torch.maximum(position, dated[owner])]
    return torch.where(age < 0, torch.iinfo(torch.int64).max, age)


def log2(x: Tensor) -> Tensor:
    """Binary logarithm with the same bits on every machine, to about 5e-16 of its value.

    Args:
        x: Positive normal numbers, float64.
    """
    bits = x.view(torch.int64)
    exponent = (bits >> 52) - 1023
    m = ((bits & (2**52 - 1)) | (1023 << 52)).view(torch.float64)
    upper = m > _SQRT2
    m = torch.where(upper, m * 0.5, m)
    exponent = exponent + upper.to(torch.int64)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    p = torch.full_like(z, 1 / (2 * _TERMS - 1))
    for i in range(_TERMS - 2, -1, -1):
        p = p * z + 1 / (2 * i + 1)
    return exponent.to(torch.float64) + (s * p) * _TWO_OVER_LN2
