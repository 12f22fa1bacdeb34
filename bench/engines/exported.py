"""A model as ONNX, by PyTorch's exporter on top of `torch.export`."""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn

from bench.count.outputs import logits_of
from bench.engines.kept import digest, kept
from bench.errors import one_line
from bench.measure.memory import is_out_of_memory
from bench.record.schema import Scalar

IMAGES, LOGITS = "images", "logits"
"""Names of the graph's only input and only output."""
LARGEST = (1 << 31) - 1
"""Bytes of a protocol buffer, at most; an ONNX graph with its weights is one."""


class Logits(nn.Module):
    """A model reduced to its logits (batch, num_classes), wherever they are in its output."""

    def __init__(self, model: nn.Module, classes: int | None) -> None:
        super().__init__()
        self.model, self.classes = model, classes

    def forward(self, images: Tensor) -> Tensor:
        return logits_of(self.model(images), len(images), self.classes)


@dataclass(frozen=True)
class Exported:
    """An exported model."""

    content: bytes
    """The .onnx file, with the weights in it."""
    opset: int
    shape: tuple[int, ...]
    """Of the images."""
    classes: int
    dtype: torch.dtype
    """Of the images at each call: the precision that was asked for."""

    def described(self) -> dict[str, Scalar]:
        """Return the versions that the graph depends on, for the record."""
        packages = {name: version(name) for name in ("onnx", "onnxscript")}
        return {"onnx_opset": self.opset, **packages}


def exported(
    model: nn.Module, images: Tensor, classes: int | None, *, in_float32: bool = False
) -> Exported:
    """Export a model in evaluation mode for images (batch, 3, size, size) of one shape and dtype.

    `in_float32` writes a graph in float32, with weights as they were rounded, for engines that are
    told their precision. Raises NotImplementedError, with the exporter's reason, for a model that
    it cannot take.
    """
    import onnx

    dtype = images.dtype
    if in_float32:
        model, images = model.float(), images.float()
    whole = Logits(model, classes).eval()
    key = digest("onnx", whole, tuple(images.shape), images.dtype, version("torch"))
    content = kept(f"{key}.onnx", lambda: _content(whole, images))
    graph = onnx.load_model_from_string(content)
    (logits,) = graph.graph.output
    return Exported(
        content=content,
        opset=next(each.version for each in graph.opset_import if not each.domain),
        shape=tuple(images.shape),
        classes=logits.type.tensor_type.shape.dim[-1].dim_value,
        dtype=dtype,
    )


def _content(model: nn.Module, images: Tensor) -> bytes:
    """Export a model. Raises NotImplementedError as `exported` does."""
    try:
        graph = _program(model, images).model_proto
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise NotImplementedError(f"the model cannot be exported: {_innermost(error)}") from error
    if graph.ByteSize() > LARGEST:
        size = graph.ByteSize() / 1e9
        raise NotImplementedError(f"the exported model has {size:.1f} GB, and ONNX holds 2.1 GB")
    return bytes(graph.SerializeToString())


def _program(model: nn.Module, images: Tensor) -> Any:
    """Run the exporter without its progress lines, its warnings, and its log of unused packages."""
    with (
        torch.inference_mode(False),
        torch.no_grad(),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        return torch.onnx.export(
            model,
            (images.detach().clone(),),
            dynamo=True,
            optimize=True,
            verbose=False,
            input_names=[IMAGES],
            output_names=[LOGITS],
        )


def _innermost(error: BaseException) -> str:
    """Return the first error of a chain in one line: the exporter wraps it in a long report."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {one_line(error)[:200]}"
