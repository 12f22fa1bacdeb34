"""What arms will cost before they are measured: one forecast for dry runs, queues of studies and the report's commands.

An arm that this machine has measured costs what it cost then. Another one is taken from the same model at another batch
size or under another policy, or from its multiply-adds at the speed that networks reach here, which is right within a factor
of a few; a line says which it is. Free of torch, since the report makes forecasts; `bench.plan.forecast` adds what takes a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.config import DEFAULT_POLICY, RunConfig
from bench.forecast.past import Past, Seen, passes
from bench.forecast.round_rules import (
    DEAR,
    FIRST_LOOK,
    PROCESSES,
    PROCESSES_IF_DEAR,
    RENEWING,
    SENTINEL_EVERY,
)
from bench.record.arms import AccuracyArm, Arm, CountArm, ProbeArm, SpeedArm
from bench.record.schema import Role, Scalar

MEASURED, NEARBY, FROM_MACS, USUAL = (
    "measured here before",
    "from its other arms here",
    "from its MACs",
    "usual",
)
"""What a line may rest on."""
WORKER = 0.25e9
"""Bytes of a worker before it has a model: torch and timm, shared with its siblings as far as the system can."""
PROCESS_S = 1.0
"""Seconds that a worker takes before it builds its model."""
SETUP_CALLS = 8
"""Calls until an arm is warm: the first one counts for several."""
SEARCH_CALLS = 30
"""Calls that the search for the largest batch is worth."""
PROBE_S = 0.2
"""Seconds a round of a probe that was never measured."""
ROUND_BYTES = 800
"""Of a record, by round and metric."""


@dataclass(frozen=True)
class Pace:
    """A metric, as far as its time depends on it: in how many rounds it takes part (None: in all), and its window's seconds
    where it has a length of its own."""

    name: str
    rounds: int | None = None
    window: float | None = None


@dataclass(frozen=True)
class Want:
    """An arm that is to be measured, the metrics that are wanted of it, and why it takes part."""

    arm: Arm
    metrics: tuple[Pace, ...]
    settings: Mapping[str, Scalar]
    role: Role = "asked"


@dataclass(frozen=True)
class Line:
    """What one arm costs: seconds until it is ready, of a round's windows, done once; bytes; what the estimate rests on."""

    want: Want
    basis: str
    setup: float = 0.0
    each_round: float = 0.0
    once: float = 0.0
    memory: float = 0.0
    disk: float = 0.0

    @property
    def metrics(self) -> str:
        """The names of its metrics."""
        return ", ".join(metric.name for metric in self.want.metrics)

    @property
    def renewing(self) -> float:
        """Seconds of the further processes that an arm has to have."""
        processes = PROCESSES_IF_DEAR if self.setup > DEAR else PROCESSES
        return (
            (processes - 1) * self.setup if self.each_round and self.want.role != "probe" else 0.0
        )


@dataclass(frozen=True)
class Forecast:
    """A run before it starts: `seconds` from the command to its tables, trainings included; bytes while it goes on and after."""

    lines: list[Line]
    rounds: int
    seconds: float
    memory: float
    disk: float
    trainings: int
    training_seconds: float
    past: list[float] = field(default_factory=list)
    """What past runs here took over what was expected of them."""


def forecast(config: RunConfig, wants: Sequence[Want], past: Past) -> Forecast | None:
    """The cost of `wants`, their companions among them; None where the past does not say what one of them costs."""
    lines = [line_of(want, past) for want in wants]
    known = [line for line in lines if line is not None]
    return total(config, known, past) if len(known) == len(lines) else None


def total(config: RunConfig, lines: Sequence[Line], past: Past) -> Forecast:
    """All arms of a run together, under its limits of rounds and time."""
    here = past.habits
    each = here.spent * sum(line.each_round for line in lines)
    rounds, budget = config.most_rounds, config.time_budget
    renewing = sum(line.renewing for line in lines) if rounds >= FIRST_LOOK else 0.0
    if budget is not None and each:
        renewing = min(renewing, RENEWING * budget)
        rounds = max(1, min(rounds, int((budget - renewing) / each)))
    setup = _chosen_again(lines) * sum(line.setup for line in lines)
    trainings = [line for line in lines if isinstance(line.want.arm, AccuracyArm)]
    return Forecast(
        lines=list(lines),
        rounds=rounds,
        seconds=here.start + setup + sum(line.once for line in lines) + rounds * each + renewing,
        memory=sum(line.memory for line in lines if line.each_round),
        disk=sum(line.disk + ROUND_BYTES * rounds * bool(line.each_round) for line in lines),
        trainings=len(trainings),
        training_seconds=sum(line.once for line in trainings),
        past=past.missed,
    )


