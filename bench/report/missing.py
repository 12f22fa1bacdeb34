"""What an empty cell lacks: the command that measures it and about how long that takes. Knows no torch."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from bench.analysis.rows import Quantity, Row, Summary
from bench.config import COMMAND, DEFAULT_POLICY
from bench.stats.formatting import duration

ROUNDS = 12
"""Rounds until most intervals are narrow; a run ends when its own are."""
WINDOW_S = 0.25
START_S = 10.0
"""Seconds until a worker has imported torch, built its model and made its first calls."""
COMPANIONS_S = 30.0
"""Seconds of the sentinel pair and the probes, once a run."""
WARM_CALLS = 8
COUNT_S = 3.0
COUNTED = ("params", "macs", "activations")


@dataclass(frozen=True)
class Fill:
    """A model and the metric that was not measured of it, with the flags beside them; `seconds` where they can be told."""

    model: str
    metric: str
    flags: tuple[str, ...] = ()
    seconds: float | None = None

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


def described(fill: Fill) -> str:
    """The command of one cell, with its time."""
    return fill.command + _about([fill])


def together(fills: Iterable[Fill]) -> list[str]:
    """As few commands as fill all of them, each with its time."""
    groups: dict[tuple[str, ...], list[Fill]] = {}
    for one in fills:
        groups.setdefault(one.flags, []).append(one)
    return [
        f"empty cells are filled by: {command(group)}{_about(group)}" for group in groups.values()
    ]


def _about(fills: list[Fill]) -> str:
    known = [one.seconds for one in fills if one.seconds is not None]
    return (
        f" (about {duration(COMPANIONS_S + sum(known))} on this machine)"
        if len(known) == len(fills)
        else ""
    )


def missing(summary: Summary, row: Row, quantity: Quantity) -> Fill:
    """What a row lacks that others have."""
    if quantity.metric in COUNTED:
        return missing_count(row.model, row.image_size, quantity.metric)
    flags = _size(row.image_size)
    if quantity.batch_size and quantity.metric not in ("latency", "graph_latency"):
        flags += ("--batch-sizes", str(quantity.batch_size))
    if row.policy and row.policy != DEFAULT_POLICY[summary.machine.kind]:
        flags += ("--policies", row.policy)
    return Fill(row.model, quantity.metric, flags, seconds(summary, row, quantity.batch_size or 1))


def missing_count(model: str, image_size: int, metric: str) -> Fill:
    """Parameters, MACs or activations, which no policy changes."""
    return Fill(model, metric, _size(image_size), COUNT_S)


def _size(image_size: int) -> tuple[str, ...]:
    return () if image_size == 224 else ("--image-size", str(image_size))


def seconds(summary: Summary, row: Row, batch_size: int) -> float | None:
    """Of one more timed arm: from what a call of this model takes, or from its MACs at this machine's usual speed."""
    each = seconds_per_image(summary, row)
    if each is None:
        return None
    call = each * batch_size
    return START_S + WARM_CALLS * call + ROUNDS * max(WINDOW_S, call)


def seconds_per_image(summary: Summary, row: Row) -> float | None:
    """As measured at any batch size, else by MACs; None where neither is known."""
    if speeds := row.by_batch("throughput"):
        return 1 / max(speeds.values())
    if latencies := row.by_batch("latency"):
        return min(latencies.values())
    macs = row.value("macs")
    rates = [
        known.value * speed.value
        for other in summary.rows
        if (known := other.value("macs")) and (speed := other.value("throughput"))
    ]
    return macs.value / statistics.median(rates) if macs and rates else None
