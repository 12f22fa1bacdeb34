"""Launches of the kernels, with checks of their operands."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.fused.blocks import INTERPRETED, Blocks, interpreted, tuned, written

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
KERNELS = range(3, 16)
"""Sides of the depthwise filters that the kernel is tested with."""
HALF = (torch.bfloat16, torch.float16)
PLANAR_SIDE = 32
"""The largest side of a feature map for the planar kernels. A band matrix has as many columns as
the map: at 64 the products would do seven times the arithmetic of a 9 x 9 convolution."""
LEAST = 16
"""The least side of a matrix that tensor cores multiply."""


@dataclass(frozen=True)
class Finish:
    """The operations after a sum, by channel: `scale * activation(sum + bias) + shift`.

    The tensors are float32 of shape (channels,); the activation is "", "relu" or "gelu".
    """

    bias: Tensor
    scale: Tensor
    shift: Tensor
    activation: str


def is_planar(x: Tensor) -> bool:
    """True if the planar kernels run on a feature map of (batch, channels, height, width)."""
    return x.dtype in HALF and max(x.shape[-2:]) <= PLANAR_SIDE


def depthwise(
    x: Tensor,
    weight: Tensor,
    finish: Finish,
    *,
    residual: Tensor | None = None,
    out: Tensor | None = None,
    blocks: Blocks | None = None,
) -> Tensor:
    """Run a depthwise convolution with "same" padding and the operations after it.

    x, residual and result: (batch, height, width, channels). weight: (kernel, kernel, channels),
    float32. The residual is added last. The result is written to `out`, if given. `blocks` are
    block sizes to use instead of tuned ones.

    Raises:
        NotImplementedError: for a filter side, dtype or memory layout that the kernel lacks.
    """
    batch, height, width, channels = x.shape
    kernel = weight.shape[0]
    _check_side(kernel)

    def grid(blocks: Blocks) -> tuple[int, int]:
        tiles = -(-height // blocks["ROWS"]) * -(-width // blocks["COLUMNS"])
        return batch * tiles, -(-channels // blocks["CHANNELS"])

    out = torch.empty_like(x) if out is None else out
    pairs = x.dtype == torch.bfloat16 and channels % 2 == 0 and x.data_ptr() % 4 == 0
    constants = {"KERNEL": kernel, "BEFORE": (kernel - 1) // 2, "PAIRS": pairs}
    return _launch(
        "depthwise",
        grid,
        Operands(x, weight, torch.float32, finish, residual, out),
        (height, width, channels),
        constants,
        blocks,
    )


def product(
    x: Tensor,
    weight: Tensor,
    finish: Finish,
    *,
    residual: Tensor | None = None,
    out: Tensor | None = None,
    blocks: Blocks | None = None,
) -> Tensor:
    """Run a matrix product and the operations after it.

    x: (rows, inputs). weight: (outputs, inputs), with the dtype of x. residual and result: (rows,
    outputs). `out` and `blocks` are as in `depthwise`. float32 is multiplied as TF32 if PyTorch is
    allowed to do so in its matrix products.

    Raises:
        NotImplementedError: for a dtype or memory layout that the kernel lacks.
    """
    rows, inputs = x.shape
    outputs = weight.shape[0]

    def grid(blocks: Blocks) -> tuple[int]:
        return (-(-rows // blocks["ROWS"]) * -(-outputs // blocks["OUTPUTS"]),)

    out = x.new_empty(rows, outputs) if out is None else out
    constants = {
        "PRECISION": "tf32" if torch.backends.cuda.matmul.allow_tf32 else "ieee",
        "WIDEN": interpreted(),
    }
    return _launch(
        "product",
        grid,
        Operands(x, weight, x.dtype, finish, residual, out),
        (rows, outputs, inputs),
        constants,
        blocks,
    )


def planar_depthwise(
    x: Tensor,
    bands: Tensor,
    finish: Finish,
    *,
    residual: Tensor | None = None,
    out: Tensor | None = None,
    blocks: Blocks | None = None,
) -> Tensor:
    """Run a depthwise convolution with "same" padding on maps that lie plane by plane.

    x, residual and result: (batch, channels, height, width), for which `is_planar`. bands: the
    result of `band_matrices` for this width, with the dtype of x. The others are as in `depthwise`.

    Raises:
        NotImplementedError: for a filter side, size, dtype or memory layout that the kernel lacks.
    """
    batch, channels, height, width = x.shape
    kernel, columns = bands.shape[1:3]
    _check_side(kernel)
    _check_planar(x)
    rows = power_of_two(height)

    def grid(blocks: Blocks) -> tuple[int, int]:
        groups = -(-batch // (blocks["LINES"] // rows))
        return (groups, channels) if blocks["IMAGES_FIRST"] else (channels, groups)

    out = torch.empty_like(x) if out is None else out
    constants = {
        "KERNEL": kernel,
        "BEFORE": (kernel - 1) // 2,
        "WIDEN": interpreted(),
        "ROWS": rows,
        "COLUMNS": columns,
    }
    return _launch(
        "planar_depthwise",
        grid,
        Operands(x, bands, x.dtype, finish, residual, out),
        (batch, height, width, channels),
        constants,
        blocks,
    )


def planar_product(
    x: Tensor,
    weight: Tensor,
    finish: Finish,
    *,
    residual: Tensor | None = None,
    out: Tensor | None = None,
    blocks: Blocks | None = None,
) -> Tensor:
    """Multiply a weight by each image of `x`, whose positions lie plane by plane.

    x: (batch, inputs, positions), in bfloat16 or float16. weight: (outputs, inputs), with the dtype
    of x. residual and result: (batch, outputs, positions). The others are as in `depthwise`.

    Raises:
        NotImplementedError: for a dtype or memory layout that the kernel lacks.
    """
    batch, inputs, positions = x.shape
    outputs = weight.shape[0]
    if x.dtype not in HALF:
        raise NotImplementedError(f"fused: planar maps in {x.dtype}; expected a 16-bit type")

    def grid(blocks: Blocks) -> tuple[int]:
        tiles = -(-outputs // blocks["OUTPUTS"]) * -(-positions // blocks["POSITIONS"])
        return (tiles * batch,)

    out = x.new_empty(batch, outputs, positions) if out is None else out
    return _launch(
        "planar_product",
        grid,
        Operands(x, weight, x.dtype, finish, residual, out),
        (positions, outputs, inputs),
        {"WIDEN": interpreted()},
        blocks,
    )


def band_matrices(weight: Tensor, width: int) -> Tensor:
    """Return the matrices that a depthwise filter multiplies the rows of a map of `width` by.

    weight: (kernel, kernel, channels). The result, (channels, kernel, columns, columns), has at
    [c, i, k, n] the weight of filter row i between input column k and output column n, 0 where
    there is none. `columns` is `width` filled up to a power of two, at least 16.
    """
    kernel, columns = weight.shape[0], max(LEAST, power_of_two(width))
    column = torch.arange(columns, device=weight.device)
    tap = column[:, None] - column[None, :] + (kernel - 1) // 2
    reached = (tap >= 0) & (tap < kernel) & (column < width)[:, None] & (column < width)[None, :]
    taps = weight.permute(2, 0, 1)[:, :, tap.clamp(0, kernel - 1)]
    return (taps * reached).contiguous()


def power_of_two(size: int) -> int:
    """Return the least power of two that is at least `size`."""
    return 1 << (size - 1).bit_length()


def _check_side(kernel: int) -> None:
    if kernel not in KERNELS:
        raise NotImplementedError(
            f"fused: a depthwise filter of side {kernel}; "
            f"the kernel supports {KERNELS[0]} to {KERNELS[-1]}"
        )


def _check_planar(x: Tensor) -> None:
    if not is_planar(x):
        raise NotImplementedError(
            f"fused: planar maps of {tuple(x.shape[-2:])} in {x.dtype}; "
            f"expected at most {PLANAR_SIDE} x {PLANAR_SIDE} in a 16-bit type"
        )


@dataclass(frozen=True)
class Operands:
    """The tensors that all kernels read and write.

    Raises:
        NotImplementedError: for a dtype, shape or memory layout that the kernels would misread.
    """

    x: Tensor
    weight: Tensor
    weights: torch.dtype
    """The dtype that the weight must have."""
    finish: Finish
    residual: Tensor | None
    out: Tensor

    def __post_init__(self) -> None:
        dtype = self.x.dtype
        if dtype not in DTYPES:
            raise NotImplementedError(
                f"fused: feature maps in {dtype}; the kernels support float32, bfloat16 and float16"
            )
        if self.residual is not None and self.residual.shape != self.out.shape:
            raise NotImplementedError(
                f"fused: a residual of shape {tuple(self.residual.shape)} "
                f"for an output of shape {tuple(self.out.shape)}"
            )
        for tensor, expected in (
            (self.x, dtype),
            (self.weight, self.weights),
            (self.residual, dtype),
            (self.out, dtype),
        ):
            if tensor is None:
                continue
            if tensor.dtype != expected or not tensor.is_contiguous():
                raise NotImplementedError(
                    f"fused: a tensor in {tensor.dtype} with strides {tensor.stride()}; "
                    f"expected a contiguous one in {expected}"
                )

    def tensors(self) -> tuple[Tensor, ...]:
        """Return the tensors in the kernels' order; x stands in for a residual that is None."""
        finish = self.finish
        return (
            self.x,
            self.weight,
            finish.bias,
            finish.scale,
            finish.shift,
            self.x if self.residual is None else self.residual,
            self.out,
        )


def _launch(
    name: str,
    grid: Callable[[Blocks], tuple[int, ...]],
    operands: Operands,
    sizes: tuple[int, ...],
    constants: dict[str, Any],
    blocks: Blocks | None,
) -> Tensor:
    """Run a kernel on its operands and return its output."""
    constants |= {
        "ACTIVATION": operands.finish.activation,
        "RESIDUAL": operands.residual is not None,
    }
    if interpreted():
        blocks = blocks or INTERPRETED[name]
    kernel = written(name) if blocks else tuned(name, operands.x.dtype == torch.float32)
    with torch.cuda.device(operands.x.device) if operands.x.is_cuda else nullcontext():
        kernel[grid](*operands.tensors(), *sizes, **constants, **(blocks or {}))
    return operands.out
