"""`bench eval`: evaluate weights, or compare two sets of them on the same images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bench.analysis.weights import find, rows_of
from bench.cli.console import Terminal, complain_about, print_tables
from bench.cli.options import DeviceFlag, NotesFlag, ResultsFlag
from bench.cli.run import run
from bench.config import (
    HOW,
    IMAGES,
    WHAT,
    WHERE,
    CropMode,
    Interpolation,
    Names,
    Plain,
    RunConfig,
    Shares,
    Switch,
)
from bench.errors import UsageError
from bench.plugins import dataset_of, models
from bench.report.tables import weights as weights_table

ONLY_TO_EVALUATE = (
    "model",
    "checkpoint",
    "checkpoint_key",
    "labels",
    "policies",
    "image_size",
    "crop",
    "crop_mode",
    "interpolation",
    "mean",
    "std",
)
"""Flags that say how to evaluate: --compare reads what was evaluated before."""


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """Flags of `bench eval`."""

    model: Annotated[str | None, Plain, WHAT] = None
    """NAME@TAG for published weights (`bench list weights NAME`); NAME with --checkpoint, if the
    file does not name its model."""
    checkpoint: Annotated[Path | None, Plain, WHAT] = None
    """File of weights: safetensors, or a torch file with a state dict. Nothing in it is executed;
    pickled code is refused."""
    checkpoint_key: Annotated[str | None, Plain, WHAT] = None
    """Entry of that file to load if it has several, such as state_dict; with a prefix of the names
    in it: state_dict/teacher."""
    data: Annotated[str | None, Plain, WHAT] = None
    """Images, as for `run`."""
    compare: Annotated[tuple[str, str] | None, Parameter(negative=(), show_default=False), WHAT] = (
        None
    )
    """Two sets of evaluated weights: NAME@TAG, NAME@seed=N, or the key of a record."""
    labels: Annotated[str | None, Plain, WHAT] = None
    """Other labels of ImageNet's validation images: real:/path/real.json."""
    policies: Annotated[Names, HOW] = ()
    """How to execute the model, such as fp32,bf16 or openvino: each is evaluated on the same images
    and compared with float32 eager execution. Defaults to that alone."""
    spread: Annotated[bool, HOW] = True
    """Evaluate at neighbouring crops and image sizes as well; in float32 eager execution only."""
    image_size: Annotated[int | None, Plain, IMAGES] = None
    """Side of the images in pixels; defaults to the model's own."""
    crop: Annotated[float | None, Plain, IMAGES] = None
    """Share of the image's side to show. This and the next four default to the weights' own: what
    the file says, else what timm has for these weights or this architecture. They are printed with
    their source."""
    crop_mode: Annotated[CropMode | None, Plain, IMAGES] = None
    """center, squash or border: how to crop an oblong image."""
    interpolation: Annotated[Interpolation | None, Plain, IMAGES] = None
    """bicubic, bilinear, nearest, lanczos, hamming or box."""
    mean: Annotated[Shares, IMAGES] = ()
    """Subtracted from images in [0, 1], one number or three."""
    std: Annotated[Shares, IMAGES] = ()
    """The divisor after that, one number or three."""
    device: Annotated[DeviceFlag, WHERE] = "auto"
    results: Annotated[ResultsFlag, WHERE] = Path("results")
    force: Annotated[Switch, HOW] = False
    """Evaluate again what is already finished."""
    notes: Annotated[NotesFlag, HOW] = False


def evaluate(
    *,
    config: Annotated[EvalConfig, Parameter(name="*")] = EvalConfig(),
) -> int:
    """Evaluate published weights or a file, or compare two sets."""
    if config.compare is None:
        return run(config=_run_config(config), notes=config.notes)
    return _compare(config, *config.compare)


def _compare(config: EvalConfig, left: str, right: str) -> int:
    """Print how two sets of weights differ on the same images, from their records."""
    for name in ONLY_TO_EVALUATE:
        if getattr(config, name) not in (None, ()):
            raise UsageError(
                f"--{name.replace('_', '-')}: --compare reads earlier evaluations; drop one of them"
            )
    rows, damaged = rows_of(config.results, config.data)
    complain_about(damaged)
    table = weights_table.compare(find(left, rows), find(right, rows))
    print_tables(Terminal.on_stdout(), [table], notes=config.notes)
    return 2 if damaged else 0


def _run_config(config: EvalConfig) -> RunConfig:
    """Return the run that evaluates the weights; UsageError if a flag is missing."""
    if config.data is None:
        raise UsageError(
            "--data: on which images? add --data imagenet:/path or another of `bench list datasets`"
        )
    return RunConfig(
        models=(_model(config, config.data),),
        metrics=("top1",),
        data=config.data,
        checkpoint=config.checkpoint,
        checkpoint_key=config.checkpoint_key,
        crop=config.crop,
        crop_mode=config.crop_mode,
        interpolation=config.interpolation,
        mean=config.mean,
        std=config.std,
        labels=config.labels,
        policies=config.policies,
        spread=config.spread,
        image_size=() if config.image_size is None else (config.image_size,),
        device=config.device,
        results=config.results,
        force=config.force,
    )


def _model(config: EvalConfig, data: str) -> str:
    """Return the model to evaluate, read from the file of weights if it is not given."""
    model = config.model
    if config.checkpoint is not None:
        named = _named_in(config.checkpoint, config.checkpoint_key)
        model = model or _known(named, config.checkpoint)
    elif not dataset_of(data)[0].published:
        raise UsageError(
            f"--data: there are no published weights for {data}; add --checkpoint FILE, or train "
            "with `bench run --recipe`"
        )
    if model is None:
        raise UsageError(
            "--model: which architecture? give NAME@TAG for published weights, or NAME with a "
            "--checkpoint that does not name its model"
        )
    return model


def _named_in(checkpoint: Path, key: str | None) -> str | None:
    """Return the model that a file of weights names; UsageError if it is no such file."""
    from bench.training.weights import split_key
    from bench.training.weights_file import weights_from

    return weights_from(checkpoint, split_key(key)[0]).says.model


def _known(name: str | None, checkpoint: Path) -> str | None:
    """Return the name of a registered model; UsageError for any other name in the file."""
    if name is None:
        return None
    try:
        return models.get(name).name
    except UsageError as error:
        raise UsageError(
            f"--checkpoint: the model named in {checkpoint} is not known ({error}); "
            "give one with --model"
        ) from None
