"""The fused steps on a GPU. Maps between them are (batch, channels, height, width), channels-last in memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.fused import launch

ALIGNED = 16
"""A row of patches is filled up with zeros to a multiple of this, so that it can be read in whole vectors."""


class Fused(nn.Module):
    """A convolution with the activation, the batch norm and the addition after it.

    `norm` is taken as it is in evaluation: a factor and a shift by channel, kept in float32 whatever the weights are.
    """

    def __init__(
        self, convolution: nn.Conv2d, activation: str, norm: nn.BatchNorm2d | None
    ) -> None:
        super().__init__()
        weight = convolution.weight.detach()
        scale, shift = affine(norm, like=weight)
        bias = (
            torch.zeros_like(scale)
            if convolution.bias is None
            else convolution.bias.detach().float()
        )
        self.register_buffer("weight", self.arranged(weight).contiguous())
        self.finish = launch.Finish(
            bias.contiguous(), scale.contiguous(), shift.contiguous(), activation
        )

    weight: Tensor

    def arranged(self, weight: Tensor) -> Tensor:
        """The weight as the kernel reads it."""
        raise NotImplementedError

    def multiplied(
        self, rows: Tensor, residual: Tensor | None, positions: tuple[int, int, int]
    ) -> Tensor:
        """The map of a matrix product over rows, one for each of (batch, height, width) positions."""
        added = None if residual is None else _lines(residual).flatten(0, 2)
        return _map(
            launch.product(rows, self.weight, self.finish, residual=added).unflatten(0, positions)
        )


class Depthwise(Fused):
    """Each channel by itself, the map's size kept."""

    def arranged(self, weight: Tensor) -> Tensor:
        return (
            weight[:, 0].permute(1, 2, 0).float()
        )  # read once for many values: converting them in the kernel would cost more

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        return _map(
            launch.depthwise(
                _lines(x),
                self.weight,
                self.finish,
                residual=None if residual is None else _lines(residual),
            )
        )


class Pointwise(Fused):
    """Each position by itself: a matrix product."""

    def arranged(self, weight: Tensor) -> Tensor:
        return weight.flatten(1)

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        batch, _, height, width = x.shape
        return self.multiplied(_lines(x).flatten(0, 2), residual, (batch, height, width))


class Patches(Fused):
    """Patches side by side, each turned into one position: a rearrangement and a matrix product."""

    def __init__(
        self, convolution: nn.Conv2d, activation: str, norm: nn.BatchNorm2d | None
    ) -> None:
        self.side = convolution.kernel_size[0]
        super().__init__(convolution, activation, norm)

    def arranged(self, weight: Tensor) -> Tensor:
        rows = weight.permute(0, 2, 3, 1).flatten(1)
        return nn.functional.pad(rows, (0, -rows.shape[1] % ALIGNED))

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        batch, channels, height, width = x.shape
        down, across, side = height // self.side, width // self.side, self.side
        x = x[:, :, : down * side, : across * side]  # a convolution leaves what is no whole patch
        patches = x.reshape(batch, channels, down, side, across, side).permute(0, 2, 4, 3, 5, 1)
        rows = x.new_zeros(batch * down * across, self.weight.shape[1])
        rows[:, : side * side * channels] = patches.reshape(len(rows), -1)
        return self.multiplied(rows, residual, (batch, down, across))


def affine(norm: nn.BatchNorm2d | None, *, like: Tensor) -> tuple[Tensor, Tensor]:
    """What a batch norm does in evaluation: a factor and a shift by channel, float32; 1 and 0 without one.

    `like` is the weight before it: (channels, ...), on the device that is wanted.
    """
    if norm is None:
        zeros = torch.zeros(len(like), dtype=torch.float32, device=like.device)
        return torch.ones_like(zeros), zeros
    if norm.running_mean is None or norm.running_var is None:
        raise NotImplementedError("fused: a batch norm without running statistics")
    scale = torch.rsqrt(norm.running_var.float() + norm.eps)
    if not norm.affine:
        return scale, -norm.running_mean.float() * scale
    scale = scale * norm.weight.detach().float()
    return scale, norm.bias.detach().float() - norm.running_mean.float() * scale


def _lines(x: Tensor) -> Tensor:
    """A map as (batch, height, width, channels), contiguous; it is copied only where it is not channels-last."""
    return x.permute(0, 2, 3, 1).contiguous()


def _map(lines: Tensor) -> Tensor:
    return lines.permute(0, 3, 1, 2)
