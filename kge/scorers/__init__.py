"""Scorers, one file each. To add one: its file, its line below, and its formula in ``tests/kge/test_scorers.py``."""

from relgraph.kge.scorers.base import Scorer
from relgraph.kge.scorers.distmult import DistMult
from relgraph.kge.scorers.frequency import Frequency
from relgraph.kge.scorers.hyperformer import HyperFormer
from relgraph.kge.scorers.lowfer import LowFER
from relgraph.kge.scorers.stare import StarE

__all__ = ["SCORERS", "DistMult", "Frequency", "HyperFormer", "LowFER", "Scorer", "StarE"]

SCORERS: dict[str, type[Scorer]] = {
    "distmult": DistMult,
    "lowfer": LowFER,
    "hyperformer": HyperFormer,
    "stare": StarE,
}
