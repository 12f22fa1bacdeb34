"""The effective receptive field: how far a network looks, by the gradient of its central output.

After Luo et al. (arXiv 1701.04128): the gradient of the last map's central position, summed over
channels, with respect to the image, taken before a norm that may follow that map. This module sums
its absolute value over colours and averages it over images before normalising, so that every image
counts by its gradient. Distances are from the centre of mass of that average, because the place of
a position in the image depends on paddings and strides and differs by family.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

IMAGES = 256
"""With fewer images, single ones stay visible in the map."""
SATURATED = 0.9
"""Share of the canvas from which on a larger canvas would have shown a larger field."""
CHUNK = 32
"""Images per backward pass."""


@dataclass(frozen=True)
class EffectiveField:
    """The size of an effective receptive field, on a canvas of `canvas` pixels (side).

    `r50` and `r90` are the radii in pixels that contain 50 and 90 % of the gradient's mass around
    its centre (`row`, `column`); `share50` and `share90` are these as shares of the radii that a
    uniform map would have there. If `saturated`, the field may end at the canvas, not by itself.
    """

    canvas: int
    row: float
    column: float
    r50: float
    r90: float
    share50: float
    share90: float
    saturated: bool

    @property
    def values(self) -> dict[str, float | bool]:
        """The fields by name, as a record stores them."""
        return asdict(self)


def gradient_map(model: nn.Module, images: Tensor) -> Tensor:
    """Return the averaged gradient map (side, side) for normalised images (n, 3, side, side).

    Raises NotImplementedError for a model without `forward_features`, which gives the last map, or
    with a last map that is not square.
    """
    features: Callable[[Tensor], Tensor] | None = getattr(model, "forward_features", None)
    if features is None:
        raise NotImplementedError(
            f"{type(model).__name__} has no forward_features to read its last map from"
        )
    model.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with _before_its_norm(model):
        return _averaged(
            features, images, getattr(model, "num_prefix_tokens", 0), type(model).__name__
        )


@contextmanager
def _before_its_norm(model: nn.Module) -> Iterator[None]:
    """Remove the final norm, so that the last map is the output of the last block.

    The channels of a layer norm's output sum to a constant. Its gradient is zero before training
    and the remainder of a cancellation after it.
    """
    norm = getattr(model, "norm", None)
    if isinstance(norm, nn.Module):
        model.norm = nn.Identity()
    try:
        yield
    finally:
        if isinstance(norm, nn.Module):
            model.norm = norm


def _averaged(
    features: Callable[[Tensor], Tensor], images: Tensor, prefix: int, name: str
) -> Tensor:
    total = torch.zeros(images.shape[-2:], dtype=torch.float64, device=images.device)
    for chunk in images.split(CHUNK):
        chunk = chunk.detach().requires_grad_()
        rows = _positions(features(chunk), prefix)
        side = math.isqrt(rows.shape[1])
        if side * side != rows.shape[1]:
            raise NotImplementedError(
                f"{name}: its last map of {rows.shape[1]} positions is not square"
            )
        (gradient,) = torch.autograd.grad(rows[:, side // 2 * side + side // 2].sum(), chunk)
        total += gradient.abs().sum(dim=(0, 1)).double()
    return total / len(images)


def _positions(features: Tensor, prefix: int) -> Tensor:
    """Return a last map as (batch, positions, channels), without class tokens."""
    if features.ndim == 4:
        return features.flatten(2).transpose(1, 2)
    return features[:, prefix:]


def field_of(gradients: Tensor) -> EffectiveField:
    """Return the radii of a gradient map (side, side)."""
    side, mass = gradients.shape[-1], gradients.detach().cpu().double()
    at = torch.arange(side, dtype=torch.float64) + 0.5
    row = float((mass.sum(dim=1) * at).sum() / mass.sum())
    column = float((mass.sum(dim=0) * at).sum() / mass.sum())
    distance = ((at[:, None] - row).square() + (at[None, :] - column).square()).sqrt().flatten()
    order = distance.argsort()
    measured, distances = mass.flatten()[order], distance[order]
    uniform = torch.ones(side * side, dtype=torch.float64)
    r50, r90 = _radius(measured, distances, 0.5), _radius(measured, distances, 0.9)
    share90 = r90 / _radius(uniform, distances, 0.9)
    return EffectiveField(
        canvas=side,
        row=row,
        column=column,
        r50=r50,
        r90=r90,
        share50=r50 / _radius(uniform, distances, 0.5),
        share90=share90,
        saturated=share90 >= SATURATED,
    )


def _radius(mass: Tensor, distances: Tensor, share: float) -> float:
    """Return the distance within which this share of the mass lies; both ordered by distance."""
    cumulated = mass.cumsum(0) / mass.sum()
    return float(distances[int((cumulated >= share).nonzero()[0])])
