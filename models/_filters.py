"""Depthwise filters that are drawn from a covariance, or never trained.

"Understanding the Covariance Structure of Convolutional Filters" (arXiv 2210.03651, by ConvMixer's
authors) finds that trained depthwise filters have a simple covariance, that a closed form of it
makes a good start, and that such filters sometimes need no training at all. Only the paper's
abstract was at hand, so this closed form is ours: two taps of a filter are alike if they are near
each other and both near its middle,

    covariance(a, b) = g(a) g(b) (g(a - b) - g(a) g(b) / 2),   g(t) = exp(-|t|^2 / (2 s^2))

with offsets t from the middle in taps, and s from 1/16 of the filter's side in the first layer
to 3/16 in the last. It is positive semidefinite, since g(a - b) is and half of its first
eliminated part was taken away. The filters have the mean square of PyTorch's default start, so that
only their form differs.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

Filters = Literal["learned", "fixed", "cov", "covfixed"]
"""How a filter starts, and whether it is trained: from PyTorch's default or from the covariance;
`fixed` is never trained."""


def covariance(kernel: int, depth: float) -> Tensor:
    """Return the covariance of a filter's taps (kernel^2, kernel^2) float64, row by row.

    `depth` is the layer's place in the network, from 0 for the first to 1 for the last.
    """
    at = torch.arange(kernel, dtype=torch.float64) - (kernel - 1) / 2
    taps = torch.stack(torch.meshgrid(at, at, indexing="ij")).flatten(1).T
    spread = (kernel * (1 + 2 * depth) / 16) ** 2
    near = torch.exp(-torch.cdist(taps, taps).square() / (2 * spread))
    middle = torch.exp(-taps.square().sum(1) / (2 * spread))
    window = middle[:, None] * middle
    return window * (near - window / 2)


def drawn(filters: int, kernel: int, depth: float) -> Tensor:
    """Return filters (filters, 1, kernel, kernel) float32 from the covariance."""
    values, vectors = torch.linalg.eigh(covariance(kernel, depth))
    scales = values.clamp_min(0).sqrt()
    # The default start is even within 1 / kernel, which has a third of its square as mean square.
    scales = scales / scales.square().sum().sqrt() / math.sqrt(3)
    normal = torch.randn(filters, kernel * kernel, dtype=torch.float64)
    return (normal * scales @ vectors.T).float().reshape(filters, 1, kernel, kernel)


def set_filters(blocks: nn.Module, filters: Filters) -> None:
    """Start the depthwise layers of a network's blocks, and fix them if asked."""
    layers = []
    for layer in blocks.modules():
        if isinstance(layer, nn.Conv2d) and layer.groups > 1:
            layers.append(layer)
    for number, layer in enumerate(layers):
        if filters in ("cov", "covfixed"):
            depth = number / max(1, len(layers) - 1)
            with torch.no_grad():
                layer.weight.copy_(drawn(layer.out_channels, layer.kernel_size[0], depth))
        if filters in ("fixed", "covfixed"):
            layer.weight.requires_grad_(False)
