"""Execution by ONNX Runtime."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from bench.devices import CPU, CUDA, kind_of
from bench.measure.subject import Execution
from bench.policies import _engine


def apply(execution: Execution) -> None:
    """Replace the model by a session of ONNX Runtime, built in the first call."""
    from bench.engines.deferred import engine_policy
    from bench.engines.onnx_runtime import build

    engine_policy("ort", build(execution.device))(execution)


def supports(device: str) -> str | None:
    """Return the reason why a device cannot run it, else None."""
    kind = kind_of(device)
    if kind not in (CPU, CUDA):
        return "ONNX Runtime is used on CPUs and NVIDIA GPUs here"
    if reason := _engine.missing("onnx", "onnx", "onnxscript"):
        return reason
    if kind is CUDA:
        try:
            version("onnxruntime-gpu")
        except PackageNotFoundError:
            return (
                "it is not installed for GPUs: pip install 'convmixer-bench[onnx]' onnxruntime-gpu"
            )
    return _engine.missing("onnx", "onnxruntime")


_engine.add(
    "ort",
    apply=apply,
    supports=supports,
    summary="ONNX Runtime, from an export by torch.export (extra: onnx)",
)
