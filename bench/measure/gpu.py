"""What an NVIDIA GPU says of itself: clock, temperature, power, energy, throttling, and who else is on it.

Read through NVML (`pip install convmixer-bench[gpu]`). Where it is not installed or a reading is not supported there is
no value; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from bench.record.schema import Scalar

# What counts as throttling: reasons that slow a GPU below what it was asked for. Idle and application clocks are not.
OWN = "power cap"
"""The one that a GPU's own work brings about: at full load its clock is what its power limit allows, on a quiet machine too."""
THROTTLES = {
    0x04: OWN,
    0x08: "hardware slowdown",
    0x20: "software thermal",
    0x40: "hardware thermal",
    0x80: "power brake",
}


class Gpu(Protocol):
    """What the bench asks of a GPU; tests bring their own."""

    def clock(self) -> float | None:
        """MHz of the multiprocessors."""
        ...

    def state(self) -> dict[str, Scalar]:
        """clock_mhz, temperature_c, power_w and throttle, each as far as it can be read."""
        ...

    def limits(self) -> dict[str, Scalar]:
        """gpu_power_limit_w (enforced, and by default), gpu_clock_max_mhz and gpu_memory_clock_max_mhz, as far as they can be read."""
        ...

    def energy(self) -> float | None:
        """Joules since the driver was loaded."""
        ...

    def others(self, mine: set[int]) -> list[int]:
        """Processes on this GPU that are not in `mine`."""
        ...

    def free(self) -> int | None:
        """Bytes of memory that nobody holds."""
        ...


class NvmlGpu:
    """A GPU seen through `pynvml` (the package nvidia-ml-py)."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml, self._handle = nvml, handle

    def clock(self) -> float | None:
        return self._read(
            lambda: float(self._nvml.nvmlDeviceGetClockInfo(self._handle, self._nvml.NVML_CLOCK_SM))
        )

    def state(self) -> dict[str, Scalar]:
        nvml, handle = self._nvml, self._handle
        reasons = self._read(lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))
        found: dict[str, Scalar] = {
            "clock_mhz": self.clock(),
            "temperature_c": self._read(
                lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
            ),
            "power_w": self._read(lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000),
            "throttle": None
            if reasons is None
            else ", ".join(name for bit, name in THROTTLES.items() if reasons & bit),
        }
        return {name: value for name, value in found.items() if value is not None}

    def limits(self) -> dict[str, Scalar]:
        nvml, handle = self._nvml, self._handle
        found = {
            "gpu_power_limit_w": self._read(
                lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000
            ),
            "gpu_power_limit_default_w": self._read(
                lambda: nvml.nvmlDeviceGetPowerManagementDefaultLimit(handle) / 1000
            ),
            "gpu_clock_max_mhz": self._read(
                lambda: float(nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM))
            ),
            "gpu_memory_clock_max_mhz": self._read(
                lambda: float(nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_MEM))
            ),
        }
        return {name: value for name, value in found.items() if value is not None}

    def energy(self) -> float | None:
        return self._read(
            lambda: self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1000
        )

    def others(self, mine: set[int]) -> list[int]:
        found = self._read(
            lambda: [
                process.pid
                for process in self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)
            ]
        )
        return [pid for pid in found or [] if pid not in mine]

    def free(self) -> int | None:
        nvml, handle = self._nvml, self._handle
        if self._read(lambda: nvml.nvmlDeviceGetMigMode(handle)[0]):
            return None  # the whole card's memory, of which this process has a part
        return self._read(lambda: int(nvml.nvmlDeviceGetMemoryInfo(handle).free))

    def _read(self, reading: Callable[[], Any]) -> Any:
        try:
            return reading()
        except self._nvml.NVMLError:
            return None  # this GPU or driver does not tell


def gpu_for(device: str) -> Gpu | None:
    """The GPU behind a torch device string, or a part of one (MIG); None for other devices and where NVML cannot be used."""
    if not device.startswith("cuda"):
        return None
    nvml = _nvml()
    if nvml is None:
        return None
    import torch

    with suppress(AttributeError):  # older drivers have no name for it
        uuid = torch.cuda.get_device_properties(device).uuid
        # By its own name: CUDA_VISIBLE_DEVICES renumbers what torch sees and not what NVML sees.
        for kind in ("MIG", "GPU"):
            with suppress(nvml.NVMLError):
                return NvmlGpu(nvml, nvml.nvmlDeviceGetHandleByUUID(f"{kind}-{uuid}"))
    return None


def described(device: str, gpu: Gpu | None) -> dict[str, Scalar]:
    """What of a CUDA device limits its speed, and which of its readings there are (`gpu_tells`), for the record; else nothing.

    No part of what makes two runs those of one machine: NVML may be installed between them, and a limit read for the first time.
    """
    if not device.startswith("cuda"):
        return {}
    import torch

    cache = getattr(torch.cuda.get_device_properties(device), "L2_cache_size", None)
    found: dict[str, Scalar] = {} if cache is None else {"gpu_l2_bytes": int(cache)}
    if gpu is None:
        return {**found, "gpu_tells": "nothing"}
    readings = {
        **gpu.state(),
        **{
            name: value
            for name, value in (("energy", gpu.energy()), ("free", gpu.free()))
            if value is not None
        },
    }
    return {**found, **gpu.limits(), "gpu_tells": ", ".join(sorted(readings)) or "nothing"}


def driver_version() -> str | None:
    """The version of the NVIDIA driver, as far as NVML tells."""
    nvml = _nvml()
    if nvml is None:
        return None
    with suppress(nvml.NVMLError):
        found = nvml.nvmlSystemGetDriverVersion()
        return found.decode() if isinstance(found, bytes) else str(found)
    return None


def _nvml() -> Any:
    """The module pynvml, started; None where it is not installed or finds no driver."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml
