"""The result of a ranking: metrics by name, the protocol they mean, and their parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_args

import torch

from relgraph.data.statements import Statements
from relgraph.data.text_table import table_text
from relgraph.kge.groups import By, group_statements
from relgraph.kge.protocol import Ties
from relgraph.kge.questions import POSITIONS
from relgraph.kge.ranks import Interval, Ranks, bootstrap, mean_metric, require_metric
from relgraph.pictures import Svg, bars, columns

if TYPE_CHECKING:
    import pandas

__all__ = ["HITS", "MetricGroups", "Metrics"]

HITS = (1, 3, 10)
_TIES = get_args(Ties)


class Metrics(Mapping[str, float]):
    """Metrics of a ranking by name.

    ``"mr"``, ``"mrr"``, ``"amr"``, ``"amri"`` and ``"hits@k"`` are the headline: all positions, ties as the protocol
    says. ``"optimistic.mrr"``, ``"pessimistic.mrr"`` and ``"realistic.mrr"`` break ties for the answer, against it,
    and in the middle; ``"head.mrr"``, ``"tail.mrr"`` and ``"qualifier.mrr"`` are those of one position;
    ``"tail.optimistic.mrr"`` is both. Any ``k`` and any combination can be asked for; the usual ones are iterated over.
    What the metrics are is in :func:`relgraph.kge.ranks.mean_metric`.

    Args:
        ranks: Ranks per position.
        protocol: What the numbers mean, JSON values: filter, candidates, ties, positions, counts.
        statements: What was ranked.
        facts: What categories of relations are taken from.
        hits: The ``k`` of hits@k that are iterated over.
    """

    def __init__(
        self,
        ranks: Mapping[str, Ranks],
        protocol: Mapping[str, Any],
        statements: Statements,
        facts: Sequence[Statements] = (),
        hits: Sequence[int] = HITS,
    ) -> None:
        self.ranks = dict(ranks)
        self.protocol = dict(protocol)
        self.statements, self.hits = statements, tuple(hits)
        self._facts = tuple(facts)
        self._values: dict[str, float] = {}

    @cached_property
    def _every(self) -> Ranks:
        return Ranks.cat(list(self.ranks.values()))

    @property
    def names(self) -> tuple[str, ...]:
        """The headline metrics."""
        return ("mr", "mrr", *(f"hits@{k}" for k in self.hits), "amr", "amri")

    def _find(self, name: str) -> tuple[str, str, Ranks]:
        """Metric, ties and ranks of a dotted name."""
        *views, metric = name.split(".")
        position = views.pop(0) if views and views[0] in POSITIONS else None
        ties = views.pop(0) if views and views[0] in _TIES else self.protocol["ties"]
        if views or (position is not None and position not in self.ranks):
            raise KeyError(f"{name!r}; expected [position.][ties.]metric with a position of {', '.join(self.ranks)}")
        return require_metric(metric), ties, self._every if position is None else self.ranks[position]

    def __getitem__(self, name: str) -> float:
        if name not in self._values:
            metric, ties, ranks = self._find(name)
            self._values[name] = mean_metric(metric, getattr(ranks, ties), ranks.candidates)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        views = ["", *(f"{ties}." for ties in _TIES if ties != self.protocol["ties"]), *(f"{p}." for p in self.ranks)]
        return (f"{view}{name}" for view in views for name in self.names)

    def __len__(self) -> int:
        return len(self.names) * (len(_TIES) + len(self.ranks))

    def interval(self, name: str, level: float = 0.95, resamples: int = 1000, seed: int = 0) -> Interval:
        """A bootstrap confidence interval over statements; the questions of one statement stay together.

        Args:
            name: A metric, such as ``"mrr"`` or ``"tail.hits@10"``.
            level: The share of resamples between both ends.
            resamples: How many.
            seed: Of the draws.

        Raises:
            KeyError: If there is no such metric.
            ProtocolError: If the level is no share, or there is no resample.
        """
        metric, ties, ranks = self._find(name)
        return bootstrap(metric, getattr(ranks, ties), ranks, level, resamples, seed)

    def by(self, what: By) -> MetricGroups:
        """The same metrics per group of statements.

        Args:
            what: ``"relation"``, ``"category"`` of the relation (1-1, 1-N, N-1, N-N by Bordes' rule, taken from
                ``train`` where the protocol has it, else from what is known), or ``"qualifiers"``, how many there are.

        Raises:
            ProtocolError: If there is no such grouping.
        """
        number, labels = group_statements(self.statements, what, self._facts)
        present, counts = torch.unique(number, return_counts=True)
        if what == "relation":
            present = present[counts.argsort(descending=True, stable=True)]
        groups = {}
        for group in present.tolist():
            inside = number == group
            ranks = {p: found.select(inside[found.statement]) for p, found in self.ranks.items()}
            protocol = {**self.protocol, "num_statements": int(inside.sum())}
            ranks = {p: found for p, found in ranks.items() if len(found)}
            if ranks:
                groups[labels[group]] = Metrics(ranks, protocol, self.statements, self._facts, self.hits)
        return MetricGroups(what, groups, self.protocol)

    def table(self) -> tuple[list[str], list[list[Any]]]:
        """Column heads and rows: the metrics, as the protocol says, with ties broken otherwise, per position."""
        views = [ties for ties in _TIES if ties != self.protocol["ties"]] + list(self.ranks)
        rows = [[name, self[name], *(self[f"{view}.{name}"] for view in views)] for name in self.names]
        return ["", self.protocol["ties"], *views], rows

    def to_frame(self) -> pandas.DataFrame:
        """A row per metric; a column per way to break ties and per position."""
        import pandas

        columns, rows = self.table()
        return pandas.DataFrame([row[1:] for row in rows], index=[row[0] for row in rows], columns=columns[1:])

    def picture(self) -> Svg:
        """The distribution of ranks: per position, the share of answers at rank 1, 2 to 3, 4 to 10 and so on."""
        most = max((int(ranks.candidates.max()) for ranks in self.ranks.values()), default=1)
        ends = [1]
        while ends[-1] < most:
            ends.append(3 * 10 ** (len(ends) // 2) if len(ends) % 2 else 10 ** (len(ends) // 2))
        starts = [1, *(end + 1 for end in ends[:-1])]
        names = [f"{a:,}" if a == b else f"{a:,}-{b:,}" for a, b in zip(starts, ends, strict=True)]
        edges = torch.tensor(ends, dtype=torch.float64)
        shares = {}
        for position, ranks in self.ranks.items():
            # the middle of a tie may be a half: 1.5 is behind rank 1
            place = torch.bucketize(getattr(ranks, self.protocol["ties"]), edges)
            shares[position] = (torch.bincount(place, minlength=len(ends)).double() / max(len(ranks), 1)).tolist()
        return columns("share of answers by rank", names, shares)

    def to_dict(self) -> dict[str, Any]:
        """Metrics and protocol as JSON values."""
        return {"metrics": dict(self), "protocol": dict(self.protocol)}

    def __repr__(self) -> str:
        main = ", ".join(f"{name} {self[name]:.4g}" for name in self.names)
        return f"Metrics({main}; {_words(self.protocol)})"

    def _repr_html_(self) -> str:
        from relgraph.data.html import table_html

        return f"{table_html(*self.table(), caption=_words(self.protocol))}{self.picture()}"


class MetricGroups(Mapping[str, Metrics]):
    """Metrics per group, by the group's name; prints itself as a table."""

    def __init__(self, by: str, groups: Mapping[str, Metrics], protocol: Mapping[str, Any]) -> None:
        self.by, self.protocol = by, dict(protocol)
        self._groups = dict(groups)

    def __getitem__(self, label: str) -> Metrics:
        return self._groups[label]

    def __iter__(self) -> Iterator[str]:
        return iter(self._groups)

    def __len__(self) -> int:
        return len(self._groups)

    def table(self) -> tuple[list[str], list[list[Any]]]:
        """Column heads and rows: per group the number of its statements, the headline, and MRR by position."""
        first = next(iter(self._groups.values()), None)
        names = () if first is None else first.names
        positions = list(self.protocol["positions"])
        rows = [
            [
                label,
                found.protocol["num_statements"],
                *(found[name] for name in names),
                *(found[f"{p}.mrr"] if p in found.ranks else None for p in positions),
            ]
            for label, found in self._groups.items()
        ]
        return [self.by, "statements", *names, *(f"{p}.mrr" for p in positions)], rows

    def picture(self, metric: str = "mrr", most: int = 20) -> Svg:
        """A bar per group with the number of its statements, for the ``most`` groups with the most of them.

        Raises:
            KeyError: If there is no such metric.
        """
        first = sorted(self, key=lambda label: -self[label].protocol["num_statements"])[:most]
        kept = [label for label in self if label in first]  # in the table's order
        rows = [(f"{label} ({self[label].protocol['num_statements']:,})", self[label][metric]) for label in kept]
        return bars(f"{metric} by {self.by}", rows)

    def to_frame(self) -> pandas.DataFrame:
        """The table with the groups as its index."""
        import pandas

        columns, rows = self.table()
        return pandas.DataFrame(rows, columns=columns).set_index(self.by)

    def to_dict(self) -> dict[str, Any]:
        """Per group its number of statements and all metrics, as JSON values."""
        return {label: {"num_statements": found.protocol["num_statements"], **found} for label, found in self.items()}

    def __repr__(self) -> str:
        return table_text(*self.table(), title=_words(self.protocol))

    def _repr_html_(self) -> str:
        from relgraph.data.html import table_html

        return f"{table_html(*self.table(), caption=_words(self.protocol))}{self.picture()}"


def _words(protocol: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in protocol.items())
