"""The freedom that closes a budget which a family's sensible shapes miss.

That is either another MLP ratio or another image size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.errors import UsageError
from bench.match.target import Target, any_shape
from bench.plugins import Family

LARGEST_PATCH = 32
FEWEST = 4
"""Smallest number of patches along a side."""
RATIOS = (0.5, 16)
"""Range of MLP ratios to try (hidden width over model width)."""
USUAL_RATIO = 4
RESIZED = 3
"""Image sizes are tried from a third of the reference's to three times it."""


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """A shape that meets the budget, the freedom that it takes, and its own image size."""

    freedom: str
    name: str
    image_size: int
    misses: dict[str, float]


def usual_patch(family: Family, image_size: int) -> int:
    """Return the patch that a family usually has near this image size; 1 if it has no patches."""
    if not family.patch:
        return 1
    return family.patch[min(family.patch, key=lambda size: abs(size - image_size))]


def patches_at(family: Family, image_size: int, *, free: bool) -> list[int]:
    """Return the patches that divide an image: the family's usual one, or any if `free`."""
    usual = usual_patch(family, image_size)
    if not free or not family.patch:
        return [] if image_size % usual else [usual]
    largest = min(LARGEST_PATCH, image_size // FEWEST)
    return [patch for patch in range(2, largest + 1) if image_size % patch == 0]


def indivisible(family: Family, image_size: int) -> UsageError:
    """Return the error for an image that is not a whole number of the family's patches."""
    patch = usual_patch(family, image_size)
    return UsageError(
        f"--image-size: {image_size} is not a multiple of {family.name}'s patch of {patch}"
    )


def find_remedy(family: Family, target: Target) -> Remedy | None:
    """Return the shape with the MLP ratio nearest to 4 that closes the budget.

    If no ratio closes it, return the shape with the image size nearest to the reference's; None if
    neither closes it.
    """
    return _by_mlp(family, target) or _by_size(family, target)


def _by_mlp(family: Family, target: Target) -> Remedy | None:
    """Try every width, depth and patch with the hidden width that meets the first axis exactly."""
    if family.twin is None or family.candidates is None:
        return None
    best: Remedy | None = None
    least_unusual = math.inf
    for width, depth, patch in _frames(family, target.image_size):
        hidden = _hidden_width(family, (width, depth, patch), target)
        ratio = hidden / width
        if not RATIOS[0] <= ratio <= RATIOS[1]:
            continue
        shape = family.twin(width, depth, patch, hidden)
        misses = target.misses_of(shape)
        unusual = abs(math.log2(ratio / USUAL_RATIO))
        if target.met_by(misses) and unusual < least_unusual:
            least_unusual = unusual
            best = Remedy(
                freedom=f"an MLP of {ratio:.2g} times the model's width",
                name=shape.name,
                image_size=target.image_size,
                misses=misses,
            )
    return best


def _frames(family: Family, image_size: int) -> Iterator[tuple[int, int, int]]:
    """Yield width, depth and patch of the family's sensible shapes, each combination once."""
    assert family.candidates is not None
    patches = patches_at(family, image_size, free=True)
    shapes = family.candidates(image_size, patches, free_mlp=False, reachable=any_shape)
    yield from dict.fromkeys((shape.width, shape.depth, shape.patch) for shape, _ in shapes)


def _hidden_width(family: Family, frame: tuple[int, int, int], target: Target) -> int:
    """Return the hidden width at which a frame meets the first axis: costs are linear in it."""
    assert family.twin is not None
    axis = target.axes[0]
    with_one = getattr(target.counts(family.twin(*frame, 1)), axis)
    with_two = getattr(target.counts(family.twin(*frame, 2)), axis)
    missing = getattr(target.cost, axis) - with_one
    return max(1, 1 + round(missing / (with_two - with_one)))


def _by_size(family: Family, target: Target) -> Remedy | None:
    """Return the sibling whose image size is nearest to the reference's.

    The image size changes the MACs and hardly the parameters.
    """
    if "macs" not in target.axes or family.candidates is None:
        return None
    resized = _with_patches(family, target) if family.patch else _without_patches(family, target)
    for size, shape in resized:
        misses = target.at(size).misses_of(shape)
        if 1 / RESIZED <= size / target.image_size <= RESIZED and target.met_by(misses):
            return Remedy(
                freedom=f"images of {size} pixels", name=shape.name, image_size=size, misses=misses
            )
    return None


def _without_patches(family: Family, target: Target) -> Iterator[tuple[int, Any]]:
    """Yield sizes and shapes whose parameters fit at the size that their MACs ask for.

    Sizes are multiples of 8 pixels, those nearest to the reference's first.
    """
    assert family.candidates is not None
    sized: list[tuple[float, float, int, Any]] = []
    own = target.image_size
    for shape, distance in family.candidates(own, [1], free_mlp=False, reachable=any_shape):
        counted = target.counts(shape)
        if abs(counted.params / target.cost.params - 1) > target.tolerance:
            continue
        wanted = own * math.sqrt(target.cost.macs / counted.macs)
        for size in (8 * math.floor(wanted / 8), 8 * math.ceil(wanted / 8)):
            if size:
                sized.append((abs(math.log(size / own)), distance, size, shape))
    sized.sort(key=lambda entry: entry[:2])
    for _, _, size, shape in sized:
        yield size, shape


def _with_patches(family: Family, target: Target) -> Iterator[tuple[int, Any]]:
    """Yield multiples of the usual patch, nearest to the reference's size first, with their shapes.

    At each size: the shapes that can meet the budget, nearest to the published scaling first.
    """
    assert family.candidates is not None
    own = target.image_size
    patch = usual_patch(family, own)
    smallest = patch * math.ceil(own / RESIZED / patch)
    sizes = range(smallest, int(own * RESIZED) + 1, patch)
    for size in sorted(sizes, key=lambda size: abs(math.log(size / own))):
        shapes = family.candidates(
            size, [patch], free_mlp=True, reachable=target.at(size).reachable
        )
        for shape, _ in sorted(shapes, key=lambda pair: pair[1]):
            yield size, shape
