"""Forecast what arms will cost, for dry runs, the queue of studies and the report's commands.

An arm that this machine has measured costs what it cost then. Another arm is scaled from the same
model at another batch size or policy, or from its multiply-adds at the rate that networks reach on
this machine, which is right within a factor of a few; each line says which of these it is. Free of
torch, since the report makes forecasts too; `bench.plan.forecast` adds what needs a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.config import RunConfig
from bench.devices import kind_of
from bench.forecast.past import Past, Seen, passes
from bench.forecast.round_rules import (
    DEAR,
    FIRST_LOOK,
    PROCESSES,
    PROCESSES_IF_DEAR,
    SENTINEL_EVERY,
    renewing_limit,
)
from bench.record import checking
from bench.record.arms import AccuracyArm, Arm, CountArm, ProbeArm, SpeedArm
from bench.record.schema import Role, Scalar

# What a forecast can be based on.
MEASURED = "measured here before"
NEARBY = "from its other configurations here"
FROM_MACS = "from its MACs"
USUAL = "usual"
WORKER = 0.25e9
"""Bytes of a worker before it has a model: torch and timm, partly shared with other workers."""
PROCESS_S = 1.0
"""Seconds from the start of a worker until it builds its model."""
SETUP_CALLS = 8
"""Calls until an arm is warm; the first one takes as long as several."""
SEARCH_CALLS = 30
"""Calls that take as long as the search for the largest batch."""
PROBE_S = 0.2
"""Seconds per round of a probe that was never measured."""
ROUND_BYTES = 800
"""Bytes of a record per round and metric."""


@dataclass(frozen=True)
class Pace:
    """How often and how long a metric is measured.

    `rounds` is the number of rounds in which it takes part (None: all), `window` the length of its
    window in seconds (None: the usual one).
    """

    name: str
    rounds: int | None = None
    window: float | None = None


@dataclass(frozen=True)
class Want:
    """An arm to be measured, the metrics wanted of it, and why it takes part."""

    arm: Arm
    metrics: tuple[Pace, ...]
    settings: Mapping[str, Scalar]
    role: Role = "asked"


@dataclass(frozen=True)
class CostLine:
    """The cost of one arm, and what the forecast is based on.

    In seconds: `setup` until it is ready, `renewal` until a later process of it is, `reference` for
    the float32 logits of its model, `each_round` for the windows of a round, and `once` for work
    that is done a single time. In bytes: `memory` and `disk`.
    """

    want: Want
    basis: str
    setup: float = 0.0
    renewal: float = 0.0
    reference: float = 0.0
    each_round: float = 0.0
    once: float = 0.0
    memory: float = 0.0
    disk: float = 0.0

    @property
    def metrics(self) -> str:
        """The names of its metrics, with commas."""
        return ", ".join(metric.name for metric in self.want.metrics)

    @property
    def trains(self) -> bool:
        """True if a top-1 is measured, which takes no rounds."""
        return isinstance(self.want.arm, AccuracyArm)

    @property
    def renewing(self) -> float:
        """Seconds for setting up the further processes that the arm has to have."""
        if not self.each_round or self.want.role == "probe":
            return 0.0
        processes = PROCESSES_IF_DEAR if self.renewal > DEAR else PROCESSES
        return (processes - 1) * self.renewal


@dataclass(frozen=True)
class Forecast:
    """The cost of a run before it starts.

    `seconds` are from the command to its tables, training runs included; `memory` is in bytes
    during the run, `disk` in bytes after it.
    """

    lines: list[CostLine]
    rounds: int
    seconds: float
    memory: float
    disk: float
    trainings: int
    training_seconds: float
    past: list[float] = field(default_factory=list)
    """The time that past runs on this machine took over the time that was expected."""


def forecast(config: RunConfig, wants: Sequence[Want], past: Past) -> Forecast | None:
    """Return the cost of `wants`, which include their companions.

    None if the past does not say what one of them costs.
    """
    lines = []
    for want in wants:
        line = line_of(want, past)
        if line is None:
            return None
        lines.append(line)
    return total(config, lines, past)


def total(config: RunConfig, lines: Sequence[CostLine], past: Past) -> Forecast:
    """Return the cost of all arms of a run together, within its limits of rounds and time."""
    habits = past.habits
    round_s = habits.spent * sum(line.each_round for line in lines)
    rounds, renewing = _rounds_and_renewing(config, lines, round_s)
    setup = _setups_per_arm(lines) * sum(line.setup for line in lines) + _references(lines)
    once = memory = disk = training_s = 0.0
    for line in lines:
        once += line.once
        disk += line.disk
        if line.each_round:
            memory += line.memory
            disk += ROUND_BYTES * rounds
        if line.trains:
            training_s += line.once
    return Forecast(
        lines=list(lines),
        rounds=rounds,
        seconds=habits.start + setup + once + rounds * round_s + renewing,
        memory=memory,
        disk=disk,
        trainings=sum(line.trains for line in lines),
        training_seconds=training_s,
        past=past.missed,
    )


def _rounds_and_renewing(
    config: RunConfig, lines: Sequence[CostLine], round_s: float
) -> tuple[int, float]:
    """Return the number of rounds of `round_s` seconds, and the seconds for new processes."""
    rounds, budget = config.most_rounds, config.time_budget
    renewing = sum(line.renewing for line in lines) if rounds >= FIRST_LOOK else 0.0
    if budget is None or not round_s:
        return rounds, renewing
    renewing = min(renewing, renewing_limit(budget, round_s))
    return max(1, min(rounds, int((budget - renewing) / round_s))), renewing


def _references(lines: Sequence[CostLine]) -> float:
    """Return the seconds for the float32 logits of every model at every image size."""
    seconds: dict[tuple[str, int], float] = {}
    for line in lines:
        arm = line.want.arm
        if isinstance(arm, SpeedArm):
            shape = (arm.model, arm.image_size)
            seconds[shape] = max(line.reference, seconds.get(shape, 0.0))
    return sum(seconds.values())


def _setups_per_arm(lines: Sequence[CostLine]) -> float:
    """Return how often an arm is set up on average.

    If several policies compete, the best one of each model is set up again to be measured anew.
    """
    arms, policies, models = set(), set(), set()
    for line in lines:
        arm = line.want.arm
        if line.want.role == "asked" and isinstance(arm, SpeedArm):
            arms.add((arm.model, arm.policy))
            policies.add(arm.policy)
            models.add(arm.model)
    return 1.0 if len(policies) < 2 else 1.0 + len(models) / len(arms)


def line_of(want: Want, past: Past) -> CostLine | None:
    """Return the cost of one arm by this machine's past; None if the past does not say it."""
    arm = want.arm
    if isinstance(arm, ProbeArm):
        windows = _windows(want, past.of_arm(arm), 0.0) or PROBE_S
        return CostLine(want, USUAL, setup=1.0, each_round=windows, memory=WORKER)
    if isinstance(arm, CountArm):
        return CostLine(want, USUAL, once=past.habits.count, disk=4 * ROUND_BYTES)
    if isinstance(arm, AccuracyArm):
        return None
    seen = past.of_arm(arm)
    if seen is not None and seen.call is not None:
        return timed(want, seen.call, MEASURED, seen)
    near = past.nearest(arm)
    if near is not None:
        return timed(want, near, NEARBY, seen)
    macs, rate = past.macs(arm.model, arm.image_size), past.rate(arm.policy)
    if not macs or not rate:
        return None
    return timed(want, seconds_by_macs(arm, macs, rate), FROM_MACS, seen)


