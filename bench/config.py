"""What a run is asked to do: one frozen dataclass behind the flags and the TOML suites."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, Token

from bench.errors import UsageError
from bench.files import limits
from bench.files.foreign_errors import content_of, refusing

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULT_POLICY = {"cpu": "fp32", "cuda": "bf16", "mps": "fp32"}
"""How a model is executed on a kind of device where nobody says otherwise."""
SUITES = Path(__file__).parent / "suites"
DEFAULT_SUITE = "quick"
LARGEST = 256 << 10
"""Bytes of a suite file."""
DOTS = 500
"""In one of its lines: each part of a dotted key is a table in a table, and reading them takes the square of their number."""


def _commas(hint: Any, tokens: Sequence[Token]) -> tuple[Any, ...]:
    """`a,b` and TOML's ["a", "b"] alike."""
    item: type = hint.__args__[0]
    parts = [part.strip() for token in tokens for part in token.value.split(",")]
    try:
        return tuple(item(part) for part in parts if part)
    except ValueError:
        numbers = (
            "numbers such as 0.485,0.456,0.406" if item is float else "whole numbers such as 1,8,64"
        )
        raise ValueError(f"{','.join(parts)!r} is not a list of {numbers}") from None


Names = Annotated[
    tuple[str, ...], Parameter(converter=_commas, n_tokens=1, negative=(), show_default=False)
]
Numbers = Annotated[
    tuple[int, ...], Parameter(converter=_commas, n_tokens=1, negative=(), show_default=False)
]
Shares = Annotated[
    tuple[float, ...], Parameter(converter=_commas, n_tokens=1, negative=(), show_default=False)
]
Plain = Parameter(show_default=False)
Interpolation = Literal["bicubic", "bilinear", "nearest", "lanczos", "hamming", "box"]
CropMode = Literal["center", "squash", "border"]
VIEW = ("crop", "crop_mode", "interpolation", "mean", "std")
"""Flags that say how images are shown to weights that are evaluated."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Flags of `bench run` and fields of a suite file."""

    models: Names = ()
    """Models, comma separated: names from `bench list models`, timm:NAME, ./net.py:build, package.module:build."""
    reference: Annotated[str | None, Plain] = None
    """A model whose budget others have to meet; it is measured first."""
    match: Names = ()
    """Families that get a sibling of the reference's budget: vit, mixer, resnet and others of `bench list families`."""
    budget: Literal["params", "macs", "params+macs", "latency"] = "params"
    """What is equal between siblings."""
    hold: Annotated[Literal["tokens", "shape"] | None, Plain] = None
    """tokens: siblings keep the reference's token grid; shape: its width and depth too (matched-grid twins)."""
    tolerance: Annotated[float | None, Plain] = None
    """Largest relative miss of a sibling's budget; 0.02, for params+macs 0.05, for latency 0.1."""
    metrics: Names = ()
    """Metrics, comma separated; all that apply unless given."""
    policies: Names = ()
    """Ways to execute, comma separated, switches joined with +; fp32 on a CPU, bf16 on CUDA unless given.
    Of several each model's best is chosen and measured again on fresh rounds; `best` tries the usual ones."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    batch_sizes: Numbers = ()
    """Images per call for throughput and memory, comma separated (latency is always at 1); 2 on a CPU unless given."""
    image_size: Numbers = ()
    """Side of the images in pixels, or several, comma separated; each model's own unless given."""
    num_classes: Annotated[int | None, Plain] = None
    """Outputs of the classifier where counts and speeds are measured; each model's own unless given."""
    data: Annotated[str | None, Plain] = None
    """Data set for top-1: a name of `bench list datasets`, such as digits, imagenet:/path, folder:/path."""
    recipe: Annotated[str | None, Plain] = None
    """Recipe to train with, fields changed by NAME:field=value; the data set's own unless given, and without one
    published weights are evaluated."""
    seeds: int = 1
    """Trainings per model, each with a seed of its own, counted from --seed."""
    lr_search: Annotated[bool, Parameter(negative=())] = False
    """Try the same learning rates with every model and choose on the select split."""
    equalise: Literal["epochs", "macs", "seconds"] = "epochs"
    """What is equal for all: for macs and seconds the schedule is stretched before training, to what the first model
    spends in the recipe's epochs."""
    train_policy: Annotated[str | None, Plain] = None
    """Way to execute trainings; fp32 on a CPU, bf16+channels_last on CUDA unless given."""
    yes: Annotated[bool, Parameter(negative=())] = False
    """Train even where that is expected to take more than an hour."""
    checkpoint: Annotated[Path | None, Plain] = None
    """File of weights to evaluate with --data, safetensors or a state dict, in place of published ones."""
    checkpoint_key: Annotated[str | None, Plain] = None
    """Entry of that file to take, where there are several: state_dict; with a prefix of names in it: state_dict/teacher."""
    crop: Annotated[float | None, Plain] = None
    """Share of the image's side that evaluated weights are shown, 0.875 to 1 usually; the weights' own unless given."""
    crop_mode: Annotated[CropMode | None, Plain] = None
    """center, squash or border: what becomes of an image that is no square; the weights' own unless given."""
    interpolation: Annotated[Interpolation | None, Plain] = None
    """How images are resized for evaluated weights: bicubic, bilinear and others; the weights' own unless given."""
    mean: Shares = ()
    """What is taken from images in [0, 1] for evaluated weights, one number or three; the weights' own unless given."""
    std: Shares = ()
    """What they are then divided by, one number or three; the weights' own unless given."""
    labels: Annotated[str | None, Plain] = None
    """Other labels for ImageNet's validation images: real:/path/real.json (ReaL, arXiv 2006.07159)."""
    spread: Annotated[bool, Parameter(negative=())] = False
    """Evaluate weights at neighbouring crops and image sizes as well."""
    time_budget: Annotated[float | None, Plain] = None
    """Seconds for the timed rounds; counting and warm-up come before, trainings after. No limit unless given."""
    rounds: Annotated[int | None, Plain] = None
    """Rounds over all arms; 16, with a time budget as many as fit but at most 64, with --target-ci at most 768."""
    target_ci: Annotated[float | None, Plain] = None
    """Stop an arm when the 95 % interval of its ratio to the reference is within this share, such as 0.01."""
    slice: Annotated[int | None, Plain] = None
    """Timed arms that one call measures at most; the same command goes on with the next ones. All at once unless given;
    in slices no best policy is chosen."""
    shard: Annotated[str | None, Plain] = None
    """Measure the i-th of n parts, such as 1/3; each arm is in one of them, all timed arms in the same. For array jobs."""
    jobs: Annotated[int | None, Plain] = None
    """Trainings at a time on a CPU, each with its share of the processors; for images of up to 64 pixels one per processor,
    else one, unless given."""
    launcher: str = "local"
    """local, or ray: trainings and evaluations as tasks of a Ray cluster (extra [scale])."""
    address: Annotated[str | None, Plain] = None
    """Ray cluster to join, such as auto; one of this machine alone is begun unless given."""
    timeout: float = 600.0
    """Seconds after which an arm that gives no sign of life counts as hung."""
    worker_memory: Annotated[float | None, Plain] = None
    """Gigabytes that each arm may take; no limit unless given."""
    results: Path = Path("results")
    """Folder of the records."""
    seed: int = 0
    """Seed of the order of rounds, the inputs and the trainings."""
    force: Annotated[bool, Parameter(negative=())] = False
    """Measure again what is already finished."""

    def __post_init__(self) -> None:
        if any(size < 1 for size in self.batch_sizes):
            raise UsageError(
                f"--batch-sizes: {min(self.batch_sizes)} is not a batch; sizes from 1 on work"
            )
        if any(size > limits.BATCH for size in self.batch_sizes):
            raise UsageError(
                f"--batch-sizes: {_short(max(self.batch_sizes))} is too many; sizes up to {limits.BATCH:,} are taken"
            )
        for size in self.image_size or (None,):
            check_shape(size, self.num_classes)
        if len(self.image_size) > 1 and self.data is not None:
            raise UsageError(
                f"--image-size: {','.join(map(str, self.image_size))} are several, and --data has images of one size; name one"
            )
        if self.time_budget is not None and not 0 < self.time_budget < float("inf"):
            raise UsageError(
                f"--time-budget: {self.time_budget:g} is not a number of seconds above 0; 120 would work"
            )
        if self.match and not self.reference:
            raise UsageError(
                "--match: siblings of what? add --reference convmixer_768_32 or another model"
            )
        if self.tolerance is not None and not 0 < self.tolerance < 1:
            raise UsageError(
                f"--tolerance: {self.tolerance:g} is not a share between 0 and 1; 0.02 is usual"
            )
        if self.rounds is not None and self.rounds < 1:
            raise UsageError(
                f"--rounds: {self.rounds} is too few; 6 give an interval, 16 are usual"
            )
        if self.target_ci is not None and not 0 < self.target_ci < 1:
            raise UsageError(
                f"--target-ci: {self.target_ci:g} is not a share between 0 and 1; 0.01 is narrow, 0.05 quick"
            )
        if self.slice is not None and self.slice < 1:
            raise UsageError(
                f"--slice: {self.slice} arms are none; 40 are about ten minutes on a GPU"
            )
        if self.shard is not None:
            found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", self.shard, re.ASCII)
            if found is None or not 1 <= int(found[1]) <= int(found[2]):
                raise UsageError(
                    f"--shard: {self.shard!r} is no shard; 1/3, 2/3 and 3/3 are the shards of three"
                )
        if self.jobs is not None and not 1 <= self.jobs <= 1024:
            raise UsageError(
                f"--jobs: {self.jobs} trainings at a time are not possible; 1 to the number of processors are"
            )
        if self.address is not None and self.launcher != "ray":
            raise UsageError(f"--address: {self.address} is a Ray cluster's; add --launcher ray")
        if self.shard is not None and self.launcher != "local":
            raise UsageError(
                "--shard: a launcher spreads the arms itself; keep --shard or --launcher"
            )
        if not 0 < self.timeout < float("inf"):
            raise UsageError(
                f"--timeout: {self.timeout:g} is not a number of seconds above 0; 600 is usual"
            )
        if self.worker_memory is not None and not 0 < self.worker_memory < float("inf"):
            raise UsageError(
                f"--worker-memory: {self.worker_memory:g} is not a number of gigabytes above 0; 4 would work"
            )
        if not 1 <= self.seeds <= 1000:
            raise UsageError(
                f"--seeds: {self.seeds} trainings per model are none; 3 give an interval, 5 a good one"
            )
        if self.checkpoint is not None and self.data is None:
            raise UsageError(
                "--checkpoint: on which images? add --data imagenet:/path or another data set"
            )
        if self.checkpoint is not None and self.recipe is not None:
            raise UsageError(
                "--checkpoint: a file of weights is evaluated, a --recipe trains anew; keep one of them"
            )
        if self.checkpoint_key is not None and self.checkpoint is None:
            raise UsageError(
                f"--checkpoint-key: {self.checkpoint_key} is an entry of which file? add --checkpoint FILE"
            )
        check_view(self.view)
        if self.view and self.data is None:
            raise UsageError(
                f"--{next(iter(self.view)).replace('_', '-')}: on which images? add --data imagenet:/path or another data set"
            )
        if self.recipe is not None and self.data is None:
            raise UsageError(f"--recipe: {self.recipe} trains on a data set; add --data digits")
        if self.labels is not None and not self.labels.startswith("real:"):
            raise UsageError(f"--labels: {self.labels!r} is not known; real:/path/real.json is")
        kind, _, index = self.device.partition(":")
        if kind not in ("auto", "cpu", "cuda", "mps") or (
            index and not (kind == "cuda" and index.isdecimal())
        ):
            raise UsageError(f"--device: {self.device!r} is none of auto, cpu, cuda, cuda:N, mps")

    @property
    def one_size(self) -> int | None:
        """The image size that was asked for, where it is one."""
        return self.image_size[0] if len(self.image_size) == 1 else None

    @property
    def view(self) -> dict[str, Any]:
        """The flags that say how images are shown, those that were given."""
        return {name: value for name in VIEW if (value := getattr(self, name)) not in (None, ())}

    @property
    def most_rounds(self) -> int:
        """Rounds at which every arm ends, whatever it has reached."""
        if self.rounds is not None:
            return self.rounds
        return 768 if self.target_ci is not None else 64 if self.time_budget is not None else 16


