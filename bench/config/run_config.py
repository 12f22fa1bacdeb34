"""The flags of `bench run` with their checks."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from bench import devices
from bench.config.flags import (
    HOW,
    HOW_LONG,
    IMAGES,
    SECONDS,
    TRAINING,
    WHAT,
    WHERE,
    CropMode,
    Interpolation,
    Names,
    Numbers,
    Plain,
    Shares,
    Switch,
)
from bench.errors import UsageError
from bench.files import limits

COMMAND = "python -m bench"
VIEW = ("crop", "crop_mode", "interpolation", "mean", "std")
"""Flags that say how images are shown to weights under evaluation."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Flags of `bench run` and fields of a suite file.

    Raises UsageError, naming the flag, for a value or a combination that makes no sense.
    """

    models: Annotated[Names, WHAT] = ()
    """Models, comma separated: names from `bench list models`, timm:NAME, ./net.py:build,
    package.module:build."""
    name: Annotated[Names, WHAT] = ()
    """Name of your own model in reports, such as "Ours"; several names for several, in their order.
    NAME=MODEL names any model of the run."""
    reference: Annotated[str | None, Plain, WHAT] = None
    """Model whose budget the siblings of --match have to meet; it is measured first."""
    match: Annotated[Names, WHAT] = ()
    """Families that get a sibling of equal budget, comma separated; see `bench list families`."""
    budget: Annotated[Literal["params", "macs", "params+macs", "latency"], WHAT] = "params"
    """What siblings have in common with the reference."""
    hold: Annotated[Literal["tokens", "shape"] | None, Plain, WHAT] = None
    """tokens: siblings keep the reference's token grid; shape: also its width and depth."""
    tolerance: Annotated[float | None, Plain, WHAT] = None
    """Largest relative difference from the budget; defaults to 0.02, to 0.05 for params+macs, to
    0.1 for latency."""
    metrics: Annotated[Names, WHAT] = ()
    """Metrics, comma separated; defaults to all that apply."""
    policies: Annotated[Names, HOW] = ()
    """How to execute the models, comma separated, switches joined with +; defaults to fp32 on a
    CPU, bf16 on CUDA. If several are given, the best one of each model is chosen and measured again
    on fresh rounds; `best` tries the usual ones."""
    device: Annotated[str, WHERE] = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    batch_sizes: Annotated[Numbers, HOW] = ()
    """Images per call for throughput and memory, comma separated (latency is always at 1);
    defaults to 2 on a CPU."""
    image_size: Annotated[Numbers, HOW] = ()
    """Side of the images in pixels, or several, comma separated; defaults to each model's own."""
    num_classes: Annotated[int | None, Plain, HOW] = None
    """Outputs of the classifier for counts and speeds; defaults to each model's own."""
    data: Annotated[str | None, Plain, TRAINING] = None
    """Data set for top-1, such as digits or imagenet:/path; see `bench list datasets`."""
    recipe: Annotated[str | None, Plain, TRAINING] = None
    """Recipe to train with; NAME:field=value changes fields. Defaults to the data set's own; for a
    data set without one, published weights are evaluated."""
    seeds: Annotated[int, TRAINING] = 1
    """Training runs per model, each with its own seed, counted from --seed."""
    lr_search: Annotated[Switch, TRAINING] = False
    """Try the same learning rates with every model and choose on the validation split."""
    equalise: Annotated[Literal["epochs", "macs", "seconds"], TRAINING] = "epochs"
    """What every model may spend on training. For macs and seconds, the schedule is stretched
    before training to what the first model spends in the recipe's epochs."""
    train_policy: Annotated[str | None, Plain, TRAINING] = None
    """How to execute training runs; defaults to fp32 on a CPU, bf16+channels_last on CUDA."""
    yes: Annotated[Switch, TRAINING] = False
    """Train even if that is expected to take more than an hour."""
    checkpoint: Annotated[Path | None, Plain, TRAINING] = None
    """File of weights to evaluate with --data, safetensors or a state dict."""
    checkpoint_key: Annotated[str | None, Plain, TRAINING] = None
    """Entry of that file to load if it has several, such as state_dict; with a prefix of the names
    in it: state_dict/teacher."""
    crop: Annotated[float | None, Plain, IMAGES] = None
    """Share of the image's side to show, usually 0.875 to 1; defaults to the weights' own."""
    crop_mode: Annotated[CropMode | None, Plain, IMAGES] = None
    """center, squash or border: how to crop an oblong image; defaults to the weights' own."""
    interpolation: Annotated[Interpolation | None, Plain, IMAGES] = None
    """How images are resized: bicubic, bilinear and others; defaults to the weights' own."""
    mean: Annotated[Shares, IMAGES] = ()
    """Subtracted from images in [0, 1], one number or three; defaults to the weights' own."""
    std: Annotated[Shares, IMAGES] = ()
    """The divisor after that, one number or three; defaults to the weights' own."""
    labels: Annotated[str | None, Plain, TRAINING] = None
    """Other labels of ImageNet's validation images, real:/path/real.json (arXiv 2006.07159)."""
    spread: Annotated[Switch, TRAINING] = False
    """Evaluate weights at neighbouring crops and image sizes as well."""
    time_budget: Annotated[float | None, Plain, SECONDS, HOW_LONG] = None
    """Time for the timed rounds, without warm-up and training runs, such as 20s, 2m or 1h30m, or in
    seconds; defaults to no limit."""
    rounds: Annotated[int | None, Plain, HOW_LONG] = None
    """Rounds over all configurations; defaults to 16, with a time budget to as many as fit but at
    most 64, with --target-ci to at most 768."""
    target_ci: Annotated[float | None, Plain, HOW_LONG] = None
    """Stop measuring a configuration when the 95 % interval of its ratio to the reference is within
    this share, such as 0.01."""
    slice: Annotated[int | None, Plain, HOW_LONG] = None
    """Most timed configurations that one call measures; the same command continues with the next
    ones. Defaults to all at once; with slices no best policy is chosen."""
    shard: Annotated[str | None, Plain, WHERE] = None
    """Measure the i-th of n parts, such as 1/3. Each configuration is in one of them, all timed
    ones in the same. For array jobs."""
    jobs: Annotated[int | None, Plain, WHERE] = None
    """Training runs at a time on a CPU, each with its share of the processors; defaults to one per
    processor for images of up to 64 pixels, else to 1."""
    launcher: Annotated[str, WHERE] = "local"
    """local, or ray: training runs and evaluations as tasks of a Ray cluster (extra [scale])."""
    address: Annotated[str | None, Plain, WHERE] = None
    """Ray cluster to join, such as auto; defaults to a new one on this machine."""
    timeout: Annotated[float, SECONDS, HOW_LONG] = 600.0
    """Time without a sign of life after which a configuration counts as hung, in seconds, or such
    as 10m."""
    worker_memory: Annotated[float | None, Plain, WHERE] = None
    """Most gigabytes for each worker process; defaults to no limit."""
    results: Annotated[Path, WHERE] = Path("results")
    """Folder of the records."""
    seed: Annotated[int, HOW] = 0
    """Seed of the order of rounds, the inputs and the training runs."""
    force: Annotated[Switch, HOW] = False
    """Measure again what is already finished."""

    def __post_init__(self) -> None:
        check_batch_sizes(self.batch_sizes)
        for size in self.image_size or (None,):
            check_shape(size, self.num_classes)
        check_view(self.view)
        for holds, message in CHECKS:
            if not holds(self):
                values = {name: _short(value) for name, value in vars(self).items()}
                raise UsageError(message.format(**values))
        if self.view and self.data is None:
            flag = next(iter(self.view)).replace("_", "-")
            raise UsageError(f"--{flag}: on which images? add --data imagenet:/path or another one")

    @property
    def one_size(self) -> int | None:
        """The image size given; None if none or several are."""
        return self.image_size[0] if len(self.image_size) == 1 else None

    @property
    def view(self) -> dict[str, Any]:
        """The flags of `VIEW` that are given, by name."""
        given = {name: getattr(self, name) for name in VIEW}
        return {name: value for name, value in given.items() if value not in (None, ())}

    @property
    def most_rounds(self) -> int:
        """The number of rounds after which every configuration ends, whatever its interval."""
        if self.rounds is not None:
            return self.rounds
        if self.target_ci is not None:
            return 768
        return 64 if self.time_budget is not None else 16