def _chosen_again(lines: Sequence[Line]) -> float:
    """How often arms are set up: where policies compete, each model's best ones begin again, to be measured anew."""
    asked = [line.want.arm for line in lines if line.want.role == "asked"]
    policies = {(arm.model, arm.policy) for arm in asked if isinstance(arm, SpeedArm)}
    if len({policy for _, policy in policies}) < 2:
        return 1.0
    return 1.0 + len({model for model, _ in policies}) / len(policies)


def line_of(want: Want, past: Past) -> Line | None:
    """What one arm costs by this machine's past; None where that says nothing of it."""
    arm = want.arm
    if isinstance(arm, ProbeArm):
        return Line(
            want,
            USUAL,
            setup=1.0,
            each_round=_windows(want, past.of_arm(arm), 0.0) or PROBE_S,
            memory=WORKER,
        )
    if isinstance(arm, CountArm):
        return Line(want, USUAL, once=past.habits.count, disk=4 * ROUND_BYTES)
    if isinstance(arm, AccuracyArm):
        return None
    found = past.of_arm(arm)
    if found is not None and found.call is not None:
        return timed(want, found.call, MEASURED, found)
    if (near := past.nearest(arm)) is not None:
        return timed(want, near, NEARBY, found)
    macs, rate = past.macs(arm.model, arm.image_size), past.rate(arm.policy)
    return (
        timed(want, seconds_by_macs(arm, macs, rate), FROM_MACS, found) if macs and rate else None
    )


def seconds_by_macs(arm: SpeedArm, macs: float, rate: float) -> float:
    """Of one call, by the multiply-adds of an image and how many of them a second are reached."""
    return arm.batch_size * macs * passes(arm) / rate


def timed(want: Want, call: float, basis: str, found: Seen | None) -> Line:
    """The line of a speed arm one call of which takes so many seconds; `found` is what was seen of it here."""
    arm = want.arm
    assert isinstance(arm, SpeedArm)
    setup = PROCESS_S + (
        found.setup if found is not None and found.setup is not None else SETUP_CALLS * call
    )
    memory = WORKER + found.memory if found is not None and found.memory is not None else 0.0
    if arm.mode == "capacity":
        return Line(
            want, basis, setup=setup, once=SEARCH_CALLS * call, memory=memory, disk=2 * ROUND_BYTES
        )
    windows = _windows(want, found, call)
    if want.role == "sentinel":
        windows /= SENTINEL_EVERY
    return Line(want, basis, setup=setup, each_round=windows, memory=memory, disk=2 * ROUND_BYTES)


def _windows(want: Want, found: Seen | None, call: float) -> float:
    """Seconds that the windows of one round take: as they did before, else what they are asked to last, or one call."""
    seconds = 0.0
    for metric in want.metrics:
        if metric.rounds is None:
            had = found.windows.get(metric.name) if found is not None else None
            seconds += max(_asked(metric, want.settings), call) if had is None else had
    return seconds


def _asked(metric: Pace, settings: Mapping[str, Scalar]) -> float:
    """How long a window is asked to last."""
    return metric.window if metric.window is not None else float(settings.get("window_s") or 0.0)


def evaluating(
    shown: Sequence[tuple[str, int]], images: int, kind: str, past: Past
) -> float | None:
    """Seconds of a run that shows so many images to each of these models (name and image size) on a kind of device."""
    each = [past.per_image(model, size, DEFAULT_POLICY[kind]) for model, size in shown]
    known = [seconds for seconds in each if seconds is not None]
    return past.habits.start + images * sum(known) if len(known) == len(each) else None