def check_shape(image_size: int | None, num_classes: int | None) -> None:
    """UsageError where a size or a number of classes is none."""
    if image_size is not None and not 1 <= image_size <= limits.IMAGE_SIZE:
        raise UsageError(
            f"--image-size: {_short(image_size)} is not a size in pixels; 224 would work"
        )
    if num_classes is not None and num_classes < 1:
        raise UsageError(
            f"--num-classes: a classifier with {num_classes} classes decides nothing; 1000 would work"
        )
    if num_classes is not None and num_classes > limits.CLASSES:
        raise UsageError(
            f"--num-classes: {_short(num_classes)} is too many; up to {limits.CLASSES:,} are taken"
        )


def _short(number: int) -> str:
    """A whole number, however long it is: Python writes none of more than 4,300 digits."""
    return (
        str(number)
        if abs(number) < 10**15
        else f"a number of about {number.bit_length() * 3 // 10} digits"
    )


def check_view(view: dict[str, Any]) -> None:
    """UsageError where a flag of a view has a value that shows nothing."""
    if "crop" in view and not 0 < view["crop"] <= 1:
        raise UsageError(
            f"--crop: {view['crop']:g} is no share of an image's side; 0.875 and 0.95 are usual, 1 shows all of it"
        )
    for name in ("mean", "std"):
        values = view.get(name, (0.5,))
        if (
            len(values) not in (1, 3)
            or not all(0 <= value <= 1 for value in values)
            or (name == "std" and 0 in values)
        ):
            raise UsageError(
                f"--{name}: {','.join(map(str, values))} is not one number or three between 0 and 1; 0.5 or 0.485,0.456,0.406 would work"
            )


