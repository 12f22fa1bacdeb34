"""Execution by TensorRT."""

from __future__ import annotations

from importlib.util import find_spec

from bench.devices import CUDA, kind_of
from bench.measure.subject import Execution
from bench.plugins import Policy, policies

NEEDED = ("onnx", "onnxscript", "tensorrt")


def apply(execution: Execution) -> None:
    """Replace the model by an engine of TensorRT, built in the first call."""
    from bench.engines.deferred import engine_policy
    from bench.engines.tensor_rt import build

    engine_policy("tensorrt", build(execution.device))(execution)


def supports(device: str) -> str | None:
    """Return the reason why a device cannot run it, else None."""
    if kind_of(device) is not CUDA:
        return "TensorRT needs an NVIDIA GPU"
    if any(find_spec(name) is None for name in NEEDED):
        return "it is not installed: pip install 'convmixer-bench[tensorrt]'"
    return None


policies.add(
    Policy(
        name="tensorrt",
        apply=apply,
        order=30,
        slot="compiler",
        also=("memory format", "batch norm", "graph"),
        supports=supports,
        inference_only=True,
        summary="TensorRT, from an ONNX export, in the types of the graph (extra: tensorrt)",
    )
)
