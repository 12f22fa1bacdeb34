"""The fused steps as modules.

Feature maps are (batch, channels, height, width). In memory they are planar where the planar
kernels run (`launch.is_planar`), channels-last elsewhere.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.fused import launch

ALIGNED = 16
"""The values of a patch are padded with zeros to a multiple of this, so that vector loads fit."""


class Fused(nn.Module):
    """A convolution with the activation, batch norm and addition after it.

    `norm` is applied as in evaluation: a scale and a shift per channel, in float32 whatever the
    dtype of the weights.
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
        """Return the weight in the layout that the kernel reads."""
        raise NotImplementedError

    def multiplied(self, x: Tensor, residual: Tensor | None) -> Tensor:
        """Return the feature map of the product of the weight and every position of a map."""
        size = x.shape[-2:]
        if launch.is_planar(x):
            added = None if residual is None else residual.contiguous().flatten(2)
            planes = x.contiguous().flatten(2)
            return launch.planar_product(
                planes, self.weight, self.finish, residual=added
            ).unflatten(2, size)
        added = None if residual is None else _lines(residual).flatten(0, 2)
        rows = launch.product(_lines(x).flatten(0, 2), self.weight, self.finish, residual=added)
        return _map(rows.unflatten(0, (len(x), *size)))


class Depthwise(Fused):
    """A depthwise convolution that keeps the size of the feature map."""

    def __init__(
        self, convolution: nn.Conv2d, activation: str, norm: nn.BatchNorm2d | None
    ) -> None:
        super().__init__(convolution, activation, norm)
        self._bands: dict[tuple[int, torch.dtype], Tensor] = {}

    def arranged(self, weight: Tensor) -> Tensor:
        # Converted here, because converting in the kernel would be repeated for every tile.
        return weight[:, 0].permute(1, 2, 0).float()

    def bands(self, x: Tensor) -> Tensor:
        """Return the band matrices for the width and dtype of a map, made at the first one."""
        at = (x.shape[-1], x.dtype)
        if at not in self._bands:
            self._bands[at] = launch.band_matrices(self.weight, x.shape[-1]).to(x.dtype)
        return self._bands[at]

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        if launch.is_planar(x):
            added = None if residual is None else residual.contiguous()
            return launch.planar_depthwise(
                x.contiguous(), self.bands(x), self.finish, residual=added
            )
        return _map(
            launch.depthwise(
                _lines(x),
                self.weight,
                self.finish,
                residual=None if residual is None else _lines(residual),
            )
        )


class Pointwise(Fused):
    """A 1 x 1 convolution: a matrix product over positions."""

    def arranged(self, weight: Tensor) -> Tensor:
        return weight.flatten(1)

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        return self.multiplied(x, residual)


class Patches(Fused):
    """A patch embedding: a rearrangement into one row per patch and a matrix product."""

    def __init__(
        self, convolution: nn.Conv2d, activation: str, norm: nn.BatchNorm2d | None
    ) -> None:
        self.side = convolution.kernel_size[0]
        super().__init__(convolution, activation, norm)

    def arranged(self, weight: Tensor) -> Tensor:
        rows = weight.flatten(1)
        return nn.functional.pad(rows, (0, -rows.shape[1] % ALIGNED))

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        batch, channels, height, width = x.shape
        down, across, side = height // self.side, width // self.side, self.side
        # Incomplete patches are dropped, as a convolution does.
        whole = x[:, :, : down * side, : across * side]
        patches = whole.reshape(batch, channels, down, side, across, side)
        values = channels * side**2
        filled = x.new_zeros(batch, self.weight.shape[1], down, across)
        filled[:, :values] = patches.permute(0, 1, 3, 5, 2, 4).reshape(batch, values, down, across)
        return self.multiplied(filled, residual)


def affine(norm: nn.BatchNorm2d | None, *, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scale and shift per channel of a batch norm in evaluation, in float32.

    They are 1 and 0 without a batch norm. `like` is the weight before it, (channels, ...), whose
    device is used.
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
    """Return a feature map as (batch, height, width, channels); copies unless channels-last."""
    return x.permute(0, 2, 3, 1).contiguous()


def _map(lines: Tensor) -> Tensor:
    return lines.permute(0, 3, 1, 2)
