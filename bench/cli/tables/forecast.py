"""What a run, or a queue of studies, would cost; nothing in these tables was measured for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.forecast.forecast import MEASURED, NEARBY, Forecast
from bench.report.table import Table
from bench.stats.formatting import duration, number

if TYPE_CHECKING:  # imports torch
    from bench.run.study_queue import QueueEntry

HEADERS = ["arm", "metrics", "set-up s", "s a round", "once s", "memory GB", "estimate"]
LATEST = 20
"""Past runs that a new estimate is held against."""


def cost(found: Forecast, left: Forecast, device: str) -> Table:
    """The plan of a run: all of it, and what is still to do."""
    lines = [
        [
            line.want.arm.label,
            line.metrics,
            *(
                number(seconds) if seconds else ""
                for seconds in (line.setup, line.each_round, line.once)
            ),
            number(line.memory / 1e9) if line.memory else "",
            line.basis,
        ]
        for line in found.lines
    ]
    rounds = (
        f"{found.rounds} rounds over all timed arms, "
        if any(line.each_round for line in found.lines)
        else ""
    )
    notes = [
        f"about {duration(found.seconds)} from the command to its tables: {rounds}set-up and counting included "
        f"({hours(found.seconds, device)})"
    ]
    if found.trainings:
        notes.append(
            f"{found.trainings} accuracy arms are {duration(found.training_seconds)} of it"
        )
    if not left.lines:
        notes.append(
            "all of it is finished: the same command would measure nothing, with --force all of it again"
        )
    elif len(left.lines) < len(found.lines):
        notes.append(
            f"of {len(found.lines)} arms {len(left.lines)} are still to do or have to take part again: about {duration(left.seconds)}"
        )
    notes += [
        f"{number(found.memory / 1e9)} GB of memory while all timed arms are alive, {number(found.disk / 1e6)} MB of disk",
        reliability(found),
    ]
    return Table("Plan; nothing was measured", HEADERS, lines, notes)


def queued(entries: list[QueueEntry], device: str) -> Table:
    """The queue of a `study run`."""
    lines = [
        [
            one.need.what,
            ", ".join(one.studies),
            str(len(one.tasks)),
            number(one.worth),
            number(one.seconds / 60),
            number(one.worth / one.seconds * 60),
        ]
        for one in entries
    ]
    costs = [one.cost for one in entries if one.cost is not None]
    total = sum(one.seconds for one in entries)
    notes = [
        f"about {duration(total)} in all ({hours(total, device)}), {sum(len(one.tasks) for one in entries)} open arms",
        f"{number(max((one.memory for one in costs), default=0.0) / 1e9)} GB of memory in the largest run, "
        f"{number(sum(one.disk for one in costs) / 1e6)} MB of disk",
        *([reliability(costs[0])] if costs else []),
    ]
    return Table(
        "Queue; nothing was measured",
        ["run", "for", "open arms", "worth", "minutes", "worth a minute"],
        lines,
        notes,
    )


def hours(seconds: float, device: str) -> str:
    """Device hours: one device is busy all the time."""
    return f"{number(seconds / 3600)} {'GPU' if device.startswith('cuda') else 'device'} hours"


def reliability(found: Forecast) -> str:
    """What the estimate rests on, and how far off past ones were."""
    timed = [line for line in found.lines if line.each_round or line.once]
    known = sum(line.basis in (MEASURED, NEARBY) for line in timed)
    basis = f"{known} of {len(timed)} arms are estimated from records of this machine"
    past = sorted(found.past[-LATEST:])
    if not past:
        return f"{basis}; no estimate has been held against a run here yet, and from multiply-adds alone it is right within a factor of a few"
    runs = "the last run here" if len(past) == 1 else f"the last {len(past)} runs here"
    took = f"{past[0]:.2f}" if len(past) == 1 else f"{past[0]:.2f} to {past[-1]:.2f}"
    return f"{basis}; {runs} took {took} times what was expected"
