"""Commands that fill empty cells, and how long they take on this machine."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from operator import attrgetter

import msgspec

from bench.config import COMMAND, RunConfig
from bench.forecast.companions import patterns
from bench.forecast.forecast import Pace, Want, forecast
from bench.forecast.past import Past
from bench.record.arms import Arm, ProbeArm, SpeedArm
from bench.record.metric_units import METRICS
from bench.record.precisions import precision_in_name
from bench.report.notes import Note
from bench.stats.formatting import duration
from bench.stats.reference import SENTINEL


@dataclass(frozen=True)
class Fill:
    """A metric of one model that was not measured, with the flags of the command that measures it.

    `want` is the arm for a forecast of its time; None if the report does not know how the metric is
    measured.
    """

    model: str
    metric: str
    flags: tuple[str, ...] = ()
    want: Want | None = None

    @property
    def command(self) -> str:
        """The command that measures only this."""
        return command([self])


def command(fills: Sequence[Fill]) -> str:
    """Return one command for several fills with the same flags."""
    models = ",".join(dict.fromkeys(map(attrgetter("model"), fills)))
    metrics = ",".join(dict.fromkeys(map(attrgetter("metric"), fills)))
    words = [*COMMAND.split(), "run", "--models", models, "--metrics", metrics, *fills[0].flags]
    return shlex.join(words)


def described(fill: Fill, past: Past) -> str:
    """Return the command of one cell, with its time."""
    return fill.command + _about([fill], past)


def together(fills: Iterable[Fill], past: Past) -> list[Note]:
    """Return the fewest commands that fill all cells and measure nothing else, with their times."""
    lines = []
    for group in _groups(fills):
        lines.append(Note(f"empty cells are filled by: {command(group)}{_about(group, past)}"))
    return lines


def _about(fills: list[Fill], past: Past) -> str:
    found = seconds(fills, past)
    return "" if found is None else f" (about {duration(found)} on this machine)"


def _groups(fills: Iterable[Fill]) -> list[list[Fill]]:
    """Return groups of fills whose models lack the same metrics under the same flags.

    A command measures every one of its metrics for every one of its models.
    """
    by_model: dict[tuple[tuple[str, ...], str], dict[str, Fill]] = {}
    for fill in fills:
        by_model.setdefault((fill.flags, fill.model), {})[fill.metric] = fill
    groups: dict[tuple[tuple[str, ...], frozenset[str]], list[Fill]] = {}
    for (flags, _), lacking in by_model.items():
        groups.setdefault((flags, frozenset(lacking)), []).extend(lacking.values())
    return list(groups.values())


def seconds(fills: Iterable[Fill], past: Past) -> float | None:
    """Return the time that `bench run --dry-run` forecasts for the command of some fills.

    None if this machine's past does not tell.
    """
    asked: dict[Arm, Want] = {}
    for fill in fills:
        if fill.want is None:
            return None
        arm = fill.want.arm
        more = asked[arm].metrics if arm in asked else ()
        asked[arm] = Want(arm, (*more, *fill.want.metrics), fill.want.settings)
    speeds = {arm: want for arm, want in asked.items() if isinstance(arm, SpeedArm)}
    if any(arm.policy in past.handwritten for arm in speeds):
        # The A/A check then runs under the policy without its handwritten switches, which only the
        # policies themselves know.
        return None
    everything = {want.arm: want for want in _companions(speeds, past)} | asked
    found = forecast(RunConfig(), list(everything.values()), past)
    return found.seconds if found else None


def _companions(speeds: Mapping[SpeedArm, Want], past: Past) -> Iterator[Want]:
    """Yield the A/A checks and probes that are measured along with some arms."""
    names = map(_names, speeds.values())
    for pattern, timed in patterns(zip(speeds, names, strict=True)):
        settings = next(iter(speeds.values())).settings
        for name in SENTINEL:
            classes = past.classes(name) or pattern.num_classes
            arm = msgspec.structs.replace(pattern, model=name, num_classes=classes)
            yield Want(arm, (Pace(timed),), settings, "sentinel")
    probes = tuple(_probes())
    in_rounds = compress(speeds, map(_in_all_rounds, speeds.values()))
    for precision, device in dict.fromkeys(map(_precision_and_device, in_rounds)):
        yield Want(ProbeArm(precision=precision, device=device), probes, {}, "probe")


def _names(want: Want) -> list[str]:
    return list(map(attrgetter("name"), want.metrics))


def _probes() -> Iterator[Pace]:
    """Yield the metrics of probes."""
    for name, known in METRICS.items():
        if known.arm == "probe":
            yield Pace(name, known.rounds, known.window)


def _in_all_rounds(want: Want) -> bool:
    """True if a metric takes part in every round."""
    return any(metric.rounds is None for metric in want.metrics)


def _precision_and_device(arm: SpeedArm) -> tuple[str, str]:
    return precision_in_name(arm.policy), arm.device
