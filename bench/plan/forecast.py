"""What a run will cost before it starts: time, device hours, memory and disk of every arm.

Where this machine has measured an arm, its own seconds count. Elsewhere a call is taken to reach a fixed share of what
this machine's matrix product does right now, which is right within a factor of a few; the table says which is which.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from bench.config import RunConfig
from bench.count.cost import cost_in_closed_form
from bench.plan import plan
from bench.plan.accuracies import hours
from bench.plan.past_runs import Cost, Habits, habits, missed
from bench.plan.task import (
    DEAR,
    FIRST_LOOK,
    PROCESSES,
    PROCESSES_IF_DEAR,
    RENEWING,
    SENTINEL_EVERY,
    Task,
    window_of,
)
from bench.plugins import Metric, Model, models
from bench.record import arms, store, values
from bench.record.arms import AccuracyArm, CountArm, ProbeArm, SpeedArm, label
from bench.record.schema import Sample
from bench.record.store import Record

REACHED = 0.35
"""Share of a large matrix product's speed that networks reach, about; seen between 0.1 and 0.7 on CPUs."""
WORKER = 0.25e9
"""Bytes of a worker before it has a model: torch and timm, shared with its siblings as far as the system can."""
PROCESS_S = 1.0
"""Seconds that a worker takes before it builds its model."""
SETUP_CALLS = 8
"""Calls until an arm is warm: the first one counts for several."""
ROUND_BYTES = 800
"""Of a record, by round and metric."""
COPIES = 5
"""Weights, moments, moving average and the evaluated weights, as files of a training hold them."""
TRAINING_START_S = 2.5
"""Seconds that a training takes beside its steps: a process, the data, the looks, the evaluation."""
MEASURED = "measured here before"


@dataclass(frozen=True)
class Line:
    """One arm: seconds until it is ready, seconds of windows a round, seconds done once, bytes, what the estimate rests on."""

    name: str
    metrics: str
    basis: str
    setup: float = 0.0
    each_round: float = 0.0
    once: float = 0.0
    memory: float = 0.0
    disk: float = 0.0
    probe: bool = False


@dataclass(frozen=True)
class Estimate:
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


def estimate(
    config: RunConfig,
    tasks: list[Task],
    known: Iterable[Record],
    device: str,
    costs: list[Cost] | None = None,
    rate: float | None = None,
) -> Estimate:
    """The cost of `tasks`, with the companions that timed ones bring; `known` and `costs` are this machine's.

    `rate` is what networks reach here in multiply-adds a second; taken from a matrix product now unless given.
    """
    costs, kind = costs or [], device.partition(":")[0]
    here = habits(costs)
    measured = {one.head.key: one for one in known}
    everything = list(
        {task.arm: task for task in [*plan.companions(config, tasks, kind), *tasks]}.values()
    )
    rate = rate or REACHED * matmul_rate(device)
    lines = [_line(task, measured, rate, here, config.data) for task in everything]
    each = here.spent * sum(line.each_round for line in lines)
    rounds, budget = config.most_rounds, config.time_budget
    renewing = sum(_renewing(line) for line in lines) if rounds >= FIRST_LOOK else 0.0
    if budget is not None and each:
        renewing = min(renewing, RENEWING * budget)
        rounds = max(1, min(rounds, int((budget - renewing) / each)))
    setup = sum(line.setup for line in lines)
    chosen = {(task.arm.model, task.arm.policy) for task in tasks if isinstance(task.arm, SpeedArm)}
    if chosen and len({policy for _, policy in chosen}) > 1:
        setup *= 1 + len({model for model, _ in chosen}) / len(
            chosen
        )  # the best ones begin again, to be measured anew
    trained = [task for task in tasks if isinstance(task.arm, AccuracyArm)]
    once = sum(
        line.once
        for line, task in zip(lines, everything, strict=True)
        if isinstance(task.arm, AccuracyArm)
    )
    return Estimate(
        lines=lines,
        rounds=rounds,
        seconds=here.start + setup + sum(line.once for line in lines) + rounds * each + renewing,
        memory=sum(line.memory for line in lines if line.each_round),
        disk=sum(line.disk + ROUND_BYTES * rounds * bool(line.each_round) for line in lines),
        trainings=len(trained),
        training_seconds=once,
        past=missed(costs),
    )


def _renewing(line: Line) -> float:
    """Seconds of the further processes that an arm has to have."""
    processes = PROCESSES_IF_DEAR if line.setup > DEAR else PROCESSES
    return (processes - 1) * line.setup if line.each_round and not line.probe else 0.0


def matmul_rate(device: str = "cpu") -> float:
    """Multiply-adds per second of a matrix product now: float32 on a CPU, bfloat16 on a GPU."""
    import time

    import torch

    cuda = device.startswith("cuda")
    side = 4096 if cuda else 768
    left = torch.randn(side, side, device=device, dtype=torch.bfloat16 if cuda else torch.float32)
    (left @ left).sum().item()
    start = time.perf_counter()
    for _ in range(4):
        product = left @ left
    product.sum().item()  # waits for the device
    return 4 * side**3 / (time.perf_counter() - start)


