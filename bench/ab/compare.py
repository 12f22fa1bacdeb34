"""The rounds of a comparison: three arms in random order, in processes that are renewed by turns.

The arms are the base, the base again, and head. A round is one window of each, in an order drawn
anew; a process lives for some rounds, so that the interval contains the spread between processes
(bench/stats/mixed_effects.py). The data are looked at three times (`decision`).
"""

from __future__ import annotations

import math
import os
import random
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.ab import outputs
from bench.ab.decision import ARMS, LOOKS, Arm, Decision, decide
from bench.ab.process import Process, Side, TooSlow
from bench.ab.sides import Pair
from bench.errors import UsageError
from bench.forecast.round_rules import (
    LIFE,
    LONGEST_WINDOW,
    RENEWING,
    SHORTEST,
    WINDOW_SHARE,
)
from bench.measure import interrupts
from bench.record.values import InProcess
from bench.stats.intervals import ROUNDS_FOR_INTERVAL

WINDOW, SLICE = 0.15, 0.01
"""Seconds that an arm is timed in a round, as in a run, and of the slices in which that is done.

On shared cores speed changes by a factor of up to 1.6 within a second, so that arms that take turns
in slices are slowed alike. The value of a round is the mean over all of its slices: a call in a
thousand that takes long is part of what the others cost, and would be an outlier among slices.
"""
WAKING = 1.125
"""Seconds that a window takes per second that is timed."""
WANTED, FEWEST = 4, 2
"""Processes of an arm that there should be at least, and that there must be."""
PLENTY = 5.0
"""A process that takes so many times as long to start as any before it does not start at all."""
THIRD = 8
"""Rounds that must be left where a third process takes more than its share of the time: from two
processes an interval is several times as wide."""


@dataclass(frozen=True)
class Outcome:
    """What a comparison found."""

    name: str
    decision: Decision
    base_s: float
    """Median seconds per call."""
    head_s: float
    rounds: int
    processes: int
    """Processes of the arm that had the fewest."""
    seconds: float
    notes: tuple[str, ...] = ()
    other: str | None = None
    """How what head computes, or is given, differs from the base's: its speed is no gain then."""

    def broke(self, limit: float | None) -> bool:
        """True if head is slower, beyond chance, and by more than the limit."""
        ratio = self.decision.ratio
        slower = self.decision.word == "SLOWER" and ratio is not None
        return limit is not None and slower and ratio.value - 1 > limit  # type: ignore[union-attr]


@dataclass(frozen=True)
class Layout:
    """How many processes an arm has, and for how many rounds each lives."""

    processes: int
    life: int


def layout(seconds: float, setup_s: float, round_s: float) -> Layout | None:
    """Return the layout for the time that is left after the first processes have started.

    `setup_s` is what starting one process takes, `round_s` a round of all arms. None if the time
    does not suffice for the fewest rounds and processes.
    """
    renewal = len(ARMS) * setup_s
    if seconds < (FEWEST - 1) * renewal + ROUNDS_FOR_INTERVAL * round_s:
        return None
    best = max(SHORTEST, math.ceil(LIFE * math.sqrt(renewal / round_s)))
    affordable = 1 + RENEWING * seconds / renewal
    wanted = max((seconds + renewal) / (renewal + best * round_s), WANTED)
    processes = max(FEWEST, int(min(wanted, affordable)))
    if processes == FEWEST and seconds - FEWEST * renewal >= THIRD * round_s:
        processes = FEWEST + 1
    rounds = (seconds - (processes - 1) * renewal) / round_s
    # Rounded down: the last process should live about as long as the others.
    return Layout(processes, max(1, int(rounds / processes)))


