"""The step of a visit: a command in its own process, with its own time limit."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

RENDERING_S = 60.0
"""Seconds that `study run --max-minutes` keeps for its report. A visit renders nothing, so a step
adds them to its --max-minutes."""
LEAST_ROUNDS_S = 5.0
COMPILER = "c++"
REASONS = {
    COMPILER: "there is no C++ compiler; apt-get install g++",
    "triton": "Triton is not installed; it comes with PyTorch for CUDA on Linux",
    "pynvml": "NVML cannot be read; pip install nvidia-ml-py",
    "pytest": "pytest is not installed",
    "xdist": "pytest-xdist is not installed",
}
"""The reason to skip a step, by the compiler or the module that it needs."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A command, its purpose and its time limits, in seconds.

    In `command`, {results} stands for the results folder, {rounds_s} for the seconds that are left
    after opening, {minutes} for the same in minutes, and {study_minutes} for the minutes of a study
    that has to render no report.
    """

    name: str
    why: str
    command: tuple[str, ...]
    """Arguments of `python -m bench`, or of Python itself if the first one begins with `-`."""
    limit_s: float
    """Longest duration, unless the visit has more time than all its steps can take."""
    min_s: float
    """Shortest time that is worth starting with."""
    opening_s: float = 0.0
    """Time until the first round: processes, warm-up, compilers."""
    needs: tuple[str, ...] = ()
    """Modules that it imports, or `COMPILER`."""
    good_codes: tuple[int, ...] = (0,)
    """Exit codes that mean success."""
    grows: bool = True
    """True if the step can make use of more time than its limit."""
    writes: bool = False
    """True if the step succeeds only if it writes a record."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9_]{1,60}", self.name):
            raise ValueError(f"a step's name is also that of its log, got {self.name!r}")

    def shown(self, seconds: float, results: Path) -> str:
        """Return the command line for this many seconds, as a user would type it."""
        return shlex.join(["python", *self._arguments(seconds, results)])

    def argv(self, seconds: float, results: Path) -> list[str]:
        """Return the process's arguments for this many seconds, with records below `results`."""
        return [sys.executable, *self._arguments(seconds, results)]

    def _arguments(self, seconds: float, results: Path) -> list[str]:
        left = max(LEAST_ROUNDS_S, seconds - self.opening_s)
        values = {
            "{results}": str(results),
            "{rounds_s}": f"{left:.0f}",
            "{minutes}": f"{left / 60:.2f}",
            "{study_minutes}": f"{(left + RENDERING_S) / 60:.2f}",
        }
        head = () if self.command[0].startswith("-") else ("-m", "bench")
        return [values.get(part, part) for part in (*head, *self.command)]

    def lacks(self) -> str | None:
        """Return why the step cannot run on this machine; None if it can."""
        for need in self.needs:
            if not _is_installed(need):
                return REASONS.get(need, f"{need} is not installed")
        return None


def _is_installed(need: str) -> bool:
    if need == COMPILER:
        return any(shutil.which(name) for name in ("g++", "clang++"))
    return importlib.util.find_spec(need) is not None


def run(*arguments: str) -> tuple[str, ...]:
    """Return the arguments of a run that gives an arm up after two minutes without a response."""
    return ("run", *arguments, "--timeout", "120", "--results", "{results}")


def timed(
    name: str,
    why: str,
    models: str,
    metrics: str,
    policies: str,
    *more: str,
    on: tuple[str, ...],
    limit_s: float,
    min_s: float,
    opening_s: float,
    needs: tuple[str, ...] = (),
) -> Step:
    """Return one timed run, with as many rounds as there is time for after opening.

    `models`, `metrics` and `policies` are separated by commas; `more` are further arguments.
    """
    what = ("--models", models, "--metrics", metrics, "--policies", policies)
    return Step(
        name=name,
        why=why,
        command=run(*what, *more, "--time-budget", "{rounds_s}", *on),
        limit_s=limit_s,
        min_s=min_s,
        opening_s=opening_s,
        needs=needs,
    )


def doctor(seconds: float, on: tuple[str, ...]) -> Step:
    """Return the step that examines the machine, and its noise for this many seconds."""
    return Step(
        name="doctor",
        why="versions, free memory, noise: what the numbers depend on",
        command=("doctor", "--seconds", f"{seconds:g}", "--results", "{results}", *on),
        limit_s=30,
        min_s=5,
        good_codes=(0, 1),
        grows=False,
    )


def training(on: tuple[str, ...], limit_s: float) -> Step:
    """Return a training run on the images that every installation has."""
    return Step(
        name="contact_training",
        why="one training run and its accuracy, on scikit-learn's digits",
        command=run(
            *("--models", "convmixer_digits", "--metrics", "top1,receptive_field"),
            *("--data", "digits", "--recipe", "digits_small", *on),
        ),
        limit_s=limit_s,
        min_s=15,
        grows=False,
    )


def selfcheck(on: tuple[str, ...], limit_s: float, opening_s: float) -> Step:
    """Return the A/A check. It writes no records; its results are in its log.

    `opening_s` covers about twenty processes, and comparisons of at least 5 s each.
    """
    return Step(
        name="aa",
        why="A/A check: the smallest difference that this machine can detect",
        command=("selfcheck", "--minutes", "{minutes}", *on),
        limit_s=limit_s,
        min_s=opening_s + 25,
        opening_s=opening_s,
        good_codes=(0, 1),
    )


def study(
    name: str, on: tuple[str, ...], *more: str, limit_s: float = 180, min_s: float = 150
) -> Step:
    """Return the step that measures as much of a study as there is time for.

    `bench study run` starts no run that would not fit.
    """
    minutes = ("--max-minutes", "{study_minutes}")
    return Step(
        name=f"study_{name}",
        why=f"a claim of the paper: the study {name}",
        command=("study", "run", name, *minutes, "--results", "{results}", *more, *on),
        limit_s=limit_s,
        min_s=min_s,
        opening_s=10,
        writes=True,
    )
