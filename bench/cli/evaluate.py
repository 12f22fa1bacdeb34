"""`bench eval`: evaluate weights, or compare two sets of them on the same images."""

from __future__ import annotations

from pathlib import Path

from bench.analysis.weights import find, rows_of
from bench.cli.console import Terminal, print_tables
from bench.cli.options import Device, Results
from bench.cli.run import run
from bench.cli.terminal import complain
from bench.config import CropMode, Interpolation, RunConfig, Shares, Switch
from bench.errors import UsageError
from bench.plugins import dataset_of, models
from bench.report.tables.weights import compare as compared


def evaluate(
    *,
    model: str | None = None,
    checkpoint: Path | None = None,
    checkpoint_key: str | None = None,
    data: str | None = None,
    compare: tuple[str, str] | None = None,
    labels: str | None = None,
    spread: bool = True,
    image_size: int | None = None,
    crop: float | None = None,
    crop_mode: CropMode | None = None,
    interpolation: Interpolation | None = None,
    mean: Shares = (),
    std: Shares = (),
    device: Device = "auto",
    results: Results = Path("results"),
    force: Switch = False,
) -> int:
    """Evaluate published weights or a file's, or compare two sets of weights on the same images.

    Parameters
    ----------
    model
        NAME@TAG for published weights (`bench list weights NAME`); NAME with --checkpoint, where the file does not say.
    checkpoint
        File of weights: safetensors, or a torch file with a state dict in it. Nothing in it is executed; pickled code is refused.
    checkpoint_key
        Entry of the file to take, where there are several: state_dict; with a prefix of names in it: state_dict/teacher.
    data
        Images, as for `run`.
    compare
        Two sets of evaluated weights: NAME@TAG, NAME@seed=N, or the key of a record.
    labels
        Other labels for ImageNet's validation images: real:/path/real.json.
    spread
        Evaluate at neighbouring crops and image sizes as well.
    image_size
        Side of the images in pixels; the model's own unless given.
    crop
        Share of an image's side that is shown. This and the next four are the weights' own unless given: what a file of ours
        says, else what timm has for these weights or this architecture; `eval` prints them and whose they are.
    crop_mode
        center, squash or border: what becomes of an image that is no square.
    interpolation
        bicubic, bilinear, nearest, lanczos, hamming or box.
    mean
        What is taken from images in [0, 1], one number or three.
    std
        What they are then divided by, one number or three.
    force
        Evaluate again what is already finished.
    """

    if compare is not None:
        given: dict[str, object] = {
            "model": model,
            "checkpoint": checkpoint,
            "checkpoint-key": checkpoint_key,
            "labels": labels,
            "image-size": image_size,
        }
        given |= {
            "crop": crop,
            "crop-mode": crop_mode,
            "interpolation": interpolation,
            "mean": mean or None,
            "std": std or None,
        }
        if idle := [name for name, value in given.items() if value is not None]:
            raise UsageError(
                f"--{idle[0]}: --compare reads what was evaluated before, and shows nothing anew; drop it"
            )

        rows, damaged = rows_of(results, data)
        for error in damaged:
            complain(error)
        print_tables(Terminal.on_stdout(), [compared(*(find(name, rows) for name in compare))])
        return 2 if damaged else 0
    if data is None:
        raise UsageError(
            "--data: on which images? imagenet:/path or another of `bench list datasets`"
        )

    if checkpoint is not None:
        from bench.training.weights import split_key
        from bench.training.weights_file import weights_from

        says = weights_from(
            checkpoint, split_key(checkpoint_key)[0]
        ).says  # what is no file of weights is refused at once
        model = model or _architecture(checkpoint, says.model)
    elif not dataset_of(data)[0].published:
        raise UsageError(
            f"--data: there are no published weights for {data}; add --checkpoint FILE, or train with `bench run --recipe`"
        )
    if model is None:
        raise UsageError(
            "--model: which architecture? NAME@TAG for published weights, NAME with a --checkpoint that does not say it itself"
        )
    return run(
        config=RunConfig(
            models=(model,),
            metrics=("top1",),
            data=data,
            checkpoint=checkpoint,
            checkpoint_key=checkpoint_key,
            crop=crop,
            crop_mode=crop_mode,
            interpolation=interpolation,
            mean=mean,
            std=std,
            labels=labels,
            spread=spread,
            image_size=() if image_size is None else (image_size,),
            device=device,
            results=results,
            force=force,
        )
    )


def _architecture(checkpoint: Path, says: str | None) -> str | None:
    """The model that a file of weights says it is of; UsageError where that is none, or somebody's code."""

    if says is None:
        return None
    try:
        return models.get(says).name
    except UsageError as error:
        raise UsageError(
            f"--checkpoint: {checkpoint} says of its model: {error}; give it with --model"
        ) from None