def _line(
    task: Task, measured: dict[str, Record], rate: float, here: Habits, data: str | None
) -> Line:
    arm, names = task.arm, ", ".join(metric.name for metric in task.metrics)
    found = measured.get(arms.key_of(task.arm, task.settings))
    if isinstance(arm, ProbeArm):
        return Line(
            label(arm),
            names,
            "usual",
            setup=1.0,
            each_round=_windows(task, found, 0.0) or 0.2,
            memory=WORKER,
            probe=True,
        )
    if isinstance(arm, AccuracyArm):
        return _accuracy(task, arm, names, list(measured.values()), rate, data)
    if isinstance(arm, CountArm):
        return Line(label(arm), names, "usual", once=here.count, disk=4 * ROUND_BYTES)
    entry = models.get(arm.model)
    runs = [run for run in found.runs if run.setup.get("seconds_per_call")] if found else []
    if runs:
        last = {
            name: float(value or 0)
            for name, value in runs[-1].setup.items()
            if name.endswith("_s") or name == "seconds_per_call"
        }
        seconds, basis = last.pop("seconds_per_call"), MEASURED
        setup = PROCESS_S + (sum(last.values()) if last else SETUP_CALLS * seconds)
    else:
        macs = cost_in_closed_form(
            entry, image_size=arm.image_size, num_classes=arm.num_classes
        ).macs
        seconds, basis = (
            arm.batch_size * macs * (3 if arm.mode == "training" else 1) / rate,
            "from its MACs",
        )
        setup = PROCESS_S + SETUP_CALLS * seconds
    windows = _windows(task, found, seconds)
    if task.role == "sentinel":
        windows /= SENTINEL_EVERY
    capacity = arm.mode == "capacity"
    return Line(
        label(arm), names, basis, setup=setup, each_round=0.0 if capacity else windows, once=30 * seconds if capacity else 0.0,
        memory=_memory(arm, entry, found), disk=2 * ROUND_BYTES,
    )  # fmt: skip


def _windows(task: Task, found: Record | None, seconds: float) -> float:
    """Seconds that the windows of one round take: as they did before, else what they are asked to last, or one call."""
    total = 0.0
    for metric in (metric for metric in task.metrics if metric.rounds is None):
        had = (
            [_lasted(sample, task, metric) for _, sample in values.samples(found, metric.name)]
            if found
            else []
        )
        total += statistics.median(had) if had else max(window_of(task, metric), seconds)
    return total


def _lasted(sample: Sample, task: Task, metric: Metric) -> float:
    """Seconds of one window: what it says, its calls together where they are times, else what it is asked to last."""
    says = sample.detail.get("seconds")
    if isinstance(says, float):
        return says
    return sum(sample.values) if sample.unit == "s" else window_of(task, metric)


def _accuracy(
    task: Task, arm: AccuracyArm, names: str, known: list[Record], rate: float, data: str | None
) -> Line:
    """A training as long as another one of the same model and recipe, else by its multiply-adds."""
    if arm.baseline:
        return Line(label(arm), names, "usual", once=2.0, disk=4 * ROUND_BYTES)
    if arm.recipe is None:
        return Line(label(arm), names, "not estimated", disk=4 * ROUND_BYTES)
    entry = models.get(arm.model)
    disk = (
        COPIES
        * 4
        * cost_in_closed_form(entry, image_size=arm.image_size, num_classes=arm.num_classes).params
    )
    seconds, basis = training_seconds(task, known, rate, data)
    return Line(label(arm), names, basis, once=seconds, disk=disk)


def training_seconds(
    task: Task, known: Iterable[Record], rate: float, data: str | None
) -> tuple[float, str]:
    """Of one training on the whole machine: what the last one of the same model and recipe took, its share of the machine where
    others ran beside it, else by its multiply-adds; and which it is.
    """
    arm = task.arm
    assert isinstance(arm, AccuracyArm)
    found = None
    for one in known:
        other = one.arm
        if isinstance(other, AccuracyArm) and (other.model, other.data, other.recipe_hash) == (
            arm.model,
            arm.data,
            arm.recipe_hash,
        ):
            details = [sample.detail for _, sample in values.samples(one, "top1")]
            taken = (
                float(detail["train_s"]) / detail.get("beside", 1)
                for detail in reversed(details)
                if "train_s" in detail
            )
            found = next(taken, found)
    if found is not None:
        return TRAINING_START_S + found, MEASURED
    return TRAINING_START_S + 3600 * hours([task], rate, data), "from its MACs"


def _memory(arm: SpeedArm, entry: Model, found: Record | None) -> float:
    """Bytes: as measured; else weights and twice the image's activations at their widest, taken as a few times the input."""
    had = [sample.values[-1] for _, sample in values.samples(found, "memory")] if found else []
    if had:
        return WORKER + max(had)
    cost = cost_in_closed_form(entry, image_size=arm.image_size, num_classes=arm.num_classes)
    return WORKER + 4 * cost.params + arm.batch_size * 4 * 3 * arm.image_size**2 * 32


def records_of(folder: Path, fingerprint: str) -> list[Record]:
    """What this machine in its present state has measured."""
    return of_machine(store.load_folder(folder)[0], fingerprint)


def of_machine(records: Iterable[Record], fingerprint: str) -> list[Record]:
    """Of each record the runs that were made on one machine in one state; records that have none are left out."""
    return [mine for one in records if (mine := one.within(fingerprint)).runs]


def is_known(name: str) -> bool:
    """Whether the costs of an arm can be told without building its model; a data set's baseline has none."""
    return ":" not in name and (name not in models.names() or models.get(name).shape is not None)
