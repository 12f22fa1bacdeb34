"""Released metrics as the record format has them: unit, direction, range, details of a window.

This is part of the format: a record of a released metric must say the same whichever version wrote
it, and readers check that without importing torch or the metric. A record in another unit is
somebody else's; one that breaks a range, a type or a relation was made by hand or damaged. A test
holds the rows against the metrics' own declarations.

A new metric needs no row. Its samples carry unit and direction, which must be the same throughout a
record, and its values must be finite; a row adds a range and the details that must be there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

Scalar = str | int | float | bool | None
Better = Literal["lower", "higher", "none"]
Count = Annotated[int, Meta(ge=0, le=10**18)]
Positive = Annotated[int, Meta(ge=1, le=10**18)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
Amount = Annotated[float, Meta(ge=0, le=1e21)]
Number = Annotated[float, Meta(ge=-1e21, le=1e21)]
Share = Annotated[float, Meta(ge=0, le=1)]
LayerKind = Literal[
    "convolution",
    "depthwise convolution",
    "pointwise convolution",
    "linear",
    "attention",
    "normalisation",
    "activation",
    "pooling",
    "rest",
]
PLUG_IN = 1e30
"""Largest absolute value of a metric without a row here."""


class Plain(msgspec.Struct, frozen=True, kw_only=True):
    """Unknown details.

    Every field of the schemas below is optional unless readers cannot do without it.
    """


class Throughput(Plain, frozen=True, kw_only=True):
    """The calls or training steps of a window of throughput.

    `tail_s` is the wait for the device after the last call.
    """

    calls: Positive | UnsetType = UNSET
    steps: Positive | UnsetType = UNSET
    seconds: Annotated[float, Meta(gt=0, le=1e9)] | UnsetType = UNSET
    tail_s: Seconds | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.tail_s is not UNSET and UNSET in (self.calls, self.seconds):
            raise ValueError("it has a tail_s without calls and seconds")


class Latency(Plain, frozen=True, kw_only=True):
    """Medians over the calls of a window.

    `device_s` is the name of `device_span_s` before it was known to include gaps.
    """

    host_s: Seconds | UnsetType = UNSET
    device_span_s: Seconds | UnsetType = UNSET
    device_s: Seconds | UnsetType = UNSET


class Energy(Plain, frozen=True, kw_only=True):
    """The energy without that of the idle GPU, which may be below zero."""

    net_j: Number
    idle_w: Number | UnsetType = UNSET
    power_w: Number | UnsetType = UNSET


class FirstCall(Plain, frozen=True, kw_only=True):
    """The time to build the model before the first call."""

    build_s: Seconds | UnsetType = UNSET


class LargestBatch(Plain, frozen=True, kw_only=True):
    """What ended the search."""

    memory_limit: Count | None = None
    at_least: bool = False


class LayerTime(Plain, frozen=True, kw_only=True):
    """Path, kind, seconds and multiply-adds of every layer, in the order of execution."""

    layers: Annotated[list[tuple[str, LayerKind, Number, Number]], Meta(min_length=1)]
    plain_s: Seconds | UnsetType = UNSET


class Memory(Plain, frozen=True, kw_only=True):
    """When the peak starts to count, what is counted, and the bytes that a CUDA graph keeps."""

    since: str | UnsetType = UNSET
    counted: str | UnsetType = UNSET
    graph_pool: Count | UnsetType = UNSET


class Macs(Plain, frozen=True, kw_only=True):
    """The other counter's result, and the operators that neither counted."""

    check: Count | UnsetType = UNSET
    uncounted: dict[str, Count] | UnsetType = UNSET


class PeakRate(Plain, frozen=True, kw_only=True):
    """The work of a probe in its window: the fastest of several shapes, and the rate of each."""

    calls: Positive | UnsetType = UNSET
    shape: str | UnsetType = UNSET
    rates: dict[str, Amount] | UnsetType = UNSET
    side: Positive | UnsetType = UNSET
    bytes: Positive | UnsetType = UNSET


class WeightsFile(msgspec.Struct, frozen=True, kw_only=True):
    """What was loaded from a file of weights: its entry, what was removed from the names, and what
    was left out."""

    entry: str | None = None
    other_entries: list[str] = []
    removed: list[str] = []
    left_out: list[str] = []
    stored_as: list[str] = []


Channels = Annotated[
    list[Annotated[float, Meta(ge=-1e6, le=1e6)]], Meta(min_length=1, max_length=3)
]


