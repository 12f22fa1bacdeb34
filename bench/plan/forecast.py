"""Forecast the time, device hours, memory and disk space of every arm of a run.

`bench.forecast.forecast` knows what this machine has measured. This module adds what needs torch:
the multiply-adds and parameters of models that were never counted, the present rate of a matrix
product, training runs and evaluations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from bench.config import RunConfig
from bench.count.cost import Cost, cost_in_closed_form
from bench.devices import kind_of
from bench.forecast.budget import at_least, too_short
from bench.forecast.forecast import (
    FROM_MACS,
    MEASURED,
    NEARBY,
    ROUND_BYTES,
    USUAL,
    WORKER,
    CostLine,
    Forecast,
    Pace,
    Want,
    line_of,
    seconds_by_macs,
    timed,
    total,
)
from bench.forecast.past import Past
from bench.plan import plan
from bench.plan.evaluations import tested_images
from bench.plan.task import Task
from bench.plan.trainings import hours
from bench.plugins import dataset_of, models
from bench.record.arms import AccuracyArm, ProbeArm, SpeedArm

REACHED = 0.35
"""Share of a large matrix product's rate that networks reach; seen between 0.1 and 0.7 on CPUs."""
COPIES = 5
"""Copies of the weights in the files of a training run: the weights themselves, two moments of the
optimizer, the moving average and the evaluated weights."""
TRAINING_START_S = 2.5
"""Seconds of a training run besides its steps, for its process, data, validation and test."""
Rate = Callable[[], float]
"""Returns the multiply-adds per second that networks reach on a device. Measuring it takes time, so
it is only called if no record says it."""


def want_of(task: Task) -> Want:
    """Return what a forecast has to know of a task."""
    paces = tuple(Pace(metric.name, metric.rounds, metric.window) for metric in task.metrics)
    return Want(task.arm, paces, task.settings, task.role)


def rate_now(device: str) -> Rate:
    """Return a rate that is measured by a matrix product on the device when it is first called."""
    return cache(lambda: REACHED * matmul_rate(device))


def matmul_rate(device: str = "cpu") -> float:
    """Measure a matrix product of the kind of device's `rate_side` and `rate_precision`.

    Returns multiply-adds per second.
    """
    import time

    import torch

    kind = kind_of(device)
    side = kind.rate_side
    left = torch.randn(side, side, device=device, dtype=getattr(torch, kind.rate_precision))
    (left @ left).sum().item()
    start = time.perf_counter()
    for _ in range(4):
        product = left @ left
    product.sum().item()  # waits for the device
    return 4 * side**3 / (time.perf_counter() - start)


def estimate(
    config: RunConfig, tasks: list[Task], past: Past, device: str, rate: Rate | None = None
) -> Forecast:
    """Return the cost of `tasks` on `device`, with the companions of the timed ones."""
    lines = Lines(past, rate or rate_now(device), kind_of(device).policy, config.data)
    return total(config, list(map(lines.of, _with_companions(config, tasks, device))), past)


def _with_companions(config: RunConfig, tasks: list[Task], device: str) -> list[Task]:
    """Return tasks with the A/A checks and probes that are measured along, each arm once."""
    companions = plan.companions(config, tasks, kind_of(device).name)
    return list({task.arm: task for task in [*companions, *tasks]}.values())


def budget_warning(
    config: RunConfig, tasks: list[Task], past: Past, device: str, rate: Rate
) -> str | None:
    """Return a warning if --time-budget is too short for `tasks` and their companions.

    No model is built for it and no GPU is touched, so a model that is neither known nor in the past
    is taken to cost the least that it can: the real need may be higher.
    """
    lines = Lines(past, rate, kind_of(device).policy, config.data)
    found = []
    for task in _with_companions(config, tasks, device):
        counted = kind_of(device).name == "cpu" and is_known(task.arm.model)
        if task.arm.is_timed or isinstance(task.arm, ProbeArm):
            found.append(lines.of(task) if counted else at_least(want_of(task), past))
    return too_short(config, found, past)


