"""The best statements of all that could be made, found in one stream of bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from relgraph.data.progress import track
from relgraph.data.statements import Statements, Vocabulary
from relgraph.errors import AdapterError, ProtocolError
from relgraph.kge.blocks import ScoreSource
from relgraph.kge.incomplete import require_count
from relgraph.kge.known import require_shared_vocabulary
from relgraph.kge.questions import Questions, group_answers
from relgraph.kge.scorers.base import Scorer
from relgraph.ops.rank import place_filter, subset_scores
from relgraph.ops.tiles import Csr, RowBlock, csr_select, full_precision, refuse_nan, spans
from relgraph.ops.top_k import best_of_rows

if TYPE_CHECKING:
    import pandas
    import pyarrow

__all__ = ["TopStatements", "top_k_statements"]

_ROWS = 256
_COLUMNS = 16_384
_KEPT = 1 << 20  # statements kept between two selections, besides the k
_WRITTEN = 1 << 16  # rows written at a time


class _Block(NamedTuple):
    """Heads of one relation that are scored together."""

    relation: int
    heads: Tensor


@dataclass(frozen=True, eq=False)
class TopStatements:
    """Statements and their scores, the best first.

    Args:
        statements: Without qualifiers.
        score: ``[k]``; scores order statements and are no probabilities.
    """

    statements: Statements
    score: Tensor

    def __len__(self) -> int:
        return len(self.statements)

    def __iter__(self) -> Iterator[tuple[str, str, str, float]]:
        for i, score in enumerate(self.score.tolist()):
            head, relation, tail = self.statements.labels(i)
            yield head, relation, tail, score

    def __repr__(self) -> str:
        return f"TopStatements({len(self):,} of {self.statements.vocabulary!r})"

    def _repr_html_(self) -> str:
        from relgraph.data.html import table_html

        rows = [row for row, _ in zip(self, range(20), strict=False)]
        return table_html(("head", "relation", "tail", "score"), rows, f"the first {len(rows)} of {len(self):,}")

    def to_arrow(self) -> pyarrow.Table:
        """Columns ``head``, ``relation``, ``tail`` (labels) and ``score``."""
        return _arrow(self, slice(0, len(self)))

    def to_frame(self) -> pandas.DataFrame:
        """The same as a pandas frame."""
        frame: pandas.DataFrame = self.to_arrow().to_pandas()
        return frame

    def write(self, path: str | Path) -> Path:
        """Write them to a ``.parquet`` or ``.csv`` file, some rows at a time.

        Raises:
            AdapterError: If the file is of another kind or cannot be written.
        """
        import pyarrow.csv
        import pyarrow.parquet

        path = Path(path)
        require_writable(path)
        kind = pyarrow.parquet.ParquetWriter if path.suffix.lower() == ".parquet" else pyarrow.csv.CSVWriter
        try:
            with kind(path, _arrow(self, slice(0, 0)).schema) as writer:
                for span in spans(len(self), _WRITTEN):
                    writer.write_table(_arrow(self, span))
        except OSError as error:
            raise AdapterError(f"cannot write {path}: {error.strerror or error}") from error
        return path


@torch.no_grad()
def top_k_statements(
    scorer: Scorer,
    vocabulary: Vocabulary | Statements,
    k: int,
    *,
    known: Sequence[Statements] | None = None,
    relations: Sequence[str] | None = None,
    heads: Sequence[str] | None = None,
    tails: Sequence[str] | None = None,
    out: str | Path | None = None,
    progress: bool = True,
) -> TopStatements:
    """The ``k`` statements with the highest scores among all ``(head, relation, tail)``.

    Every one is scored, in tiles of 256 heads and 16,384 tails; only scores that reach the worst of the best so far
    leave a tile. Memory is the scorer's, one tile, and ``k`` statements. Of equal scores the first in the order of
    relation, head and tail number is taken, at the edge of the ``k`` too. Scores are those of the tail being asked for.

    Args:
        scorer: A trained scorer.
        vocabulary: What its numbers mean, or statements that have it.
        k: How many statements.
        known: Statements that are left out, whatever their qualifiers, such as ``[train]``.
        relations: Labels of the relations to go through; all by default.
        heads: Labels of the heads; all entities that may be one by default.
        tails: Labels of the tails; all entities that may be one by default.
        out: A ``.parquet`` or ``.csv`` file that gets the result as well.
        progress: Whether to show a bar on stderr.

    Returns:
        The statements, the best first; fewer than ``k`` if there are no more.

    Raises:
        ProtocolError: If ``k`` is no whole number of at least 1, a list of labels is empty, ``known`` is no list of
            statements, or a score is NaN.
        SchemaError: If a label is unknown, or the vocabularies differ.
        AdapterError: If ``out`` is no such file or cannot be written.
    """
    names = vocabulary.vocabulary if isinstance(vocabulary, Statements) else vocabulary
    require_count(k)
    scorer.require_vocabulary(names)
    require_shared_vocabulary(names, known or (), "known")
    if out is not None:
        require_writable(Path(out))
    numbers = {
        "relations": _numbers("relations", relations, names.relation, len(names.relations)),
        "heads": _numbers("heads", heads, names.entity, names.num_main_entities),
        "tails": _numbers("tails", tails, names.entity, names.num_main_entities),
    }
    blocks = [
        _Block(relation, numbers["heads"][span])
        for relation in numbers["relations"].tolist()
        for span in spans(numbers["heads"].numel(), _ROWS)
    ]
    training = scorer.training
    scorer.eval()
    try:
        best = _Best(k, len(names.entities))
        source = ScoreSource(scorer)
        taken = _Known(known or (), scorer.num_entities)
        for block in track(blocks, "scoring", progress, lambda block: names.relations[block.relation]):
            _score(source, block, numbers["tails"], taken.rows(block), best)
    finally:
        scorer.train(training)
    score, relation, head, tail = best.sorted()
    found = TopStatements(Statements(head, relation, tail, names), score)
    if out is not None:
        found.write(out)
    return found


class _Known:
    """The known tails of the heads of a relation, grouped once per relation."""

    def __init__(self, known: Sequence[Statements], num_entities: int) -> None:
        none = torch.empty(0, dtype=torch.int64)
        columns = [torch.cat([none, *(getattr(p, name) for p in known)]) for name in ("head", "relation", "tail")]
        order = columns[1].argsort(stable=True)
        self._head, self._relation, self._tail = (column[order] for column in columns)
        self._num_entities = num_entities
        self._grouped: tuple[int, Csr] | None = None

    def rows(self, block: _Block) -> Csr:
        """The known tails of each head of the block."""
        if self._grouped is None or self._grouped[0] != block.relation:
            relation = torch.tensor([block.relation, block.relation + 1])
            start, end = torch.searchsorted(self._relation, relation).tolist()
            groups = group_answers(self._head[start:end], self._tail[start:end], self._num_entities)
            self._grouped = block.relation, groups
        return csr_select(self._grouped[1], block.heads)


class _Best:
    """The best statements so far; scores below ``edge`` cannot be among them."""

    def __init__(self, k: int, num_entities: int) -> None:
        self.edge = -torch.inf
        self.k, self._size = k, num_entities
        self._score = [torch.empty(0)]
        self._key = [torch.empty(0, dtype=torch.int64)]
        self._count = 0

    def add(self, score: Tensor, relation: int, head: Tensor, tail: Tensor) -> None:
        """Statements with scores of at least ``edge``."""
        self._score.append(score.cpu())
        self._key.append(((relation * self._size + head) * self._size + tail).cpu())
        self._count += score.numel()
        if self._count >= self.k + max(self.k, _KEPT) or (self.edge == -torch.inf and self._count >= self.k):
            self._select()

    def sorted(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Scores, relations, heads and tails, the best first."""
        self._select()
        score, key = self._score[0], self._key[0]
        pair = torch.div(key, self._size, rounding_mode="floor")
        return score, torch.div(pair, self._size, rounding_mode="floor"), pair % self._size, key % self._size

    def _select(self) -> None:
        score, key = torch.cat(self._score), torch.cat(self._key)
        by_key = key.argsort()
        order = by_key[score[by_key].argsort(descending=True, stable=True)][: self.k]
        self._score, self._key, self._count = [score[order]], [key[order]], order.numel()
        if order.numel() == self.k:
            self.edge = float(score[order[-1]])


