"""One step of a visit: a command in a process of its own, with a time limit of its own."""

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
asks for as much more."""
LEAST_ROUNDS_S = 5.0
COMPILER = "c++"
REASONS = {
    COMPILER: "there is no C++ compiler; apt-get install g++",
    "triton": "Triton is not installed; it comes with PyTorch for CUDA on Linux",
    "pynvml": "NVML cannot be read; pip install nvidia-ml-py",
    "pytest": "pytest is not installed",
    "xdist": "pytest-xdist is not installed",
}
"""Why a step is skipped, by what it needs: a compiler, or the name of a module."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A command, how long it may take, and why it is worth that.

    In `command`, {results} stands for the results folder, {rounds_s} for the seconds that are left
    after opening, {minutes} for the same in minutes, and {study_minutes} for those of a study that
    is not to keep time for a report.
    """

    name: str
    why: str
    command: tuple[str, ...]
    """Arguments of `python -m bench`, or of Python itself if they begin with `-`."""
    limit_s: float
    """Most seconds, unless there is more time than all steps can take."""
    min_s: float
    """Least seconds that are worth beginning with."""
    opening_s: float = 0.0
    """Seconds until the first round: processes, warm-up, compilers."""
    needs: tuple[str, ...] = ()
    fine: tuple[int, ...] = (0,)
    """Exit codes of a step that did what it is for."""
    grows: bool = True
    """True if it can use more than its limit."""
    writes: bool = False
    """True if it is for records: without one it has not done what it is for."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9_]{1,60}", self.name):
            raise ValueError(f"a step's name becomes a file's name, got {self.name!r}")

    def shown(self, seconds: float, results: Path) -> str:
        """Return the command line for so many seconds, as a user would type it."""
        return shlex.join(["python", *self._arguments(seconds, results)])

    def argv(self, seconds: float, results: Path) -> list[str]:
        """Return the command line for so many seconds, with records below `results`."""
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
        """Return why this machine cannot do the step; None if it can."""
        for need in self.needs:
            if not _is_there(need):
                return REASONS.get(need, f"{need} is not installed")
        return None


def _is_there(need: str) -> bool:
    if need == COMPILER:
        return any(shutil.which(name) for name in ("g++", "clang++"))
    return importlib.util.find_spec(need) is not None


def run(*arguments: str) -> tuple[str, ...]:
    """A run in which an arm counts as hung after two minutes without a sign of life."""
    return ("run", *arguments, "--timeout", "120", "--results", "{results}")


def doctor(seconds: float, on: tuple[str, ...]) -> Step:
    """The examination of the machine, with so many seconds for its noise."""
    return Step(
        name="doctor",
        why="versions, free memory, noise: what the numbers depend on",
        command=("doctor", "--seconds", f"{seconds:g}", "--results", "{results}", *on),
        limit_s=30,
        min_s=5,
        fine=(0, 1),
        grows=False,
    )


def training(on: tuple[str, ...], limit_s: float) -> Step:
    """A training run on the images that every installation has."""
    return Step(
        name="contact_training",
        why="one training run to its accuracy, on scikit-learn's digits",
        command=run(
            *("--models", "convmixer_digits", "--metrics", "top1,receptive_field"),
            *("--data", "digits", "--recipe", "digits_small", *on),
        ),
        limit_s=limit_s,
        min_s=15,
        grows=False,
    )


def selfcheck(on: tuple[str, ...], limit_s: float, opening_s: float) -> Step:
    """The A/A check, which writes no records: what it says is in its log.

    `opening_s` is for its processes, about twenty, and for comparisons of at least 5 s each.
    """
    return Step(
        name="aa",
        why="a network against itself: what this machine can tell apart",
        command=("selfcheck", "--minutes", "{minutes}", *on),
        limit_s=limit_s,
        min_s=opening_s + 25,
        opening_s=opening_s,
        fine=(0, 1),
    )


def study(
    name: str, on: tuple[str, ...], *more: str, limit_s: float = 180, min_s: float = 150
) -> Step:
    """What the verdict of a study needs, as far as time goes; no run is begun that would not fit."""
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
