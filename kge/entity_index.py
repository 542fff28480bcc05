"""Approximate nearest-neighbour indexes of a scorer's candidates, for vocabularies too large to score whole."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
import torch
from torch import Tensor

from relgraph.errors import AdapterError, BackendError, ProtocolError
from relgraph.kge.scorers.base import Scorer
from relgraph.ops import top_k_scores
from relgraph.ops.blocks import ScoreMatrix, TiledScores
from relgraph.ops.tiles import Csr, Scores, csr_rows

__all__ = ["EntityIndex", "export_index", "load_index"]

Kind = Literal["usearch", "faiss"]
_NEIGHBOURS = 32  # links of a node in the graph of the index
_SEARCHED = 256  # candidates looked at in a search, at least


class _Engine(Protocol):
    def search(self, vectors: np.ndarray[Any, Any], k: int) -> np.ndarray[Any, Any]:
        """Numbers of the nearest rows of each vector, ``[B, k]``."""


@dataclass(frozen=True, eq=False)
class EntityIndex:
    """Finds the candidates that score high; their scores are then computed exactly.

    Args:
        kind: ``"usearch"`` or ``"faiss"``.
        scorer: The class of the scorer it was made of.
        num_entities: How many candidates there are.
        dim: Coordinates of the scorer's candidates.
    """

    kind: Kind
    scorer: str
    num_entities: int
    dim: int
    engine: _Engine

    def __repr__(self) -> str:
        return f"EntityIndex({self.kind}, {self.num_entities:,} candidates of {self.scorer}, {self.dim} coordinates)"

    def require_fit(self, scorer: Scorer, asked: str = "tail") -> None:
        """Check that the index is of this kind of scorer, and that it can answer.

        Raises:
            ProtocolError: If not.
        """
        if asked == "relation":
            raise ProtocolError("index: it holds entities and cannot find relations; leave index= out")
        found = (type(scorer).__name__, scorer.num_entities)
        if found != (self.scorer, self.num_entities):
            raise ProtocolError(
                f"index: it is of a {self.scorer} with {self.num_entities:,} entities, got a {found[0]} with "
                f"{found[1]:,}; export it again"
            )

    @torch.no_grad()
    def top_k(self, scores: TiledScores, k: int, filter: Csr, size: int) -> tuple[Tensor, Tensor]:
        """Like :func:`relgraph.ops.top_k`, approximately: what is found is right, something may be missed.

        Args:
            scores: Of a scorer that is a product.
            k: How many.
            filter: What each query must not get.
            size: Only candidates below that number are answers.

        Raises:
            ProtocolError: If the scorer is no product, or has another number of coordinates.
        """
        if not isinstance(scores, Scores) or scores.query.shape[1] != self.dim:
            raise ProtocolError(f"index: expected a scorer that is a product of {self.dim} coordinates")
        most = int(filter[0].diff().max()) if scores.num_queries else 0
        wanted = min(self.num_entities, k + most + (self.num_entities - size))
        query = torch.cat(
            [scores.query.float(), torch.ones(scores.num_queries, 1), torch.zeros(scores.num_queries, 1)], 1
        )
        found = torch.from_numpy(self.engine.search(query.cpu().numpy(), wanted).astype(np.int64))
        safe = found.clamp(min=0).to(scores.device)
        exact = self.exact(scores, safe)
        row, index = csr_rows(filter[0]), filter[1]
        taken = torch.isin(
            safe + torch.arange(len(safe), device=safe.device)[:, None] * self.num_entities,
            row * self.num_entities + index,
        )
        exact[taken | (found.to(scores.device) < 0) | (safe >= size)] = -torch.inf
        value, place = top_k_scores(ScoreMatrix(exact), min(k, exact.shape[1]))
        number = safe.gather(1, place.clamp(min=0)).masked_fill(place < 0, -1)
        return value, number

    def exact(self, scores: Scores, number: Tensor) -> Tensor:
        """The scores of some candidates of each query, ``[B, n]``."""
        value = scores.alpha * torch.einsum("bk,bnk->bn", scores.query, scores.candidates[number])
        if scores.query_bias is not None:
            value = value + scores.query_bias[:, None]
        return value if scores.candidate_bias is None else value + scores.candidate_bias[number]


@torch.no_grad()
def export_index(scorer: Scorer, path: str | Path, kind: Kind = "usearch") -> EntityIndex:
    r"""Write the candidates of a scorer as an approximate index.

    The score is an inner product of ``[q, 1]`` and ``[alpha k, b]``. One more coordinate,
    :math:`\sqrt{m^2 - |[\alpha k, b]|^2}` with the largest norm :math:`m`, makes all candidates equally long, so that
    the nearest is the best (Bachrach et al. 2014, "Speeding Up the Xbox Recommender System Using a Euclidean
    Transformation for Inner-Product Spaces"). Both kinds are graphs of neighbours (HNSW).

    Args:
        scorer: One whose score is a product; trained.
        path: The folder; ``index.json`` and the engine's own file are written there.
        kind: ``"usearch"`` or ``"faiss"`` (extras ``usearch`` and ``faiss``).

    Returns:
        The index, as :func:`load_index` reads it.

    Raises:
        BackendError: If the engine is not installed.
        ProtocolError: If there is no such kind, or the scorer is no product.
        AdapterError: If it cannot be written.
    """
    _require_kind(kind)
    candidates, bias = scorer.candidates()
    rows = candidates.float() * scorer.alpha
    rows = torch.cat(
        [rows, (torch.zeros(len(rows)) if bias is None else bias.float().cpu()).to(rows.device)[:, None]], 1
    )
    length = rows.square().sum(1)
    rows = torch.cat([rows, (length.max() - length).clamp(min=0).sqrt()[:, None]], 1).cpu()
    content = {
        "kind": kind,
        "scorer": type(scorer).__name__,
        "num_entities": scorer.num_entities,
        "dim": candidates.shape[1],
    }
    path = Path(path)
    engine = _Usearch(rows.shape[1]) if kind == "usearch" else _Faiss(rows.shape[1])
    engine.add(rows.contiguous().numpy())
    try:
        path.mkdir(parents=True, exist_ok=True)
        engine.save(path / f"index.{kind}")
        (path / "index.json").write_text(json.dumps(content, indent=2), encoding="utf-8")
    except OSError as error:
        raise AdapterError(f"cannot write {path}: {error.strerror or error}") from error
    return load_index(path)


def load_index(path: str | Path) -> EntityIndex:
    """Read what :func:`export_index` wrote.

    Raises:
        AdapterError: If there is no index, or it is damaged.
        BackendError: If its engine is not installed.
    """
    path = Path(path)
    try:
        content = json.loads((path / "index.json").read_text(encoding="utf-8"))
        kind, scorer, size, dim = (content[name] for name in ("kind", "scorer", "num_entities", "dim"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AdapterError(f"{path} holds no index that can be read ({error}); export it again") from None
    _require_kind(kind)
    engine = _Usearch(dim + 2) if kind == "usearch" else _Faiss(dim + 2)
    try:
        engine.load(path / f"index.{kind}")
    except (OSError, RuntimeError) as error:
        raise AdapterError(f"{path / f'index.{kind}'} cannot be read ({error}); export it again") from None
    return EntityIndex(kind, scorer, size, dim, engine)


class _Usearch:
    def __init__(self, dim: int) -> None:
        from usearch.index import Index

        self._index = Index(
            ndim=dim,
            metric="l2sq",
            dtype="f32",
            connectivity=_NEIGHBOURS,
            expansion_add=_SEARCHED,
            expansion_search=_SEARCHED,
        )

    def add(self, rows: np.ndarray[Any, Any]) -> None:
        self._index.add(np.arange(len(rows)), rows)

    def search(self, vectors: np.ndarray[Any, Any], k: int) -> np.ndarray[Any, Any]:
        self._index.expansion_search = max(_SEARCHED, 2 * k)
        found = self._index.search(vectors, k)
        keys = np.full((len(vectors), k), -1, dtype=np.int64)
        matches = found.keys if found.keys.ndim == 2 else found.keys[None]
        keys[:, : matches.shape[1]] = matches
        return keys

    def save(self, path: Path) -> None:
        self._index.save(str(path))

    def load(self, path: Path) -> None:
        self._index.load(str(path))


class _Faiss:
    def __init__(self, dim: int) -> None:
        import faiss

        self._faiss = faiss
        self._index: Any = faiss.IndexHNSWFlat(dim, _NEIGHBOURS)
        self._index.hnsw.efConstruction = _SEARCHED

    def add(self, rows: np.ndarray[Any, Any]) -> None:
        self._index.add(rows)

    def search(self, vectors: np.ndarray[Any, Any], k: int) -> np.ndarray[Any, Any]:
        self._index.hnsw.efSearch = max(_SEARCHED, 2 * k)
        found: np.ndarray[Any, Any] = self._index.search(vectors, k)[1]
        return found

    def save(self, path: Path) -> None:
        self._faiss.write_index(self._index, str(path))

    def load(self, path: Path) -> None:
        found: Any = self._faiss.read_index(str(path))
        self._index = found


def _require_kind(kind: object) -> None:
    if kind not in get_args(Kind):
        raise ProtocolError(f"kind: expected 'usearch' or 'faiss', got {kind!r}")
    try:
        __import__("usearch.index" if kind == "usearch" else "faiss")
    except ImportError as error:
        raise BackendError(
            f"an index of kind {kind!r} needs {kind}, which cannot be imported ({error}): pip install "
            f"'relgraph[{kind}]'"
        ) from None
