"""Forecasts of a run and of a queue of studies as tables. Nothing is measured for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.devices import CUDA, kind_of
from bench.forecast.forecast import MEASURED, NEARBY, CostLine, Forecast
from bench.report.table import Table
from bench.stats.formatting import duration, number

if TYPE_CHECKING:  # imports torch
    from bench.record.arms import Arm
    from bench.run.study_queue import QueueEntry

RUN_HEADERS = [
    "configuration",
    "metrics",
    "set-up s",
    "s per round",
    "once s",
    "memory GB",
    "estimate",
]
QUEUE_HEADERS = ["run", "for", "open configurations", "worth", "minutes", "worth per minute"]
LATEST = 20
"""Number of past runs that say how far off forecasts were."""


def cost(whole: Forecast, left: Forecast, device: str) -> Table:
    """Return the plan of a run as a table: all of it, and in the notes what is still to do."""
    rounds = ""
    if any(line.each_round for line in whole.lines):
        rounds = f"{whole.rounds} rounds over all timed configurations, "
    notes = [
        f"about {duration(whole.seconds)} from the command to its tables: {rounds}set-up and "
        f"counting included ({_device_hours(whole.seconds, device)})"
    ]
    if whole.trainings:
        notes.append(
            f"{whole.trainings} training runs and evaluations take "
            f"{duration(whole.training_seconds)} of that"
        )
    if not left.lines:
        notes.append(
            "everything is finished: the same command would measure nothing, with --force "
            "everything again"
        )
    elif len(left.lines) < len(whole.lines):
        notes.append(
            f"{len(left.lines)} of {len(whole.lines)} configurations are unfinished or must take "
            f"part again: about {duration(left.seconds)}"
        )
    notes.append(
        f"{number(whole.memory / 1e9)} GB of memory while all timed configurations are open, "
        f"{number(whole.disk / 1e6)} MB of disk"
    )
    notes.append(reliability(whole))
    return Table("Plan; nothing was measured", RUN_HEADERS, list(map(_row, whole.lines)), notes)


def _row(line: CostLine) -> list[str]:
    times = (line.setup, line.each_round, line.once)
    return [
        line.want.arm.label,
        line.metrics,
        *(number(seconds) if seconds else "" for seconds in times),
        number(line.memory / 1e9) if line.memory else "",
        line.basis,
    ]


def queued(entries: list[QueueEntry], seconds: float, device: str) -> Table:
    """Return the queue of `bench study run` as a table, in its order.

    `seconds` is the forecast for all entries together.
    """
    lines = []
    open_arms: set[Arm] = set()
    memory, disk = 0.0, 0.0
    forecasts = []
    for entry in entries:
        lines.append(_queue_row(entry))
        open_arms.update(task.arm for task in entry.tasks)
        if entry.cost is not None:
            forecasts.append(entry.cost)
            memory = max(memory, entry.cost.memory)
            disk += entry.cost.disk
    notes = [
        f"about {duration(seconds)} in all ({_device_hours(seconds, device)}), "
        f"{len(open_arms)} open configurations; what several runs need is counted once",
        f"{number(memory / 1e9)} GB of memory in the largest run, {number(disk / 1e6)} MB of disk",
    ]
    notes += map(reliability, forecasts[:1])
    return Table("Queue; nothing was measured", QUEUE_HEADERS, lines, notes)


def _queue_row(entry: QueueEntry) -> list[str]:
    return [
        entry.need.what,
        ", ".join(entry.studies),
        str(len(entry.tasks)),
        number(entry.worth),
        number(entry.seconds / 60),
        number(entry.worth / entry.seconds * 60),
    ]


def _device_hours(seconds: float, device: str) -> str:
    """Return device hours as text: one device is busy all the time."""
    return f"{number(seconds / 3600)} {'GPU' if kind_of(device) is CUDA else 'device'} hours"


def reliability(forecast: Forecast) -> str:
    """Say what a forecast rests on, and how far off past ones were on this machine."""
    timed = [line for line in forecast.lines if line.each_round or line.once]
    known = sum(line.basis in (MEASURED, NEARBY) for line in timed)
    basis = f"{known} of {len(timed)} configurations are estimated from records of this machine"
    past = sorted(forecast.past[-LATEST:])
    if not past:
        return (
            f"{basis}; no forecast has been compared with a run here yet, and from multiply-adds "
            "alone it is right within a factor of a few"
        )
    if len(past) == 1:
        return f"{basis}; the last run here took {past[0]:.2f} times its forecast"
    return (
        f"{basis}; the last {len(past)} runs here took {past[0]:.2f} to {past[-1]:.2f} times "
        "their forecasts"
    )
