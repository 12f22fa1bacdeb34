"""What a run will cost before it starts: time and memory of every arm, from records where there are some.

Where this machine has measured an arm, its own seconds count. Elsewhere a call is taken to reach a fixed share of what
this machine's matrix product does right now, which is right within a factor of a few; the table says which is which.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench import plan, record
from bench.config import RunConfig
from bench.lane import label
from bench.matching import cost_of
from bench.plugins import Model, models
from bench.record import AccuracyArm, CountArm, ProbeArm, Record, SpeedArm
from bench.rounds import SENTINEL_EVERY, window_of
from bench.task import Task
from bench.trainings import hours

REACHED = 0.35
"""Share of a large matrix product's speed that networks reach, about; seen between 0.1 and 0.7 on CPUs."""
WORKER = 0.25e9
"""Bytes of a worker before it has a model: torch and timm, shared with its siblings as far as the system can."""
SETUP_CALLS = 8
"""Calls until an arm is warm: the first one counts for several."""


@dataclass(frozen=True)
class Line:
    """One arm: seconds until it is ready, seconds a round, bytes, and what the estimate rests on."""

    name: str
    metrics: str
    setup: float
    each_round: float
    memory: float
    basis: str


@dataclass(frozen=True)
class Estimate:
    """A run before it starts. `seconds` covers counts, set-up and rounds; trainings are apart, and rough."""

    lines: list[Line]
    rounds: int
    seconds: float
    memory: float
    trainings: int
    training_hours: float


def estimate(config: RunConfig, asked: plan.Plan, known: Iterable[Record], kind: str) -> Estimate:
    """The cost of what is `asked` with the companions that it brings; `known` are this machine's records."""
    trainings = asked.accuracies(lambda task: None)
    tasks = [*asked.tasks, *trainings]
    measured = {one.head.key: one for one in known}
    everything = list({task.arm: task for task in [*plan.companions(config, tasks, kind), *tasks]}.values())
    rate = REACHED * matmul_rate()
    lines = [_line(task, measured.get(record.key_of(task.arm, task.settings)), rate) for task in everything]
    each = sum(line.each_round for line in lines)
    rounds = config.most_rounds
    if config.time_budget is not None and each:
        rounds = max(1, min(rounds, int(config.time_budget / each)))
    return Estimate(
        lines=lines,
        rounds=rounds,
        seconds=sum(line.setup for line in lines) + rounds * each,
        memory=sum(line.memory for line in lines if line.each_round),
        trainings=len(trainings),
        training_hours=hours(trainings, rate),
    )


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


def _line(task: Task, found: Record | None, rate: float) -> Line:
    arm, names = task.arm, ", ".join(metric.name for metric in task.metrics)
    if isinstance(arm, ProbeArm):
        return Line(label(arm), names, 1.0, 0.2, WORKER, "usual")
    if isinstance(arm, AccuracyArm):
        return Line(label(arm), names, 0.0, 0.0, 0.0, "not estimated")
    entry = models.get(arm.model)
    if isinstance(arm, CountArm):
        return Line(label(arm), names, 2.0, 0.0, 0.0, "usual")
    seconds, basis = _seconds_per_call(arm, entry, found, rate)
    windows = sum(max(window_of(task, metric), seconds) for metric in task.metrics if metric.rounds is None)
    if task.role == "sentinel":
        windows /= SENTINEL_EVERY
    return Line(label(arm), names, 0.5 + SETUP_CALLS * seconds, windows, _memory(arm, entry), basis)


def _seconds_per_call(arm: SpeedArm, entry: Model, found: Record | None, rate: float) -> tuple[float, str]:
    runs = [run for run in found.runs if run.setup.get("seconds_per_call")] if found else []
    if runs:
        return float(runs[-1].setup["seconds_per_call"] or 0), "measured here before"
    macs = cost_of(entry, image_size=arm.image_size, num_classes=arm.num_classes).macs
    return arm.batch_size * macs * (3 if arm.mode == "training" else 1) / rate, "from its MACs"


def _memory(arm: SpeedArm, entry: Model) -> float:
    """Weights and twice the image's activations at their widest, taken as a few times the input; a rough guess."""
    cost = cost_of(entry, image_size=arm.image_size, num_classes=arm.num_classes)
    return WORKER + 4 * cost.params + arm.batch_size * 4 * 3 * arm.image_size**2 * 32


def records_of(folder: Path, fingerprint: str) -> list[Record]:
    """What this machine in its present state has measured."""
    found, _ = record.load_folder(folder)
    return [mine for one in found if (mine := one.within(fingerprint)).runs]
