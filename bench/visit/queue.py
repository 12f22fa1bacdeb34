"""The queue of a visit: steps in order of value, each in its own process, while there is time."""

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
"""Seconds that are kept for packing."""
LEAST_GRACE_S = 1.0
"""Seconds that an interrupted step gets at least before it is killed."""
CLOSING_S = 3.0
"""Seconds that an interrupted run takes to end its workers."""
KEPT_S = PACKING_S + CLOSING_S
"""Seconds at the end of a visit in which no step runs."""
LAST_LINES = 12
"""Lines of a failed step's output that are shown."""
LONGEST_LINE = 300
"""Characters of such a line that are shown."""
OUTCOMES: dict[str, Outcome] = {"limit": "timed out", "memory": "out of memory"}
Tell = Callable[[str], None]


@dataclass
class Queue:
    """Runs steps in order of value within a number of seconds."""

    steps: Sequence[Step]
    folder: Folder
    seconds: float
    """Time from now on for everything, packing included."""
    tell: Tell
    """Prints text for the user."""
    after: Callable[[], object] = lambda: None
    """Called after every step that was taken; it packs, in case the visit is killed."""
    guard: Guard = field(default_factory=Guard)
    now: Callable[[], float] = time.monotonic
    end: float = 0.0

    def __post_init__(self) -> None:
        self.end = self.now() + self.seconds

    def run(self) -> None:
        """Take every step, or skip it with a reason.

        Raises KeyboardInterrupt, once the entry of the interrupted step is written.
        """
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
        """Return the seconds that a step would get now."""
        return max(0.0, min(step.limit_s, self.end - self.now() - KEPT_S))

    def _reason_to_skip(self, step: Step, done: set[str]) -> str | None:
        if step.name in done:
            return "finished earlier, in this folder"
        lacking = step.lacks()
        if lacking:
            return lacking
        left = self.left(step)
        if left < step.min_s:
            return f"{left:.0f} s are left, and the step needs at least {step.min_s:.0f} s"
        return None

    def _take(self, title: str, step: Step) -> None:
        """Run a step for the time that it gets, and write its entry."""
        given = self.left(step)
        self.tell(f"{title}: up to {given:.0f} s: {step.shown(given, self.folder.results)}")
        log = self.folder.log(step.name)
        earlier_output = log.stat().st_size if log.exists() else 0
        before = self.folder.record_sizes()
        entry = self._entry(step, "interrupted", given)
        began = self.now()
        try:
            ended = run_command(
                step.argv(given, self.folder.results),
                log,
                limit_s=given,
                guard=self.guard,
                grace_s=self._grace(given),
            )
        except KeyboardInterrupt:
            self._close(entry, before, seconds=self.now() - began)
            raise
        outcome, reason = judged(step, ended, log.read_bytes()[earlier_output:])
        if outcome == "ok" and step.writes and not self._records_since(before):
            outcome, reason = "skipped", f"the step measured nothing: {last_line(log)}"
        self._close(
            replace(entry, outcome=outcome, reason=reason, code=ended.code),
            before,
            seconds=ended.seconds,
        )

    def _grace(self, given: float) -> float:
        """Return the seconds to wait for a step that was interrupted after `given` seconds."""
        left = self.end - PACKING_S - self.now() - given
        return min(GRACE_S, max(LEAST_GRACE_S, left))

    def _close(self, entry: Entry, before: Mapping[Path, int], seconds: float) -> None:
        """Write a step's entry, and tell the user how it ended."""
        records = self._records_since(before)
        self.folder.add(replace(entry, seconds=round(seconds, 1), records=records))
        noun = "record" if records == 1 else "records"
        self.tell(f"    {entry.outcome} after {seconds:.0f} s, {records} {noun} written")
        for line in entry.reason.splitlines():
            self.tell(f"    | {line}")
        if entry.outcome != "ok":
            self.tell(f"    | complete log: {self.folder.log(entry.step)}")

    def _records_since(self, before: Mapping[Path, int]) -> int:
        """Return the number of records that were written or extended."""
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
    """Return the last line of a log that is not blank."""
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def judged(step: Step, ended: Ended, output: bytes) -> tuple[Outcome, str]:
    """Return a step's outcome, and the last lines of its output unless it succeeded."""
    if not ended.why and ended.code in step.good_codes:
        return "ok", ""
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
    shown = [line[:LONGEST_LINE] for line in lines[-LAST_LINES:]]
    if ended.why:
        return OUTCOMES[ended.why], "\n".join(shown)
    return "failed", "\n".join([*shown, ended.text])


def planned(steps: Sequence[Step], seconds: float) -> Iterator[tuple[Step, float]]:
    """Yield every step with the seconds that it gets if all steps use their limits.

    That is 0 for a step that would be skipped.
    """
    left = seconds - KEPT_S
    for step in steps:
        given = min(step.limit_s, left)
        if given < step.min_s or step.lacks():
            given = 0.0
        left -= given
        yield step, given
