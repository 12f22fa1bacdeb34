"""The budget of a sibling: the reference's cost on one or two axes, at one image size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from bench.count.cost import Cost


@dataclass(frozen=True, kw_only=True)
class Target:
    """The `cost` that a sibling should have on each of `axes`, and the relative `tolerance`.

    Axes are names of fields of Cost. Shapes are counted for images of `image_size` pixels (side)
    and a classifier with `num_classes` outputs.
    """

    cost: Cost
    axes: tuple[str, ...]
    image_size: int
    num_classes: int
    tolerance: float

    @property
    def needs_both(self) -> bool:
        """True if parameters and MACs are both given, so that a family needs more freedom."""
        return len(self.axes) > 1

    def at(self, image_size: int) -> Target:
        """Return the same budget for siblings that are counted at another image size."""
        return replace(self, image_size=image_size)

    def misses(self, cost: Any) -> dict[str, float]:
        """Return the relative, signed distance of a cost from the target, by axis."""
        return {axis: getattr(cost, axis) / getattr(self.cost, axis) - 1 for axis in self.axes}

    def misses_of(self, shape: Any) -> dict[str, float]:
        """Return the misses of a shape, by axis, counted in closed form."""
        return self.misses(self.counts(shape))

    def counts(self, shape: Any) -> Any:
        """Return the parameters and MACs of a shape in closed form."""
        return shape.counts(self.image_size, self.num_classes)

    def met_by(self, misses: dict[str, float]) -> bool:
        """True if no axis misses by more than the tolerance."""
        return largest(misses) <= self.tolerance

    def reachable(self, smallest: Any, biggest: Any) -> bool:
        """True if a shape between two others may meet the budget."""
        low, high = self.misses_of(smallest), self.misses_of(biggest)
        return max(low.values()) <= self.tolerance and min(high.values()) >= -self.tolerance


def largest(misses: dict[str, float]) -> float:
    """Return the largest miss over the axes, without its sign."""
    return max(map(abs, misses.values()))


def any_shape(smallest: Any, biggest: Any) -> bool:
    """True for all shapes: the `reachable` of a search that skips none."""
    return True