def _score(source: ScoreSource, block: _Block, tails: Tensor, taken: Csr, best: _Best) -> None:
    heads = block.heads.to(source.device)
    scores = source(Questions(heads, torch.full_like(heads, block.relation))).accurate()
    scores, place = subset_scores(scores, tails.to(source.device))
    filter = place_filter((taken[0].to(source.device), taken[1].to(source.device)), place)
    rows = slice(0, len(heads))
    known = RowBlock(filter, rows, scores.num_candidates, _COLUMNS)
    tails = tails.to(source.device)
    with full_precision(source.device):
        for number, part in enumerate(spans(scores.num_candidates, _COLUMNS)):
            score = scores.tile(rows, part)
            refuse_nan(score)
            # most tiles end here: known statements are looked at only where others may be among the best
            if float(score.amax()) < best.edge:
                continue
            score[known.positions(number, part)] = -torch.inf
            value, cell = _reaching(score, best)
            head = torch.div(cell, score.shape[1], rounding_mode="floor")
            best.add(value, block.relation, heads[head], tails[part.start + cell % score.shape[1]])


def _reaching(score: Tensor, best: _Best) -> tuple[Tensor, Tensor]:
    """The scores of a tile that may be among the best, at most ``k``, and their cells, in the order of the cells."""
    flat = score.flatten()
    cell = ((flat >= best.edge) & (flat > -torch.inf)).nonzero()[:, 0]
    value = flat[cell]
    if value.numel() > best.k:
        value, cell = (x[0] for x in best_of_rows(value[None], cell[None], best.k))
    return value, cell


def require_writable(path: Path) -> None:
    """Check before the work that a file of this kind can be written.

    Raises:
        AdapterError: If not.
    """
    if path.suffix.lower() not in (".parquet", ".csv"):
        raise AdapterError(f"{path}: expected a name that ends in .parquet or .csv")
    if not path.parent.is_dir():
        raise AdapterError(f"cannot write {path}: there is no folder {path.parent}")


def _numbers(name: str, labels: Sequence[str] | None, number: Callable[[str], int], size: int) -> Tensor:
    if labels is None:
        return torch.arange(size)
    if isinstance(labels, str) or not len(labels):
        raise ProtocolError(f"{name}: expected a list of at least one label, got {labels!r}")
    return torch.tensor(sorted({number(label) for label in labels}))


def _arrow(found: TopStatements, span: slice) -> pyarrow.Table:
    import pyarrow

    statements, names = found.statements, found.statements.vocabulary
    columns = {
        name: pyarrow.array([labels[i] for i in getattr(statements, name)[span].tolist()], pyarrow.string())
        for name, labels in (("head", names.entities), ("relation", names.relations), ("tail", names.entities))
    }
    return pyarrow.table({**columns, "score": found.score[span].double().numpy()})