def _is_positive(value: float | None) -> bool:
    """True for a finite number above 0, and for an option that is not given."""
    return value is None or 0 < value < math.inf


def _is_share(value: float | None) -> bool:
    """True for a number between 0 and 1, and for an option that is not given."""
    return value is None or 0 < value < 1


def _is_shard(text: str | None) -> bool:
    """True for i/n with i from 1 to n, and for an option that is not given."""
    if text is None:
        return True
    parts = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text, re.ASCII)
    return parts is not None and 1 <= int(parts[1]) <= int(parts[2])


CHECKS: tuple[tuple[Callable[[RunConfig], bool], str], ...] = (
    (
        lambda config: len(config.image_size) < 2 or config.data is None,
        "--image-size: the images of --data have one size, got {image_size}; give one size",
    ),
    (
        lambda config: _is_positive(config.time_budget),
        "--time-budget: must be a number of seconds above 0, got {time_budget}; 120 or 2m would "
        "work",
    ),
    (
        lambda config: not config.match or bool(config.reference),
        "--match: siblings of which model? add --reference convmixer_768_32 or another one",
    ),
    (
        lambda config: _is_share(config.tolerance),
        "--tolerance: must be between 0 and 1, got {tolerance}; 0.02 is usual",
    ),
    (
        lambda config: config.rounds is None or config.rounds >= 1,
        "--rounds: must be at least 1, got {rounds}; 6 give an interval, 16 are usual",
    ),
    (
        lambda config: _is_share(config.target_ci),
        "--target-ci: must be between 0 and 1, got {target_ci}; 0.01 is narrow, 0.05 quick",
    ),
    (
        lambda config: config.slice is None or config.slice >= 1,
        "--slice: must be at least 1, got {slice}; 40 take about ten minutes on a GPU",
    ),
    (
        lambda config: _is_shard(config.shard),
        "--shard: {shard!r} is not a shard; the three shards of three are 1/3, 2/3 and 3/3",
    ),
    (
        lambda config: config.jobs is None or 1 <= config.jobs <= 1024,
        "--jobs: must be from 1 to 1024, got {jobs}; more than there are processors gains nothing",
    ),
    (
        lambda config: config.address is None or config.launcher == "ray",
        "--address: {address} is the address of a Ray cluster; add --launcher ray",
    ),
    (
        lambda config: config.shard is None or config.launcher == "local",
        "--shard: a launcher distributes the work itself; drop --shard or --launcher",
    ),
    (
        lambda config: _is_positive(config.timeout),
        "--timeout: must be a number of seconds above 0, got {timeout}; 600 or 10m is usual",
    ),
    (
        lambda config: _is_positive(config.worker_memory),
        "--worker-memory: must be a number of gigabytes above 0, got {worker_memory}; 4 would work",
    ),
    (
        lambda config: 1 <= config.seeds <= 1000,
        "--seeds: must be from 1 to 1000, got {seeds}; 3 give an interval, 5 a good one",
    ),
    (
        lambda config: config.checkpoint is None or config.data is not None,
        "--checkpoint: on which images? add --data imagenet:/path or another data set",
    ),
    (
        lambda config: config.checkpoint is None or config.recipe is None,
        "--checkpoint: weights from a file are evaluated, --recipe trains new ones; drop one",
    ),
    (
        lambda config: config.checkpoint_key is None or config.checkpoint is not None,
        "--checkpoint-key: {checkpoint_key} is an entry of which file? add --checkpoint FILE",
    ),
    (
        lambda config: config.recipe is None or config.data is not None,
        "--recipe: {recipe} needs a data set to train on; add --data digits",
    ),
    (
        lambda config: config.labels is None or config.labels.startswith("real:"),
        "--labels: must be real:/path/real.json, got {labels!r}",
    ),
    (
        lambda config: devices.is_flag(config.device),
        f"--device: must be {devices.choices()}, got {{device!r}}",
    ),
)
"""What must hold of a configuration, and the error if it does not, filled in with its fields."""


