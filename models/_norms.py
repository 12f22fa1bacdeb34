"""The norms that a spelling names: `bn` and `ln`."""

from __future__ import annotations

from torch import nn


def norm_of(kind: str, channels: int) -> nn.Module:
    """Return batch norm for `bn`, and for `ln` a layer norm over the channels of each position.

    Both take maps of (batch, channels, height, width).
    """
    if kind == "bn":
        return nn.BatchNorm2d(channels)
    from timm.layers import LayerNorm2d  # timm takes seconds to import

    return LayerNorm2d(channels)
