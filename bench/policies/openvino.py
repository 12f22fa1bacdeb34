"""Execution by OpenVINO."""

from __future__ import annotations

from importlib.util import find_spec

from bench.devices import CPU, kind_of
from bench.measure.subject import Execution
from bench.plugins import Policy, policies

NEEDED = ("onnx", "onnxscript", "openvino")


def apply(execution: Execution) -> None:
    """Replace the model by one that OpenVINO compiles in the first call."""
    from bench.engines.deferred import engine_policy
    from bench.engines.open_vino import build

    engine_policy("openvino", build, in_float32=True)(execution)


def supports(device: str) -> str | None:
    """Return the reason why a device cannot run it, else None."""
    if kind_of(device) is not CPU:
        return "OpenVINO is used on CPUs here"
    if any(find_spec(name) is None for name in NEEDED):
        return "it is not installed: pip install 'convmixer-bench[openvino]'"
    return None


policies.add(
    Policy(
        name="openvino",
        apply=apply,
        order=30,
        slot="compiler",
        also=("memory format", "batch norm", "graph"),
        supports=supports,
        inference_only=True,
        summary="OpenVINO, from an ONNX export, in the precision asked for (extra: openvino)",
    )
)
