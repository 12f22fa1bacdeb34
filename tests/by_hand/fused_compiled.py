"""What the compiler makes of the handwritten kernels, without a GPU: registers, spills, and what the inner loop does.

    python -m tests.by_hand.fused_compiled [--arch 90]

Triton brings NVIDIA's assembler along. The share of multiply-adds among the inner loop's instructions is the most of the
float32 units that a kernel can use, since a scheduler issues one instruction a cycle; what it reaches is for a GPU to say.
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

from bench.fused import kernels, launch

TOOLS = Path(triton.backends.nvidia.__file__).parent / "bin"
INTEGERS = ("height", "width", "channels", "rows", "outputs")
FLOAT32 = ("bias", "scale", "shift")


def compiled(
    kernel: Any, dtype: str, constants: dict[str, Any], *, warps: int, stages: int, arch: int
) -> Any:
    """A kernel for one set of constants; all pointers and sizes are multiples of 16, as a ConvMixer's are."""
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
        options={"num_warps": warps, "num_stages": stages},
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
    """Instructions between a label and the branch back to it, by their first word, in the longest such loop."""
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
    for side, dtype in ((9, "bf16"), (7, "bf16"), (9, "fp16"), (9, "fp32")):
        for rows, columns, channels, warps in launch.DEPTHWISE:
            blocks = {
                "ROWS": rows,
                "COLUMNS": columns,
                "CHANNELS": channels,
                "PAIRS": dtype == "bf16",
            }
            constants = {
                "KERNEL": side,
                "BEFORE": (side - 1) // 2,
                "ACTIVATION": "gelu",
                "RESIDUAL": True,
                **blocks,
            }
            made = compiled(kernels.depthwise, dtype, constants, warps=warps, stages=3, arch=arch)
            loop = inner_loop(made)
            registers, spilled = assembled(made, arch)
            share = loop["FFMA"] / max(1, loop.total())
            print(
                f"depthwise {side}x{side} {dtype} {rows:3d} x {columns} x {channels:3d}, {warps} warps: {registers} registers, "
                f"{spilled} bytes spilled; {loop['FFMA']} of {loop.total()} instructions multiply and add, {share:.0%}"
            )
    for dtype in ("bf16", "fp32"):
        for rows, outputs, inputs, warps, stages in launch.PRODUCT:
            blocks = {"ROWS": rows, "OUTPUTS": outputs, "INPUTS": inputs, "GROUP": launch.GROUP}
            constants = {
                "PRECISION": "ieee",
                "WIDEN": False,
                "ACTIVATION": "gelu",
                "RESIDUAL": False,
                "inputs": 1536,
                **blocks,
            }
            made = compiled(
                kernels.product, dtype, constants, warps=warps, stages=stages, arch=arch
            )
            registers, spilled = assembled(made, arch)
            cores = "tensor cores" if "mma" in made.asm["ptx"] else "no tensor cores"
            print(
                f"product {dtype} {rows:3d} x {outputs:3d} x {inputs}, {warps} warps, {stages} stages: {registers} registers, "
                f"{spilled} bytes spilled, {made.metadata.shared} bytes shared; {cores}"
            )


if __name__ == "__main__":
    main()
