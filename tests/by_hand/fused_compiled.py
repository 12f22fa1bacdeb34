"""What the compiler makes of the handwritten kernels: registers, spills, instructions. No GPU.

    python -m tests.by_hand.fused_compiled [--arch 90]

Triton brings NVIDIA's assembler along. The share of multiply-adds among the inner loop's
instructions is the most of the float32 units that a kernel can use, since a scheduler issues one
instruction a cycle; what it reaches is for a GPU to say.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import triton
import triton.backends.nvidia
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from bench.fused import kernels
from bench.fused.blocks import BLOCKS, OPTIONS

TOOLS = Path(triton.backends.nvidia.__file__).parent / "bin"
INTEGERS = ("images", "height", "width", "channels", "rows", "outputs", "positions")
FLOAT32 = ("bias", "scale", "shift")
END = {"ACTIVATION": "gelu", "RESIDUAL": True}
PLANES = {"WIDEN": False, "ROWS": 32, "COLUMNS": 32}
CASES: list[tuple[str, str, dict[str, Any]]] = [
    *(
        ("planar_depthwise", "bf16", {"KERNEL": k, "BEFORE": k // 2, **PLANES, **END})
        for k in (9, 7)
    ),
    ("planar_product", "bf16", {"inputs": 1536, "WIDEN": False, **END}),
    ("depthwise", "fp32", {"KERNEL": 9, "BEFORE": 4, "PAIRS": False, **END}),
    ("depthwise", "bf16", {"KERNEL": 9, "BEFORE": 4, "PAIRS": True, **END}),
    ("product", "bf16", {"inputs": 1536, "PRECISION": "ieee", "WIDEN": False, **END}),
]
"""Kernel, dtype, and constants beside the block sizes."""


def compiled(
    kernel: Any, dtype: str, constants: dict[str, Any], options: dict[str, Any], arch: int
) -> Any:
    """Return a kernel for one set of constants.

    All pointers and sizes are multiples of 16, as a ConvMixer's are.
    """
    kinds = {
        name: "constexpr"
        if name in constants
        else "i32"
        if name in INTEGERS
        else "*fp32"
        if name in FLOAT32 or (name == "weight" and kernel is kernels.depthwise)
        else f"*{dtype}"
        for name in kernel.arg_names
    }
    places = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    attributes = {
        (place,): [["tt.divisibility", 16]]
        for place, kind in enumerate(kinds.values())
        if kind != "constexpr"
    }
    source = ASTSource(fn=kernel, signature=kinds, constexprs=places, attrs=attributes)
    return triton.compile(
        source,
        target=GPUTarget("cuda", arch, 32),
        options=options,
    )


def assembled(made: Any, arch: int) -> tuple[int, int]:
    """Registers a thread, and bytes that did not fit into them."""
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(made.asm["ptx"])
        file.flush()
        target = f"--gpu-name=sm_{arch}{'a' if arch >= 90 else ''}"
        told = subprocess.run(
            [TOOLS / "ptxas", "-v", target, file.name, "-o", "/dev/null"],
            capture_output=True,
            text=True,
        ).stderr
    return (
        *(
            int(re.findall(pattern, told)[0])
            for pattern in (r"Used (\d+) registers", r"(\d+) bytes spill stores")
        ),
    )  # type: ignore[return-value]


def inner_loop(made: Any) -> Counter[str]:
    """Return the instructions of the longest loop, by their first word."""
    with tempfile.NamedTemporaryFile("wb", suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        text = subprocess.run(
            [TOOLS / "nvdisasm", "-c", file.name], capture_output=True, text=True, check=True
        ).stdout
    words: list[str] = []
    labels: dict[str, int] = {}
    longest: list[str] = []
    for line in text.splitlines():
        if label := re.match(r"\s*\.(L_x_\d+):", line):
            labels[label.group(1)] = len(words)
        elif instruction := re.search(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\d+\s+)?([A-Z0-9]+)", line):
            words.append(instruction.group(1))
            back = re.search(r"BRA.*`\(\.(L_x_\d+)\)", line)
            if back and len(words) - labels.get(back.group(1), len(words)) > len(longest):
                longest = words[labels[back.group(1)] :]
    return Counter(longest)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", type=int, default=90, help="compute capability times ten")
    arch = parser.parse_args().arch
    for name, dtype, constants in CASES:
        for blocks in BLOCKS[name]:
            sizes = {size: value for size, value in blocks.items() if size not in OPTIONS}
            options = {option: blocks[option] for option in OPTIONS if blocks.get(option)}
            made = compiled(getattr(kernels, name), dtype, constants | sizes, options, arch)
            registers, spilled = assembled(made, arch)
            loop = inner_loop(made)
            share = loop["FFMA"] / max(1, loop.total())
            cores = "tensor cores" if "mma" in made.asm["ptx"] else f"{share:.0%} multiply-adds"
            print(
                f"{name} {dtype} {sizes | options}: {registers} registers, {spilled} bytes "
                f"spilled, {made.metadata.shared} bytes shared; {cores}"
            )


if __name__ == "__main__":
    main()
