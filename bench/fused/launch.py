"""Launches of the kernels: checks of their operands, and block sizes chosen by timing on a GPU.

Triton is imported at the first launch; recognising models does not need it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
KERNELS = range(3, 16)
"""Sides of the depthwise filters that the kernel is tested with."""
GROUP = 8
Blocks = Mapping[str, int]

# Rows, columns and channels of a tile, and warps. Every thread keeps
# rows * columns * channels / (32 * warps) sums in registers; today's multiprocessors can hold 64
# next to the weights (tests/by_hand/fused_compiled.py).
DEPTHWISE = [
    *((16, 8, 64, 4), (16, 8, 32, 2), (8, 8, 64, 2), (8, 8, 64, 4), (4, 8, 64, 2)),
    *((32, 4, 32, 2), (16, 4, 64, 4), (8, 4, 64, 4), (8, 4, 32, 2)),
]
# Rows, outputs and inputs of a block, warps, and pipeline stages.
PRODUCT = [
    *(
        (128, 256, 64, 8, 3),
        (128, 256, 64, 8, 4),
        (128, 128, 64, 4, 4),
        (128, 128, 64, 8, 3),
        (256, 128, 64, 8, 3),
    ),
    *((64, 128, 64, 4, 4), (64, 64, 32, 4, 4), (32, 64, 64, 4, 4), (128, 64, 32, 4, 4)),
]
# The interpreter's time depends on the number of steps, so use few and large blocks.
INTERPRETED = {
    "depthwise": {"ROWS": 8, "COLUMNS": 8, "CHANNELS": 1024},
    "product": {"ROWS": 64, "OUTPUTS": 512, "INPUTS": 512, "GROUP": GROUP},
}


@dataclass(frozen=True)
class Finish:
    """The operations after a sum, by channel: `scale * activation(sum + bias) + shift`.

    The tensors are float32 of shape (channels,); the activation is "", "relu" or "gelu".
    """

    bias: Tensor
    scale: Tensor
    shift: Tensor
    activation: str


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
    if kernel not in KERNELS:
        raise NotImplementedError(
            f"fused: a depthwise filter of side {kernel}; "
            f"the kernel supports {KERNELS[0]} to {KERNELS[-1]}"
        )

    def grid(blocks: Blocks) -> tuple[int, int]:
        tiles = -(-height // blocks["ROWS"]) * -(-width // blocks["COLUMNS"])
        return batch * tiles, -(-channels // blocks["CHANNELS"])

    out = torch.empty_like(x) if out is None else out
    pairs = x.dtype == torch.bfloat16 and channels % 2 == 0 and x.data_ptr() % 4 == 0
    constants = {"KERNEL": kernel, "BEFORE": (kernel - 1) // 2, "PAIRS": pairs}
    _launch(
        "depthwise",
        grid,
        Operands(x, weight, torch.float32, finish, residual, out),
        (height, width, channels),
        constants,
        blocks,
    )
    return out


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
    _launch(
        "product",
        grid,
        Operands(x, weight, x.dtype, finish, residual, out),
        (rows, outputs, inputs),
        constants,
        blocks,
    )
    return out


@dataclass(frozen=True)
class Operands:
    """The tensors that both kernels read and write.

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
) -> None:
    constants |= {
        "ACTIVATION": operands.finish.activation,
        "RESIDUAL": operands.residual is not None,
    }
    if interpreted():
        blocks = blocks or INTERPRETED[name]
    kernel = _written(name) if blocks else _tuned(name, operands.x.dtype == torch.float32)
    with torch.cuda.device(operands.x.device) if operands.x.is_cuda else nullcontext():
        kernel[grid](*operands.tensors(), *sizes, **constants, **(blocks or {}))


def interpreted() -> bool:
    """True if Triton interprets the kernels (TRITON_INTERPRET=1) instead of compiling them."""
    import triton

    return not isinstance(_written("depthwise"), triton.JITFunction)


def _written(name: str) -> Any:
    """Return a kernel without tuning."""
    from bench.fused import kernels

    return getattr(kernels, name)


@cache
def _tuned(name: str, float32: bool) -> Any:
    """Return a kernel whose block sizes are tuned once per shape and dtype."""
    import triton

    if name == "depthwise":
        blocks = [
            triton.Config({"ROWS": rows, "COLUMNS": columns, "CHANNELS": channels}, num_warps=warps)
            for rows, columns, channels, warps in DEPTHWISE
        ]
        return triton.autotune(blocks, key=["height", "width", "channels", "KERNEL"])(
            _written(name)
        )
    blocks = [
        triton.Config(
            {"ROWS": rows, "OUTPUTS": outputs, "INPUTS": inputs, "GROUP": GROUP},
            num_warps=warps,
            num_stages=stages,
        )
        for rows, outputs, inputs, warps, stages in PRODUCT
        # In float32 larger blocks compile for minutes, into code that spills registers.
        if not float32 or rows * outputs <= 64 * 128
    ]
    return triton.autotune(blocks, key=["rows", "inputs", "outputs"])(_written(name))
