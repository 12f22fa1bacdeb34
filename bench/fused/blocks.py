"""Block sizes of the kernels: chosen by timing on a GPU, fixed in Triton's interpreter.

Triton is imported at the first launch; recognising models does not need it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

Blocks = Mapping[str, Any]
GROUP = 8
"""Blocks of rows of a product that share the weights in the L2 cache."""
# The block sizes to choose from. More than these were timed on an H200; those left out were at
# least a tenth slower at the published ConvMixers' shapes (docs/fused.md).
BLOCKS: dict[str, list[dict[str, Any]]] = {
    # Every thread keeps rows * columns * channels / (32 * warps) sums in registers; today's
    # multiprocessors can hold 64 next to the weights (tests/by_hand/fused_compiled.py).
    "depthwise": [
        {"ROWS": rows, "COLUMNS": columns, "CHANNELS": 64, "num_warps": 4}
        for rows, columns in ((8, 8), (16, 8), (8, 4))
    ],
    "product": [
        {"ROWS": rows, "OUTPUTS": outputs, "INPUTS": inputs, "GROUP": GROUP}
        | {"num_warps": warps, "num_stages": stages}
        for rows, outputs, inputs, warps, stages in (
            (128, 256, 64, 8, 3),
            (128, 128, 64, 4, 3),
            (128, 64, 32, 4, 4),
            (64, 64, 32, 4, 4),
            (32, 64, 64, 4, 4),
        )
    ],
    "planar_depthwise": [
        {"LINES": lines, "IMAGES_FIRST": first, "STAGES": 3, "num_warps": warps}
        for first in (False, True)
        for lines, warps in ((128, 4), (256, 4), (256, 8))
    ],
    # With at most 128 registers a thread a multiprocessor holds two blocks: one finishes while the
    # other multiplies.
    "planar_product": [
        {"OUTPUTS": outputs, "POSITIONS": positions, "INPUTS": inputs}
        | {"num_warps": warps, "num_stages": stages, "maxnreg": registers}
        for outputs, positions, inputs, warps, stages, registers in (
            (128, 256, 64, 8, 4, None),
            (128, 128, 64, 8, 3, 128),
            (128, 128, 32, 8, 4, 128),
            (128, 128, 64, 4, 3, None),
            (64, 128, 64, 4, 4, None),
            (64, 64, 64, 4, 4, None),
        )
    ],
}
KEYS = {
    "depthwise": ["height", "width", "channels", "KERNEL"],
    "product": ["rows", "inputs", "outputs"],
    "planar_depthwise": ["images", "height", "width", "channels", "KERNEL"],
    "planar_product": ["positions", "inputs", "outputs"],
}
"""The sizes for which block sizes are chosen anew."""
OPTIONS = ("num_warps", "num_stages", "maxnreg")
# The interpreter's time depends on the number of steps, so use few and large blocks.
INTERPRETED: dict[str, Blocks] = {
    "depthwise": {"ROWS": 8, "COLUMNS": 8, "CHANNELS": 1024},
    "product": {"ROWS": 64, "OUTPUTS": 512, "INPUTS": 512, "GROUP": GROUP},
    "planar_depthwise": {"LINES": 64, "IMAGES_FIRST": False, "STAGES": 1},
    "planar_product": {"OUTPUTS": 512, "POSITIONS": 64, "INPUTS": 512},
}


def interpreted() -> bool:
    """True if Triton interprets the kernels (TRITON_INTERPRET=1) instead of compiling them."""
    import triton

    return not isinstance(written("depthwise"), triton.JITFunction)


def written(name: str) -> Any:
    """Return a kernel without tuning."""
    from bench.fused import kernels

    return getattr(kernels, name)


@cache
def tuned(name: str, float32: bool) -> Any:
    """Return a kernel whose block sizes are tuned once per shape and dtype."""
    import triton

    configs = []
    for blocks in BLOCKS[name]:
        # In float32 larger blocks compile for minutes, into code that spills registers.
        if float32 and name == "product" and blocks["ROWS"] * blocks["OUTPUTS"] > 64 * 128:
            continue
        options = {option: blocks[option] for option in OPTIONS if option in blocks}
        sizes = {size: value for size, value in blocks.items() if size not in OPTIONS}
        configs.append(triton.Config(sizes, **options))
    return triton.autotune(configs, key=KEYS[name])(written(name))
