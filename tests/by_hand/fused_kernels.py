"""Each handwritten kernel by itself on an NVIDIA GPU, against its limit and against PyTorch.

    python -m tests.by_hand.fused_kernels [--batch 64] [--dtype bfloat16]
    ncu --profile-from-start off --clock-control none python -m tests.by_hand.fused_kernels --once

Prints, for each published ConvMixer at 224 pixels: microseconds, the share of the limit (the larger
of arithmetic and memory time, docs/fused.md), the time of PyTorch's own operator in its better
memory format, and the blocks that were chosen. Limits are the device's: float32 multiply-adds from
its processors and highest clock, products and copies as the fastest that PyTorch does here. With
`--once`, each kernel runs once inside the range that a profiler is told of, and nothing is timed;
Nsight Compute (`ncu`) then says what limits it.
"""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import triton.testing
from torch import Tensor
from torch.nn import functional as F

from bench.fused import launch
from bench.fused.blocks import tuned

SHAPES = {
    "convmixer_1536_20": (1536, 9, 32),
    "convmixer_768_32": (768, 7, 32),
    "convmixer_1024_20": (1024, 9, 16),
}


def seconds(call: Callable[[], object]) -> float:
    """The median of one call."""
    return float(triton.testing.do_bench(call, return_mode="median")) / 1e3


def limits(dtype: torch.dtype) -> tuple[float, float, float]:
    """Multiply-adds a second of float32 units and of products, bytes a second."""
    device = torch.cuda.get_device_properties(0)
    lanes = (
        64 if (device.major, device.minor) == (8, 0) else 128
    )  # float32 multiply-adds a cycle and multiprocessor
    asked = ["nvidia-smi", "--query-gpu=clocks.max.sm", "--format=csv,noheader,nounits", "--id=0"]
    highest = 1e6 * float(subprocess.run(asked, capture_output=True, text=True, check=True).stdout)
    square = torch.randn(8192, 8192, dtype=dtype, device="cuda")
    large = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    other = torch.empty_like(large)
    return (
        device.multi_processor_count * lanes * highest,
        8192**3 / seconds(lambda: square @ square),
        2 * large.numel() / seconds(lambda: other.copy_(large)),
    )


def shown(name: str, took: float, limit: float, torchs: float, kernel: str) -> None:
    chosen = getattr(tuned(kernel, False), "best_config", "")
    share = f"{limit / took:6.1%} of its limit"
    print(f"{name:30s} {took * 1e6:8.1f} us  {share}  PyTorch {torchs * 1e6:8.1f} us  {chosen}")


@dataclass
class Operands:
    """What the kernels of one model's block read."""

    x: Tensor
    finish: launch.Finish
    filters: Tensor
    bands: Tensor
    weight: Tensor

    @classmethod
    def of(cls, name: str, batch: int, dtype: torch.dtype) -> Operands:
        width, kernel, side = SHAPES[name]
        filters = torch.randn(kernel, kernel, width, dtype=dtype, device="cuda")
        bias, scale, shift = (torch.randn(width, device="cuda") for _ in range(3))
        return cls(
            x=torch.randn(batch, width, side, side, dtype=dtype, device="cuda"),
            finish=launch.Finish(bias, scale, shift, "gelu"),
            filters=filters,
            bands=launch.band_matrices(filters, side),
            weight=torch.randn(width, width, dtype=dtype, device="cuda"),
        )

    def depthwise(self) -> Tensor:
        return launch.planar_depthwise(self.x, self.bands, self.finish, residual=self.x)

    def product(self) -> Tensor:
        return launch.planar_product(self.x.flatten(2), self.weight, self.finish)


def run_once(batch: int, dtype: torch.dtype) -> None:
    """Run each kernel once, after its blocks were tuned, inside the profiler's range."""
    for name in SHAPES:
        block = Operands.of(name, batch, dtype)
        for call in (block.depthwise, block.product):
            call()
            torch.cuda.synchronize()
            torch.cuda.profiler.start()
            call()
            torch.cuda.synchronize()
            torch.cuda.profiler.stop()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--dtype", choices=["bfloat16", "float16"], default="bfloat16")
    parser.add_argument("--once", action="store_true", help="for a profiler")
    chosen = parser.parse_args()
    dtype = getattr(torch, chosen.dtype)
    if chosen.once:
        run_once(chosen.batch, dtype)
        return
    vector, matrix, memory = limits(dtype)
    print(
        f"float32 {vector / 1e12:.1f} TMAC/s, products {matrix / 1e12:.1f} TMAC/s, "
        f"memory {memory / 1e12:.2f} TB/s"
    )
    for name, (width, kernel, _) in SHAPES.items():
        block = Operands.of(name, chosen.batch, dtype)
        x = block.x
        moved = 2 * x.numel() * x.element_size() / memory
        theirs = block.filters.permute(2, 0, 1)[:, None].contiguous()
        better = min(
            seconds(partial(F.conv2d, images, theirs, padding="same", groups=width))
            for images in (x, x.contiguous(memory_format=torch.channels_last))
        )
        took = seconds(block.depthwise)
        arithmetic = x.numel() * kernel * block.bands.shape[-1] / matrix
        shown(f"{name} depthwise", took, max(arithmetic, moved), better, "planar_depthwise")
        on_lanes = x.numel() * kernel**2 / vector
        print(f"{'':30s} on float32 units it would take at least {on_lanes * 1e6:.1f} us")
        better = seconds(partial(torch.matmul, block.weight, x.flatten(2)))
        limit = max(x.numel() * width / matrix, moved)
        shown(f"{name} product", seconds(block.product), limit, better, "planar_product")


if __name__ == "__main__":
    main()
