"""Check if this machine is fit to measure.

Reports what is installed, what is missing and how to get it, who else uses the machine, and how
noisy it is. Everything is read on the spot; nothing is installed and no record is written.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from bench.check.noise import read_noise
from bench.devices import CUDA, kind_of
from bench.errors import UsageError, one_line
from bench.measure import machine
from bench.measure.disturbance import free_memory
from bench.measure.gpu import gpu_for

Status = Literal["ok", "note", "missing", "wrong", "unfit"]
OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 14)
REQUIRED = ("torch", "torchvision", "timm", "fvcore")


@dataclass(frozen=True)
class Extra:
    """An optional package: the module to look for, what needs it, and how to get it."""

    module: str
    package: str
    needed_for: str
    remedy: str


EXTRAS = (
    Extra(
        "triton",
        "triton",
        "the policy fused and torch.compile on a GPU",
        "comes with PyTorch for CUDA on Linux",
    ),
    Extra(
        "pynvml",
        "nvidia-ml-py",
        "clocks, power and energy of an NVIDIA GPU",
        "pip install 'convmixer-bench[gpu]'",
    ),
    Extra("onnxruntime", "onnxruntime", "--policies ort", "pip install 'convmixer-bench[onnx]'"),
    Extra("openvino", "openvino", "--policies openvino", "pip install 'convmixer-bench[openvino]'"),
    Extra("datasets", "datasets", "--data hfds:NAME", "pip install 'convmixer-bench[data]'"),
    Extra("ray", "ray", "--launcher ray", "pip install 'convmixer-bench[scale]'"),
    Extra(
        "tensorboard",
        "tensorboard",
        "TensorBoard's files next to a training log",
        "pip install tensorboard",
    ),
)
ENOUGH_DISK, ENOUGH_MEMORY = 5e9, 4e9
"""Bytes below which a comparison may not get far."""
BUSY = 0.5
"""Load per processor from which on other programs would show in the speeds."""


@dataclass(frozen=True)
class CheckResult:
    """One line of the report: what was checked, what was found, and what would fix it."""

    what: str
    status: Status
    found: str
    remedy: str = ""


def examine(
    *, device: str, results: Path, seconds: float, now: Callable[[], float] = time.perf_counter
) -> Iterator[CheckResult]:
    """Yield the result of every check; the last one is a noise reading of `seconds`.

    Stops before the checks of the device if a required package is missing. Raises UsageError if
    there is no such device, or if `seconds` is not above 0 and at most 600.
    """
    if not 0 < seconds <= 600:
        raise UsageError(
            f"--seconds: must be above 0 and at most 600, got {seconds:g}; 10 is usual"
        )
    yield _python()
    complete = True
    for result in map(_required, REQUIRED):
        complete = complete and result.status == "ok"
        yield result
    yield from map(_optional, EXTRAS)
    yield _compiler()
    yield from _results_folder(results)
    if not complete:
        return
    resolved = machine.resolve_device(device)
    yield from _device(resolved)
    yield from _memory(resolved)
    yield from _other_programs()
    yield noise(resolved, seconds, now)


def _python() -> CheckResult:
    python = platform.python_version()
    if OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON:
        return CheckResult("Python", "ok", python)
    supported = " to ".join(f"{major}.{minor}" for major, minor in (OLDEST_PYTHON, NEWEST_PYTHON))
    return CheckResult("Python", "wrong", python, f"{supported} are supported")


def _required(name: str) -> CheckResult:
    try:
        importlib.import_module(name)
    except ImportError as error:
        remedy = f"pip install --upgrade torch torchvision {name}"
        return CheckResult(name, "wrong", one_line(error), remedy)
    except Exception as error:
        # A torchvision built for another torch fails with errors of its own.
        remedy = "pip install --upgrade torch torchvision, both from the same index"
        return CheckResult(name, "wrong", one_line(error), remedy)
    return CheckResult(name, "ok", _version(name))


def _optional(extra: Extra) -> CheckResult:
    if importlib.util.find_spec(extra.module) is None:
        needed = f"needed for {extra.needed_for}"
        return CheckResult(extra.package, "missing", needed, extra.remedy)
    return CheckResult(extra.package, "ok", _version(extra.package))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "installed"


def _compiler() -> CheckResult:
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler:
        return CheckResult("C++ compiler", "ok", compiler)
    needed = "needed for policies with compile on a CPU"
    return CheckResult("C++ compiler", "missing", needed, "apt-get install g++")


def _results_folder(results: Path) -> Iterator[CheckResult]:
    existing = results.resolve()
    while not existing.exists():
        existing = existing.parent
    if os.access(existing, os.W_OK):
        yield CheckResult("results folder", "ok", str(results))
    else:
        yield CheckResult("results folder", "wrong", str(results), "give another --results")
    yield _disk("disk for results", existing)
    yield _disk("disk for temporary files", Path(tempfile.gettempdir()))


def _disk(what: str, folder: Path) -> CheckResult:
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e9:.1f} GB free"
    if free >= ENOUGH_DISK:
        return CheckResult(what, "ok", text)
    return CheckResult(what, "note", text, "training runs store weights and checkpoints")


def _device(device: str) -> Iterator[CheckResult]:
    import torch

    described = machine.describe(device, installation="none")
    hardware = described.accelerator or f"{described.hardware}, {described.cores} threads"
    yield CheckResult("device", "ok", f"{device}: {hardware}")
    if kind_of(device) is CUDA:
        versions = described.versions
        driver = f"{versions['driver']}, CUDA {versions['cuda']}, cuDNN {versions['cudnn']}"
        yield CheckResult("driver", "ok", driver)
        yield _gpu_users(device)
    elif shutil.which("nvidia-smi"):
        reason = "this PyTorch has no CUDA" if torch.version.cuda is None else "PyTorch sees no GPU"
        yield CheckResult(
            "GPU",
            "wrong",
            f"nvidia-smi is installed, but {reason}",
            "run `nvidia-smi`, and install PyTorch for the CUDA version that it prints",
        )


def _gpu_users(device: str) -> CheckResult:
    what = "other GPU users"
    gpu = gpu_for(device)
    if gpu is None:
        remedy = "pip install 'convmixer-bench[gpu]'"
        return CheckResult(what, "missing", "cannot be read", remedy)
    others = gpu.others({os.getpid()})
    if not others:
        return CheckResult(what, "ok", "none")
    processes = f"processes {', '.join(map(str, others))}"
    return CheckResult(what, "note", processes, "they slow down what is measured; wait for them")


def _memory(device: str) -> Iterator[CheckResult]:
    free = free_memory(device, gpu_for(device))
    if free is None:
        return
    text = f"{free / 1e9:.1f} GB"
    if free >= ENOUGH_MEMORY:
        yield CheckResult("free memory", "ok", text)
    else:
        remedy = "models that do not fit together are measured in groups"
        yield CheckResult("free memory", "note", text, remedy)


def _other_programs() -> Iterator[CheckResult]:
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    text = f"{load:.2f} on {machine.cores()} processors over the last minute"
    if load > BUSY * machine.cores():
        remedy = "other programs are using the CPU; windows that they disturb are marked"
        yield CheckResult("load", "note", text, remedy)
    else:
        yield CheckResult("load", "ok", text)
    if threads := os.environ.get("OMP_NUM_THREADS"):
        ignored = "ignored: every worker uses all processors that it may"
        yield CheckResult("OMP_NUM_THREADS", "note", threads, ignored)


def noise(device: str, seconds: float, now: Callable[[], float] = time.perf_counter) -> CheckResult:
    """Return the result of a noise reading of `seconds` on a device."""
    reading = read_noise(device, seconds, now)
    status: Status = "unfit" if reading.is_unfit else "ok" if reading.is_low else "note"
    text = (
        f"{reading.word}: {len(reading.speeds)} windows of a matrix product, the middle 90 % "
        f"span {reading.spread:.1%} of the median, {reading.disturbed} while other programs were "
        f"using the machine; {reading.median / 1e9:.0f} GMAC/s"
    )
    if status == "ok":
        return CheckResult("noise", status, text)
    remedy = (
        "close other programs; `python -m bench selfcheck` says which differences can be resolved"
    )
    return CheckResult("noise", status, text, remedy)


def verdict(results: Iterable[CheckResult]) -> str:
    """Return the last line of the report: whether the machine can measure.

    A machine is not called ready if it is as unsteady as the drift check of a run must not be.
    """
    by_status = {result.what: result.status for result in results}
    wrong = [what for what, status in by_status.items() if status == "wrong"]
    if wrong:
        return f"nothing can be measured until this is fixed: {', '.join(wrong)}"
    if by_status.get("noise") == "unfit":
        return (
            "not fit for speeds now: a run under this noise would be graded `do not use`; "
            "counts and training runs are not affected"
        )
    if by_status.get("noise", "ok") != "ok":
        return "usable, but noisy: expect a coarse grade, and give runs more time"
    return "ready to measure"
