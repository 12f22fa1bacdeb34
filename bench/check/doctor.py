"""Whether this machine is fit to measure: what is there, what is missing and how to get it, who else is busy, how noisy it is.

Every finding is read here and now; nothing is installed, and no record is written.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from bench.analysis.grade import MOST_OFF, UNSTEADY
from bench.errors import UsageError, one_line
from bench.measure import machine as environment
from bench.measure import process_settings
from bench.measure.disturbance import State, free_memory
from bench.measure.gpu import gpu_for

Status = Literal["ok", "note", "missing", "wrong", "unfit"]
NEEDED = ("torch", "torchvision", "timm", "fvcore")
OPTIONAL = (
    (
        "triton",
        "triton",
        "the policy fused and torch.compile on a GPU",
        "comes with PyTorch for CUDA on Linux",
    ),
    (
        "pynvml",
        "nvidia-ml-py",
        "clocks, power and energy of an NVIDIA GPU",
        "pip install 'convmixer-bench[gpu]'",
    ),
    ("datasets", "datasets", "--data hfds:NAME", "pip install 'convmixer-bench[data]'"),
    ("ray", "ray", "--launcher ray", "pip install 'convmixer-bench[scale]'"),
    (
        "tensorboard",
        "tensorboard",
        "TensorBoard's files beside a training's log",
        "pip install tensorboard",
    ),
)
ROOM, MEMORY = 5e9, 4e9
"""Bytes of disk and of memory below which a comparison may not get far."""
SIDE = {"cpu": 384, "cuda": 4096, "mps": 2048}
"""Of the matrices of the noise reading."""
WINDOW_S = 0.1
QUIET, NOISY = 0.03, 0.10
"""Spread of the noise reading up to which a machine is quiet, and from which it is noisy."""


@dataclass(frozen=True)
class Finding:
    """One line of the examination: what was looked at, what was found, and what would mend it."""

    what: str
    status: Status
    found: str
    remedy: str = ""


def examine(
    *, device: str, results: Path, seconds: float, now: Callable[[], float] = time.perf_counter
) -> Iterator[Finding]:
    """Every finding, the noise reading of `seconds` last. UsageError where there is no such device."""
    if not 0 < seconds <= 600:
        raise UsageError(f"--seconds: {seconds:g} is no time for a noise reading; 10 is usual")
    python = platform.python_version()
    right = (3, 10) <= sys.version_info[:2] <= (3, 13)
    yield Finding(
        "Python", "ok" if right else "wrong", python, "" if right else "3.10 to 3.13 are supported"
    )
    usable = True
    for finding in _packages():
        usable = usable and finding.status == "ok"
        yield finding
    yield from _optional()
    yield from _compiler()
    yield from _room(results)
    if not usable:
        return
    yield from _device(where := environment.resolve_device(device))
    yield from _memory(where)
    yield from _others()
    yield noise(where, seconds, now)


def _packages() -> Iterator[Finding]:
    for name in NEEDED:
        try:
            importlib.import_module(name)
            yield Finding(name, "ok", _version(name))
        except ImportError as error:
            yield Finding(
                name, "wrong", one_line(error), f"pip install --upgrade torch torchvision {name}"
            )
        except (
            Exception
        ) as error:  # a torchvision that was built for another torch fails in its own ways
            yield Finding(
                name,
                "wrong",
                one_line(error),
                "pip install --upgrade torch torchvision, both from the same index",
            )


def _optional() -> Iterator[Finding]:
    for module, package, what, remedy in OPTIONAL:
        if importlib.util.find_spec(module) is None:
            yield Finding(package, "missing", f"needed for {what}", remedy)
        else:
            yield Finding(package, "ok", _version(package))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "installed"


def _compiler() -> Iterator[Finding]:
    found = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if found:
        yield Finding("C++ compiler", "ok", found)
    else:
        yield Finding(
            "C++ compiler",
            "missing",
            "needed for policies with compile on a CPU",
            "apt-get install g++",
        )


def _room(results: Path) -> Iterator[Finding]:
    there = results.resolve()
    while not there.exists():
        there = there.parent
    writable = os.access(there, os.W_OK)
    yield Finding(
        "results folder",
        "ok" if writable else "wrong",
        str(results),
        "" if writable else "give another --results",
    )
    for what, place in (
        ("disk for results", there),
        ("disk for temporary files", Path(tempfile.gettempdir())),
    ):
        free = shutil.disk_usage(place).free
        enough = free >= ROOM
        yield Finding(
            what,
            "ok" if enough else "note",
            f"{free / 1e9:.1f} GB free",
            "" if enough else "trainings keep weights and checkpoints",
        )


def _device(device: str) -> Iterator[Finding]:
    import torch

    machine = environment.describe(device, installation="none")
    about = (
        f"{machine.hardware}, {machine.cores} threads"
        if machine.accelerator is None
        else machine.accelerator
    )
    yield Finding("device", "ok", f"{device}: {about}")
    if device.startswith("cuda"):
        yield Finding(
            "driver",
            "ok",
            f"{machine.versions['driver']}, CUDA {machine.versions['cuda']}, cuDNN {machine.versions['cudnn']}",
        )
        gpu = gpu_for(device)
        if gpu is None:
            yield Finding(
                "other GPU users", "missing", "cannot be read", "pip install 'convmixer-bench[gpu]'"
            )
        else:
            others = gpu.others({os.getpid()})
            text = f"processes {', '.join(map(str, others))}" if others else "none"
            yield Finding(
                "other GPU users",
                "note" if others else "ok",
                text,
                "speeds will be theirs too; wait for them" if others else "",
            )
    elif shutil.which("nvidia-smi"):
        reason = "this PyTorch has no CUDA" if torch.version.cuda is None else "PyTorch sees no GPU"
        yield Finding(
            "GPU",
            "wrong",
            f"nvidia-smi is here, but {reason}",
            "check `nvidia-smi`, and install PyTorch for its CUDA version",
        )


def _memory(device: str) -> Iterator[Finding]:
    free = free_memory(device, gpu_for(device))
    if free is not None:
        enough = free >= MEMORY
        remedy = "" if enough else "arms that do not fit together are measured in groups"
        yield Finding("free memory", "ok" if enough else "note", f"{free / 1e9:.1f} GB", remedy)


def _others() -> Iterator[Finding]:
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    busy = load > 0.5 * environment.cores()
    yield Finding(
        "load",
        "note" if busy else "ok",
        f"{load:.2f} on {environment.cores()} processors over the last minute",
        "others are computing; speeds beside them are marked as disturbed" if busy else "",
    )
    if threads := os.environ.get("OMP_NUM_THREADS"):
        yield Finding(
            "OMP_NUM_THREADS",
            "note",
            threads,
            "not used: every worker takes all processors that it may",
        )


def noise(device: str, seconds: float, now: Callable[[], float] = time.perf_counter) -> Finding:
    """One product of matrices over and over: how much the time of a window varies."""
    import torch

    from bench.measure.timing import clock_for

    process_settings.fix(environment.cores())
    clock, state, pid = clock_for(device), State(gpu_for(device), device=device), os.getpid()
    side = SIDE[device.partition(":")[0]]
    left = torch.randn(side, side, device=device)
    for _ in range(3):
        left @ left
    clock.synchronize()
    speeds: list[float] = []
    disturbed, until = 0, now() + seconds
    while now() < until or len(speeds) < 3:
        state.begin(pid)
        begin, calls = now(), 0
        while now() - begin < WINDOW_S:
            left @ left
            clock.synchronize()
            calls += 1
        speeds.append(calls * side**3 / (now() - begin))
        disturbed += state.end(pid)[1] is not None
    cuts = statistics.quantiles(speeds, n=20)
    spread = (cuts[-1] - cuts[0]) / statistics.median(speeds)
    unfit = spread > UNSTEADY or disturbed > MOST_OFF * len(speeds)
    status: Status = (
        "unfit" if unfit else "ok" if spread < NOISY and disturbed * 5 < len(speeds) else "note"
    )
    word = "quiet" if spread < QUIET else "usable" if spread < NOISY else "noisy"
    return Finding(
        "noise",
        status,
        f"{word}: {len(speeds)} windows of a matrix product, nine tenths of them in a range of {spread:.1%} of the median, "
        f"{disturbed} disturbed by others; {statistics.median(speeds) / 1e9:.0f} GMAC/s",
        ""
        if status == "ok"
        else "close other programs; `python -m bench selfcheck` says what can still be told apart here",
    )


def verdict(findings: list[Finding]) -> str:
    """The last line of an examination. A machine as unsteady as the canary of a run must not be is not called ready."""
    wrong = [one.what for one in findings if one.status == "wrong"]
    if wrong:
        return f"nothing can be measured before this is mended: {', '.join(wrong)}"
    noisy = next((one for one in findings if one.what == "noise" and one.status != "ok"), None)
    if noisy is None:
        return "ready to measure"
    if noisy.status == "unfit":
        return "not fit for speeds now: a run beside this noise would be graded `do not use`; counts and trainings do not mind"
    return "usable, but noisy: expect a coarse grade, and let runs be longer"
