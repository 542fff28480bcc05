"""A trained recommender with the graph it reads: rank, evaluate, predict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import pyarrow
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from relgraph.data.graph import HeteroGraph
from relgraph.data.keys import Key, key_table
from relgraph.data.progress import track
from relgraph.data.statements import csr_ptr
from relgraph.errors import ProtocolError
from relgraph.nn.link_model import LinkModel, Sources
from relgraph.ops.tiles import Csr, check_csr, csr_rows, csr_select
from relgraph.tasks import LinkSeeds, LinkTask, Split, task_from_dict
from relgraph.training.graph_predictor import GraphPredictor, sampling_from_dict
from relgraph.training.history import History
from relgraph.training.link_ranking import Candidates, best_targets, pair_scores

if TYPE_CHECKING:
    from relgraph.data.database import Database
    from relgraph.training.explanation import PredictionExplanation

__all__ = ["LinkPredictor"]


class LinkPredictor(GraphPredictor):
    """A trained model with the graph it reads and the task it was trained for; made by :func:`fit` or :meth:`load`."""

    folder_kind = "link_predictor"

    def __init__(
        self,
        model: LinkModel,
        graph: HeteroGraph,
        task: LinkTask,
        settings: Mapping[str, Any],
        sampling: Mapping[str, Any],
        batch_size: int = 256,
        num_workers: int = 0,
        history: History | None = None,
    ) -> None:
        super().__init__(model, graph, task, settings, sampling, batch_size, num_workers, history)
        self.model = model
        self.task = task

    def visible(self, moment: int | None) -> Tensor:
        """The target rows that exist at a moment, ascending, int64; all for ``None``."""
        store = self.graph.nodes[self.task.target_table]
        if store.time is None or moment is None:
            return torch.arange(store.num_nodes)
        until = self.sampler.until
        return (store.time <= (moment if until is None else min(moment, until))).nonzero().squeeze(1)

    def target_batches(self, rows: Tensor, moment: int | None, batch_size: int | None = None) -> Iterator[HeteroData]:
        """The subgraphs of target rows at a moment (microseconds), ``batch_size`` rows at once.

        Args:
            rows: Row numbers, int64 ``[V]``.
            moment: Microseconds.
            batch_size: The predictor's own by default.
        """
        time = None if moment is None else torch.full_like(rows, moment)
        options = {} if batch_size is None else {"batch_size": batch_size, "num_workers": 0}
        yield from self.seed_loader(self.task.target_table, rows, time, **options)

    def candidates(self, moment: int | None) -> Candidates:
        """What the model says about all target rows that exist at a moment."""
        rows = self.visible(moment)
        if not self.model.towers:
            return Candidates(rows.to(self.device), *self.model.targets(rows.to(self.device)))
        read = []
        for batch in self.target_batches(rows, moment):
            seeds = batch[self.task.target_table]
            here = batch.to(self.device)
            read.append(self.model.targets(seeds.n_id[: seeds.batch_size].to(self.device), here))
        empty = torch.empty(0, device=self.device)
        vector = torch.cat([empty.view(0, self.model.width), *(part for part, _ in read)])
        return Candidates(rows.to(self.device), vector, torch.cat([empty, *(part for _, part in read)]))

    def rank(
        self,
        node: Tensor,
        time: Tensor | None,
        k: int | None = None,
        exclude: Csr | None = None,
        progress: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """The best target rows of source rows at moments, out of those that exist at the moment.

        Args:
            node: Row numbers in the source table, int64 ``[n]``.
            time: Seed times, int64 ``[n]`` microseconds; ``None`` for a task without time.
            k: How many; the task's own ``k`` by default.
            exclude: Target rows that each source must not get, such as those it is linked to already: CSR
                ``(ptr [n + 1], target)``.
            progress: Show progress on stderr.

        Returns:
            Target rows int64 and scores float32, ``[n, k]``, the best first; -1 and ``-inf`` where there are fewer.

        Raises:
            ShapeError: If ``exclude`` does not fit.
        """
        k = self.task.k if k is None else k
        if k < 1:
            raise ProtocolError(f"k: expected at least 1, got {k}")
        if exclude is not None:
            check_csr("exclude", exclude, node.numel(), self.graph.nodes[self.task.target_table].num_nodes)
        target = torch.full((node.numel(), k), -1)
        score = torch.full((node.numel(), k), -torch.inf)
        for rows, sources, candidates in self._read(node, time, progress):
            part = None if exclude is None else tuple(x.to(self.device) for x in csr_select(exclude, rows))
            found = best_targets(sources, candidates, k, part)  # type: ignore[arg-type]
            target[rows], score[rows] = found[0].cpu(), found[1].float().cpu()
        return target, score

    def scores(self, node: Tensor, time: Tensor | None, target: Tensor, progress: bool = False) -> Tensor:
        """The scores of pairs.

        Args:
            node: Row numbers in the source table, int64 ``[n]``.
            time: Seed times, int64 ``[n]`` microseconds; ``None`` for a task without time.
            target: Row numbers in the target table, int64 ``[n]``.
            progress: Show progress on stderr.

        Returns:
            float32 ``[n]``; ``-inf`` for a target that does not exist yet at the moment.
        """
        out = torch.full((node.numel(),), -torch.inf)
        for rows, sources, candidates in self._read(node, time, progress):
            wanted = target[rows].to(self.device)
            place, known = candidates.find(wanted)
            row = torch.arange(rows.numel(), device=self.device)[known]
            score = pair_scores(sources, candidates, row, place[known])
            own = wanted[sources.batch] == sources.target
            extra = score.new_zeros(rows.numel()).index_add(0, sources.batch[own], sources.extra[own])
            out[rows[known.cpu()]] = (score + extra[known]).float().cpu()
        return out

    @torch.no_grad()
    def _read(self, node: Tensor, time: Tensor | None, progress: bool) -> Iterator[tuple[Tensor, Sources, Candidates]]:
        """Batches of seeds of one moment: their positions, what the model says of them, and what may be ranked."""
        with self.evaluating():
            for moment, rows in _moments(time, node.numel()):
                candidates = self.candidates(moment)
                loader = self.seed_loader(self.task.entity_table, node[rows], None if time is None else time[rows])
                start = 0
                for batch in track(loader, "ranking", progress):
                    size = batch[self.task.entity_table].batch_size
                    yield rows[start : start + size], self.model.sources(batch.to(self.device)), candidates
                    start += size

    def evaluate(self, source: Database | LinkSeeds, split: Split = "test", progress: bool = True) -> dict[str, Any]:
        """Metrics on a split.

        Args:
            source: The database, or seeds of one's own.
            split: Which split of the task, when ``source`` is a database.
            progress: Show progress on stderr.

        Returns:
            The task's metrics, such as ``map@10``, and ``regime``, ``split`` and ``rows``.
        """
        if not isinstance(source, LinkSeeds) and self.has_no_rows:
            return self.on(source, progress=progress).evaluate(source, split, progress)
        seeds = self._seeds(source, split)
        found = self.task.metrics(seeds, self.rank(seeds.node, seeds.time, progress=progress)[0])
        name = "given" if isinstance(source, LinkSeeds) else split
        return {**found, "regime": self.task.regime, "split": name, "rows": len(seeds)}

    def predict(
        self,
        source: Database | LinkSeeds | None = None,
        split: Split = "test",
        *,
        keys: Sequence[Key] | Literal["all"] | None = None,
        time: int | str | datetime | Sequence[int | str | datetime] | None = None,
        k: int | None = None,
        exclude: LinkSeeds | Csr | None = None,
        progress: bool = True,
    ) -> pyarrow.Table:
        """The best target rows of each source row, with the database's own keys.

        Args:
            source: The database whose split is predicted, or seeds of one's own. With ``keys`` or ``time`` a database
                in any later state, see :meth:`on`.
            split: Which split of the task, when ``source`` is a database.
            keys: Instead of a split: keys of the source table, or ``"all"`` that are known at ``time``, seen with all
                that is known at that moment.
            time: Moment of the prediction, one for all keys or one each: int microseconds, ISO text or datetime.
                Without ``keys`` it means all of them. A task without time takes none.
            k: Target rows per source row; the task's own by default.
            exclude: Links that are not to be recommended: of each source row of these seeds, whatever their times; or
                one row per asked source row, CSR ``(ptr, target)``.
            progress: Show progress on stderr.

        Returns:
            A row per source row and rank: the source's key columns, ``timestamp``, ``rank`` from 1, the target's key
            columns (``table.column`` where the name is taken), ``score``; a split, like seeds, also has ``label``,
            whether the link came true.

        Raises:
            ProtocolError: If neither a database nor keys with a time are given.
            SchemaError: If a key does not exist, or tables, columns or keys of the database are others than in
                training; each is named.
        """
        asked = keys is not None or time is not None
        if source is not None and not isinstance(source, LinkSeeds) and (asked or self.has_no_rows):
            return self.on(source, progress=progress).predict(
                None if asked else source, split, keys=keys, time=time, k=k, exclude=exclude, progress=progress
            )
        if asked:
            node, moment = self.rows("all" if keys is None else keys, time)
            with self.unfrozen():
                target, score = self.rank(node, moment, k, self._excluded(exclude, node), progress)
            table = self.task.entity_table
            found = key_table(self.graph.nodes[table].keys, self.graph.node_keys(table, node))
            return self._table(found, moment, target, score)
        if source is None:
            raise ProtocolError("predict: expected a database and a split, or keys= with time=; got neither")
        seeds = self._seeds(source, split)
        target, score = self.rank(seeds.node, seeds.time, k, self._excluded(exclude, seeds.node), progress)
        return self._table(seeds.keys, seeds.time, target, score, seeds)

    def explain(
        self,
        db: Database | None = None,
        *,
        key: Key,
        target: Key,
        time: int | str | datetime | None = None,
        algorithm: Any = None,
    ) -> PredictionExplanation:
        """Name the tables, columns and rows that moved a score; see :func:`relgraph.training.explain`."""
        from relgraph.training.explainer import explain

        return explain(self, db, key=key, target=target, time=time, algorithm=algorithm)

    def _seeds(self, source: Database | LinkSeeds, split: Split) -> LinkSeeds:
        if isinstance(source, LinkSeeds):
            return source
        self.require_rows_of(source, self.task.entity_table, self.task.target_table)
        return self.task.seeds(source, split)

    def _excluded(self, exclude: LinkSeeds | Csr | None, node: Tensor) -> Csr | None:
        """What each asked row must not get; of seeds, all links of the same source row."""
        if not isinstance(exclude, LinkSeeds):
            return exclude
        links = torch.stack([exclude.node[csr_rows(exclude.ptr)], exclude.target])
        links = torch.unique(links, dim=1)
        size = self.graph.nodes[self.task.entity_table].num_nodes
        return csr_select((csr_ptr(torch.bincount(links[0], minlength=size)), links[1]), node)

    def _table(
        self, keys: pyarrow.Table, time: Tensor | None, target: Tensor, score: Tensor, seeds: LinkSeeds | None = None
    ) -> pyarrow.Table:
        there = target >= 0
        row, place = there.nonzero(as_tuple=True)
        table = keys.take(pyarrow.array(row.numpy()))
        if time is not None:
            table = table.append_column("timestamp", pyarrow.array(time[row].numpy(), pyarrow.timestamp("us")))
        table = table.append_column("rank", pyarrow.array(place.numpy() + 1))
        found, name = target[there], self.task.target_table
        ranked = key_table(self.graph.nodes[name].keys, self.graph.node_keys(name, found))
        for column in ranked.column_names:
            shown = f"{name}.{column}" if column in table.column_names else column
            table = table.append_column(shown, ranked[column])
        table = table.append_column("score", pyarrow.array(score[there].numpy()))
        if seeds is None:
            return table
        size = self.graph.nodes[name].num_nodes
        true = torch.isin(row * size + found, csr_rows(seeds.ptr) * size + seeds.target)
        return table.append_column("label", pyarrow.array(true.long().numpy()))

    @classmethod
    def _unpack(
        cls,
        meta: Mapping[str, Any],
        state: Mapping[str, Tensor],
        graph: HeteroGraph,
        db: Database | None,
        bare: bool = False,
    ) -> LinkPredictor:
        task = task_from_dict(meta["task"])
        if not isinstance(task, LinkTask):
            raise ValueError(f"task: expected a LinkTask, got {task!r}")
        trained = state.get("rows.trained")
        model = LinkModel(graph, task.entity_table, task.target_table, **meta["settings"], trained=trained)
        model.load_state_dict(state)
        model.eval()
        history = History(**meta["history"])
        return cls(
            model, graph, task, meta["settings"], sampling_from_dict(meta, graph), meta["batch_size"], 0, history
        )

    def __repr__(self) -> str:
        return f"LinkPredictor({self.task!r}, {self.history!r})"


def _moments(time: Tensor | None, size: int) -> Iterator[tuple[int | None, Tensor]]:
    """Each moment with the positions of its seeds."""
    if time is None:
        yield None, torch.arange(size)
        return
    for moment in torch.unique(time).tolist():
        yield moment, (time == moment).nonzero().squeeze(1)