def seconds_by_macs(arm: SpeedArm, macs: float, rate: float) -> float:
    """Return the seconds of a call: `macs` multiply-adds per image at `rate` per second."""
    return arm.batch_size * macs * passes(arm) / rate


def timed(want: Want, call: float, basis: str, seen: Seen | None) -> CostLine:
    """Return the cost of a speed arm whose calls take `call` seconds.

    `seen` is what this machine measured of the arm, None if it never did.
    """
    arm = want.arm
    assert isinstance(arm, SpeedArm)
    setup = renewal = PROCESS_S + SETUP_CALLS * call
    reference = 0.0
    if arm.is_timed and arm.mode == "inference":
        setup += checking.first_s(call, arm.batch_size)
        renewal += checking.later_s(call, arm.batch_size)
        reference = PROCESS_S + checking.first_s(call / arm.batch_size, 1)
    if seen is not None and seen.setup is not None and seen.renewal is not None:
        setup, renewal = PROCESS_S + seen.setup, PROCESS_S + seen.renewal
    memory = WORKER + seen.memory if seen is not None and seen.memory is not None else 0.0
    disk = 2 * ROUND_BYTES
    if arm.mode == "capacity":
        search = SEARCH_CALLS * call
        return CostLine(want, basis, setup=setup, once=search, memory=memory, disk=disk)
    windows = _windows(want, seen, call)
    if want.role == "sentinel":
        windows /= SENTINEL_EVERY
    return CostLine(
        want,
        basis,
        setup=setup,
        renewal=renewal,
        reference=reference,
        each_round=windows,
        memory=memory,
        disk=disk,
    )


def _windows(want: Want, seen: Seen | None, call: float) -> float:
    """Return the seconds of the windows of one round.

    A window lasts as long as it did before; if it was never measured, as long as it should last,
    but at least one call.
    """
    before = seen.windows if seen is not None else {}
    seconds = 0.0
    for metric in want.metrics:
        if metric.rounds is None:
            lasted = before.get(metric.name)
            seconds += max(_window(metric, want.settings), call) if lasted is None else lasted
    return seconds


def _window(metric: Pace, settings: Mapping[str, Scalar]) -> float:
    """Return the seconds that a window should last."""
    return metric.window if metric.window is not None else float(settings.get("window_s") or 0.0)


def evaluating(
    shown: Sequence[tuple[str, int]], images: int, kind: str, past: Past
) -> float | None:
    """Return the seconds of a run that shows `images` images to each model on a kind of device.

    `shown` are models by name and image size. None if the speed of one of them is unknown.
    """
    per_image = 0.0
    for model, size in shown:
        seconds = past.per_image(model, size, kind_of(kind).policy)
        if seconds is None:
            return None
        per_image += seconds
    return past.habits.start + images * per_image
