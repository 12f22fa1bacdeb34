"""Check if this machine measures known ratios right, with the same rounds and workers as a run.

Three questions whose answers are known: a network against itself (the ratio is 1); the network
against itself run twice per call (the ratio is 2); and the latter again and again, on a quiet
machine and next to programs that come and go (the answer must not move). Nothing is written to the
results.
"""

from __future__ import annotations

import contextlib
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bench.devices import kind_of
from bench.errors import UsageError
from bench.measure import interrupts, machine
from bench.measure.disturbance import State
from bench.measure.gpu import gpu_for
from bench.measure.messages import Failure, Job, Worker
from bench.measure.subject import SPEED_SETTINGS
from bench.plan.task import Task
from bench.plugins import metrics
from bench.record.arms import Arm, SpeedArm
from bench.record.schema import About, Sample
from bench.run.arm_run import ArmRun
from bench.run.rounds import Rounds
from bench.stats.intervals import Estimate
from bench.stats.paired import p_value, paired_ratio

SHORT = 0.04
"""Length of a window in seconds in the many short comparisons; the others use a run's windows."""
ROUNDS = 12
"""Rounds of a short comparison."""
SHARE_AA, SHARE_KNOWN = 0.6, 0.1
"""Shares of the time; the rest is for the repetitions with and without load."""
REPEATS = 3
"""Number of runs with load, and of runs without."""
COVERED = 0.90
"""Share of the repetitions whose interval must contain 1.

If the true share is 0.95, at least 45 of 50 intervals contain 1 in 96 of 100 cases.
"""
BUSY = """
import os, random, sys, time
draw, parent = random.Random(int(sys.argv[1])), os.getppid()
while os.getppid() == parent:
    end = time.monotonic() + draw.uniform(0.5, 4)
    while time.monotonic() < end:
        pass
    time.sleep(draw.uniform(0.5, 4))
"""


@dataclass
class Repetitions:
    """Many short comparisons of a network with itself, and the seconds that they took."""

    ratios: list[Estimate] = field(default_factory=list)
    p_values: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def covered(self) -> int:
        """The number of intervals that contain 1."""
        return sum(ratio.holds(1.0) for ratio in self.ratios)

    @property
    def false_alarms(self) -> int:
        """The number of tests that called the two different at 5 %."""
        return sum(p < 0.05 for p in self.p_values)

    def resolvable(self, seconds: float) -> float:
        """Return the relative half-width of a 95 % interval after `seconds`.

        Assumes that noise falls with the square root of time; infinite from a single comparison.
        """
        if len(self.ratios) < 2:
            return math.inf
        spread = statistics.stdev(math.log(ratio.value) for ratio in self.ratios)
        return math.expm1(1.96 * spread * math.sqrt(self.seconds / len(self.ratios) / seconds))


@dataclass
class SelfCheckResult:
    """The answers to the three questions, and the seconds that they took.

    `known`, `quiet` and `loaded` are ratios whose true value is 2.
    """

    alike: Repetitions
    known: Estimate
    quiet: list[Estimate]
    loaded: list[Estimate]
    seconds: float

    @property
    def overlaps(self) -> bool:
        """True if every interval measured under load overlaps the range of the quiet ones."""
        low = min(ratio.low or math.nan for ratio in self.quiet)
        high = max(ratio.high or math.nan for ratio in self.quiet)
        for ratio in self.loaded:
            if ratio.low is None or ratio.high is None:
                return False
            if not (ratio.low <= high and low <= ratio.high):
                return False
        return True

    @property
    def enough_covered(self) -> bool:
        """True if the intervals of equal networks contain 1 about as often as they promise."""
        return self.alike.covered >= COVERED * len(self.alike.ratios)

    @property
    def believable(self) -> bool:
        """True if all answers were right."""
        return self.enough_covered and self.known.holds(2.0) and self.overlaps

    @staticmethod
    def spread(ratios: list[Estimate]) -> float:
        """Return the largest ratio over the smallest."""
        values = [ratio.value for ratio in ratios]
        return max(values) / min(values)


class Silence:
    """An observer that ignores everything."""

    def step(
        self, name: str, arm: str, done: int, total: int, seconds_left: float | None
    ) -> None: ...

    def figure(self, arm: Arm, sample: Sample) -> None: ...