@dataclass(frozen=True)
class Lines:
    """The costs of single arms.

    `policy` is the policy under which weights are evaluated, `data` the value of --data.
    """

    past: Past
    rate: Rate
    policy: str
    data: str | None

    def of(self, task: Task) -> CostLine:
        """Return the cost of a task, from records if there are any."""
        want = want_of(task)
        if isinstance(task.arm, AccuracyArm):
            return self._accuracy(task, want, task.arm)
        line = line_of(want, self.past) or self._by_macs(want)
        if isinstance(task.arm, SpeedArm) and not line.memory:
            return replace(line, memory=_memory(task.arm))
        return line

    def _by_macs(self, want: Want) -> CostLine:
        arm = want.arm
        assert isinstance(arm, SpeedArm)  # the past suffices for all others
        call = seconds_by_macs(arm, _cost(arm).macs, self.past.rate(arm.policy) or self.rate())
        return timed(want, call, FROM_MACS, self.past.of_arm(arm))

    def _accuracy(self, task: Task, want: Want, arm: AccuracyArm) -> CostLine:
        if arm.baseline:
            return self._baseline(want, arm)
        if not arm.trains:
            return self._evaluation(want, arm)
        seconds, basis = self._training(task, arm)
        disk = COPIES * 4 * _cost(arm).params
        return CostLine(want, basis, once=TRAINING_START_S + seconds, disk=disk)

    def _baseline(self, want: Want, arm: AccuracyArm) -> CostLine:
        """Return the cost of a baseline: what it took here, else what its data set declares."""
        seen = self.past.of_arm(arm)
        if seen is not None and seen.training is not None:
            return CostLine(want, MEASURED, once=seen.training, disk=4 * ROUND_BYTES)
        seconds = dataset_of(arm.data)[0].baselines[arm.model].seconds
        return CostLine(want, USUAL, once=seconds, disk=4 * ROUND_BYTES)

    def _training(self, task: Task, arm: AccuracyArm) -> tuple[float, str]:
        """Return the seconds of a training run on the whole machine, and the basis of that.

        They are those of the last one of the same model and recipe, else by its multiply-adds.
        """
        for seen in reversed(self.past.seen):
            if seen.training is not None and _same_training(seen.arm, arm):
                return seen.training, MEASURED
        return 3600 * hours([task], self.rate(), self.data), FROM_MACS

    def _evaluation(self, want: Want, arm: AccuracyArm) -> CostLine:
        """Return the cost of all images one after the other, at the speed of the timed model."""
        images = tested_images(self.data or arm.data)
        if images is None:
            return CostLine(want, "not estimated", disk=4 * ROUND_BYTES)
        seconds, basis = self.past.per_image(arm.model, arm.image_size, self.policy), NEARBY
        if seconds is None:
            seconds, basis = _cost(arm).macs / self.rate(), FROM_MACS
        return CostLine(want, basis, once=images * seconds, disk=4 * ROUND_BYTES)


def _same_training(past: object, arm: AccuracyArm) -> bool:
    """True if a past arm trained the same model on the same data under the same recipe."""
    return (
        isinstance(past, AccuracyArm)
        and past.model == arm.model
        and past.data == arm.data
        and past.recipe_hash == arm.recipe_hash
    )


def _cost(arm: SpeedArm | AccuracyArm) -> Cost:
    """Return the parameters and multiply-adds of an arm's model."""
    return cost_in_closed_form(
        models.get(arm.model), image_size=arm.image_size, num_classes=arm.num_classes
    )


def _memory(arm: SpeedArm) -> float:
    """Return the approximate bytes of a worker with its float32 weights and activations.

    The activations are taken as 32 times the input.
    """
    return WORKER + 4 * _cost(arm).params + arm.batch_size * 4 * 3 * arm.image_size**2 * 32


def is_known(name: str) -> bool:
    """True if the cost of an arm is known without building a model; a baseline is none."""
    return ":" not in name and (name not in models.names() or models.get(name).shape is not None)
