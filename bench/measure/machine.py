"""The machine: its device, its processors, the versions installed, and its name."""

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

from bench.devices import CUDA, MPS, checked, kind_of
from bench.errors import UsageError
from bench.files import files
from bench.files.foreign_errors import raise_if_of_the_system
from bench.measure import allocator, cpu_placement
from bench.measure.gpu import driver_version
from bench.measure.process_settings import waiting
from bench.plugins.registry import ROOT
from bench.record.schema import Machine, Scalar


def resolve_device(wanted: str) -> str:
    """Return the PyTorch device for `--device`.

    Raises:
        UsageError: if there is no such kind of device, or if this machine has no such device.
    """
    wanted = checked(wanted)
    import torch

    if wanted == "auto":
        if torch.cuda.is_available():
            return "cuda:0"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if kind_of(wanted) is CUDA:
        index = int(wanted.partition(":")[2] or 0)
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if index >= found:
            raise UsageError(
                f"--device: {wanted} was requested, but torch {torch.__version__} finds {found} "
                "CUDA devices on this machine; use --device cpu"
            )
        return f"cuda:{index}"
    if kind_of(wanted) is MPS and not torch.backends.mps.is_available():
        raise UsageError(
            "--device: mps was requested, but torch finds no Apple GPU on this machine; "
            "use --device cpu"
        )
    return wanted


def cores() -> int:
    """Return the number of processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_name() -> str:
    """Return the system's name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.exists() and (match := re.search(r"model name\s*:\s*(.+)", info.read_text())):
        return match[1].strip()
    if sys.platform == "darwin":
        return subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True
        ).stdout.strip()
    return platform.processor() or platform.machine()


def describe(device: str, *, installation: str) -> Machine:
    """Describe everything on this machine that a measurement may depend on."""
    import torch

    kind = kind_of(device)
    accelerator = None
    if kind is CUDA:
        accelerator = torch.cuda.get_device_name(device)
    elif kind is MPS:
        accelerator = "Apple GPU"
    installed = versions("torch", "torchvision", "timm", "fvcore", "numpy")
    installed |= {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
    }
    if kind is CUDA:
        installed |= {
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
        device=kind.name,
        cpu=cpu,
        cores=cores(),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        accelerator=accelerator,
        versions=installed,
        settings=settings,
    )


def _driver() -> str:
    """Return the NVIDIA driver's version from nvidia-smi, else from NVML, else "unknown"."""
    with suppress(OSError):  # containers often lack the program
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        ended = subprocess.run(command, capture_output=True, text=True)
        first_line = ended.stdout.split("\n")[0].strip()
        if ended.returncode == 0 and first_line:
            return first_line
    return driver_version() or "unknown"


def installation(results: Path) -> str:
    """Return four hex digits that identify this results folder on this machine.

    They are generated on first use and stored in a file that is never committed. Without them two
    machines of the same kind would share a name, and committed records of another machine would be
    taken for this machine's own.

    Raises:
        UsageError: if the file does not contain a short name, which becomes part of a folder name.
    """
    path = results / ".installation"
    if not path.exists():
        # Of several programs that start together, the first one creates the file.
        files.create(path, f"{uuid.uuid4().hex[:4]}\n".encode())
    name = files.read(path).decode(errors="replace").strip()
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name):
        raise UsageError(
            f"{path} contains {name[:60]!r}, expected a short name such as 3f9a; "
            "delete the file to have a new one generated"
        )
    return name


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of packages without importing them."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def project_version() -> str:
    """Return this project's version, read from the checkout if it is not installed (PYTHONPATH)."""
    try:
        return version("convmixer-bench")
    except PackageNotFoundError:
        project = ROOT / "pyproject.toml"
        text = project.read_text(encoding="utf-8") if project.exists() else ""
        match = re.search(r'^version = "(.+)"', text, re.MULTILINE)
        return match[1] if match else "not installed"


def commit() -> str | None:
    """Return the commit of this checkout, with a plus sign if files were changed since.

    Returns None outside of a checkout.
    """
    if not (ROOT / ".git").exists():
        return None
    options = ["--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    command = ["git", "-C", str(ROOT), "describe", *options]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise_if_of_the_system(error)
        return None
    return ended.stdout.strip() or None
