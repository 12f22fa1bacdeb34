"""The machine's fingerprint and its noise."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import uuid
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.errors import UsageError
from bench.files import files
from bench.measure import allocator, cpu_placement
from bench.measure.gpu import driver_version
from bench.measure.process_settings import waiting
from bench.plugins.registry import ROOT
from bench.record.schema import Machine, Scalar


def resolve_device(wanted: str) -> str:
    """The torch device for `--device`; UsageError where this machine has none of that kind."""
    import torch

    if wanted == "auto":
        if torch.cuda.is_available():
            return "cuda:0"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, index = wanted.partition(":")
    if kind == "cuda":
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(index or 0) >= found:
            raise UsageError(
                f"--device: {wanted} asked for, but torch {torch.__version__} sees {found} CUDA devices here; cpu would work"
            )
        return f"cuda:{index or 0}"
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UsageError(
            "--device: mps asked for, but torch sees no Apple GPU here; cpu would work"
        )
    return wanted


def cores() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_name() -> str:
    """The processor as the system names it."""
    info = Path("/proc/cpuinfo")
    if info.exists() and (match := re.search(r"model name\s*:\s*(.+)", info.read_text())):
        return match[1].strip()
    if sys.platform == "darwin":
        return subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True
        ).stdout.strip()
    return platform.processor() or platform.machine()


def describe(device: str, *, installation: str) -> Machine:
    """Everything about this machine that a number may depend on."""
    import torch

    cuda = device.startswith("cuda")
    accelerator = (
        torch.cuda.get_device_name(device) if cuda else ("Apple GPU" if device == "mps" else None)
    )
    found = versions("torch", "torchvision", "timm", "fvcore", "numpy")
    found |= {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
    }
    if cuda:
        found |= {
            "cuda": str(torch.version.cuda),
            "cudnn": str(torch.backends.cudnn.version()),
            "driver": _driver(),
        }
    settings: dict[str, Scalar] = {
        "threads": cores(),
        **waiting(),
        **allocator.described(),
        **cpu_placement.described(),
        "installation": installation,
    }
    cpu = cpu_name()
    name = re.sub(r"[^a-z0-9]+", "-", (accelerator or f"{cpu} {cores()}t").lower()).strip("-")
    return Machine(
        name=f"{name}-{installation}",
        device=torch.device(device).type,
        cpu=cpu,
        cores=cores(),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        accelerator=accelerator,
        versions=found,
        settings=settings,
    )


def _driver() -> str:
    """The NVIDIA driver's version by nvidia-smi, where that is installed, else by NVML; "unknown" where neither tells."""
    with suppress(OSError):  # containers often come without the program
        asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        found = subprocess.run(asked, capture_output=True, text=True)
        if found.returncode == 0 and (version := found.stdout.split("\n")[0].strip()):
            return version
    return driver_version() or "unknown"


def installation(results: Path) -> str:
    """Four hex digits that name this results folder on this machine, made on first use.

    Two machines of one kind would otherwise share a name, and records that somebody else measured and committed
    would pass for this machine's own. The file is never committed. What it says becomes part of a folder's name, so
    anything but a short name in it is refused.
    """
    path = results / ".installation"
    if not path.exists():
        files.create(
            path, f"{uuid.uuid4().hex[:4]}\n".encode()
        )  # the first of several that begin together names it
    found = files.read(path).decode(errors="replace").strip()
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", found):
        raise UsageError(
            f"{path} says {found[:60]!r}; it has to be a short name such as 3f9a. Without the file a new one is made"
        )
    return found


def versions(*packages: str) -> dict[str, str]:
    """The versions of packages, which are not imported for it."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def project_version() -> str:
    """This project's version; that of the checkout where nothing is installed (PYTHONPATH)."""
    try:
        return version("convmixer-bench")
    except PackageNotFoundError:
        project = ROOT / "pyproject.toml"
        said = (
            re.search(r'^version = "(.+)"', project.read_text(encoding="utf-8"), re.MULTILINE)
            if project.exists()
            else None
        )
        return said[1] if said else "not installed"


def commit() -> str | None:
    """The commit of this checkout, with a plus sign where files differ from it; None outside a checkout."""
    try:
        found = subprocess.run(
            [
                "git",
                "-C",
                str(ROOT),
                "describe",
                "--always",
                "--dirty=+",
                "--abbrev=12",
                "--exclude=*",
            ],
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None if (ROOT / ".git").exists() else None
