"""Readings of an NVIDIA GPU: clock, temperature, power, energy, throttling, other processes.

They come from NVML (`pip install convmixer-bench[gpu]`). If NVML is not installed or a reading is
not supported, the value is missing; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from bench.devices import CUDA, kind_of
from bench.record.schema import Scalar

OWN = "power cap"
"""The throttling that a GPU's own load causes: at full load the power limit decides the clock, even
on an otherwise idle machine."""
# Reasons for a clock below the one asked for; idle and application clocks are not throttling.
THROTTLES = {
    0x04: OWN,
    0x08: "hardware slowdown",
    0x20: "software thermal",
    0x40: "hardware thermal",
    0x80: "power brake",
}


class Gpu(Protocol):
    """The readings that the bench uses; tests have an implementation of their own."""

    def clock(self) -> float | None:
        """Return the clock of the multiprocessors in MHz."""
        ...

    def state(self) -> dict[str, Scalar]:
        """Return clock_mhz, temperature_c, power_w and throttle, as far as they can be read."""
        ...

    def limits(self) -> dict[str, Scalar]:
        """Return gpu_power_limit_w (enforced), gpu_power_limit_default_w, gpu_clock_max_mhz and
        gpu_memory_clock_max_mhz, as far as they can be read."""
        ...

    def energy(self) -> float | None:
        """Return the joules used since the driver was loaded."""
        ...

    def others(self, mine: set[int]) -> list[int]:
        """Return the process ids on this GPU that are not in `mine`."""
        ...

    def free(self) -> int | None:
        """Return the bytes of free memory."""
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
            return None  # NVML reports the whole card, and this process has a part of it
        return self._read(lambda: int(nvml.nvmlDeviceGetMemoryInfo(handle).free))

    def _read(self, reading: Callable[[], Any]) -> Any:
        try:
            return reading()
        except self._nvml.NVMLError:
            return None  # not supported by this GPU or driver


def gpu_for(device: str) -> Gpu | None:
    """Return the GPU, or MIG part of one, of a PyTorch device string.

    Returns None for other devices and if NVML cannot be used.
    """
    if kind_of(device) is not CUDA:
        return None
    nvml = _nvml()
    if nvml is None:
        return None
    import torch

    with suppress(AttributeError):  # older PyTorch versions have no uuid
        uuid = torch.cuda.get_device_properties(device).uuid
        # By UUID, because CUDA_VISIBLE_DEVICES renumbers PyTorch's devices but not NVML's.
        for kind in ("MIG", "GPU"):
            with suppress(nvml.NVMLError):
                return NvmlGpu(nvml, nvml.nvmlDeviceGetHandleByUUID(f"{kind}-{uuid}"))
    return None


def described(device: str, gpu: Gpu | None) -> dict[str, Scalar]:
    """Return a CUDA device's limits and the readings it supports (`gpu_tells`), for the record.

    Returns nothing for other devices. These values do not identify a machine: NVML may be installed
    between two runs, and a limit then be read for the first time.
    """
    if kind_of(device) is not CUDA:
        return {}
    import torch

    cache = getattr(torch.cuda.get_device_properties(device), "L2_cache_size", None)
    found: dict[str, Scalar] = {} if cache is None else {"gpu_l2_bytes": int(cache)}
    if gpu is None:
        return {**found, "gpu_tells": "nothing"}
    readings = set(gpu.state())
    if gpu.energy() is not None:
        readings.add("energy")
    if gpu.free() is not None:
        readings.add("free")
    return {**found, **gpu.limits(), "gpu_tells": ", ".join(sorted(readings)) or "nothing"}


def driver_version() -> str | None:
    """Return the version of the NVIDIA driver; None if NVML cannot be used."""
    nvml = _nvml()
    if nvml is None:
        return None
    with suppress(nvml.NVMLError):
        found = nvml.nvmlSystemGetDriverVersion()
        return found.decode() if isinstance(found, bytes) else str(found)
    return None


def _nvml() -> Any:
    """Return pynvml, initialised; None if it is not installed or finds no driver."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml
