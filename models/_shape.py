"""Helpers for several families: the patch grid, closed-form counts, and sensible shapes."""

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
    """Parameters, multiply-adds for one image, and the number of tokens on the grid.

    Multiply-adds are those of convolutions, linear layers and attention, without norms. `tokens` is
    None for a model without a token grid.
    """

    params: int
    macs: int
    tokens: int | None = None


def grid(image_size: int, patch: int, *, name: str) -> int:
    """Return the number of patches along a side of the image.

    Raises UsageError, for the model `name`, if the image is not a whole number of patches.
    """
    if image_size < patch or image_size % patch:
        below = max(patch, image_size - image_size % patch)
        works = f"{below}" if image_size < patch else f"{below} or {below + patch}"
        raise UsageError(
            f"--image-size: {name} has patches of {patch} pixels, and {image_size} is not a "
            f"multiple of that; {works} would work"
        )
    return image_size // patch


def linear(inputs: int, outputs: int) -> int:
    """Return the number of parameters of a linear layer with bias."""
    return inputs * outputs + outputs


NUMBER = "([0-9]{1,9})"
"""A number in the spelling of a model, as a pattern. Python refuses to read thousands of digits."""
LARGEST = 1_000_000
"""The largest width, patch or kernel of a spelled model."""
DEEPEST = {"depth": 2_000, "most_blocks": 2_000}
"""The most blocks of a spelled model, by the name of the field. Building ten thousand took ten
seconds, before a word about their number."""


def check_sizes(spec: Spelled, *fields: str) -> None:
    """Raise UsageError if one of these fields of a shape is below 1 or absurdly large."""
    for field in fields:
        value, most = getattr(spec, field), DEEPEST.get(field, LARGEST)
        if not 1 <= value <= most:
            words, which = field.replace("_", " "), f"at least 1, got {value}"
            if value > most:
                which = f"at most {most:,}, got {value:,}"
            raise UsageError(f"--models: {spec.name}: {words} must be {which}")


def mlp_ratios(free: bool) -> list[float]:
    """Return the MLP ratios to try: near the published 4, or from 1 to 8 if they are `free`."""
    return [quarter / 4 for quarter in range(4, 33)] if free else [4.0, 3.75, 4.25, 3.5, 4.5]


def usual_depth(width: int, published: Sequence[tuple[int, int]]) -> float:
    """Return the depth of a family's published scaling at a width.

    `published` are pairs of width and depth, between which it is interpolated on logarithmic axes.
    """
    points = [(math.log(w), math.log(d)) for w, d in sorted(published)]
    at = math.log(width)
    if at <= points[0][0]:
        return math.exp(points[0][1])
    for (left, low), (right, high) in pairwise(points):
        if at <= right:
            return math.exp(low + (high - low) * (at - left) / (right - left))
    return math.exp(points[-1][1])
