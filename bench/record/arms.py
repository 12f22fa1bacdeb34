"""Arms: the four kinds of configuration that a record can be about, and a record's key."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from bench import devices
from bench.files import limits
from bench.record.metric_units import Scalar as Scalar

ImageSize = Annotated[int, Meta(ge=1, le=limits.IMAGE_SIZE)]
Classes = Annotated[int, Meta(ge=1, le=limits.CLASSES)]
Positive = Annotated[int, Meta(ge=1, le=10**9)]
Device = Annotated[str, Meta(pattern=devices.pattern())]
Mode = Literal["inference", "training", "capacity"]


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """A stored object. Unknown fields are damage, not extensions."""


class BaseArm(Line, frozen=True, kw_only=True):
    """The questions that every kind of arm answers."""

    @property
    def label(self) -> str:
        """A short name for one line of progress or failure."""
        raise NotImplementedError

    @property
    def is_network(self) -> bool:
        """True if a model has to be built; probes and a data set's baselines have none."""
        return True

    @property
    def is_timed(self) -> bool:
        """True if the arm takes part in the interleaved rounds."""
        return False

    @property
    def times_calls(self) -> bool:
        """True if its process goes before others on the CPU, as its samples depend on time."""
        return False

    @property
    def reads_images(self) -> bool:
        """True if its process opens a data set."""
        return False

    @property
    def trains(self) -> bool:
        """True if a model is trained."""
        return False

    def without_source(self) -> Arm:
        """Return the arm that any version of the model's code has."""
        raise NotImplementedError

    def comparable_with(self, other: Arm) -> bool:
        """True if the ratio of the two arms' speeds says something about the models."""
        return False

    def competes_with(self, other: Arm) -> bool:
        """True if the two arms are one model, executed under different policies."""
        return False


class CountArm(BaseArm, tag="count", frozen=True, kw_only=True):
    """A model whose parameters and MACs are counted; they depend on no policy and no device."""

    model: str
    source: str | None = None
    image_size: ImageSize
    num_classes: Classes

    @property
    def label(self) -> str:
        return self.model

    def without_source(self) -> Arm:
        return replace(self, source=None)


class SpeedArm(BaseArm, tag="speed", frozen=True, kw_only=True):
    """A model whose speed is measured. `device` is cpu, cuda or mps; the run line has its number.

    `mode` is what a call does: a forward pass, a training step, or nothing yet ("capacity": the
    batch size is searched for).
    """

    model: str
    source: str | None = None
    image_size: ImageSize
    num_classes: Classes
    policy: str
    device: Device
    batch_size: Annotated[int, Meta(ge=1, le=limits.BATCH)]
    mode: Mode = "inference"

    @property
    def label(self) -> str:
        mode = "" if self.mode == "inference" else f" {self.mode}"
        batch = "" if self.mode == "capacity" else f" b{self.batch_size}"
        return f"{self.model} {self.policy}{mode}{batch}"

    @property
    def is_timed(self) -> bool:
        return self.mode != "capacity"

    @property
    def times_calls(self) -> bool:
        return True

    def without_source(self) -> Arm:
        return replace(self, source=None)

    def comparable_with(self, other: Arm) -> bool:
        return isinstance(other, SpeedArm) and self._conditions == other._conditions

    def competes_with(self, other: Arm) -> bool:
        return isinstance(other, SpeedArm) and replace(self, policy=other.policy) == other

    @property
    def _conditions(self) -> tuple[str, int, int, Mode]:
        return (self.policy, self.batch_size, self.image_size, self.mode)


class ProbeArm(BaseArm, tag="probe", frozen=True, kw_only=True):
    """A fixed workload that measures the machine: its peak rates, and whether its speed drifts."""

    model: str = "machine"
    precision: str
    device: Device

    @property
    def label(self) -> str:
        return f"{self.model} {self.precision}"

    @property
    def is_network(self) -> bool:
        return False

    @property
    def times_calls(self) -> bool:
        return True

    def without_source(self) -> Arm:
        return self


NORMALISED = "normalised"
"""Last word of a transform whose mean and standard deviation are stored in the sample. Small images
that fit into memory are normalised by their training split, others by ImageNet's values, and which
of the two applies is known only when the data is opened."""


class AccuracyArm(BaseArm, tag="accuracy", frozen=True, kw_only=True):
    """A model whose top-1 is measured: with published `weights`, with those of a `checkpoint`, or
    after training under `recipe`. `policy` is that of the training run, or of the evaluation of
    weights if it is not float32 eager execution.

    A data set's baseline, which is not a network, has none of the three. `split` and `transform`
    say which images were evaluated and how they were shown.
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
    """How the recipe's values were chosen: as is, by a search, or as one trial of a search."""
    learning_rate: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    """The learning rate of a search or a trial, in place of the recipe's."""
    equalise: str | None = None
    """The budget that all models of a comparison share: epochs, macs or seconds."""
    epochs: Annotated[float, Meta(ge=1e-9, le=1e9)] | None = None
    """The length of the schedule after equalising, if it differs from the recipe's."""
    policy: str | None = None
    weights: str | None = None
    checkpoint: str | None = None
    """The first digits of the SHA-256 of a weights file."""
    labels: str | None = None
    """The name of the labels, if they are not the data set's own."""
    seed: int | None = None

    @property
    def baseline(self) -> bool:
        """True for a reference row of the data set, which is not a network."""
        return self.recipe is None and self.weights is None and self.checkpoint is None

    @property
    def label(self) -> str:
        return self.model

    @property
    def is_network(self) -> bool:
        return not self.baseline

    @property
    def reads_images(self) -> bool:
        return True

    @property
    def trains(self) -> bool:
        return self.recipe is not None

    def without_source(self) -> Arm:
        return replace(self, source=None)


Arm = CountArm | SpeedArm | AccuracyArm | ProbeArm

_encode = msgspec.json.Encoder(order="deterministic").encode


def _digest(value: Any) -> str:
    return hashlib.sha256(_encode(value)).hexdigest()


def key_of(arm: Arm, settings: dict[str, Scalar]) -> str:
    """Return 16 hex digits over the arm and the settings that change what a sample means."""
    return _digest([arm, settings])[:16]


At = tuple[str, int]
"""The run and the round of a sample. Samples are paired by these."""
