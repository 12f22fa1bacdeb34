"""What a run will cost before it starts: time, device hours, memory and disk of every arm.

`bench.forecast.forecast` knows what this machine has measured. Added here is what takes torch: multiply-adds and parameters of
models that were never counted, the speed of a matrix product now, trainings and evaluations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from bench.config import DEFAULT_POLICY, RunConfig
from bench.count.cost import Cost, cost_in_closed_form
from bench.forecast.forecast import (
    FROM_MACS,
    MEASURED,
    NEARBY,
    ROUND_BYTES,
    USUAL,
    WORKER,
    Forecast,
    Line,
    Pace,
    Want,
    line_of,
    seconds_by_macs,
    timed,
    total,
)
from bench.forecast.past import Past
from bench.plan import plan
from bench.plan.accuracies import hours, tested_images
from bench.plan.task import Task
from bench.plugins import models
from bench.record.arms import AccuracyArm, SpeedArm

REACHED = 0.35
"""Share of a large matrix product's speed that networks reach, about; seen between 0.1 and 0.7 on CPUs."""
COPIES = 5
"""Weights, moments, moving average and the evaluated weights, as files of a training hold them."""
TRAINING_START_S = 2.5
"""Seconds that a training takes beside its steps: a process, the data, the looks, the evaluation."""
Rate = Callable[[], float]
"""Multiply-adds a second that networks reach on a device; asked only where no record says it."""


def rate_now(device: str) -> Rate:
    """By a matrix product on the device, taken the first time that it is asked."""
    return cache(lambda: REACHED * matmul_rate(device))


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


def estimate(
    config: RunConfig, tasks: list[Task], past: Past, device: str, rate: Rate | None = None
) -> Forecast:
    """The cost of `tasks` on `device`, with the companions that timed ones bring."""
    kind = device.partition(":")[0]
    everything = {task.arm: task for task in [*plan.companions(config, tasks, kind), *tasks]}
    lines = Lines(past, rate or rate_now(device), DEFAULT_POLICY[kind], config.data)
    return total(config, [lines.of(task) for task in everything.values()], past)


@dataclass(frozen=True)
class Lines:
    """What single arms cost; `policy` is how weights are evaluated, `data` the images as they were asked for."""

    past: Past
    rate: Rate
    policy: str
    data: str | None

    def of(self, task: Task) -> Line:
        """The line of a task, by records where there are some."""
        paces = tuple(Pace(metric.name, metric.rounds, metric.window) for metric in task.metrics)
        want = Want(task.arm, paces, task.settings, task.role)
        if isinstance(task.arm, AccuracyArm):
            return self._accuracy(task, want, task.arm)
        line = line_of(want, self.past) or self._by_macs(want)
        return (
            replace(line, memory=_memory(task.arm))
            if isinstance(task.arm, SpeedArm) and not line.memory
            else line
        )

    def _by_macs(self, want: Want) -> Line:
        arm = want.arm
        assert isinstance(arm, SpeedArm)  # of all others the past says enough
        call = seconds_by_macs(arm, _cost(arm).macs, self.past.rate(arm.policy) or self.rate())
        return timed(want, call, FROM_MACS, self.past.of_arm(arm))

    def _accuracy(self, task: Task, want: Want, arm: AccuracyArm) -> Line:
        if arm.baseline:
            return Line(want, USUAL, once=2.0, disk=4 * ROUND_BYTES)
        if arm.recipe is None:
            return self._evaluation(want, arm)
        seconds, basis = self._training(task, arm)
        return Line(
            want, basis, once=TRAINING_START_S + seconds, disk=COPIES * 4 * _cost(arm).params
        )

    def _training(self, task: Task, arm: AccuracyArm) -> tuple[float, str]:
        """Seconds on the whole machine: what the last training of the same model and recipe took, its share of the machine where
        others ran beside it, else by its multiply-adds; and which it is."""
        alike = (arm.model, arm.data, arm.recipe_hash)
        had = [
            (one.arm, one.training) for one in self.past.seen if isinstance(one.arm, AccuracyArm)
        ]
        same = [
            taken
            for other, taken in had
            if taken is not None and (other.model, other.data, other.recipe_hash) == alike
        ]
        return (
            (same[-1], MEASURED)
            if same
            else (3600 * hours([task], self.rate(), self.data), FROM_MACS)
        )

    def _evaluation(self, want: Want, arm: AccuracyArm) -> Line:
        """As long as its images take one after the other at the speed that the model was timed at."""
        images = tested_images(self.data or arm.data)
        if images is None:
            return Line(want, "not estimated", disk=4 * ROUND_BYTES)
        each = self.past.per_image(arm.model, arm.image_size, self.policy)
        seconds, basis = (
            (each, NEARBY) if each is not None else (_cost(arm).macs / self.rate(), FROM_MACS)
        )
        return Line(want, basis, once=images * seconds, disk=4 * ROUND_BYTES)


def _cost(arm: SpeedArm | AccuracyArm) -> Cost:
    """Parameters and multiply-adds of an arm's model."""
    return cost_in_closed_form(
        models.get(arm.model), image_size=arm.image_size, num_classes=arm.num_classes
    )


def _memory(arm: SpeedArm) -> float:
    """Bytes: weights and twice the image's activations at their widest, taken as a few times the input."""
    return WORKER + 4 * _cost(arm).params + arm.batch_size * 4 * 3 * arm.image_size**2 * 32


def is_known(name: str) -> bool:
    """Whether the costs of an arm can be told without building its model; a data set's baseline has none."""
    return ":" not in name and (name not in models.names() or models.get(name).shape is not None)
