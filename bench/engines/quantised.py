"""Static quantisation to int8 after training, as each engine's own tool does it.

Ranges of activations come from pictures, weights have a scale per output channel. One rule holds
for all models: products (convolutions, matrix products) are quantised, and what lies between them
as the tool needs.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

from bench.engines.calibration import Calibration
from bench.engines.exported import IMAGES, Exported
from bench.engines.kept import digest, kept
from bench.engines.no_telemetry import imported

PRODUCTS = ["Conv", "MatMul", "Gemm"]
"""Operators that ONNX Runtime's tool quantises here. By default it also takes sums and softmax: the
logits of a small ViT were then off by 0.40 of the largest, and by 0.02 with products alone."""

SIZE = 8
"""Bytes that say how long the first of two files is."""


def by_onnx_runtime(graph: Exported, pictures: Calibration) -> bytes:
    """Return an .onnx file in QDQ format, quantised by ONNX Runtime's tool."""
    key = digest("int8", graph.content, pictures.images, version("onnxruntime"))
    return kept(f"{key}.onnx", lambda: _by_onnx_runtime(graph, pictures))


def _by_onnx_runtime(graph: Exported, pictures: Calibration) -> bytes:
    tool = imported("onnxruntime.quantization")
    shapes = imported("onnxruntime.quantization.shape_inference")
    with tempfile.TemporaryDirectory() as folder, _quiet():
        plain, prepared, made = (str(Path(folder) / name) for name in ("plain", "prepared", "made"))
        Path(plain).write_bytes(graph.content)
        shapes.quant_pre_process(plain, prepared)
        tool.quantize_static(
            prepared,
            made,
            _Reader(pictures, graph.shape[0]),
            quant_format=tool.QuantFormat.QDQ,
            per_channel=True,
            activation_type=tool.QuantType.QUInt8,
            weight_type=tool.QuantType.QInt8,
            op_types_to_quantize=PRODUCTS,
        )
        return Path(made).read_bytes()


def by_nncf(graph: Exported, pictures: Calibration) -> tuple[bytes, bytes]:
    """Return a model quantised by NNCF as the .xml and the .bin file of OpenVINO."""
    key = digest("int8", graph.content, pictures.images, version("nncf"), version("openvino"))
    content = kept(f"{key}.openvino", lambda: _by_nncf(graph, pictures))
    size = int.from_bytes(content[:SIZE], "big")
    return content[SIZE : SIZE + size], content[SIZE + size :]


def _by_nncf(graph: Exported, pictures: Calibration) -> bytes:
    """Quantise with NNCF's settings for transformers, with ranges that hold every picture.

    The same for all models, because it was the closest to float32 for each of four families on
    pictures that had no part in it: errors of 0.07 to 0.28 of the logits' spread, where ranges
    averaged over batches (NNCF's default) had 0.24 to 6.4, and SmoothQuant 1.4 and 1.6 for a mixer.
    """
    openvino = imported("openvino")
    with tempfile.TemporaryDirectory() as folder, _quiet():
        nncf = imported("nncf")
        ranges = imported("nncf.quantization.range_estimator")
        images = [part.numpy() for part in pictures.batches(graph.shape[0])]
        model = nncf.quantize(
            openvino.Core().read_model(graph.content),
            nncf.Dataset(images, lambda part: {IMAGES: part}),
            subset_size=len(images),
            model_type=nncf.ModelType.TRANSFORMER,
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                activations_range_estimator_params=ranges.RangeEstimatorParametersSet.MINMAX,
                smooth_quant_alpha=-1,  # off
            ),
        )
        path = Path(folder) / "made.xml"
        openvino.save_model(model, str(path), compress_to_fp16=False)
        text = path.read_bytes()
        return len(text).to_bytes(SIZE, "big") + text + path.with_suffix(".bin").read_bytes()


class _Reader:
    """Pictures as ONNX Runtime's tool asks for them."""

    def __init__(self, pictures: Calibration, batch: int) -> None:
        self.parts = iter(pictures.batches(batch))

    def get_next(self) -> dict[str, Any] | None:
        part = next(self.parts, None)
        return None if part is None else {IMAGES: part.numpy()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Switch off messages and progress bars, which would break our progress display."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
