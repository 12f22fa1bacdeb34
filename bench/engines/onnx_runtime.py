"""ONNX Runtime, on a CPU or by its CUDA provider.

On a CPU it gets as many threads as PyTorch, on the same cores. They poll for work within a call
and stop when it returns, because the next window is another arm's.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.engines.calibration import Calibration
from bench.engines.deferred import Build
from bench.engines.exported import IMAGES, LOGITS, Exported
from bench.engines.no_telemetry import imported
from bench.engines.precision import NAMES, Product, checked
from bench.errors import one_line
from bench.measure import cpu_placement
from bench.measure.memory import is_out_of_memory
from bench.record.schema import Scalar

PACKAGES = ("onnxruntime-gpu", "onnxruntime")
ELEMENTS = {torch.float32: 1, torch.float16: 10, torch.bfloat16: 16}
"""ONNX's numbers of the types."""
PRODUCTS = ("Conv", "MatMul", "Gemm", "Attention", "Einsum")
"""Parts of the names of operators that multiply and add, the engine's own fused ones included."""
FATAL = 4
"""Severity of what the engine may write to the terminal, where a progress display is. Errors are
raised as well."""
PRECISIONS = {
    "float": "fp32",
    "float16": "fp16",
    "bfloat16": "bf16",
    "uint8": "int8",
    "int8": "int8",
}


class OnnxRuntime:
    """A session for images of one shape."""

    def __init__(self, graph: Exported, quantised: Calibration | None, device: str) -> None:
        self.asked = NAMES[graph.dtype] if quantised is None else "int8"
        self.device = torch.device(device)
        self.element = ELEMENTS[graph.dtype]
        self.shape = (graph.shape[0], graph.classes)
        self.profiles = tempfile.mkdtemp()
        self.settings = _settings(self.device)
        self.content = graph.content
        if quantised is not None:
            from bench.engines.quantised import by_onnx_runtime

            self.content = by_onnx_runtime(graph, quantised)
        try:
            self.session = _session(self.content, self.device, self.settings, self.profiles)
        except Exception as error:
            if self.asked not in ("bf16", "fp16") or is_out_of_memory(error):
                raise
            raise NotImplementedError(
                f"has no {self.asked} kernels for a layer of this model on {device} "
                f"({one_line(error)[:200]})"
            ) from error
        self.binding = self.session.io_binding()

    def __call__(self, images: Tensor) -> Tensor:
        images = images.contiguous()
        logits = torch.empty(self.shape, dtype=images.dtype, device=images.device)
        where = (self.device.type, self.device.index or 0, self.element)
        self.binding.bind_input(IMAGES, *where, tuple(images.shape), images.data_ptr())
        self.binding.bind_output(LOGITS, *where, self.shape, logits.data_ptr())
        if self.device.type == "cuda":  # the session runs on a stream of its own
            torch.cuda.current_stream(self.device).synchronize()
        self.session.run_with_iobinding(self.binding)
        return logits

    def described(self) -> dict[str, Scalar]:
        """Return the settings, and the precision of the kernels that the first call ran."""
        kernels = list(_kernels(Path(self.session.end_profiling())))
        shutil.rmtree(self.profiles, ignore_errors=True)
        provider = self.session.get_providers()[0]
        elsewhere = {kernel["op_name"] for kernel in kernels if kernel["provider"] != provider}
        if elsewhere:
            raise NotImplementedError(f"{provider} has no {', '.join(sorted(elsewhere))}")
        return {
            "onnxruntime": installed(),
            "engine_provider": provider,
            **self.settings,
            **checked(self.asked, _products(kernels)),
        }


def build(device: str) -> Build:
    """Return the function that builds a session for a device."""
    return lambda graph, quantised: OnnxRuntime(graph, quantised, device)


def installed() -> str:
    """Return the version of ONNX Runtime, with the name of its package for GPUs."""
    for package in PACKAGES:
        try:
            return f"{version(package)}{' (gpu)' if package.endswith('gpu') else ''}"
        except PackageNotFoundError:
            continue
    return "unknown"


def _settings(device: torch.device) -> dict[str, Scalar]:
    """Return what the session is told about threads and TF32, for the record."""
    if device.type == "cuda":
        return {"engine_tf32": torch.backends.cuda.matmul.allow_tf32}
    places = cpu_placement.places()
    passive = os.environ.get("OMP_WAIT_POLICY", "").lower() == "passive"
    return {
        "engine_threads": torch.get_num_threads(),
        "engine_cores": ",".join(map(str, places)) or "any",
        "engine_waits": "asleep" if passive else "polling within a call",
    }


def _session(content: bytes, device: torch.device, settings: dict[str, Scalar], into: str) -> Any:
    onnxruntime = imported("onnxruntime")
    onnxruntime.set_default_logger_severity(FATAL)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL
    options.enable_profiling = True
    options.profile_file_prefix = os.path.join(into, "profile")
    options.inter_op_num_threads = 1
    if device.type == "cpu":
        threads, places = torch.get_num_threads(), cpu_placement.places()
        options.intra_op_num_threads = threads
        spins = "0" if settings["engine_waits"] == "asleep" else "1"
        options.add_session_config_entry("session.intra_op.allow_spinning", spins)
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if len(places) >= threads > 1:
            # The calling thread is the first one; cores are counted from 1 here.
            others = ";".join(str(core + 1) for core in places[1:threads])
            options.add_session_config_entry("session.intra_op_thread_affinities", others)
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    cuda = {
        "device_id": device.index or 0,
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "use_tf32": int(bool(settings["engine_tf32"])),
    }
    return onnxruntime.InferenceSession(
        content, options, providers=[("CUDAExecutionProvider", cuda)]
    )


def _kernels(profile: Path) -> Iterator[dict[str, Any]]:
    """Yield operator, provider and types of every kernel in a profile."""
    for event in json.loads(profile.read_text(encoding="utf-8")):
        if event.get("cat") == "Node" and "op_name" in event.get("args", {}):
            yield event["args"]


def _products(kernels: list[dict[str, Any]]) -> Iterator[Product]:
    """Yield every product, with the type of its first factor.

    A profile lacks the shapes of weights that were packed, so all products count alike.
    """
    for kernel in kernels:
        if any(part in kernel["op_name"] for part in PRODUCTS):
            kind = next(iter(kernel["input_type_shape"][0]))
            yield Product(PRECISIONS.get(kind, kind))
