"""Temporal neighbour sampling: what a prediction may see, and no more.

``adjacency``, ``hashing``, ``decay`` and ``engine_tensor`` need torch only, ``engine_numba`` Numba as well;
``TemporalSampler`` adds PyG's interface and loads on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relgraph.lazy import lazy

if TYPE_CHECKING:
    from relgraph.sampling.adjacency import Adjacency as Adjacency
    from relgraph.sampling.engine_tensor import Sample as Sample
    from relgraph.sampling.engine_tensor import sample as sample
    from relgraph.sampling.sampler import TemporalSampler as TemporalSampler
    from relgraph.sampling.whole import WholeGraph as WholeGraph

_HOMES = {
    "WholeGraph": "relgraph.sampling.whole",
    "Adjacency": "relgraph.sampling.adjacency",
    "Sample": "relgraph.sampling.engine_tensor",
    "TemporalSampler": "relgraph.sampling.sampler",
    "sample": "relgraph.sampling.engine_tensor",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy(__name__, _HOMES)
