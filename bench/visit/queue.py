"""The queue of a visit: each step in a process of its own, for as long as there is time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from bench.visit.journal import Entry, Folder, Outcome
from bench.visit.process import GRACE_S, Ended, Guard, run_command
from bench.visit.step import Step

PACKING_S = 2.0
"""Seconds that the visit keeps for packing."""
CLOSING_S = 3.0
"""Seconds that an interrupted run takes to end its workers."""
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
    """Called after every step that was taken, so that a visit that is killed leaves a pack behind."""
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
                    self._write(step, "skipped", self.left(step), reason=reason)
            else:
                self._take(title, step)
                self.after()

    def left(self, step: Step) -> float:
        """Return the seconds that a step can have now."""
        return max(0.0, min(step.limit_s, self.end - self.now() - PACKING_S - CLOSING_S))

    def _reason_to_skip(self, step: Step, done: set[str]) -> str | None:
        if step.name in done:
            return "done before, in this folder"
        if lacking := step.lacks():
            return lacking
        if (left := self.left(step)) < step.min_s:
            return f"{left:.0f} s are left, and it takes {step.min_s:.0f} s or more"
        return None

    def _take(self, title: str, step: Step) -> None:
        given, started = self.left(step), _now()
        self.tell(f"{title}: up to {given:.0f} s: {step.shown(given, self.folder.results)}")
        command = step.argv(given, self.folder.results)
        log = self.folder.log(step.name)
        begin, before = log.stat().st_size if log.exists() else 0, self.folder.record_sizes()
        grace = min(GRACE_S, max(1.0, self.end - PACKING_S - self.now() - given))
        try:
            ended = run_command(command, log, limit_s=given, guard=self.guard, grace_s=grace)
        except KeyboardInterrupt:
            self._write(step, "interrupted", given, started, records=self._new(before))
            raise
        outcome, reason = self._judge(step, ended, log.read_bytes()[begin:])
        records = self._new(before)
        self._write(
            step,
            outcome,
            given,
            started,
            code=ended.code,
            seconds=ended.seconds,
            reason=reason,
            records=records,
        )
        what = f"{records} record{'s' * (records != 1)} written"
        self.tell(f"    {outcome} after {ended.seconds:.0f} s, {what}")
        if outcome != "ok":
            for line in reason.splitlines():
                self.tell(f"    | {line}")
            self.tell(f"    | all of it: {log}")

    def _judge(self, step: Step, ended: Ended, output: bytes) -> tuple[Outcome, str]:
        """Return how a step ended, and its last lines if that was not as it should be."""
        if not ended.why and ended.code in step.fine:
            return "ok", ""
        lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
        shown = "\n".join(line[:300] for line in lines[-LAST_LINES:])
        if ended.why:
            return OUTCOMES[ended.why], shown
        return "failed", f"{shown}\n{ended.text}".strip()

    def _new(self, before: dict[Path, int]) -> int:
        """Return how many records were written or added to."""
        after = self.folder.record_sizes()
        return sum(before.get(path) != size for path, size in after.items())

    def _write(
        self,
        step: Step,
        outcome: Outcome,
        given: float,
        started: str = "",
        *,
        code: int | None = None,
        seconds: float = 0.0,
        reason: str = "",
        records: int = 0,
    ) -> None:
        self.folder.add(
            Entry(
                step=step.name,
                command=step.shown(given, self.folder.results),
                why=step.why,
                outcome=outcome,
                started=started or _now(),
                given_s=round(given, 1),
                seconds=round(seconds, 1),
                code=code,
                reason=reason,
                records=records,
            )
        )


def planned(steps: Sequence[Step], seconds: float) -> Iterator[tuple[Step, float]]:
    """Yield every step with the seconds that it gets if each one takes all of its own; 0 if none."""
    left = seconds - PACKING_S - CLOSING_S
    for step in steps:
        given = min(step.limit_s, left)
        given = 0.0 if given < step.min_s or step.lacks() else given
        left -= given
        yield step, given


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
