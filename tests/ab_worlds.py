"""Comparisons on drawn data: processes and rounds that vary, on a clock that only they move."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from bench.ab.compare import Comparison, Outcome
from bench.ab.process import Process, Side, TooSlow
from bench.ab.sides import Pair

CALLS = 14
"""Calls in a slice."""
BASE, HEAD = (Side(name, Path("python"), Path(name)) for name in ("base", "head"))


@dataclass
class World:
    """How fast both sides are, and how much that varies.

    `ratio` is head's time over the base's, `again` that of the base's second arm. Spreads are
    standard deviations of logarithms: between processes, between windows, and of what moves all
    windows of a round from one round to the next.
    """

    seed: int = 0
    ratio: float = 1.0
    again: float = 1.0
    processes: float = 0.02
    windows: float = 0.1
    drift: float = 0.02
    call_s: float = 0.005
    setup_s: float = 1.0
    output: Any = 1
    time: float = 0.0
    level: float = 0.0
    rare: float = 0.0
    """Seconds that one call of head takes longer, in every slice number `CALLS`."""
    hangs_after: int | None = None
    """Slices of head after which one never ends."""
    starts: int = 0
    stuck_after: int | None = None
    """Processes that start before one does not answer in time; None: all start."""
    late: float = 0.0
    """No process starts within less than so many seconds."""
    live: list[str] = field(default_factory=list)
    """The arms that have a process now."""

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)

    def open(self, side: Side, settings: Mapping[str, Any]) -> Process:
        base = "again" if "base" in self.live else "base"
        self.live.append("head" if side is HEAD else base)
        return cast(Process, Drawn(self, side))

    def compared(
        self, seconds: float, *, limit: float | None = None, comparisons: int = 1
    ) -> Outcome:
        """Return what a comparison of this world finds."""
        return Comparison(
            Pair("case", BASE, HEAD),
            seconds,
            margin=limit or 0.05,
            limit=limit,
            seed=self.seed,
            open_process=self.open,
            now=lambda: self.time,
        ).run()


class Drawn:
    """A process whose times are drawn."""

    def __init__(self, world: World, side: Side) -> None:
        self.world, self.side = world, side
        self.arm = world.live[-1]
        self.slices = 0
        slower = {"base": 1.0, "again": world.again, "head": world.ratio}[self.arm]
        self.offset = math.log(slower) + world.draw.gauss(0, world.processes)

    def load(self, patience: float) -> dict[str, Any]:
        self.world.time += self.world.setup_s
        self.world.starts += 1
        most = self.world.stuck_after
        if patience < self.world.late or (most is not None and self.world.starts > most):
            raise TooSlow(f"{self.side.name}: no answer within {patience:.0f} s")
        return {
            "seconds_per_call": self.world.call_s,
            "keeps_one_busy": False,
            "files": [],
            "versions": {},
        }

    def time(self, seconds: float, patience: float) -> tuple[int, float]:
        world = self.world
        world.level += world.draw.gauss(0, world.drift)
        world.time += max(1.125 * seconds, world.call_s)
        noise = world.draw.gauss(0, world.windows)
        took = CALLS * world.call_s * math.exp(self.offset + world.level + noise)
        if self.arm == "head":
            self.slices += 1
            if world.hangs_after is not None and self.slices > world.hangs_after:
                raise TooSlow(f"{self.side.name}: no answer within {patience:.0f} s")
            took += 0 if self.slices % CALLS else world.rare
        return CALLS, took

    def ask(self, request: Mapping[str, Any], patience: float) -> dict[str, Any]:
        value = self.world.output if self.side is HEAD else 1
        part = {"place": "", "kind": "int", "shape": [], "values": [value]}
        return {"output": [part], "inputs": []}

    def close(self) -> None:
        self.world.live.remove(self.arm)
