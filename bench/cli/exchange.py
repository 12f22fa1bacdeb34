"""`bench import` and `export`: others' files in, ours out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from bench.analysis.machines import read_all
from bench.analysis.published_csv import import_csv
from bench.cli.console import Terminal, complain_about, counted, print_words
from bench.cli.options import ResultsFlag
from bench.cli.terminal import complain
from bench.config import COMMAND, check_shape
from bench.errors import UsageError
from bench.exchange import timm_csv
from bench.files.paths import inside
from bench.plugins import models, policies, runnable_policy
from bench.plugins.switches import check_data

ENGINES = ("ort", "openvino")
"""Policies whose engine is built from an .onnx file."""


def import_(
    file: Path,
    /,
    *,
    source: str | None = None,
    dataset: str | None = None,
    results: Annotated[
        ResultsFlag,
        Parameter(help="Results folder; the file is copied into its subfolder published."),
    ] = Path("results"),
) -> int:
    """Keep somebody's published table beside the results.

    Its rows become reference rows of every report.

    Parameters
    ----------
    file
        A CSV file with the columns of timm's result files: accuracies, inference speeds or training
        speeds.
    source
        The source to show and cite; defaults to the file's name.
    dataset
        The data set of accuracies: imagenet, imagenet-real, imagenet-v2, imagenet-a, imagenet-r,
        imagenet-sketch or a name of your own. Needed unless the file is named like timm's, such as
        results-imagenet-a.csv.
    """
    kept = import_csv(file, results, source, dataset)
    _say(
        f"{counted(kept.rows, 'published row')} kept in {kept.path}: {kept.of}; "
        f"next: {COMMAND} report --results {results}"
    )
    if kept.left_out:
        complain(f"{file}: {kept.left_out}")
    return 0


def export(
    what: str,
    /,
    *,
    results: ResultsFlag = Path("results"),
    onnx: Path | None = None,
    policy: str | None = None,
    batch_size: int | None = None,
    image_size: int | None = None,
    num_classes: int | None = None,
    checkpoint: Path | None = None,
    data: str | None = None,
) -> int:
    """Write results as CSV in timm's columns, or a model as ONNX.

    Parameters
    ----------
    what
        Folder for the CSV files; with several machines, they go into one subfolder per machine.
        With --onnx a model, named as for `run --models`; NAME@TAG has published weights, NAME
        the weights that speeds are timed with.
    onnx
        The .onnx file to write.
    policy
        The policy whose engine runs the file: ort or openvino, alone or with a precision
        (bf16+openvino, int8+ort); or a precision alone, for other engines. Defaults to ort.
    batch_size
        Images per call; defaults to 1.
    image_size
        Side of the images in pixels; defaults to the model's own.
    num_classes
        Outputs of the classifier; defaults to the model's own.
    checkpoint
        File with the model's weights, as for `eval`.
    data
        Pictures that int8 takes its ranges from, as for `run`.
    """
    asked = {
        "policy": policy,
        "batch-size": batch_size,
        "image-size": image_size,
        "num-classes": num_classes,
        "checkpoint": checkpoint,
        "data": data,
    }
    if onnx is not None:
        return _export_model(what, onnx, asked)
    for flag, value in asked.items():
        if value is not None:
            raise UsageError(f"--{flag}: is for a model; add --onnx FILE.onnx")
    return _export_results(Path(what), results)


def _export_model(name: str, file: Path, asked: dict[str, Any]) -> int:
    """Write a model as ONNX, and say how its logits differ from PyTorch's."""
    from bench.engines.take_home import Wanted, classes_of, write

    if file.suffix != ".onnx":
        raise UsageError(f"--onnx: must end in .onnx, got {file}")
    if asked["batch-size"] is not None and asked["batch-size"] < 1:
        raise UsageError(f"--batch-size: must be at least 1, got {asked['batch-size']}")
    check_shape(asked["image-size"], asked["num-classes"])
    plain, _, tag = name.partition("@")
    if tag and asked["checkpoint"]:
        raise UsageError(f"--checkpoint: {name} names weights already; leave out one of the two")
    entry = models.get(plain)
    wanted = Wanted(
        entry=entry,
        policy=_policy_to_export(asked["policy"] or "ort", asked["data"]),
        image_size=asked["image-size"] or entry.image_size,
        num_classes=classes_of(entry, asked["num-classes"], tag or None),
        batch_size=asked["batch-size"] or 1,
        tag=tag or None,
        checkpoint=asked["checkpoint"],
        data=asked["data"],
    )
    try:
        written = write(wanted, file)
    except NotImplementedError as error:
        raise UsageError(f"export: {name}: {error}") from None
    _say(f"{file} written: {name} under {wanted.policy}; weights: {written.weights}")
    if written.error is not None:
        off = f"{written.error:.1e} of the largest logit"
        _say(
            f"run by {wanted.policy}, its logits differ from PyTorch's in float32 by at most {off}"
        )
    settings = []
    for key, value in written.settings.items():
        if key.startswith("engine_"):
            settings.append(f"{key.removeprefix('engine_')} {value}")
    if settings:
        _say(f"settings, also in the file's metadata: {', '.join(settings)}")
    return 0


def _policy_to_export(asked: str, data: str | None) -> str:
    """Return the canonical name of a policy whose engine reads ONNX, or of a precision.

    Raises UsageError for any other.
    """
    policy = runnable_policy(asked, "cpu", flag="--policy")
    check_data(policy, data, flag="--policy")
    for switch in map(policies.get, policy.split("+")):
        if switch.slot != "precision" and switch.name not in ENGINES:
            raise UsageError(
                f"--policy: {switch.name} runs in PyTorch only; use a precision, "
                f"{' or '.join(ENGINES)}"
            )
    return policy


def _say(text: str) -> None:
    """Print text on standard output, wrapped between words."""
    print_words(Terminal.on_stdout(), text)


def _export_results(folder: Path, results: Path) -> int:
    machines = read_all(results)
    written: list[Path] = []
    for machine in machines:
        target = folder
        if len(machines) > 1:
            target = inside(folder, folder / machine.folder.name)
        files = timm_csv.export(machine.summary, target)
        if not files:
            _say(f"{machine.folder}: nothing to export, its records are of studies only")
        written += files
    damaged = 0
    for machine in machines:
        damaged += complain_about(machine.damaged)
    for path in written:
        _say(f"{path} written")
    if not written:
        raise UsageError(
            f"export: {results} has neither speeds nor accuracies; `{COMMAND} run` measures some"
        )
    return 2 if damaged else 0
