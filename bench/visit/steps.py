"""The choice of a visit's steps: by device, by the images given, and by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.devices import CPU, CUDA, kind_of
from bench.errors import UsageError
from bench.plugins.registry import ROOT
from bench.visit import cpu, cuda
from bench.visit.step import Step

GPU_TESTS = ("test_gpu.py", "test_fused.py", "test_engines.py")


def steps_for(device: str, data: str | None = None, *, tests: bool = False) -> list[Step]:
    """Return the steps on a device, such as cuda:0 or cpu, in order of value.

    `data` names the images to train on, and `tests` puts the tests of GPU code first.

    Raises UsageError for a device without steps, and if there are no such images or no tests.
    """
    if data is not None:
        _check(data)
    if kind_of(device) is CUDA:
        steps = cuda.steps(device, data)
        return [_gpu_tests(), *steps] if tests else steps
    if tests:
        raise UsageError(
            f"--tests: the tests need a CUDA device, but this visit is on {device}; drop --tests"
        )
    if kind_of(device) is not CPU:
        raise UsageError(
            f"--device: a visit has no steps for {device} yet; --device cpu takes those of a CPU, "
            "and `bench run` measures on any device"
        )
    return cpu.steps(data)


def chosen(steps: list[Step], names: tuple[str, ...]) -> list[Step]:
    """Return the steps of these names, in the order of the names; all steps if there are none.

    Raises UsageError for an unknown name.
    """
    by_name = {step.name: step for step in steps}
    for name in names:
        if name not in by_name:
            raise UsageError(f"--steps: no step named {name!r}; choose from {', '.join(by_name)}")
    return [by_name[name] for name in dict.fromkeys(names)] or steps


def stretched(steps: list[Step], seconds: float) -> list[Step]:
    """Return the steps, with longer limits if there is more time than all of them can take."""
    spare, growing = seconds, 0.0
    for step in steps:
        if step.lacks() is None:
            spare -= step.limit_s
            growing += step.limit_s if step.grows else 0.0
    if spare <= 0 or not growing:
        return steps
    factor = 1 + spare / growing
    return [replace(step, limit_s=step.limit_s * (factor if step.grows else 1)) for step in steps]


def _check(data: str) -> None:
    """Raise UsageError unless `data` is cifar10:FOLDER and the folder exists."""
    name, _, folder = data.partition(":")
    if name != "cifar10" or not folder:
        raise UsageError(f"--data: must be cifar10:/path, got {data!r}")
    if not Path(folder).is_dir():
        raise UsageError(
            f"--data: {folder} is not a folder; give the folder that contains train/ and test/"
        )


def _gpu_tests() -> Step:
    files = [ROOT / "tests" / name for name in GPU_TESTS]
    if not all(file.exists() for file in files):
        raise UsageError("--tests: this installation contains no tests; run from a checkout")
    settings = ("-c", str(ROOT / "pyproject.toml"), "-m", "gpu", "-n4", "-k", "not itself")
    return Step(
        name="gpu_tests",
        why="the tests of the code for GPUs, but for the A/A check, which is a step",
        command=("-m", "pytest", *settings, *map(str, files)),
        limit_s=180,
        min_s=30,
        needs=("pytest", "xdist"),
        grows=False,
    )
