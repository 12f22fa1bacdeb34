"""Execution by OpenVINO."""

from __future__ import annotations

from bench.devices import CPU, kind_of
from bench.measure.subject import Execution
from bench.policies import _engine


def apply(execution: Execution) -> None:
    """Replace the model by one that OpenVINO compiles in the first call."""
    from bench.engines.deferred import engine_policy
    from bench.engines.open_vino import build

    engine_policy("openvino", build, in_float32=True)(execution)


def supports(device: str) -> str | None:
    """Return the reason why a device cannot run it, else None."""
    if kind_of(device) is not CPU:
        return "OpenVINO is used on CPUs here"
    return _engine.missing("openvino", "onnx", "onnxscript", "openvino")


_engine.add(
    "openvino",
    apply=apply,
    supports=supports,
    summary="OpenVINO, from an ONNX export, in the precision asked for (extra: openvino)",
)