def check_batch_sizes(sizes: Sequence[int]) -> None:
    """Raise UsageError for a batch size below 1 or above what records can hold."""
    for size in sizes:
        if size < 1:
            raise UsageError(f"--batch-sizes: must be at least 1, got {_short(size)}")
        if size > limits.BATCH:
            raise UsageError(f"--batch-sizes: must be at most {limits.BATCH:,}, got {_short(size)}")


def check_shape(image_size: int | None, num_classes: int | None) -> None:
    """Raise UsageError for an image size or a number of classes below 1 or beyond the limits."""
    if image_size is not None and not 1 <= image_size <= limits.IMAGE_SIZE:
        raise UsageError(
            f"--image-size: must be from 1 to {limits.IMAGE_SIZE:,} pixels, "
            f"got {_short(image_size)}; 224 would work"
        )
    if num_classes is not None and not 1 <= num_classes <= limits.CLASSES:
        raise UsageError(
            f"--num-classes: must be from 1 to {limits.CLASSES:,}, "
            f"got {_short(num_classes)}; 1000 would work"
        )


def _short(value: Any) -> Any:
    """Return a value as it is shown in a message.

    A tuple is shown with commas, and the length of a number instead of its digits if there are many
    of them: Python refuses to write more than 4,300.
    """
    if isinstance(value, tuple):
        return ",".join(map(str, map(_short, value)))
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int) and abs(value) >= 10**15:
        return f"a number of about {value.bit_length() * 3 // 10} digits"
    return value


def check_view(view: dict[str, Any]) -> None:
    """Raise UsageError for a crop, mean or standard deviation outside of its range."""
    if "crop" in view and not 0 < view["crop"] <= 1:
        raise UsageError(
            f"--crop: must be above 0 and at most 1, got {view['crop']:g}; 0.875 and 0.95 are "
            "usual, 1 shows the whole image"
        )
    for name in ("mean", "std"):
        values = view.get(name, (0.5,))
        in_range = all(0 <= value <= 1 for value in values)
        if len(values) not in (1, 3) or not in_range or (name == "std" and 0 in values):
            raise UsageError(
                f"--{name}: must be one number or three between 0 and 1, "
                f"got {','.join(map(str, values))}; 0.5 or 0.485,0.456,0.406 would work"
            )
