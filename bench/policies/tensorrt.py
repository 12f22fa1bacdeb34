"""Execution by TensorRT."""

from __future__ import annotations

from bench.devices import CUDA, kind_of
from bench.measure.subject import Execution
from bench.policies import _engine


def apply(execution: Execution) -> None:
    """Replace the model by an engine of TensorRT, built in the first call."""
    from bench.engines.deferred import engine_policy
    from bench.engines.tensor_rt import build

    engine_policy("tensorrt", build(execution.device))(execution)


def supports(device: str) -> str | None:
    """Return the reason why a device cannot run it, else None."""
    if kind_of(device) is not CUDA:
        return "TensorRT needs an NVIDIA GPU"
    return _engine.missing("tensorrt", "onnx", "onnxscript", "tensorrt")


_engine.add(
    "tensorrt",
    apply=apply,
    supports=supports,
    summary="TensorRT, from an ONNX export, in the types of the graph (extra: tensorrt)",
)
