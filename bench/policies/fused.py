"""A ConvMixer as fast as its hardware allows: this project's own kernels on a GPU, what the libraries do best on a CPU."""

from __future__ import annotations

import importlib.util

from torch import nn

from bench.measure.subject import Execution, module_of
from bench.measure.timing import capture
from bench.plugins import Policy, policies
from bench.policies.compile import compiled

LARGE = 9
"""Filters of this side or more stay in NCHW order on a CPU: channels-last ones are slow there."""


def apply(execution: Execution) -> None:
    """Replace the model by its fused steps; NotImplementedError names what there is no kernel for.

    On a CPU the same models are accepted, and nothing is written by hand there: they are compiled, in the order of memory
    that is faster for their filters (docs/fused.md has what was measured).
    """
    from bench.fused.lowering import on_kernels, recognise

    model = module_of(execution)
    if execution.device == "cpu":
        recognise(model)
        compiled(
            options={"layout_optimization": False}
            if _largest_filter(model) >= LARGE
            else {"freezing": True}
        )(execution)
        return
    execution.model = on_kernels(model)
    execution.finish.append(lambda call: capture(call, execution.device))


def _largest_filter(model: nn.Module) -> int:
    """Side of the largest depthwise filter."""
    return max(
        (
            one.kernel_size[0]
            for one in model.modules()
            if isinstance(one, nn.Conv2d) and one.groups == one.in_channels > 1
        ),
        default=0,
    )


def supports(device: str) -> str | None:
    """Why a device cannot run it, if it cannot."""
    if device == "cpu":
        return None
    if not device.startswith("cuda"):
        return "its kernels are written for NVIDIA GPUs"
    return (
        None
        if importlib.util.find_spec("triton")
        else "its kernels need Triton, which comes with PyTorch for CUDA on Linux"
    )


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
        summary="ConvMixers alone: own kernels and a graph on a GPU, compiled for its filters on a CPU (docs/fused.md)",
    )
)
