"""What several families share: the patch grid, counts in closed form, and shapes spelled as names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from bench.errors import UsageError


class Spelled(Protocol):
    """A shape with a name."""

    @property
    def name(self) -> str: ...


@dataclass(frozen=True)
class Counts:
    """Parameters and multiply-adds (convolutions, linear layers, attention; no norm) of one image, and the token grid."""

    params: int
    macs: int
    tokens: int | None = None


def grid(image_size: int, patch: int, *, name: str) -> int:
    """Patches along one side of the image; UsageError where the image is not a whole number of patches."""
    if image_size < patch or image_size % patch:
        below = max(patch, image_size - image_size % patch)
        works = f"{below}" if image_size < patch else f"{below} or {below + patch}"
        raise UsageError(
            f"--image-size: {name} has patches of {patch} and {image_size} is not a multiple; {works} would work"
        )
    return image_size // patch


def linear(inputs: int, outputs: int) -> int:
    """Parameters of a linear layer with bias."""
    return inputs * outputs + outputs


def at_least_one(spec: Spelled, *fields: str) -> None:
    """UsageError where a hyperparameter of a spelled name is zero."""
    for field in fields:
        if getattr(spec, field) < 1:
            raise UsageError(
                f"--models: {spec.name}: its {field.replace('_', ' ')} is {getattr(spec, field)}; it has to be at least 1"
            )


def mlp_ratios(free: bool) -> list[float]:
    """MLP ratios to try: close to the published 4, or, where the ratio has to close the budget, from 1 to 8."""
    return [quarter / 4 for quarter in range(4, 33)] if free else [4.0, 3.75, 4.25, 3.5, 4.5]


def usual_depth(width: int, published: Sequence[tuple[int, int]]) -> float:
    """The depth that a family's published models would have at this width: interpolated on logarithmic axes."""
    points = [(math.log(w), math.log(d)) for w, d in sorted(published)]
    at = math.log(width)
    if at <= points[0][0]:
        return math.exp(points[0][1])
    for (left, low), (right, high) in pairwise(points):
        if at <= right:
            return math.exp(low + (high - low) * (at - left) / (right - left))
    return math.exp(points[-1][1])
