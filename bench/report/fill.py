"""What an empty cell lacks, as a value: the command that measures it and how long that takes."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from bench.config import COMMAND, RunConfig
from bench.forecast.companions import patterns
from bench.forecast.forecast import Pace, Want, forecast
from bench.forecast.past import Past
from bench.record.arms import Arm, ProbeArm, SpeedArm
from bench.record.metric_units import METRICS
from bench.record.precisions import precision_in_name
from bench.stats.formatting import duration
from bench.stats.reference import SENTINEL


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


def _about(fills: list[Fill], past: Past) -> str:
    found = seconds(fills, past)
    return "" if found is None else f" (about {duration(found)} on this machine)"


def _groups(fills: Iterable[Fill]) -> list[list[Fill]]:
    """Fills of models that lack the same metrics under the same flags: every model of a command is measured for all of its metrics."""
    by_model: dict[tuple[tuple[str, ...], str], dict[str, Fill]] = {}
    for one in fills:
        by_model.setdefault((one.flags, one.model), {})[one.metric] = one
    groups: dict[tuple[tuple[str, ...], frozenset[str]], list[Fill]] = {}
    for (flags, _), lacking in by_model.items():
        groups.setdefault((flags, frozenset(lacking)), []).extend(lacking.values())
    return list(groups.values())


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
        (arm.device, precision_in_name(arm.policy)) for arm in in_rounds
    ):
        yield Want(ProbeArm(precision=precision, device=device), probes, {}, "probe")
