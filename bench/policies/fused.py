"""The fastest execution of a ConvMixer: own kernels on a GPU, torch.compile on a CPU."""

from __future__ import annotations

import importlib.util

from torch import nn

from bench.devices import CUDA, kind_of
from bench.measure.subject import Execution, module_of
from bench.measure.timing import capture
from bench.plugins import Policy, policies
from bench.policies.compile import compiled

LARGE = 9
"""Filters of this side or more stay in NCHW on a CPU, where channels-last ones are slow."""


def apply(execution: Execution) -> None:
    """Replace the model by its fused steps.

    On a CPU there are no handwritten kernels: the same models are compiled, in the memory format
    that is faster for their filters (measurements in docs/fused.md).

    Raises:
        NotImplementedError: naming the layer that has no kernel.
    """
    from bench.fused.lowering import on_kernels, recognise

    model = module_of(execution)
    if execution.device == "cpu":
        recognise(model)
        large = _largest_filter(model) >= LARGE
        options = {"layout_optimization": False} if large else {"freezing": True}
        compiled(options=options)(execution)
        return
    execution.model = on_kernels(model)
    execution.finish.append(lambda call: capture(call, execution.device))


def _largest_filter(model: nn.Module) -> int:
    """Return the side of the largest depthwise filter, 0 if there is none."""
    largest = 0
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1:
            largest = max(largest, layer.kernel_size[0])
    return largest


def supports(device: str) -> str | None:
    """Return the reason why a device cannot run it, else None."""
    if device == "cpu":
        return None
    if kind_of(device) is not CUDA:
        return "its kernels are written for NVIDIA GPUs"
    if importlib.util.find_spec("triton") is None:
        return "its kernels need Triton, which comes with PyTorch for CUDA on Linux"
    return None


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
        summary="ConvMixers only: own kernels on a GPU, torch.compile on a CPU (docs/fused.md)",
    )
)
