"""TensorRT on an NVIDIA GPU, from the exported graph, whose types the engine has to keep."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from bench.engines.calibration import Calibration
from bench.engines.deferred import Build
from bench.engines.exported import IMAGES, LOGITS, Exported
from bench.engines.precision import NAMES, Product, checked
from bench.record.schema import Scalar

PRODUCTS = ("conv", "gemm", "matmul", "matrixmultiply", "mha")
"""Parts of the types of layers that multiply and add, in lower case."""
PRECISIONS = {
    "bfloat16": "bf16",
    "bf16": "bf16",
    "half": "fp16",
    "fp16": "fp16",
    "int8": "int8",
    "float": "fp32",
    "fp32": "fp32",
}
"""Parts of the inspector's words for formats, in lower case; the first that fits is meant."""


class TensorRt:
    """An engine with its execution context, for images of one shape."""

    def __init__(self, graph: Exported, device: str) -> None:
        import tensorrt

        self.tensorrt = tensorrt
        self.asked, self.content = NAMES[graph.dtype], graph.content
        self.device = torch.device(device)
        self.shape = (graph.shape[0], graph.classes)
        self.tf32 = torch.backends.cuda.matmul.allow_tf32
        with torch.cuda.device(self.device):
            self.engine = self._built(graph.content)
            self.context = self.engine.create_execution_context()

    def __call__(self, images: Tensor) -> Tensor:
        images = images.contiguous()
        logits = torch.empty(self.shape, dtype=images.dtype, device=images.device)
        self.context.set_tensor_address(IMAGES, images.data_ptr())
        self.context.set_tensor_address(LOGITS, logits.data_ptr())
        stream = torch.cuda.current_stream(self.device).cuda_stream
        if not self.context.execute_async_v3(stream):
            raise RuntimeError("TensorRT refused the call")
        return logits

    def described(self) -> dict[str, Scalar]:
        """Return the version, and the precision of the engine's layers by its inspector."""
        inspector = self.engine.create_engine_inspector()
        text = inspector.get_engine_information(self.tensorrt.LayerInformationFormat.JSON)
        return {
            "tensorrt": version("tensorrt"),
            "engine_tf32": self.tf32,
            **checked(self.asked, _products(json.loads(text)["Layers"])),
        }

    def _built(self, content: bytes) -> Any:
        """Build an engine in which every layer has the types of the graph."""
        trt = self.tensorrt
        logger = trt.Logger(trt.Logger.ERROR)
        builder = trt.Builder(logger)
        typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        network = builder.create_network(typed)
        parser = trt.OnnxParser(network, logger)
        if not parser.parse(content):
            raise NotImplementedError(f"its parser refuses the graph: {parser.get_error(0).desc()}")
        config = builder.create_builder_config()
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        (config.set_flag if self.tf32 else config.clear_flag)(trt.BuilderFlag.TF32)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise NotImplementedError("it cannot build an engine for this graph")
        return trt.Runtime(logger).deserialize_cuda_engine(plan)


def _products(layers: list[Any]) -> Iterator[Product]:
    """Yield the products among the inspector's layers, with the type of their first input."""
    for layer in layers:
        kind = str(layer.get("LayerType", "")).lower() if isinstance(layer, dict) else ""
        if any(part in kind for part in PRODUCTS):
            form = str(layer["Inputs"][0]["Format/Datatype"]).lower()
            yield Product(next((PRECISIONS[word] for word in PRECISIONS if word in form), form))


def build(device: str) -> Build:
    """Return the function that builds an engine for a device."""

    def built(graph: Exported, quantised: Calibration | None) -> TensorRt:
        if quantised is not None:
            raise NotImplementedError("int8 is quantised for ort and openvino only")
        return TensorRt(graph, device)

    return built