@dataclass
class Comparison:
    """One case on both sides, within `seconds`. Tests replace `open_process` and `now`."""

    pair: Pair
    seconds: float
    margin: float
    limit: float | None = None
    comparisons: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    tell: Callable[[str], None] = lambda text: None
    open_process: Callable[[Side, Mapping[str, Any]], Process] = Process
    now: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._open: dict[Arm, Process] = {}
        self._number: dict[Arm, int] = dict.fromkeys(ARMS, 0)
        self._age: dict[Arm, int] = dict.fromkeys(ARMS, 0)
        self._rounds: dict[Arm, dict[int, InProcess]] = {arm: {} for arm in ARMS}
        self._setups: list[float] = []
        self._calls: dict[Arm, float] = {}
        self._loaded: dict[Arm, dict[str, Any]] = {}
        self._notes = list(self.pair.notes)
        self._other: str | None = None
        self._core: int | None = None
        self._done = 0
        self._draw = random.Random(self.seed)

    def run(self) -> Outcome:
        """Measure until the question is settled or the time is over. Raises UsageError."""
        self._start = self.now()
        try:
            for arm in ARMS:
                self._renew(arm)
            self._bind()
            self._compare_files()
            self._compare_outputs()
            self._say_versions()
            return self._outcome(self._measure(self._planned()))
        except TooSlow as slow:
            raise UsageError(
                f"{slow}: a call of {self.pair.name}, or starting it, takes longer than the time; "
                f"{self._needed(2 * self.seconds)}"
            ) from None
        finally:
            for process in self._open.values():
                process.close()

    @property
    def _elapsed(self) -> float:
        return self.now() - self._start

    @property
    def _patience(self) -> float:
        return max(1.0, self.seconds - self._elapsed)

    def _renew(self, arm: Arm) -> None:
        """Start a process for an arm, in place of the one that it has."""
        begin = self.now()
        if arm in self._open:
            self._open.pop(arm).close()
        side = self.pair.head if arm == "head" else self.pair.base
        process = self._open[arm] = self.open_process(side, self.settings)
        self._loaded[arm] = process.load(self._patience)
        if self._core is not None:
            process.bind(self._core, self._patience)
        self._calls[arm] = float(self._loaded[arm]["seconds_per_call"])
        self._number[arm] += 1
        self._age[arm] = 0
        self._setups.append(self.now() - begin)

    def _bind(self) -> None:
        """Bind all processes to one core if no side uses more: cores differ in speed."""
        core = self.settings.get("core")
        if core is None or not all(self._loaded[arm]["keeps_one_busy"] for arm in ARMS):
            return
        self._core = int(core)
        for arm in ARMS:
            self._open[arm].bind(self._core, self._patience)

    def _planned(self) -> Layout:
        slowest = max(self._calls.values())
        self._window = max(WINDOW, min(LONGEST_WINDOW, WINDOW_SHARE * slowest))
        self._turns = max(1, round(self._window / max(SLICE, slowest)))
        each = [max(WAKING * self._window, call) for call in self._calls.values()]
        setup, round_s = statistics.fmean(self._setups), sum(each)
        found = layout(self.seconds - self._elapsed, setup, round_s)
        if found is None:
            needed = self._elapsed + len(ARMS) * setup + ROUNDS_FOR_INTERVAL * round_s
            raise UsageError(
                f"{self.pair.name}: a call takes {slowest:.3g} s and starting a process "
                f"{setup:.2g} s, too long for {ROUNDS_FOR_INTERVAL} rounds and {FEWEST} processes "
                f"per side; {self._needed(1.2 * needed)}"
            )
        return found

    def _needed(self, seconds: float) -> str:
        minutes = math.ceil(10 * seconds * self.comparisons / 60) / 10
        return f"--minutes {minutes:g} might do"

    def _measure(self, plan: Layout) -> Decision:
        first = {
            arm: max(1, round(plan.life * (place + 1) / len(ARMS)))
            for place, arm in enumerate(ARMS)
        }
        look, longest = 0, 0.0
        while True:
            interrupts.check()
            begin = self.now()
            self._round()
            longest = max(longest, self.now() - begin)
            for arm in ARMS:
                life = first[arm] if self._number[arm] == 1 else plan.life
                if self._age[arm] >= life and self._pays(longest) and not self._renewed(arm):
                    return self._look(len(LOOKS) - 1)
            over = self._elapsed + min(longest, 2 * (self.now() - begin)) > self.seconds
            if over or self._elapsed >= LOOKS[look][0] * self.seconds:
                look = len(LOOKS) - 1 if over else look
                decision = self._look(look)
                if over or self._settled(decision):
                    return decision
                look = min(look + 1, len(LOOKS) - 1)

    def _renewed(self, arm: Arm) -> bool:
        """Renew an arm's process; False, with a note, if there was no time for it after all.

        Raises TooSlow if there was plenty: then it does not start at all.
        """
        left = self._patience
        try:
            self._renew(arm)
        except TooSlow as slow:
            if left > PLENTY * max(self._setups):
                raise
            self._notes.append(f"ended early: {slow}")
            return False
        return True

    def _pays(self, round_s: float) -> bool:
        """True if a new process is ready in time for another round."""
        return self._elapsed + self._setups[-1] + round_s <= self.seconds

    def _round(self) -> None:
        order = list(ARMS)
        calls, seconds = dict.fromkeys(ARMS, 0), dict.fromkeys(ARMS, 0.0)
        for _ in range(self._turns):
            self._draw.shuffle(order)
            for arm in order:
                patience = self._patience + 60 * self._calls[arm]
                made, took = self._open[arm].time(self._window / self._turns, patience)
                calls[arm] += made
                seconds[arm] += took
        for arm in ARMS:
            process = (arm, self._number[arm])
            self._rounds[arm][self._done] = InProcess(seconds[arm] / calls[arm], process)
            self._age[arm] += 1
        self._done += 1
        self.tell(
            f"{self.pair.name}: round {self._done}, {self._elapsed:.0f} of {self.seconds:.0f} s"
        )

    def _look(self, look: int) -> Decision:
        return decide(self._rounds, look, margin=self.margin, comparisons=self.comparisons)

    def _settled(self, decision: Decision) -> bool:
        """True if more rounds change nothing: neither the word nor on which side of the limit."""
        if decision.word != "SLOWER" or self.limit is None:
            return decision.word != "UNDECIDED"
        assert decision.ratio is not None
        return not decision.ratio.holds(1 + self.limit)

    def _compare_files(self) -> None:
        """Note if no file differs that both sides import from their commits.

        Raises UsageError if a side imports the other one's files, or those of the user's checkout
        that its commit has too. The file of a case that one commit lacks is both sides'.
        """
        base, head = self.pair.base.folder, self.pair.head.folder
        if base == head:
            return
        case, checkout = self.pair.shared_case, self.pair.checkout
        files: list[list[str]] = []
        for arm in ("base", "head"):
            files.append([file for file in self._loaded[arm]["files"] if file != case])
        for flag, loaded, mine, other in (
            ("base", files[0], base, head),
            ("head", files[1], head, base),
        ):
            for name in _names_below(other, loaded):
                raise UsageError(
                    f"{self.pair.name}: {flag} imports {other / name}, a file of the other side; "
                    "give each side an environment (--base-env, --head-env)"
                )
            if checkout is None or checkout == mine:
                continue
            for name in _names_below(checkout, loaded):
                if (mine / name).exists():
                    raise UsageError(
                        f"{self.pair.name}: {flag} imports {checkout / name}, which is in your "
                        "checkout and not in its commit's folder (an editable install?); --install "
                        "gives each side an environment, or put the folder of the package on "
                        "PYTHONPATH"
                    )
        own = [_below(folder, loaded) for folder, loaded in zip((base, head), files, strict=True)]
        if own[0] == own[1] and self.pair.base.python == self.pair.head.python:
            self._notes.append(
                f"no file that {self.pair.name} imports from base and head differs between them"
            )

    def _compare_outputs(self) -> None:
        """Find out if head computes something else than the base, or is given something else."""
        said = {arm: self._open[arm].ask({"do": "output"}, self._patience) for arm in ARMS}
        base, again, head = (said[arm] for arm in ARMS)
        if outputs.difference(base["inputs"], again["inputs"]):
            self._notes.append("inputs differ from process to process, so outputs are not compared")
        elif words := outputs.difference(base["inputs"], head["inputs"]):
            self._other = f"other inputs in head than in base: {words}"
        elif outputs.difference(base["output"], again["output"]):
            self._notes.append("the base's outputs differ from process to process: not compared")
        elif words := outputs.difference(base["output"], head["output"]):
            self._other = f"head computes something else than base: {words}"
        elif outputs.unknown(base["output"]) or outputs.unknown(head["output"]):
            self._notes.append("outputs are of a type that can't be compared")

    def _say_versions(self) -> None:
        base, head = self._loaded["base"]["versions"], self._loaded["head"]["versions"]
        for name in dict.fromkeys((*base, *head)):
            if base.get(name) != head.get(name):
                was, now = base.get(name, "not used"), head.get(name, "not used")
                self._notes.append(f"{name} {was} in base, {now} in head")

    def _outcome(self, decision: Decision) -> Outcome:
        base = statistics.median([*self._rounds["base"].values(), *self._rounds["again"].values()])
        return Outcome(
            name=self.pair.name,
            decision=decision,
            base_s=base,
            head_s=statistics.median(self._rounds["head"].values()),
            rounds=self._done,
            processes=min(self._number.values()),
            seconds=self._elapsed,
            notes=tuple(self._notes),
            other=self._other,
        )


def _names_below(folder: Path, files: Iterable[str]) -> list[str]:
    """Return the paths in a folder of those files that lie in it."""
    start = f"{folder}{os.sep}"
    return [file[len(start) :] for file in files if file.startswith(start)]


def _below(folder: Path, files: Iterable[str]) -> dict[str, bytes]:
    """Return the content of the files that lie in a folder, by their path in it."""
    return {
        name: (folder / name).read_bytes()
        for name in _names_below(folder, files)
        if (folder / name).is_file()
    }
