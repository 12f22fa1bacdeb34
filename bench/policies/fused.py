"""A ConvMixer on kernels written for it, on NVIDIA GPUs."""

from __future__ import annotations

import importlib.util

from bench.devices import CUDA, kind_of
from bench.measure.subject import Execution, module_of
from bench.measure.timing import capture
from bench.plugins import Policy, policies


def apply(execution: Execution) -> None:
    """Replace the model by its fused steps.

    Raises:
        NotImplementedError: naming the layer that has no kernel.
    """
    from bench.fused.lowering import on_kernels

    execution.model = on_kernels(module_of(execution))
    execution.finish.append(lambda call: capture(call, execution.device))


def supports(device: str) -> str | None:
    """Return the reason why a device cannot run it, else None."""
    if kind_of(device) is not CUDA:
        return "its kernels are written for NVIDIA GPUs; on a CPU use ort, openvino or best"
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
        summary="ConvMixers only: own kernels on an NVIDIA GPU (docs/fused.md)",
    )
)
