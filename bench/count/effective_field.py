"""The effective receptive field: how far a network really looks, by the gradient of its central output.

After Luo et al. (arXiv 1701.04128): the gradient of the last map's central position, summed over channels, with
respect to the image, before the norm that may follow that map. Here its absolute value, summed over colours and
averaged over images before anything is normalised, so that every image counts by its gradient. Distances are from the
map's centre of mass: where a position's cell lies in the image depends on paddings and strides, and differs by family.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

IMAGES = 256
"""Fewer leave single images visible in the map."""
SATURATED = 0.9
"""From this share of the canvas on, a larger canvas would have shown a larger field."""
CHUNK = 32


@dataclass(frozen=True)
class Field:
    """Radii in pixels that hold 50 and 90 % of the gradient's mass around its centre (`row`, `column`), and each as a share
    of the radius that the same part of an even map would have there. `saturated`: the canvas, not the network, may be what
    ends the field.
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
        """As a record keeps it."""
        return asdict(self)


def gradient_map(model: nn.Module, images: Tensor) -> Tensor:
    """The averaged map (side, side) for normalised images (n, 3, side, side).

    NotImplementedError for a model that does not say what its last map is (`forward_features`).
    """
    features: Callable[[Tensor], Tensor] | None = getattr(model, "forward_features", None)
    if features is None:
        raise NotImplementedError(
            f"{type(model).__name__} has no forward_features, so its last map cannot be asked"
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
    """The last map as the last block left it.

    The channels of a layer norm's output sum to a constant, whose gradient is nothing at all before training and what is
    left of the cancelling after it.
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
                f"{name}: its last map of {rows.shape[1]} positions is no square"
            )
        (gradient,) = torch.autograd.grad(rows[:, side // 2 * side + side // 2].sum(), chunk)
        total += gradient.abs().sum(dim=(0, 1)).double()
    return total / len(images)


def _positions(features: Tensor, prefix: int) -> Tensor:
    """A last map as (batch, positions, channels), class tokens left out."""
    if features.ndim == 4:
        return features.flatten(2).transpose(1, 2)
    return features[:, prefix:]


def field_of(gradients: Tensor) -> Field:
    """The radii of a map."""
    side, mass = gradients.shape[-1], gradients.detach().cpu().double()
    at = torch.arange(side, dtype=torch.float64) + 0.5
    row, column = (float((mass.sum(dim=other) * at).sum() / mass.sum()) for other in (1, 0))
    distance = ((at[:, None] - row).square() + (at[None, :] - column).square()).sqrt().flatten()
    order = distance.argsort()
    found = {}
    for share in (0.5, 0.9):
        radii = [
            float(distance[order][int((one.cumsum(0) / one.sum() >= share).nonzero()[0])])
            for one in (mass.flatten()[order], torch.ones(side * side, dtype=torch.float64))
        ]
        found[share] = (radii[0], radii[0] / radii[1])
    return Field(
        side,
        row,
        column,
        found[0.5][0],
        found[0.9][0],
        found[0.5][1],
        found[0.9][1],
        found[0.9][1] >= SATURATED,
    )
