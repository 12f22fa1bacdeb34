"""The steps on a CPU: oneDNN's convolution by itself, in the memory order that suits it, and one compiled loop after it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.fused.modules import affine

Finishing = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]


class Loop(nn.Module):
    """A convolution, and in one loop over its output the activation, the batch norm and the addition after it.

    The convolution is left to oneDNN with plain NCHW tensors: compiled as a whole, a model's convolutions are all made
    channels-last, and there a 9 x 9 depthwise one takes more than twice as long (docs/fused.md).
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, convolution: nn.Conv2d, activation: str, norm: nn.BatchNorm2d | None) -> None:
        super().__init__()
        self.convolution, self.activation = convolution, activation
        scale, shift = affine(norm, like=convolution.weight)
        self.register_buffer("scale", scale[:, None, None])
        self.register_buffer("shift", shift[:, None, None])

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        total = self.convolution(x)
        return finishing(self.activation, total.shape, total.dtype)(total, self.scale, self.shift, residual)


@cache
def finishing(activation: str, shape: torch.Size, dtype: torch.dtype) -> Finishing:
    """The loop for one shape, compiled at its first call: one for all steps that share it."""

    def finish(total: Tensor, scale: Tensor, shift: Tensor, residual: Tensor | None) -> Tensor:
        total = F.relu(total) if activation == "relu" else F.gelu(total) if activation == "gelu" else total
        total = total * scale + shift
        return (total if residual is None else total + residual).to(dtype)

    return torch.compile(finish, dynamic=False)
