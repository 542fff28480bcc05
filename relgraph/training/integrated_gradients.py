"""Integrated gradients as an algorithm of PyG's ``Explainer``, exact to a tolerance that is checked."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.explain import Explanation, HeteroExplanation
from torch_geometric.explain.algorithm import ExplainerAlgorithm
from torch_geometric.explain.config import MaskType, ModelMode

from relgraph.errors import ShapeError

__all__ = ["IntegratedGradients"]

# of Gauss and Legendre on [0, 1]
_NODES = (0.5 - 12**-0.5, 0.5 + 12**-0.5)
_WEIGHTS = (0.5, 0.5)
_START = 8  # intervals


class IntegratedGradients(ExplainerAlgorithm):  # type: ignore[misc]
    r"""How much every entry of ``x`` adds to the output (Sundararajan et al. 2017, arXiv 1703.01365, equation 1).

    .. math:: a_i = (x_i - b_i) \int_0^1 \frac{\partial F(b + \alpha (x - b))}{\partial x_i} \, d\alpha, \qquad
        \sum_i a_i = F(x) - F(b)

    The integral is taken over intervals of :math:`\alpha` with two points each. That the attributions of an interval
    add up to the change of :math:`F` over it is known, so the interval where they miss it most is halved until all
    together miss it by less than the tolerance: a network of ReLUs has kinks, at unknown places. Nothing is random.

    Args:
        baseline: Where the path begins, shaped like ``x``; zeros by default.
        tolerance: Allowed sum of the misses, as a part of the changes of :math:`F` over the intervals.
        max_points: Gradients that are taken at most.

    Raises:
        ShapeError: If a setting is not above 0.
    """

    def __init__(
        self,
        baseline: Tensor | Mapping[str, Tensor] | None = None,
        tolerance: float = 0.02,
        max_points: int = 240,
    ) -> None:
        super().__init__()
        if not tolerance > 0 or max_points < 1:
            raise ShapeError(f"expected tolerance and max_points above 0, got {tolerance} and {max_points}")
        self.baseline = baseline
        self.tolerance = tolerance
        self.max_points = max_points

    def supports(self) -> bool:
        """Whether the settings of the ``Explainer`` fit: attributes of nodes, no mask of edges."""
        config = self.explainer_config
        return config.node_mask_type == MaskType.attributes and config.edge_mask_type is None

    def forward(
        self,
        model: nn.Module,
        x: Tensor | Mapping[str, Tensor],
        edge_index: Any,
        *,
        target: Tensor,
        index: int | Tensor | None = None,
        **kwargs: Any,
    ) -> Explanation | HeteroExplanation:
        """Attributions of ``x`` as ``node_mask``, with signs; called by PyG's ``Explainer``.

        Of a multi-class model the output of the class in ``target`` is explained, else the sum of the outputs.
        """
        whole = _as_dict(x)
        start = {name: torch.zeros_like(value) for name, value in whole.items()}
        start |= {} if self.baseline is None else _as_dict(self.baseline)

        def run(parts: Mapping[str, Tensor]) -> Tensor:
            out = model(parts if isinstance(x, Mapping) else parts[""], edge_index, **kwargs)
            label = target
            if index is not None:
                out, label = out[index], target[index]
            if self.model_config.mode == ModelMode.multiclass_classification:
                out = out.gather(-1, label.unsqueeze(-1))
            total: Tensor = out.sum()
            return total

        masks = self._integrate(_Path(run, start, {name: value - start[name] for name, value in whole.items()}))
        if not isinstance(x, Mapping):
            return Explanation(node_mask=masks[""])
        explanation = HeteroExplanation()
        explanation.set_value_dict("node_mask", masks)
        return explanation

    def _integrate(self, path: _Path) -> dict[str, Tensor]:
        ends = [path.output(i / _START) for i in range(_START + 1)]
        heap = [path.interval(i / _START, (i + 1) / _START, ends[i], ends[i + 1]) for i in range(_START)]
        heapq.heapify(heap)
        points = len(_NODES) * _START
        while points < self.max_points and self._missed(heap):
            worst = heapq.heappop(heap)
            middle = (worst.low + worst.high) / 2
            value = path.output(middle)
            heapq.heappush(heap, path.interval(worst.low, middle, worst.first, value))
            heapq.heappush(heap, path.interval(middle, worst.high, value, worst.last))
            points += 2 * len(_NODES)
        in_order = sorted(heap, key=lambda part: part.low)
        return {name: torch.stack([part.attribution[name] for part in in_order]).sum(0) for name in path.start}

    def _missed(self, heap: list[_Interval]) -> bool:
        change = sum(abs(part.last - part.first) for part in heap)
        return sum(part.miss for part in heap) > self.tolerance * change


@dataclass(frozen=True)
class _Interval:
    """A piece of the path: its bounds, the outputs at them, and the attributions along it."""

    low: float
    high: float
    first: float
    last: float
    attribution: dict[str, Tensor]

    @cached_property
    def miss(self) -> float:
        """By how much the attributions do not add up to the change of the output."""
        return abs(self.last - self.first - sum(float(part.double().sum()) for part in self.attribution.values()))

    def __lt__(self, other: _Interval) -> bool:
        return (-self.miss, self.low) < (-other.miss, other.low)


@dataclass(frozen=True)
class _Path:
    """The straight line that is integrated over."""

    run: Callable[[Mapping[str, Tensor]], Tensor]
    start: dict[str, Tensor]
    step: dict[str, Tensor]

    def at(self, alpha: float) -> dict[str, Tensor]:
        return {name: (value + alpha * self.step[name]).detach() for name, value in self.start.items()}

    @torch.no_grad()
    def output(self, alpha: float) -> float:
        return float(self.run(self.at(alpha)))

    def interval(self, low: float, high: float, first: float, last: float) -> _Interval:
        found = {name: torch.zeros_like(value) for name, value in self.step.items()}
        for node, weight in zip(_NODES, _WEIGHTS, strict=True):
            parts = {name: value.requires_grad_() for name, value in self.at(low + node * (high - low)).items()}
            with torch.enable_grad():
                slopes = torch.autograd.grad(self.run(parts), list(parts.values()), allow_unused=True)
            for (name, step), slope in zip(self.step.items(), slopes, strict=True):
                if slope is not None:
                    found[name] += step * slope * (weight * (high - low))
        return _Interval(low, high, first, last, found)


def _as_dict(x: Tensor | Mapping[str, Tensor]) -> dict[str, Tensor]:
    return dict(x) if isinstance(x, Mapping) else {"": x}