def suite_fields(name: str) -> dict[str, Any]:
    """The fields of a suite: a name from `bench/suites/` or a TOML file; UsageError where it cannot be read."""
    path = Path(name) if name.endswith(".toml") else SUITES / f"{name}.toml"
    if path.exists() and not path.is_file():
        raise UsageError(f"--suite: {path} is a folder, a pipe or a device; a TOML file is needed")
    if not path.is_file():
        known = ", ".join(sorted(suite.stem for suite in SUITES.glob("*.toml")))
        raise UsageError(
            f"--suite: no suite {name!r}; there are {known}, or a path that ends in .toml"
        )
    read = content_of(
        path, LARGEST, lambda words: UsageError(f"--suite: {path} cannot be read ({words})")
    )
    with refusing(lambda words: UsageError(f"--suite: {path} is not valid TOML: {words}")):
        if any(line.count(b".") > DOTS for line in read.split(b"\n")):
            raise ValueError(f"more than {DOTS} dots in a line")
        content = tomllib.loads(read.decode())
    if "address" in content:  # whoever runs a cluster runs code in each program that joins it
        raise UsageError(
            f"--suite: {path} names a cluster to join; --address is for the command line alone"
        )
    known_fields = [field.name for field in fields(RunConfig)]
    for key, value in content.items():
        if key.replace("-", "_") not in known_fields:
            raise UsageError(
                f"--suite: {path} has an unknown field {key[:80]!r}; there are {', '.join(known_fields)}"
            )
        if any(
            isinstance(one, dict | list) for one in (value if isinstance(value, list) else [value])
        ):
            raise UsageError(
                f"--suite: {path}: {key} is a table or a list of lists; a value or a list of values is needed"
            )
    return content


COMMAND = "python -m bench"
