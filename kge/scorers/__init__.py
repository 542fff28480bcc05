"""Scorers, one file each. To add one: its file, its line below, and its formula in ``tests/kge/formulas.py``."""

from relgraph.kge.scorers.base import Scorer
from relgraph.kge.scorers.complex import ComplEx
from relgraph.kge.scorers.distmult import DistMult
from relgraph.kge.scorers.frequency import Frequency
from relgraph.kge.scorers.hyperformer import HyperFormer
from relgraph.kge.scorers.lowfer import LowFER
from relgraph.kge.scorers.nfe import NFE1, NFE2, NFE3, NFEMu, NFESigma
from relgraph.kge.scorers.rotate import RotatE
from relgraph.kge.scorers.stare import StarE
from relgraph.kge.scorers.transe import TransE
from relgraph.kge.scorers.tucker import TuckER

__all__ = [
    "NFE1",
    "NFE2",
    "NFE3",
    "SCORERS",
    "ComplEx",
    "DistMult",
    "Frequency",
    "HyperFormer",
    "LowFER",
    "NFEMu",
    "NFESigma",
    "RotatE",
    "Scorer",
    "StarE",
    "TransE",
    "TuckER",
]

SCORERS: dict[str, type[Scorer]] = {
    "complex": ComplEx,
    "distmult": DistMult,
    "hyperformer": HyperFormer,
    "lowfer": LowFER,
    "nfe1": NFE1,
    "nfe2": NFE2,
    "nfe3": NFE3,
    "nfe-mu": NFEMu,
    "nfe-sigma": NFESigma,
    "rotate": RotatE,
    "stare": StarE,
    "transe": TransE,
    "tucker": TuckER,
}
