"""Operations that everything expensive goes through, each with its checks and its PyTorch reference."""

from relgraph.ops.backends import use_backend
from relgraph.ops.distinct import distinct
from relgraph.ops.dropout import dropout
from relgraph.ops.embedding_update import embedding_update
from relgraph.ops.gather_scale_scatter import gather_scale_scatter
from relgraph.ops.grouped_matmul import grouped_matmul
from relgraph.ops.one_to_n_loss import one_to_n_loss
from relgraph.ops.pooled_product import pooled_product
from relgraph.ops.rank import RankCounts, rank, rank_scores
from relgraph.ops.sampled_loss import sampled_loss
from relgraph.ops.segment_softmax import segment_softmax
from relgraph.ops.softmax_loss import softmax_loss
from relgraph.ops.top_k import top_k, top_k_scores

__all__ = [
    "RankCounts",
    "distinct",
    "dropout",
    "embedding_update",
    "gather_scale_scatter",
    "grouped_matmul",
    "one_to_n_loss",
    "pooled_product",
    "rank",
    "rank_scores",
    "sampled_loss",
    "segment_softmax",
    "softmax_loss",
    "top_k",
    "top_k_scores",
    "use_backend",
]
