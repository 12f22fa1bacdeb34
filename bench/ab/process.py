"""A side's process: the timing server, started in the side's interpreter, and asked by lines."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import UsageError
from bench.measure import interrupts
from bench.measure.processes import exit_text, kill_tree

SERVER = Path(__file__).with_name("server.py")
GRACE = 5.0
"""Seconds that a process has to end after it closed its connection."""
SHOWN = 2
"""Last lines of a dead process's standard error that are shown."""
GLANCE = 0.2
"""Seconds between two looks at whether the user wants to end."""


class TooSlow(UsageError):
    """No answer within the time."""


@dataclass(frozen=True)
class Side:
    """What a process of a side needs. `name` is what the user calls it, such as `head (HEAD)`."""

    name: str
    python: Path
    folder: Path
    """Where its processes run."""
    roots: Sequence[str] = ()
    """Folders from which modules are imported first."""
    path: Sequence[str] = ()
    """What PYTHONPATH is for it."""
    loads: Mapping[str, Any] = field(default_factory=dict)
    """What the server is told to load: a case, or a model with its images."""


class Process:
    """One process of a side. `close` ends it at any time, with its child processes."""

    def __init__(self, side: Side, settings: Mapping[str, Any]) -> None:
        self.side, self.settings = side, settings
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - until close()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(side.path)}
        with interrupts.deaf_children():
            self._process = subprocess.Popen(
                [side.python, "-B", SERVER],
                cwd=side.folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                start_new_session=True,
            )
        self._left = b""

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def load(self, patience: float) -> dict[str, Any]:
        """Load the case and warm it up; return what the server says of it. Raises UsageError."""
        request = {
            "do": "load",
            "roots": list(self.side.roots),
            **self.settings,
            **self.side.loads,
        }
        return self.ask(request, patience)

    def bind(self, core: int, patience: float) -> None:
        """Bind the process to a core. Raises UsageError."""
        self.ask({"do": "bind", "core": core}, patience)

    def time(self, seconds: float, patience: float) -> tuple[int, float]:
        """Return the calls of a slice of about so many seconds, and theirs. Raises UsageError."""
        answer = self.ask({"do": "time", "seconds": seconds}, patience)
        return int(answer["calls"]), max(float(answer["seconds"]), 1e-12)

    def ask(self, request: Mapping[str, Any], patience: float) -> dict[str, Any]:
        """Return the answer to a request.

        Raises UsageError if the case raises or ends its process, TooSlow after `patience` seconds.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            answer: dict[str, Any] = json.loads(self._line(patience))
        except (BrokenPipeError, EOFError):
            raise UsageError(f"{self.side.name}: {self._end()}") from None
        except json.JSONDecodeError:  # cut short by what killed it
            self._process.kill()
            raise UsageError(f"{self.side.name}: {self._end()}") from None
        if "error" in answer:
            raise UsageError(f"{self.side.name}: {answer['error']}")
        return answer

    def _line(self, patience: float) -> bytes:
        assert self._process.stdout is not None
        end, pipe = time.monotonic() + patience, self._process.stdout.fileno()
        while b"\n" not in self._left:
            interrupts.check()
            left = end - time.monotonic()
            if left <= 0:
                raise TooSlow(f"{self.side.name}: no answer within {patience:.0f} s")
            if select.select([pipe], [], [], min(left, GLANCE))[0]:
                read = os.read(pipe, 1 << 16)
                if not read:
                    raise EOFError
                self._left += read
        line, _, self._left = self._left.partition(b"\n")
        return line

    def _end(self) -> str:
        """Say how the process ended, with the last lines that it printed."""
        try:
            code = self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            kill_tree(self._process.pid)
            self._process.wait()
            return "the case closed the connection of its process, which went on"
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
        said = " | ".join(line.strip() for line in lines[-SHOWN:])
        return f"the process of the case ended with {exit_text(code)}" + (said and f": {said}")

    def close(self) -> None:
        """End the process, even in the middle of a request."""
        if self._process.poll() is None:
            kill_tree(self._process.pid)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)  # children whose parent has ended
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._said):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue
