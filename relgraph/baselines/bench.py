"""What all models of a comparison share: seeds, columns, networks, each made once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relgraph.baselines.past_links import PastLinks
from relgraph.data.graph import HeteroGraph
from relgraph.errors import ProtocolError
from relgraph.tabular.aggregates import Aggregates
from relgraph.tabular.block import Matrix, SeedFeatures
from relgraph.tabular.past_labels import PastLabels
from relgraph.tabular.row import RowFeatures
from relgraph.tasks.seeds import LinkSeeds, Split

if TYPE_CHECKING:
    from relgraph.data.database import Database
    from relgraph.training.predictor import EntityPredictor

__all__ = ["SPLITS", "Bench", "Predictions"]

SPLITS: tuple[Split, ...] = ("train", "val", "test")
Predictions = Mapping[Split, Tensor]
"""What a model says of the rows of ``val`` and ``test``."""


class Bench:
    """A task with everything that is computed once and read by several models.

    Args:
        db: Where labels come from; ``None`` for a task whose labels are in the graph.
        graph: What models read.
        task: Any task, with its times.
        options: Per model its own settings.
        progress: Show progress on stderr.
    """

    def __init__(
        self,
        db: Database | None,
        graph: HeteroGraph,
        task: Any,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        progress: bool = False,
    ) -> None:
        self.db, self.graph, self.task, self.progress = db, graph, task, progress
        self.options = {name: dict(given) for name, given in (options or {}).items()}
        self.seeds: dict[Split, Any] = {split: task.seeds(db, split) for split in SPLITS}
        self._sources: dict[str, SeedFeatures] = {}
        self._matrices: dict[tuple[str, Split], Matrix] = {}
        self._networks: dict[int, EntityPredictor] = {}

    def times(self, split: Split) -> Tensor | None:
        """Up to when each seed may look: in the frozen regime no later than the test time."""
        time: Tensor | None = self.seeds[split].time
        return time if time is None or self.task.until is None else time.clamp(max=self.task.until)

    def labels(self, split: Split) -> NDArray[Any]:
        """The labels as an array."""
        label: Tensor = self.seeds[split].label
        return label.numpy()

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return max(int(self.seeds[split].label.max()) for split in SPLITS) + 1 if self.task.kind == "multiclass" else 0

    def metrics(self, split: Split, prediction: Any) -> dict[str, float]:
        """All metrics of predictions for a split."""
        seeds = self.seeds[split]
        label = seeds if isinstance(seeds, LinkSeeds) else seeds.label
        found: dict[str, float] = self.task.metrics(label, _tensor(prediction))
        return found

    @cached_property
    def past_links(self) -> PastLinks:
        """The past of a :class:`~relgraph.tasks.LinkTask`."""
        return PastLinks(self.task, self.db)

    def score(self, split: Split, prediction: Any) -> float:
        """The task's metric, turned so that more is better."""
        found: float = self.metrics(split, prediction)[self.task.metric]
        return found if self.task.mode == "max" else -found

    def source(self, name: str) -> SeedFeatures:
        """``"row"``, ``"aggregates"`` or ``"past"``, made on first use; its settings are ``options[name]``."""
        if name not in self._sources:
            given, hide = self.options.get(name, {}), tuple(getattr(self.task, "hidden", ()))
            table = self.task.entity_table
            if name == "row":
                self._sources[name] = RowFeatures(self.graph, table, hide=hide, **given)
            elif name == "aggregates":
                settings = {"until": self.task.until, "hide": hide, "progress": self.progress, **given}
                self._sources[name] = Aggregates(self.graph, table, **settings)
            elif self.db is None:
                raise ProtocolError("past labels come from a database, but none is given")
            else:
                self._sources[name] = PastLabels(self.task, self.db, **given)
        return self._sources[name]

    def matrix(self, name: str, split: Split) -> Matrix:
        """The columns of a source for a split; the network's are ``"gnn <seed>"``."""
        if (name, split) not in self._matrices:
            seeds, time = self.seeds[split], self.times(split)
            if name.startswith("gnn "):
                found = self._network_columns(int(name.split()[1]), split)
            else:
                found = self.source(name).matrix(seeds.node, time)
            self._matrices[name, split] = found
        return self._matrices[name, split]

    def columns(self, names: tuple[str, ...], split: Split) -> Matrix:
        """The columns of several sources side by side."""
        return np.hstack([self.matrix(name, split) for name in names])

    def categorical(self, names: tuple[str, ...]) -> list[int]:
        """Which of the columns of several sources are codes."""
        found, start = [], 0
        for name in names:
            if not name.startswith("gnn "):
                found += [start + i for i in self.source(name).categorical]
            start += self.matrix(name, "train").shape[1]
        return found

    def network(self, seed: int) -> EntityPredictor:
        """The trained network; its settings are ``options["gnn"]``."""
        if seed not in self._networks:
            from relgraph.training.entity import fit

            settings = {"seed": seed, "progress": self.progress, **self.options.get("gnn", {})}
            self._networks[seed] = fit(self.db, self.graph, self.task, **settings)
        return self._networks[seed]

    def network_scores(self, seed: int, split: Split) -> Tensor:
        """What the network says of a split."""
        seeds = self.seeds[split]
        return self.network(seed).scores(seeds.node, seeds.time, progress=self.progress).double()

    def _network_columns(self, seed: int, split: Split) -> Matrix:
        seeds = self.seeds[split]
        vectors = self.network(seed).embeddings(seeds.node, seeds.time, progress=self.progress)
        scores = self.network_scores(seed, split)
        return np.hstack([vectors.double().numpy(), scores.reshape(len(seeds), -1).numpy()])


def _tensor(prediction: Any) -> Tensor:
    return prediction if isinstance(prediction, Tensor) else torch.from_numpy(np.ascontiguousarray(prediction))
