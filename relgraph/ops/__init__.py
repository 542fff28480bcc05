"""Operations that everything expensive goes through, each with its checks and its PyTorch reference."""

from relgraph.ops.distinct import distinct
from relgraph.ops.dropout import dropout
from relgraph.ops.one_to_n_loss import one_to_n_loss
from relgraph.ops.rank import RankCounts, rank, rank_scores
from relgraph.ops.top_k import top_k, top_k_scores

__all__ = ["RankCounts", "distinct", "dropout", "one_to_n_loss", "rank", "rank_scores", "top_k", "top_k_scores"]
