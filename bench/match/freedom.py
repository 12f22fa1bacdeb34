"""The freedom that would close a budget which a family's sensible shapes miss: another MLP ratio, or another image size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.plugins import Family

Axes = tuple[str, ...]
LARGEST_PATCH = 32
FEWEST = 4
"""Patches along a side at least."""
RATIOS = (0.5, 16)
"""MLP ratios that are tried, as shares of the width."""
RESIZED = 3
"""Image sizes are tried from the reference's divided by this to it times this."""


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """A shape that meets the budget within the tolerance, the freedom that it takes, and its own image size."""

    freedom: str
    name: str
    image_size: int
    misses: dict[str, float]


def misses(cost: Any, target: Any, axes: Axes) -> dict[str, float]:
    """Relative, signed distances on the axes of a budget."""
    return {axis: getattr(cost, axis) / getattr(target, axis) - 1 for axis in axes}


def usual_patch(family: Family, image_size: int) -> int:
    """The patch that a family usually has at about this image size; 1 where it has none."""
    if not family.patch:
        return 1
    return family.patch[min(family.patch, key=lambda size: abs(size - image_size))]


def patches_at(family: Family, image_size: int, *, free: bool) -> list[int]:
    """Patches that divide an image: the family's usual one, or where they are `free` all; empty where none does."""
    usual = usual_patch(family, image_size)
    if not free or not family.patch:
        return [] if image_size % usual else [usual]
    return [
        patch
        for patch in range(2, LARGEST_PATCH + 1)
        if image_size % patch == 0 and image_size // patch >= FEWEST
    ]


def find_remedy(
    family: Family, target: Any, axes: Axes, image_size: int, classes: int, tolerance: float
) -> Remedy | None:
    """The MLP ratio nearest the usual 4 that closes the budget, or else the image size nearest the reference's."""
    for found in (
        _by_mlp(family, target, axes, image_size, classes, tolerance),
        _by_size(family, target, axes, image_size, classes, tolerance),
    ):
        if found is not None:
            return found
    return None


def _by_mlp(
    family: Family, target: Any, axes: Axes, image_size: int, classes: int, tolerance: float
) -> Remedy | None:
    """Every width, depth and patch with the hidden width that meets the first axis exactly."""
    if family.twin is None or family.candidates is None:
        return None
    best: tuple[float, Remedy] | None = None
    for width, depth, patch in _frames(family, image_size):
        hidden = _hidden(family, (width, depth, patch), target, axes[0], image_size, classes)
        ratio = hidden / width
        if not RATIOS[0] <= ratio <= RATIOS[1]:
            continue
        shape = family.twin(width, depth, patch, hidden)
        missed = misses(shape.counts(image_size, classes), target, axes)
        unusual = abs(math.log2(ratio / 4))
        if max(map(abs, missed.values())) <= tolerance and (best is None or unusual < best[0]):
            best = (
                unusual,
                Remedy(
                    freedom=f"an MLP of {ratio:.2g} times the model's width",
                    name=shape.name,
                    image_size=image_size,
                    misses=missed,
                ),
            )
    return best[1] if best else None


def _frames(family: Family, image_size: int) -> Iterator[tuple[int, int, int]]:
    """Width, depth and patch of the family's sensible shapes."""
    assert family.candidates is not None
    patches = patches_at(family, image_size, free=True)
    shapes = family.candidates(image_size, patches, free_mlp=False, reachable=lambda *shapes: True)
    yield from dict.fromkeys((shape.width, shape.depth, shape.patch) for shape, _ in shapes)


def _hidden(
    family: Family,
    frame: tuple[int, int, int],
    target: Any,
    axis: str,
    image_size: int,
    classes: int,
) -> int:
    """The hidden width at which a frame meets an axis: costs are linear in it."""
    assert family.twin is not None
    one, two = (
        getattr(family.twin(*frame, hidden).counts(image_size, classes), axis) for hidden in (1, 2)
    )
    return max(1, 1 + round((getattr(target, axis) - one) / (two - one)))


def _by_size(
    family: Family, target: Any, axes: Axes, image_size: int, classes: int, tolerance: float
) -> Remedy | None:
    """The sibling at an image size of its own, as near the reference's as can be: MACs follow it, parameters hardly."""
    if "macs" not in axes or family.candidates is None:
        return None
    tried = _patched if family.patch else _unpatched
    for size, shape in tried(family, target, axes, image_size, classes, tolerance):
        missed = misses(shape.counts(size, classes), target, axes)
        if (
            1 / RESIZED <= size / image_size <= RESIZED
            and max(map(abs, missed.values())) <= tolerance
        ):
            return Remedy(
                freedom=f"images of {size} pixels", name=shape.name, image_size=size, misses=missed
            )
    return None


def _unpatched(
    family: Family, target: Any, axes: Axes, image_size: int, classes: int, tolerance: float
) -> Iterator[tuple[int, Any]]:
    """Shapes whose parameters fit, which no image size changes, each at the size that its MACs ask for; nearest first."""
    assert family.candidates is not None
    found = []
    for shape, far in family.candidates(
        image_size, [1], free_mlp=False, reachable=lambda *shapes: True
    ):
        counted = shape.counts(image_size, classes)
        if abs(counted.params / target.params - 1) <= tolerance:
            wanted = image_size * math.sqrt(target.macs / counted.macs)
            found += [
                (size, far, shape)
                for size in (8 * math.floor(wanted / 8), 8 * math.ceil(wanted / 8))
                if size
            ]
    found.sort(key=lambda one: (abs(math.log(one[0] / image_size)), one[1]))
    yield from ((size, shape) for size, _, shape in found)


def _patched(
    family: Family, target: Any, axes: Axes, image_size: int, classes: int, tolerance: float
) -> Iterator[tuple[int, Any]]:
    """The usual patch on images that it divides, nearest first: shapes that can meet the budget, nearest the scaling first."""
    assert family.candidates is not None
    step = usual_patch(family, image_size)
    sizes = range(
        step * math.ceil(image_size / RESIZED / step), int(image_size * RESIZED) + 1, step
    )

    for size in sorted(sizes, key=lambda size: abs(math.log(size / image_size))):

        def reachable(smallest: Any, largest: Any, size: int = size) -> bool:
            low, high = (
                misses(shape.counts(size, classes), target, axes).values()
                for shape in (smallest, largest)
            )
            return max(low) <= tolerance and min(high) >= -tolerance

        found = sorted(
            family.candidates(size, [step], free_mlp=True, reachable=reachable),
            key=lambda one: one[1],
        )
        yield from ((size, shape) for shape, _ in found)
