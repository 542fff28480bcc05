"""Columns of seeds as the head of a network takes them: finite, of one scale, with flags for what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from relgraph.errors import SchemaError, ShapeError

if TYPE_CHECKING:
    from relgraph.tabular.block import Matrix, SeedFeatures

__all__ = ["ColumnScale", "SeedColumns", "fit_column", "scale_column"]

_CLIP = 3.0
_HUGE = 1e150
_MOST_CATEGORIES = 32


@dataclass(frozen=True)
class ColumnScale:
    """What one column was like on the training seeds.

    Args:
        centre: Its median; 0 for codes.
        spread: What it is divided by; 1 for codes.
        missing: Whether a value was missing, which then gets a flag of its own.
        codes: The most frequent codes, ascending; ``None`` for a column of amounts.
    """

    centre: float
    spread: float
    missing: bool
    codes: tuple[float, ...] | None = None

    @property
    def width(self) -> int:
        """Columns it becomes."""
        return len(self.codes) if self.codes is not None else 1 + self.missing


def fit_column(values: Matrix, categorical: bool) -> ColumnScale:
    """Take the scale of a column from training seeds, ``[n]`` with NaN.

    The spread of amounts is the distance of the quartiles; half the range where these are equal, 1 for a constant
    (robust scaling of Holzmüller et al. 2024, arXiv 2407.04491).
    """
    given = np.clip(values[np.isfinite(values)], -_HUGE, _HUGE)
    missing = given.size < values.size
    if categorical:
        codes, counts = np.unique(given, return_counts=True)
        often = codes[np.argsort(-counts, kind="stable")[:_MOST_CATEGORIES]]
        return ColumnScale(0.0, 1.0, missing, tuple(np.sort(often).tolist()))
    if not given.size:
        return ColumnScale(0.0, 1.0, missing)
    low, centre, high = np.quantile(given, (0.25, 0.5, 0.75))
    spread = float(high - low)
    if not spread > 0:
        spread = float(given.max() - given.min()) / 2
    return ColumnScale(float(centre), spread if spread > 0 else 1.0, missing)


def scale_column(values: Matrix, scale: ColumnScale) -> Matrix:
    r"""A column as ``[n, scale.width]`` finite numbers.

    Amounts become :math:`z / \sqrt{1 + (z / 3)^2}` with :math:`z = (x - \text{centre}) / \text{spread}`, 0 where
    missing, and a flag; codes become one column per known code, all 0 for a code that was not seen in training.
    """
    if scale.codes is not None:
        known: Matrix = (values[:, None] == np.asarray(scale.codes)[None, :]).astype(np.float64)
        return known
    given = np.isfinite(values)
    away = np.where(given, np.clip(values, -_HUGE, _HUGE) - scale.centre, 0.0)
    z = _CLIP * away / np.hypot(_CLIP * scale.spread, away)  # the same without overflow
    return np.stack([z, ~given], axis=1) if scale.missing else z[:, None]


class SeedColumns:
    """Sources of seed columns with the scales of their columns.

    Args:
        sources: Where the columns come from.
        scales: Of every column of every source in turn.

    Raises:
        ShapeError: If there are more or fewer scales than columns.
    """

    def __init__(self, sources: Sequence[SeedFeatures], scales: Sequence[ColumnScale]) -> None:
        self.sources, self.scales = list(sources), list(scales)
        count = sum(len(source.names) for source in self.sources)
        if count != len(self.scales):
            raise ShapeError(
                f"seed features: expected {len(self.scales)} columns as in training, got {count} "
                f"({', '.join(name for source in self.sources for name in source.names)})"
            )

    @classmethod
    def fit(
        cls, sources: Sequence[SeedFeatures], node: Tensor, time: Tensor | None, until: int | None = None
    ) -> SeedColumns:
        """Take the scales from training seeds; the arguments are those of :meth:`matrix`."""
        scales = [
            fit_column(column, place in set(source.categorical))
            for source in sources
            for place, column in enumerate(_read(source, node, _clamp(time, until)).T)
        ]
        return cls(sources, scales)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, before they are scaled."""
        return tuple(name for source in self.sources for name in source.names)

    @property
    def width(self) -> int:
        """How wide :meth:`matrix` is."""
        return sum(scale.width for scale in self.scales)

    def matrix(self, node: Tensor, time: Tensor | None, until: int | None = None) -> Tensor:
        """The columns of seeds, float32 ``[n, width]``.

        Args:
            node: Row numbers in the entity table, int64 ``[n]``.
            time: Seed times, int64 ``[n]`` microseconds, or ``None``.
            until: Seeds later than this moment see what was known at this moment.
        """
        moment = _clamp(time, until)
        columns = [column for source in self.sources for column in _read(source, node, moment).T]
        parts = [scale_column(column, scale) for column, scale in zip(columns, self.scales, strict=True)]
        joined = np.concatenate(parts, axis=1) if parts else np.empty((node.numel(), 0))
        return torch.from_numpy(joined.astype(np.float32))

    @contextmanager
    def unfrozen(self, until: int | None) -> Iterator[None]:
        """A block in which sources that see nothing later than ``until`` see all that is known at a moment."""
        held: list[Any] = [s for s in self.sources if until is not None and getattr(s, "until", None) == until]
        for source in held:
            source.until = None
        try:
            yield
        finally:
            for source in held:
                source.until = until

    def describe(self) -> dict[str, Any]:
        """Plain JSON values that :meth:`from_dict` reads."""
        scales = [[s.centre, s.spread, s.missing, None if s.codes is None else list(s.codes)] for s in self.scales]
        sources = [source.describe() for source in self.sources]
        return {"sources": sources, "names": list(self.names), "scales": scales}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], make: Callable[[Mapping[str, Any]], SeedFeatures]) -> SeedColumns:
        """The inverse of :meth:`describe`; ``make`` makes a source from what it described itself as.

        Raises:
            SchemaError: If what is made has other columns than in training.
        """
        scales = [
            ColumnScale(centre, spread, missing, None if codes is None else tuple(codes))
            for centre, spread, missing, codes in values["scales"]
        ]
        sources = [make(source) for source in values["sources"]]
        now, then = [name for source in sources for name in source.names], list(values["names"])
        if now != then:
            gone, new = [n for n in then if n not in now], [n for n in now if n not in then]
            raise SchemaError(
                "seed features: other columns than in training; "
                + (f"missing: {', '.join(gone)}; new: {', '.join(new)}" if gone or new else "they are in another order")
            )
        return cls(sources, scales)


def _clamp(time: Tensor | None, until: int | None) -> Tensor | None:
    return time if time is None or until is None else time.clamp(max=until)


def _read(source: SeedFeatures, node: Tensor, time: Tensor | None) -> Matrix:
    found = source.matrix(node, time)
    expected = (node.numel(), len(source.names))
    if found.shape != expected:
        raise ShapeError(f"{type(source).__name__}.matrix: expected shape {expected}, got {found.shape}")
    return found
