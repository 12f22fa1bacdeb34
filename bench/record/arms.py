"""Arms: what a record is of, and its key."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from bench.files import limits
from bench.record.metric_units import Scalar as Scalar

ImageSize = Annotated[int, Meta(ge=1, le=limits.IMAGE_SIZE)]


Classes = Annotated[int, Meta(ge=1, le=limits.CLASSES)]


Positive = Annotated[int, Meta(ge=1, le=10**9)]


Device = Annotated[str, Meta(pattern=r"^(cpu|cuda|mps)(:[0-9]{1,4})?$")]


Mode = Literal["inference", "training", "capacity"]


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """Anything that is stored; unknown fields are damage, not extensions."""


class CountArm(Line, tag="count", frozen=True, kw_only=True):
    """What parameters and MACs are counted of: no policy and no device change them."""

    model: str
    source: str | None = None
    image_size: ImageSize
    num_classes: Classes


class SpeedArm(Line, tag="speed", frozen=True, kw_only=True):
    """What a speed is measured of. `device` is cpu, cuda or mps; which one is in the run line.

    `mode` is what a call does: a forward pass, a training step, or nothing yet (capacity: the batch size is searched).
    """

    model: str
    source: str | None = None
    image_size: ImageSize
    num_classes: Classes
    policy: str
    device: Device
    batch_size: Annotated[int, Meta(ge=1, le=limits.BATCH)]
    mode: Mode = "inference"


class ProbeArm(Line, tag="probe", frozen=True, kw_only=True):
    """A fixed workload that tells something of the machine: how fast it is at best, and whether it stayed the same."""

    model: str = "machine"
    precision: str
    device: Device


NORMALISED = "normalised"
"""Ends a transform whose mean and deviation stand in the sample: small images that fit into memory are normalised by their
training split, others by ImageNet's mean and deviation, and which they are is known once they are opened."""


class AccuracyArm(Line, tag="accuracy", frozen=True, kw_only=True):
    """What a top-1 is measured of: published `weights`, a `checkpoint`, or a training under `recipe`, with `policy`.

    A data set's baseline that is no network has neither. `split` and `transform` say what was evaluated and how.
    """

    model: str
    source: str | None = None
    image_size: ImageSize
    num_classes: Classes
    data: str
    split: str
    transform: str
    recipe: str | None = None
    recipe_hash: str | None = None
    tuning: str | None = None
    """How the recipe's values were come by: as is, a search, or a trial of one."""
    learning_rate: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    """Where a search or a trial puts another one in the recipe's place."""
    equalise: str | None = None
    """What is equal for all models of a comparison: epochs, macs or seconds."""
    epochs: Annotated[float, Meta(gt=0, le=1e9)] | None = None
    """To which the schedule was stretched for that, where they are not the recipe's."""
    policy: str | None = None
    weights: str | None = None
    checkpoint: str | None = None
    """Start of the SHA-256 of a file of weights."""
    labels: str | None = None
    """Where others than the data set's own were asked."""
    seed: int | None = None

    @property
    def baseline(self) -> bool:
        """Whether this is a reference row of the data set, which is no network."""
        return self.recipe is None and self.weights is None and self.checkpoint is None


Arm = CountArm | SpeedArm | AccuracyArm | ProbeArm


_encode = msgspec.json.Encoder(order="deterministic").encode


def _digest(value: Any) -> str:
    return hashlib.sha256(_encode(value)).hexdigest()


def key_of(arm: Arm, settings: dict[str, Scalar]) -> str:
    """Sixteen hex digits over the arm and the settings that change what a sample means."""
    return _digest([arm, settings])[:16]


At = tuple[str, int]
"""What samples are paired by: run and round."""


def label(arm: Arm) -> str:
    """A short name for one line of progress or failure."""
    if isinstance(arm, ProbeArm):
        return f"{arm.model} {arm.precision}"
    if isinstance(arm, SpeedArm):
        what = "" if arm.mode == "inference" else f" {arm.mode}"
        return f"{arm.model} {arm.policy}{what}" + (
            f" b{arm.batch_size}" if arm.mode != "capacity" else ""
        )
    return arm.model


def comparable(left: Arm, right: Arm) -> bool:
    """Whether a ratio of the two arms' speeds says something of the models."""
    if not (isinstance(left, SpeedArm) and isinstance(right, SpeedArm)):
        return False
    return (left.policy, left.batch_size, left.image_size, left.mode) == (
        right.policy,
        right.batch_size,
        right.image_size,
        right.mode,
    )


def is_timed(arm: Arm) -> bool:
    """True for an arm whose calls are timed in rounds; a search for the largest batch is not."""
    return isinstance(arm, SpeedArm) and arm.mode != "capacity"