class Top1(Plain, frozen=True, kw_only=True):
    """Counts of right answers, how they were obtained, and what training took."""

    correct: Count
    images: Positive
    top5_correct: Count | UnsetType = UNSET
    view: str | UnsetType = UNSET
    shown: str | UnsetType = UNSET
    file: WeightsFile | UnsetType = UNSET
    resampled_from: Positive | UnsetType = UNSET
    unreadable: list[str] | UnsetType = UNSET
    without_label: Count | UnsetType = UNSET
    spread: dict[str, Share] | UnsetType = UNSET
    train_s: Seconds | UnsetType = UNSET
    epochs: Annotated[float, Meta(ge=1e-9, le=1e9)] | UnsetType = UNSET
    steps: Positive | UnsetType = UNSET
    images_per_s: Amount | UnsetType = UNSET
    peak_memory_bytes: Number | UnsetType = UNSET
    final_loss: float | None = None
    split: str | UnsetType = UNSET
    mean: Channels | UnsetType = UNSET
    std: Channels | UnsetType = UNSET
    processes: Positive | UnsetType = UNSET
    commonest_class: Share | UnsetType = UNSET
    auxiliary_heads: Count | UnsetType = UNSET
    auxiliary_weight: Share | UnsetType = UNSET
    beside: Positive | UnsetType = UNSET
    """Training runs that shared the machine, this one included. If there were several, the seconds
    and images per second say nothing about the model."""
    threads: Positive | UnsetType = UNSET
    penalty: Number | UnsetType = UNSET
    """The L2 penalty of a logistic regression, chosen from `penalties`; `gap` is the most that its
    objective may be above the optimum, in nats."""
    penalties: list[Number] | UnsetType = UNSET
    gap: Number | UnsetType = UNSET

    def __post_init__(self) -> None:
        most = self.images if self.top5_correct is UNSET else self.top5_correct
        if not self.correct <= most <= self.images:
            raise ValueError(
                f"{self.correct} right, {most} among the first five, of {self.images} images"
            )


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A receptive field in pixels, and as shares of an even map's.

    Older ones have one `centre` instead of `row` and `column`.
    """

    canvas: Positive
    row: Amount | UnsetType = UNSET
    column: Amount | UnsetType = UNSET
    centre: Amount | UnsetType = UNSET
    r50: Amount
    r90: Amount
    share50: Amount
    share90: Amount
    saturated: bool

    def __post_init__(self) -> None:
        if self.centre is UNSET and UNSET in (self.row, self.column):
            raise ValueError("a receptive field has no centre")


class ReceptiveField(Plain, frozen=True, kw_only=True):
    """Besides these, a `Field` for every canvas before and after training."""

    theoretical: Amount | None = None
    images: Positive | UnsetType = UNSET


FIELD_NAME = re.compile(r"(before|after)_[0-9]{1,7}")


@dataclass(frozen=True)
class Known:
    """The properties that every sample of a metric has."""

    unit: str
    better: Better
    arm: Literal["count", "speed", "accuracy", "probe"]
    low: float
    high: float
    detail: type[Plain] = Plain
    whole: bool = False
    rounds: int | None = None
    """The number of rounds in which it takes part; None for all."""
    window: float | None = None
    """Seconds of its windows; None for the usual ones."""


def _speed(
    unit: str,
    better: Better,
    low: float,
    high: float,
    detail: type[Plain] = Plain,
    rounds: int | None = None,
) -> Known:
    return Known(unit, better, "speed", low, high, detail, rounds=rounds)


def _count(unit: str, detail: type[Plain] = Plain) -> Known:
    return Known(unit, "lower", "count", 0, 1e21, detail, whole=True)


SHORTEST, LONGEST = 1e-15, 1e9
"""Seconds."""
DRIFT_S = 0.15
"""Seconds of a window of the drift check, as many as windows of models have at least."""
METRICS = {
    "activations": _count("element"),
    "canary": Known("s", "lower", "probe", SHORTEST, LONGEST, window=DRIFT_S),
    "copy_ceiling": Known("B/s", "higher", "probe", 1e-3, 1e21, PeakRate, rounds=6),
    "energy": _speed("J", "lower", 0, 1e12, Energy, rounds=6),
    "first_call": _speed("s", "lower", 0, LONGEST, FirstCall, rounds=1),
    "graph_latency": _speed("s", "lower", SHORTEST, LONGEST),
    "largest_batch": _speed("image", "higher", 1, 1e12, LargestBatch, rounds=1),
    "latency": _speed("s", "lower", SHORTEST, LONGEST, Latency),
    "layer_time": _speed("s", "none", 0, LONGEST, LayerTime, rounds=6),
    "macs": _count("MAC", Macs),
    "matmul_ceiling": Known("MAC/s", "higher", "probe", 1e-3, 1e21, PeakRate, rounds=6),
    # On a CPU it is the growth of a process, which may shrink.
    "memory": _speed("B", "lower", -1e18, 1e18, Memory, rounds=1),
    "params": _count("parameter"),
    "receptive_field": Known("pixel", "none", "accuracy", 0, 1e7, ReceptiveField),
    "throughput": _speed("image/s", "higher", 1e-18, 1e15, Throughput),
    "top1": Known("share", "higher", "accuracy", 0, 1, Top1),
    "train_memory": _speed("B", "lower", -1e18, 1e18, Memory, rounds=1),
    "train_step": _speed("s", "lower", SHORTEST, LONGEST, Throughput),
    "train_throughput": _speed("image/s", "higher", 1e-18, 1e15),
}


class WindowState(msgspec.Struct, frozen=True, kw_only=True):
    """The machine during a window; `left` is the share of the CPU that others left to it."""

    left: Annotated[float, Meta(ge=1e-3, le=1)] | UnsetType = UNSET
    steal: Number | UnsetType = UNSET
    other: Number | UnsetType = UNSET
    clock_mhz_min: Number | UnsetType = UNSET
    clock_mhz_max: Number | UnsetType = UNSET
    temperature_c_min: Number | UnsetType = UNSET
    temperature_c_max: Number | UnsetType = UNSET
    power_w_min: Number | UnsetType = UNSET
    power_w_max: Number | UnsetType = UNSET
    throttle: str | UnsetType = UNSET


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What a process needed before its first window; fields that end in `_s` are seconds."""

    seconds_per_call: Seconds | None = None
    warmup_windows: Count | None = None
    steady: bool | None = None
    handwritten: bool | None = None
    agreement: str | None = None
    agreement_images: Positive | None = None
    agreement_source: str | None = None
    agreement_error: Amount | None = None
    agreement_tolerance: Amount | None = None
    agreement_cosine: Annotated[float, Meta(ge=-1.001, le=1.001)] | None = None
    agreement_top1: Share | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of an arm that readers calculate with."""

    window_s: Seconds | UnsetType = UNSET


def check_settings(settings: Mapping[str, Scalar]) -> None:
    """Raise ValueError if the settings of an arm are invalid."""
    msgspec.convert(settings, Settings)


def check_setup(setup: Mapping[str, Scalar]) -> None:
    """Raise ValueError if the set-up times of a process are invalid."""
    msgspec.convert(setup, Setup)
    for name, value in setup.items():
        if name.endswith("_s"):
            msgspec.convert(value, Seconds | None)


def check_sample(
    metric: str,
    unit: str,
    better: str,
    values: Sequence[float],
    detail: Mapping[str, Any],
    state: Mapping[str, Scalar],
) -> None:
    """Raise ValueError if a sample cannot be one of its metric."""
    known = METRICS.get(metric)
    if not values:
        raise ValueError(f"a sample of {metric} has no values")
    if not all(map(math.isfinite, values)):
        raise ValueError(f"a sample of {metric} contains {values}, which is not finite")
    low, high = (-PLUG_IN, PLUG_IN) if known is None else (known.low, known.high)
    if not low <= min(values) <= max(values) <= high:
        raise ValueError(
            f"{metric} is {min(values):g} to {max(values):g} {unit}; "
            f"from {low:g} to {high:g} is possible"
        )
    msgspec.convert(state, WindowState)
    if known is not None:
        _check_known(known, metric, unit, better, values, detail)


def _check_known(
    known: Known,
    metric: str,
    unit: str,
    better: str,
    values: Sequence[float],
    detail: Mapping[str, Any],
) -> None:
    if unit != known.unit:
        raise ValueError(f"{metric} is in {unit!r}, this bench has it in {known.unit!r}")
    if better != known.better:
        raise ValueError(f"{metric} says {better!r} is better, this bench says {known.better!r}")
    if known.whole and any(value != int(value) for value in values):
        raise ValueError(f"{metric} is a count, and {values} is not one")
    says = msgspec.convert(detail, known.detail)
    if isinstance(says, Top1) and abs(values[-1] - says.correct / says.images) > 1e-9:
        raise ValueError(
            f"top1 is {values[-1]}, and {says.correct} of {says.images} images were right"
        )
    if isinstance(says, ReceptiveField):
        for name in filter(FIELD_NAME.fullmatch, detail):
            msgspec.convert(detail[name], Field)
