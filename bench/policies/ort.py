"""Execution by ONNX Runtime."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from bench.devices import CPU, CUDA, kind_of
from bench.measure.subject import Execution
from bench.plugins import Policy, policies

INSTALL = "pip install 'convmixer-bench[onnx]'"


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
    if any(find_spec(name) is None for name in ("onnx", "onnxscript")):
        return f"it is not installed: {INSTALL}"
    if kind is CUDA:
        try:
            version("onnxruntime-gpu")
        except PackageNotFoundError:
            return f"it is not installed for GPUs: {INSTALL} onnxruntime-gpu"
    return None if find_spec("onnxruntime") else f"it is not installed: {INSTALL}"


policies.add(
    Policy(
        name="ort",
        apply=apply,
        order=30,
        slot="compiler",
        also=("memory format", "batch norm", "graph"),
        supports=supports,
        inference_only=True,
        summary="ONNX Runtime, from an export by torch.export (extra: onnx)",
    )
)