@dataclass
class SelfCheck:
    """A check of one device, in about `minutes`. Tests replace `open_worker`, `busy` and `now`."""

    minutes: float
    device: str
    open_worker: Callable[[Job], Worker]
    tell: Callable[[str], None] = print
    busy: Callable[[int], contextlib.AbstractContextManager[None]] | None = None
    now: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        if not 0 < self.minutes < math.inf:
            raise UsageError(
                f"--minutes: must be a number above 0, got {self.minutes:g}; "
                "8 gives about fifty repetitions on most machines"
            )
        self.device = machine.resolve_device(self.device)
        self.kind = kind_of(self.device)
        self.state = State(gpu_for(self.device), device=self.device)
        self.runs = 0

    def run(self) -> SelfCheckResult:
        """Answer all three questions."""
        start, seconds = self.now(), 60 * self.minutes
        alike = self._alike(start + SHARE_AA * seconds)
        self.tell(
            f"{len(alike.ratios)} comparisons of a network with itself: "
            f"{alike.covered} intervals contain 1"
        )
        known = self._known(SHARE_KNOWN * seconds)
        self.tell(f"the network twice per call: {known.value:.3f} times as long")
        each = max(5.0, (start + seconds - self.now()) / (2 * REPEATS))
        quiet = [self._known(each) for _ in range(REPEATS)]
        with (self.busy or programs)(machine.cores()):
            loaded = [self._known(each) for _ in range(REPEATS)]
        return SelfCheckResult(alike, known, quiet, loaded, self.now() - start)

    def _alike(self, until: float) -> Repetitions:
        """Run short comparisons, each with its own processes, until the time is up."""
        found = Repetitions()
        begin = self.now()
        while not found.ratios or self.now() < until:
            arm_runs = [self._arm_run("once", SHORT), self._arm_run("once", SHORT)]
            try:
                for arm_run in arm_runs:
                    self._open(arm_run)
                self._rounds(arm_runs, most=ROUNDS)
                found.ratios.append(_ratio(arm_runs))
                found.p_values.append(
                    p_value(*(arm_run.all_values("throughput") for arm_run in arm_runs)) or 0.0
                )
            finally:
                for arm_run in arm_runs:
                    arm_run.close()
        found.seconds = self.now() - begin
        return found

    def _known(self, seconds: float) -> Estimate:
        """Measure how much longer two passes take than one."""
        arm_runs = [self._arm_run("once"), self._arm_run("twice")]
        try:
            for arm_run in arm_runs:
                self._open(arm_run)
            self._rounds(arm_runs, most=100_000, seconds=seconds)
        finally:
            for arm_run in arm_runs:
                arm_run.close()
        return _ratio(arm_runs)

    def _rounds(self, arm_runs: list[ArmRun], *, most: int, seconds: float | None = None) -> None:
        self.runs += 1
        for arm_run in arm_runs:
            arm_run.start_anew(None, [])
        rounds = Rounds(
            arm_runs=arm_runs,
            most=most,
            run=f"check-{self.runs}",
            seed=self.runs,
            watch=Silence(),
            open_arm=self._open,
            fail=_fail,
            time_budget=seconds,
            state=self.state,
            now=self.now,
        )
        rounds.go()

    def _arm_run(self, what: str, window: float | None = None) -> ArmRun:
        arm = SpeedArm(
            model=f"bench.check.known_ratio:{what}",
            image_size=32,
            num_classes=10,
            policy="fp32",
            device=self.kind.name,
            batch_size=self.kind.selfcheck_batch_size,
        )
        settings = SPEED_SETTINGS if window is None else {**SPEED_SETTINGS, "window_s": window}
        task = Task(
            arm=arm,
            metrics=(metrics.get("throughput"),),
            settings=settings,
            about=About(family="check"),
            seed=0,
        )
        return ArmRun(task, lambda line: None)

    def _open(self, arm_run: ArmRun) -> bool:
        arm_run.open(
            lambda: self.open_worker(Job(arm_run.arm, self.device, 0, machine.cores())), self.now
        )
        return True


def _ratio(arm_runs: list[ArmRun]) -> Estimate:
    """How much faster the first arm_run is."""
    found = paired_ratio(arm_runs[0].all_values("throughput"), arm_runs[1].all_values("throughput"))
    assert found is not None
    return found


def _fail(arm_run: ArmRun, failure: Failure) -> None:
    """Give up: a self-check without all its measurements has no result."""
    raise failure


@contextlib.contextmanager
def programs(number: int) -> Iterator[None]:
    """Run `number` programs that alternate between busy and idle for random times."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        for seed in range(number):
            with interrupts.deaf_children():
                running.append(subprocess.Popen([sys.executable, "-c", BUSY, str(seed)]))
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()
