"""A model as an .onnx file with a policy's settings: what was measured, to be deployed."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.count import building
from bench.count.timed_weights import as_trained
from bench.engines.deferred import Deferred
from bench.engines.exported import exported
from bench.errors import UsageError
from bench.files.files import write_whole
from bench.measure.subject import Execution, apply, module_of
from bench.plugins import Model, dataset_of, open_data
from bench.record.schema import Scalar
from bench.training.images.showing import View
from bench.training.images.views import shown
from bench.training.published import CLASSES, weights, with_weights
from bench.training.weights import from_file, resized
from bench.training.weights_file import metadata_of

TIMES = ("export_s", "engine_build_s")
PREFIX = "convmixer-bench."
"""Begins the names of our settings in the file's metadata."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A model to export with weights: of a tag, of a file, or those that speeds are timed with.

    `policy` is canonical. `data` are the pictures that int8 takes its ranges from.
    """

    entry: Model
    policy: str
    image_size: int
    num_classes: int
    batch_size: int
    seed: int = 0
    tag: str | None = None
    checkpoint: Path | None = None
    data: str | None = None


@dataclass(frozen=True)
class Written:
    """What a file contains: whose weights, and the settings that are in its metadata.

    `error` is the largest difference of its logits from float32 PyTorch's, as a share of the
    largest logit; None if it was not run.
    """

    weights: str
    settings: dict[str, Scalar]
    error: float | None


def write(wanted: Wanted, file: Path) -> Written:
    """Write a model as the policy's engine gets it.

    Raises:
        UsageError: if the policy is not an engine's, or there are no such weights.
        NotImplementedError: if the engine cannot take the model, or does not keep the precision.
    """
    model, whose = _model(wanted)
    execution = _execution(wanted, copy.deepcopy(model))
    apply(wanted.policy, execution)
    if execution.calibration is not None:  # its ranges are those of pictures
        execution.inputs.copy_(execution.calibration.batches(wanted.batch_size)[0])
    expected = _logits(model, execution.inputs.float())
    error = None
    if isinstance(execution.model, Deferred):
        with torch.inference_mode():
            logits, content = execution.model.first(execution.inputs)
        error = float((logits.float() - expected).abs().max() / expected.abs().max())
    else:
        content = exported(module_of(execution), execution.inputs, wanted.num_classes).content
    if not content:
        raise UsageError(
            f"--policy: {wanted.policy} runs a format of its own, not ONNX; int8+ort can be written"
        )
    settings: dict[str, Scalar] = {
        "model": wanted.entry.name,
        "policy": wanted.policy,
        "weights": whose,
    }
    settings |= {name: found for name, found in execution.engine.items() if name not in TIMES}
    write_whole(file, _with_settings(content, settings))
    return Written(whose, settings, error)


def _logits(model: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = Execution(model, images, "cpu").forward()
    return logits


def _execution(wanted: Wanted, model: nn.Module) -> Execution:
    shape = (wanted.batch_size, 3, wanted.image_size, wanted.image_size)
    return Execution(
        model=model,
        inputs=torch.randn(shape, generator=torch.Generator().manual_seed(wanted.seed)),
        device="cpu",
        classes=wanted.num_classes,
        model_name=wanted.entry.name,
        data=wanted.data,
        view=_view(wanted),
    )


def _view(wanted: Wanted) -> View | None:
    """Return how pictures are shown to the weights that were asked for; None without data."""
    if wanted.data is None:
        return None
    says = metadata_of(wanted.checkpoint) if wanted.checkpoint else None
    dataset, size = dataset_of(wanted.data)[0], wanted.image_size
    usual = shown(wanted.entry, dataset, size=size, tag=wanted.tag, says=says)
    return usual.of(open_data(wanted.data))


def _model(wanted: Wanted) -> tuple[nn.Module, str]:
    """Return the model in evaluation mode, and whose weights it has."""
    entry, size = wanted.entry, wanted.image_size

    def build(at: int) -> nn.Module:
        torch.manual_seed(wanted.seed)
        return building.build(entry, image_size=at, num_classes=wanted.num_classes)

    if wanted.checkpoint is not None:
        own = metadata_of(wanted.checkpoint).image_size or entry.image_size
        model, _ = from_file(wanted.checkpoint, build, size, own=own)
        return model.eval(), wanted.checkpoint.name
    if wanted.tag is not None:
        if wanted.tag not in weights(entry):
            raise UsageError(
                f"{entry.name}@{wanted.tag}: there are no such weights; "
                f"`bench list weights {entry.name}` shows those that there are"
            )
        model = with_weights(entry, wanted.tag)
        if size != entry.image_size:
            model, _ = resized(model, build, size, own=entry.image_size, name=entry.name)
        return model, f"{entry.name}@{wanted.tag}"
    model = build(size).eval()
    as_trained(model, image_size=size, seed=wanted.seed)
    return model, f"random, as timed with seed {wanted.seed}"


def classes_of(entry: Model, asked: int | None, tag: str | None) -> int:
    """Return the number of classes to build a model with."""
    return CLASSES if tag is not None else asked or entry.num_classes


def _with_settings(content: bytes, settings: dict[str, Scalar]) -> bytes:
    """Return an .onnx file with settings in its metadata, where any reader of ONNX shows them."""
    import onnx

    model = onnx.load_model_from_string(content)
    for name, value in settings.items():
        model.metadata_props.add(key=PREFIX + name, value=str(value))
    return bytes(model.SerializeToString())
