"""Link prediction on statements: scorers, training, ranking, prediction (installed as ``relgraph.kge``)."""

if __name__ != "relgraph.kge":
    raise ImportError(f"this folder is the package relgraph.kge, not {__name__}: use 'import relgraph.kge'")

from typing import TYPE_CHECKING

from relgraph.lazy import lazy

if TYPE_CHECKING:
    from relgraph.kge.blocks import ScoreBlocks as ScoreBlocks
    from relgraph.kge.classification import Calibrator as Calibrator
    from relgraph.kge.classification import calibrate as calibrate
    from relgraph.kge.classification import classify as classify
    from relgraph.kge.embeddings import Embeddings as Embeddings
    from relgraph.kge.entity_index import export_index as export_index
    from relgraph.kge.entity_index import load_index as load_index
    from relgraph.kge.evaluation import evaluate as evaluate
    from relgraph.kge.losses import BCE as BCE
    from relgraph.kge.losses import CE as CE
    from relgraph.kge.losses import Sampled as Sampled
    from relgraph.kge.maps import entity_map as entity_map
    from relgraph.kge.metrics import Metrics as Metrics
    from relgraph.kge.prediction import Prediction as Prediction
    from relgraph.kge.prediction import predict as predict
    from relgraph.kge.protocol import Protocol as Protocol
    from relgraph.kge.pykeen import from_pykeen_model as from_pykeen_model
    from relgraph.kge.pykeen import to_pykeen_model as to_pykeen_model
    from relgraph.kge.regularizers import N3 as N3
    from relgraph.kge.scorers import NFE1 as NFE1
    from relgraph.kge.scorers import NFE2 as NFE2
    from relgraph.kge.scorers import NFE3 as NFE3
    from relgraph.kge.scorers import SCORERS as SCORERS
    from relgraph.kge.scorers import ComplEx as ComplEx
    from relgraph.kge.scorers import DistMult as DistMult
    from relgraph.kge.scorers import Frequency as Frequency
    from relgraph.kge.scorers import HyperFormer as HyperFormer
    from relgraph.kge.scorers import LowFER as LowFER
    from relgraph.kge.scorers import NFEMu as NFEMu
    from relgraph.kge.scorers import NFESigma as NFESigma
    from relgraph.kge.scorers import RotatE as RotatE
    from relgraph.kge.scorers import Scorer as Scorer
    from relgraph.kge.scorers import StarE as StarE
    from relgraph.kge.scorers import TransE as TransE
    from relgraph.kge.scorers import TuckER as TuckER
    from relgraph.kge.storage import load_scorer as load_scorer
    from relgraph.kge.storage import save_scorer as save_scorer
    from relgraph.kge.top_statements import top_k_statements as top_k_statements
    from relgraph.kge.training import fit as fit
    from relgraph.kge.warm_start import extend as extend

_HOMES = {
    "BCE": "relgraph.kge.losses",
    "CE": "relgraph.kge.losses",
    "Calibrator": "relgraph.kge.classification",
    "ComplEx": "relgraph.kge.scorers",
    "DistMult": "relgraph.kge.scorers",
    "Embeddings": "relgraph.kge.embeddings",
    "Frequency": "relgraph.kge.scorers",
    "HyperFormer": "relgraph.kge.scorers",
    "LowFER": "relgraph.kge.scorers",
    "Metrics": "relgraph.kge.metrics",
    "N3": "relgraph.kge.regularizers",
    "NFE1": "relgraph.kge.scorers",
    "NFE2": "relgraph.kge.scorers",
    "NFE3": "relgraph.kge.scorers",
    "NFEMu": "relgraph.kge.scorers",
    "NFESigma": "relgraph.kge.scorers",
    "Prediction": "relgraph.kge.prediction",
    "Protocol": "relgraph.kge.protocol",
    "RotatE": "relgraph.kge.scorers",
    "SCORERS": "relgraph.kge.scorers",
    "Sampled": "relgraph.kge.losses",
    "ScoreBlocks": "relgraph.kge.blocks",
    "Scorer": "relgraph.kge.scorers",
    "StarE": "relgraph.kge.scorers",
    "TransE": "relgraph.kge.scorers",
    "TuckER": "relgraph.kge.scorers",
    "calibrate": "relgraph.kge.classification",
    "classify": "relgraph.kge.classification",
    "entity_map": "relgraph.kge.maps",
    "evaluate": "relgraph.kge.evaluation",
    "export_index": "relgraph.kge.entity_index",
    "extend": "relgraph.kge.warm_start",
    "fit": "relgraph.kge.training",
    "from_pykeen_model": "relgraph.kge.pykeen",
    "load_index": "relgraph.kge.entity_index",
    "load_scorer": "relgraph.kge.storage",
    "predict": "relgraph.kge.prediction",
    "save_scorer": "relgraph.kge.storage",
    "to_pykeen_model": "relgraph.kge.pykeen",
    "top_k_statements": "relgraph.kge.top_statements",
}
__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy(__name__, _HOMES)
