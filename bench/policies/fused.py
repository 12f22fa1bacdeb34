"""A ConvMixer as fast as its hardware allows: this project's own kernels on a GPU, what the libraries do best on a CPU."""

from __future__ import annotations

import importlib.util

from bench.plugins import Policy, policies
from bench.policies.compile import compiled
from bench.subject import Execution, module_of
from bench.timing import capture


def apply(execution: Execution) -> None:
    """Replace the model by its fused steps; NotImplementedError names what there is no kernel for.

    On a CPU the same models are accepted, and nothing is written by hand there: the compiler is told to leave maps in
    plain NCHW order, in which large depthwise filters are fast (docs/fused.md has what else was tried).
    """
    from bench.fused.lowering import on_kernels, recognise

    model = module_of(execution)
    if execution.device == "cpu":
        recognise(model)
        compiled(options={"layout_optimization": False})(execution)
        return
    execution.model = on_kernels(model)
    execution.finish.append(lambda call: capture(call, execution.device))


def supports(device: str) -> str | None:
    """Why a device cannot run it, if it cannot."""
    if device == "cpu":
        return None
    if not device.startswith("cuda"):
        return "its kernels are written for NVIDIA GPUs"
    return None if importlib.util.find_spec("triton") else "its kernels need Triton, which comes with PyTorch for CUDA on Linux"


policies.add(
    Policy(
        name="fused",
        apply=apply,
        order=30,
        slot="compiler",
        also=("memory format", "batch norm", "graph"),
        supports=supports,
        inference_only=True,
        handwritten=True,
        summary="ConvMixers alone: own kernels and a graph on a GPU, compiled in NCHW order on a CPU (docs/fused.md)",
    )
)
