"""What an empty cell lacks: the command that measures it and about how long that takes. Knows no torch."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from bench.analysis.rows import Quantity, Row, Summary
from bench.config import COMMAND, DEFAULT_POLICY, RunConfig
from bench.forecast.companions import patterns
from bench.forecast.forecast import Pace, Want, forecast
from bench.forecast.past import Past
from bench.record.arms import Arm, CountArm, ProbeArm, SpeedArm
from bench.record.metric_units import METRICS
from bench.report.columns import display_of
from bench.stats.formatting import duration
from bench.stats.reference import SENTINEL

COUNTED = ("params", "macs", "activations")
"""Metrics that are measured at batch 1 whatever `--batch-sizes` says."""
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")


@dataclass(frozen=True)
class Fill:
    """A model and the metric that was not measured of it, with the flags that its command takes.

    `want` is the arm as the forecast wants it; None where nothing here says how this metric is measured.
    """

    model: str
    metric: str
    flags: tuple[str, ...] = ()
    want: Want | None = None

    @property
    def command(self) -> str:
        """The command that measures it alone."""
        return command([self])


def command(fills: list[Fill]) -> str:
    """One command for several, which share their flags."""
    models, metrics = (
        ",".join(dict.fromkeys(getattr(one, name) for one in fills)) for name in ("model", "metric")
    )
    return shlex.join(
        [*COMMAND.split(), "run", "--models", models, "--metrics", metrics, *fills[0].flags]
    )


def described(fill: Fill, past: Past) -> str:
    """The command of one cell, with its time."""
    return fill.command + _about([fill], past)


def together(fills: Iterable[Fill], past: Past) -> list[str]:
    """As few commands as fill all of them and measure nothing else, each with its time."""
    return [
        f"empty cells are filled by: {command(group)}{_about(group, past)}"
        for group in _groups(fills)
    ]


def _groups(fills: Iterable[Fill]) -> list[list[Fill]]:
    """Fills of models that lack the same metrics under the same flags: every model of a command is measured for all of its metrics."""
    by_model: dict[tuple[tuple[str, ...], str], dict[str, Fill]] = {}
    for one in fills:
        by_model.setdefault((one.flags, one.model), {})[one.metric] = one
    groups: dict[tuple[tuple[str, ...], frozenset[str]], list[Fill]] = {}
    for (flags, _), lacking in by_model.items():
        groups.setdefault((flags, frozenset(lacking)), []).extend(lacking.values())
    return list(groups.values())


def _about(fills: list[Fill], past: Past) -> str:
    found = seconds(fills, past)
    return "" if found is None else f" (about {duration(found)} on this machine)"


def seconds(fills: list[Fill], past: Past) -> float | None:
    """What `bench run --dry-run` says of the command of these fills; None where this machine's past does not tell."""
    asked: dict[Arm, Want] = {}
    for one in fills:
        if one.want is None:
            return None
        arm = one.want.arm
        more = asked[arm].metrics if arm in asked else ()
        asked[arm] = Want(arm, (*more, *one.want.metrics), one.want.settings)
    speeds = {arm: want for arm, want in asked.items() if isinstance(arm, SpeedArm)}
    if any(arm.policy in past.handwritten for arm in speeds):
        return None  # its pair runs under the policy without its handwritten switches, which only the policies themselves know
    everything = {want.arm: want for want in _companions(speeds, past)} | asked
    found = forecast(RunConfig(), list(everything.values()), past)
    return found.seconds if found else None


def _companions(speeds: Mapping[SpeedArm, Want], past: Past) -> Iterator[Want]:
    """The sentinel pairs and probes that come along with these arms."""
    for pattern, timed in patterns(
        (arm, [metric.name for metric in want.metrics]) for arm, want in speeds.items()
    ):
        settings = next(want.settings for want in speeds.values())
        for name in SENTINEL:
            arm = msgspec.structs.replace(
                pattern, model=name, num_classes=past.classes(name) or pattern.num_classes
            )
            yield Want(arm, (Pace(timed),), settings, "sentinel")
    probes = tuple(
        Pace(name, known.rounds) for name, known in METRICS.items() if known.arm == "probe"
    )
    in_rounds = [
        arm for arm, want in speeds.items() if any(metric.rounds is None for metric in want.metrics)
    ]
    for device, precision in dict.fromkeys(
        (arm.device, precision_of(arm.policy)) for arm in in_rounds
    ):
        yield Want(ProbeArm(precision=precision, device=device), probes, {}, "probe")


def precision_of(policy: str) -> str:
    """The precision that a policy computes in, by its name: fp32 unless a switch says otherwise."""
    return next(
        (
            part
            for name in policy.split("+")
            if (part := name.removesuffix("_autocast")) in PRECISIONS
        ),
        "fp32",
    )


def missing(summary: Summary, row: Row, quantity: Quantity) -> Fill:
    """What a row lacks that others have."""
    if quantity.metric in COUNTED:
        return missing_count(row.model, row.image_size, quantity.metric)
    flags = _size(row.image_size)
    if quantity.batch_size and not display_of(quantity.metric).one_batch:
        flags += ("--batch-sizes", str(quantity.batch_size))
    if row.policy and row.policy != DEFAULT_POLICY[summary.machine.kind]:
        flags += ("--policies", row.policy)
    return Fill(row.model, quantity.metric, flags, _speed(summary, row, quantity))


def _speed(summary: Summary, row: Row, quantity: Quantity) -> Want | None:
    """The arm that lacks a speed: as the last one that this metric was measured of, but of the row's model and policy."""
    like, known = summary.past.measuring(quantity.metric), METRICS.get(quantity.metric)
    if like is None or known is None or not isinstance(like.arm, SpeedArm):
        return None
    arm = msgspec.structs.replace(
        like.arm,
        model=row.model,
        source=None,
        image_size=row.image_size,
        num_classes=summary.past.classes(row.model) or like.arm.num_classes,
        policy=row.policy or DEFAULT_POLICY[summary.machine.kind],
        batch_size=quantity.batch_size or like.arm.batch_size,
    )
    return Want(arm, (Pace(quantity.metric, known.rounds),), like.settings)


def missing_count(model: str, image_size: int, metric: str) -> Fill:
    """Parameters, MACs or activations, which no policy changes."""
    arm = CountArm(
        model=model, image_size=image_size, num_classes=1
    )  # however many classes: a count takes as long
    return Fill(model, metric, _size(image_size), Want(arm, (Pace(metric),), {}))


def _size(image_size: int) -> tuple[str, ...]:
    return () if image_size == 224 else ("--image-size", str(image_size))
