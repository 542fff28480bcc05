"""Operations that everything expensive goes through, each with its checks and its PyTorch reference."""

from relgraph.ops.distinct import distinct
from relgraph.ops.dropout import dropout
from relgraph.ops.one_to_n_loss import one_to_n_loss
from relgraph.ops.rank import RankCounts, rank
from relgraph.ops.top_k import top_k

__all__ = ["RankCounts", "distinct", "dropout", "one_to_n_loss", "rank", "top_k"]
