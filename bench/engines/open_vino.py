"""OpenVINO on a CPU.

Its default precision depends on the processor: bfloat16 where there are instructions for it, also
for a model in float32. The precision is therefore set, and read back from the compiled model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from bench.engines.calibration import Calibration
from bench.engines.exported import Exported
from bench.engines.no_telemetry import imported
from bench.engines.precision import NAMES, Product, checked
from bench.measure import cpu_placement
from bench.record.schema import Scalar

HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16", "int8": "f32"}
"""The type that is asked of layers which are not quantised."""
PRECISIONS = {"f32": "fp32", "bf16": "bf16", "f16": "fp16", "i8": "int8", "u8": "int8"}
PRODUCTS = {
    *("Convolution", "GroupConvolution", "Deconvolution", "FullyConnected", "MatMul"),
    *("ScaledDotProductAttention", "ScaledDotProductAttentionWithKVCache", "Gemm", "MHA"),
}
"""Types of layers that multiply and add. Attention that was fused into a Subgraph is not told apart
from arithmetic element by element."""


class OpenVino:
    """A compiled model for images of one shape."""

    def __init__(self, graph: Exported, quantised: Calibration | None) -> None:
        openvino = imported("openvino")
        self.openvino = openvino
        self.asked = NAMES[graph.dtype] if quantised is None else "int8"
        core = openvino.Core()
        self.content = graph.content if quantised is None else b""
        if quantised is None:
            model = core.read_model(graph.content)
        else:
            from bench.engines.quantised import by_nncf

            model = core.read_model(*by_nncf(graph, quantised))
        if graph.dtype != torch.float32:
            model = _taking(model, HINTS[self.asked])
        self.settings = _settings()
        self.compiled = core.compile_model(model, "CPU", _properties(self.asked, self.settings))
        self.request = self.compiled.create_infer_request()
        self.bound: tuple[int, Tensor] | None = None

    def __call__(self, images: Tensor) -> Tensor:
        images = images.contiguous()
        if self.bound is None or self.bound[0] != images.data_ptr():
            self.request.set_input_tensor(self._shared(images))
            self.bound = images.data_ptr(), images
        self.request.infer()
        output = self.request.get_output_tensor().data
        return torch.from_numpy(output.copy())

    def described(self) -> dict[str, Scalar]:
        """Return the properties of the compiled model, and the precision of its layers."""
        layers = self.compiled.get_runtime_model().get_ops()
        products = list(_products(layers))
        if self.asked == "fp32":
            # Layers that compute in a shorter type round, products or not.
            shorter = [kind for kind in map(_precision, layers) if kind in ("bf16", "fp16")]
            products += map(Product, shorter)
        return {
            "openvino": version("openvino"),
            **self.settings,
            "engine_hint": _read(self.compiled, "INFERENCE_PRECISION_HINT"),
            "engine_threads": int(self.compiled.get_property("INFERENCE_NUM_THREADS")),
            "engine_streams": int(self.compiled.get_property("NUM_STREAMS")),
            "engine_pinned": bool(self.compiled.get_property("ENABLE_CPU_PINNING")),
            **checked(self.asked, products),
        }

    def _shared(self, images: Tensor) -> Any:
        """Return an engine's tensor on the memory of `images`, which it reads at every call."""
        if images.dtype == torch.bfloat16:
            bits = images.view(torch.int16).numpy()
            return self.openvino.Tensor(bits, tuple(images.shape), self.openvino.Type.bf16)
        return self.openvino.Tensor(images.numpy(), shared_memory=True)


def _taking(model: Any, kind: str) -> Any:
    """Return a model that takes images in another type than float32."""
    openvino = imported("openvino")
    outer = openvino.preprocess.PrePostProcessor(model)
    outer.input().tensor().set_element_type(getattr(openvino.Type, kind))
    return outer.build()


def _settings() -> dict[str, Scalar]:
    return {"engine_threads": torch.get_num_threads(), "engine_waits": "as oneTBB does, not set"}


def _properties(asked: str, settings: dict[str, Scalar]) -> dict[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": HINTS[asked],
        "INFERENCE_NUM_THREADS": settings["engine_threads"],
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": bool(cpu_placement.places()),
    }


def _read(compiled: Any, name: str) -> str:
    """Return a property in words, such as float32 for a type that prints as <Type: 'float32'>."""
    return str(compiled.get_property(name)).removeprefix("<Type: '").removesuffix("'>")


def _products(layers: Iterable[Any]) -> Iterator[Product]:
    """Yield every product of the layers that are executed."""
    for layer in layers:
        if _fact(layer, "layerType") in PRODUCTS:
            yield Product(_precision(layer), _macs(layer))


def _macs(layer: Any) -> int:
    """Return the multiply-adds of a product, from the shapes of its factors and its result."""
    left, right = (tuple(layer.input(at).get_shape()) for at in (0, 1))
    result = tuple(layer.output(0).get_shape())
    if "onv" not in _fact(layer, "layerType"):
        return math.prod(result) * int(left[-1])
    return math.prod(result) * (math.prod(right) // int(result[1]))


def _precision(layer: Any) -> str:
    kind = _fact(layer, "runtimePrecision")
    return PRECISIONS.get(kind, kind)


def _fact(layer: Any, name: str) -> str:
    fact = layer.get_rt_info()[name]
    return str(fact.astype(str) if hasattr(fact, "astype") else fact)


def build(graph: Exported, quantised: Calibration | None) -> OpenVino:
    """Compile a model for images of one shape."""
    return OpenVino(graph, quantised)
