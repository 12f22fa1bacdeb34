"""The queue of a visit: each step in a process of its own, for as long as there is time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from msgspec.structs import replace

from bench.visit.journal import Entry, Folder, Outcome
from bench.visit.process import GRACE_S, Ended, Guard, run_command
from bench.visit.step import Step

PACKING_S = 2.0
"""Seconds that the visit keeps for packing."""
CLOSING_S = 3.0
"""Seconds that an interrupted run takes to end its workers."""
KEPT_S = PACKING_S + CLOSING_S
"""Seconds at the end of a visit in which no step goes on."""
LAST_LINES = 12
OUTCOMES: dict[str, Outcome] = {"limit": "timed out", "memory": "out of memory"}
Tell = Callable[[str], None]


@dataclass
class Queue:
    """Steps in order of value, and the seconds for all of them."""

    steps: Sequence[Step]
    folder: Folder
    seconds: float
    """For everything from now on, packing included."""
    tell: Tell
    after: Callable[[], object] = lambda: None
    """Called after every step that was taken; it packs, in case that the visit is killed."""
    guard: Guard = field(default_factory=Guard)
    now: Callable[[], float] = time.monotonic
    end: float = 0.0

    def __post_init__(self) -> None:
        self.end = self.now() + self.seconds

    def run(self) -> None:
        """Take every step, or skip it with its reason. KeyboardInterrupt goes on after the step."""
        done = self.folder.done()
        for number, step in enumerate(self.steps, start=1):
            title = f"{number}/{len(self.steps)} {step.name}"
            reason = self._reason_to_skip(step, done)
            if reason:
                self.tell(f"{title}: skipped: {reason}")
                if step.name not in done:
                    self.folder.add(self._entry(step, "skipped", self.left(step), reason))
            else:
                self._take(title, step)
                self.after()

    def left(self, step: Step) -> float:
        """Return the seconds that a step can have now."""
        return max(0.0, min(step.limit_s, self.end - self.now() - KEPT_S))

    def _reason_to_skip(self, step: Step, done: set[str]) -> str | None:
        if step.name in done:
            return "done before, in this folder"
        if lacking := step.lacks():
            return lacking
        if (left := self.left(step)) < step.min_s:
            return f"{left:.0f} s are left, and it takes {step.min_s:.0f} s or more"
        return None

    def _take(self, title: str, step: Step) -> None:
        given, results = self.left(step), self.folder.results
        self.tell(f"{title}: up to {given:.0f} s: {step.shown(given, results)}")
        log, began = self.folder.log(step.name), self.now()
        begin, before = log.stat().st_size if log.exists() else 0, self.folder.record_sizes()
        entry = self._entry(step, "interrupted", given)
        grace = min(GRACE_S, max(1.0, self.end - PACKING_S - self.now() - given))
        try:
            ended = run_command(
                step.argv(given, results), log, limit_s=given, guard=self.guard, grace_s=grace
            )
        except KeyboardInterrupt:
            self._close(entry, before, seconds=self.now() - began)
            raise
        outcome, reason = judged(step, ended, log.read_bytes()[begin:])
        if outcome == "ok" and step.writes and not self._records_since(before):
            outcome, reason = "skipped", f"it measured nothing: {last_line(log)}"
        self._close(
            replace(entry, outcome=outcome, reason=reason, code=ended.code),
            before,
            seconds=ended.seconds,
        )

    def _close(self, entry: Entry, before: Mapping[Path, int], seconds: float) -> None:
        """Write down how a step ended, and tell."""
        records = self._records_since(before)
        self.folder.add(replace(entry, seconds=round(seconds, 1), records=records))
        what = f"{records} record{'s' * (records != 1)} written"
        self.tell(f"    {entry.outcome} after {seconds:.0f} s, {what}")
        for line in entry.reason.splitlines():
            self.tell(f"    | {line}")
        if entry.outcome != "ok":
            self.tell(f"    | all of it: {self.folder.log(entry.step)}")

    def _records_since(self, before: Mapping[Path, int]) -> int:
        """Return how many records were written or added to."""
        sizes = self.folder.record_sizes()
        return sum(before.get(path) != size for path, size in sizes.items())

    def _entry(self, step: Step, outcome: Outcome, given: float, reason: str = "") -> Entry:
        return Entry(
            step=step.name,
            command=step.shown(given, self.folder.results),
            why=step.why,
            outcome=outcome,
            started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            given_s=round(given, 1),
            seconds=0.0,
            reason=reason,
        )


def last_line(log: Path) -> str:
    """Return the last line that says anything."""
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def judged(step: Step, ended: Ended, output: bytes) -> tuple[Outcome, str]:
    """Return how a step ended, and its last lines if that was not as it should be."""
    if not ended.why and ended.code in step.fine:
        return "ok", ""
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
    shown = [line[:300] for line in lines[-LAST_LINES:]]
    if ended.why:
        return OUTCOMES[ended.why], "\n".join(shown)
    return "failed", "\n".join([*shown, ended.text])


def planned(steps: Sequence[Step], seconds: float) -> Iterator[tuple[Step, float]]:
    """Yield every step with its seconds if each step takes all of its own; 0 if none are left."""
    left = seconds - KEPT_S
    for step in steps:
        given = min(step.limit_s, left)
        given = 0.0 if given < step.min_s or step.lacks() else given
        left -= given
        yield step, given
