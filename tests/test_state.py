"""The machine's state during a window: shares of the CPUs, a GPU's clocks, NVML; all of it fake."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bench.measure import allocator, process_settings
from bench.measure.disturbance import State, free_memory
from bench.measure.gpu import NvmlGpu, gpu_for
from bench.measure.subject import SpeedSubject
from bench.metrics import energy
from bench.record.arms import SpeedArm

from .conftest import FakeClock


def readings(*found: tuple[int, int, int, int]) -> Any:
    """Tick readings one after the other."""
    left = iter(found)
    return lambda pid: next(left)


def test_a_quiet_window_has_shares_and_no_mark() -> None:
    state = State(read=readings((0, 0, 0, 0), (100, 92, 0, 90)))
    state.begin(1)
    assert state.end(1) == ({"steal": 0.0, "other": 0.02}, None)


def test_what_others_take_is_marked_and_what_is_left_is_kept() -> None:
    state = State(read=readings((0, 0, 0, 0), (100, 90, 10, 40)))
    state.begin(1)
    found, why = state.end(1)
    assert found == {"steal": 0.1, "other": 0.5, "left": 0.4}
    assert why == "60% of the processors taken, most by other programs"


def test_a_few_ticks_are_coarseness_and_no_disturbance() -> None:
    state = State(read=readings((0, 0, 0, 0), (6, 6, 0, 3)))
    state.begin(1)
    assert state.end(1)[1] is None


def test_where_ticks_cannot_be_read_nothing_is_said() -> None:
    state = State(read=lambda pid: None)
    state.begin(1)
    assert state.end(1) == ({}, None)


class FakeNvml:
    """As much of pynvml as is used; `reads` holds what each function returns."""

    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    class NVMLError(Exception):
        """What pynvml raises."""

    def __init__(self, **reads: Any) -> None:
        self.reads = reads

    def __getattr__(self, name: str) -> Any:
        def read(*_: object) -> Any:
            if name not in self.reads:
                raise self.NVMLError(name)
            return self.reads[name]() if callable(self.reads[name]) else self.reads[name]

        return read


def test_a_gpu_that_tells_nothing_gives_nothing() -> None:
    gpu = NvmlGpu(FakeNvml(), None)
    assert gpu.state() == {}
    assert (gpu.clock(), gpu.energy(), gpu.others(set()), gpu.free()) == (None, None, [], None)


def throttled(*reasons: int) -> State:
    """A state whose glances find a GPU at full load, throttled for these reasons."""
    clocks, left = iter([1980.0, 1200.0]), iter(reasons)
    nvml = FakeNvml(
        nvmlDeviceGetClockInfo=lambda: next(clocks),
        nvmlDeviceGetTemperature=83,
        nvmlDeviceGetPowerUsage=700_000,
        nvmlDeviceGetCurrentClocksThrottleReasons=lambda: next(left),
    )
    state = State(NvmlGpu(nvml, None), read=lambda pid: None)
    state.begin(1)
    for _ in reasons:
        state.glance()
    return state


def test_a_gpu_that_heat_slows_is_marked_with_its_clocks() -> None:
    found, why = throttled(0x04 | 0x20, 0x04 | 0x01).end(1)
    assert (found["throttle"], why) == (
        "power cap, software thermal",
        "throttled: software thermal",
    )
    assert (
        found["clock_mhz_min"],
        found["clock_mhz_max"],
        found["temperature_c_max"],
        found["power_w_max"],
    ) == (1200, 1980, 83, 700)


def test_a_gpu_at_its_own_power_limit_is_disturbed_by_nobody() -> None:
    """Large products bring every GPU to its power limit, even on the quietest machine.

    Otherwise all windows would be repeated, and none believed.
    """
    found, why = throttled(0x04, 0x04 | 0x01).end(1)
    assert (found["throttle"], why) == ("power cap", None)


def test_other_processes_on_the_gpu_are_found() -> None:
    gpu = NvmlGpu(
        FakeNvml(
            nvmlDeviceGetComputeRunningProcesses=[SimpleNamespace(pid=7), SimpleNamespace(pid=8)]
        ),
        None,
    )
    assert gpu.others({8}) == [7]


def test_there_is_no_gpu_behind_a_cpu() -> None:
    assert gpu_for("cpu") is None


class Meter:
    """A GPU that draws 50 W idle and 300 W at work."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.busy = clock, 0.0

    def energy(self) -> float:
        return 50 * self.clock.time + 250 * self.busy


def test_energy_is_gross_and_net_of_idle_as_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    meter = Meter(clock)
    arm = SpeedArm(
        model="m", image_size=32, num_classes=10, policy="bf16", device="cuda", batch_size=10
    )

    def call() -> None:
        clock.spend(0.1)
        meter.busy += 0.1

    monkeypatch.setattr(energy, "pause", clock.spend)
    subject = SpeedSubject(
        arm=arm, device="cuda", build=torch.nn.Identity, clock=clock, seed=0, gpu=meter, call=call
    )  # type: ignore[arg-type]
    subject.seconds_per_call = 0.1
    reading = energy.measure(subject, 2.0)
    # 20 calls, 2 s at 300 W: 600 J for 200 images, of which the idle GPU would have drawn 100.
    assert reading.values == [pytest.approx(3.0)]
    assert reading.detail == {
        "net_j": pytest.approx(2.5),
        "idle_w": pytest.approx(50),
        "power_w": pytest.approx(300),
    }


def test_energy_that_cannot_be_read_is_unsupported_and_not_guessed() -> None:
    arm = SpeedArm(
        model="m", image_size=32, num_classes=10, policy="bf16", device="cuda", batch_size=10
    )
    subject = SpeedSubject(
        arm=arm,
        device="cuda",
        build=torch.nn.Identity,
        clock=FakeClock(),
        seed=0,
        gpu=NvmlGpu(FakeNvml(), None),
    )
    with pytest.raises(NotImplementedError, match="energy counter cannot be read"):
        energy.measure(subject, 2.0)


def test_how_openmp_waits_is_set_unless_the_user_has() -> None:
    environment: dict[str, str] = {}
    assert process_settings.waiting(environment) == {"gomp_spincount": process_settings.SPINS}
    assert environment == {"GOMP_SPINCOUNT": process_settings.SPINS}
    mine = {"OMP_WAIT_POLICY": "passive"}
    assert process_settings.waiting(mine) == {"omp_wait_policy": "passive"}
    assert mine == {"OMP_WAIT_POLICY": "passive"}


def test_freed_memory_is_kept_unless_the_user_says_how() -> None:
    kept = {"freed_memory": "kept"} if platform.libc_ver()[0] == "glibc" else {}
    assert allocator.described({}) == kept
    assert allocator.described({"MALLOC_TRIM_THRESHOLD_": "65536"}) == {
        "malloc_trim_threshold_": "65536"
    }
    assert allocator.described({"LD_PRELOAD": "/home/me/lib/libjemalloc.so.2"}) == {
        "ld_preload": "libjemalloc.so.2"
    }
    assert (
        allocator.described({"LD_PRELOAD": "/usr/lib/libiomp5.so"})
        == {"ld_preload": "libiomp5.so"} | kept
    )


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt(3) is glibc's")
def test_a_call_that_frees_what_it_took_takes_no_new_pages() -> None:
    """In a process of its own: what is kept stays kept."""
    program = """
import resource, statistics, sys, torch
from bench.measure import process_settings
if sys.argv[1] == "fixed":
    process_settings.fix(1)
def call():
    return sum(torch.ones(count << 20).sum() for count in (3, 5, 12))  # 12 to 48 MB
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    call()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
call()
print(round(statistics.median(faults() for _ in range(9))))  # where the heap lies is chance
"""
    environment = {name: value for name, value in os.environ.items() if name not in allocator.SAID}
    faults = {
        how: int(
            subprocess.run(
                [sys.executable, "-c", program, how],
                env=environment,
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        for how in ("fixed", "default")
    }
    assert faults["fixed"] < 100 < 10_000 < faults["default"]


def test_tf32_is_set_for_products_and_convolutions_alike() -> None:
    before = process_settings.current()
    try:
        process_settings.tf32(True)
        assert (
            process_settings.current()["matmul_tf32"]
            is process_settings.current()["cudnn_tf32"]
            is True
        )
        process_settings.fix(int(before["threads"] or 1))
        assert (
            process_settings.current()["matmul_tf32"]
            is process_settings.current()["cudnn_tf32"]
            is False
        )
    finally:
        torch.backends.cuda.matmul.allow_tf32 = bool(before["matmul_tf32"])
        torch.backends.cudnn.allow_tf32 = bool(before["cudnn_tf32"])
        torch.backends.cudnn.benchmark = bool(before["cudnn_benchmark"])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_free_memory_can_be_read() -> None:
    assert (free_memory("cpu") or 0) > 1 << 20


def test_what_other_devices_do_is_not_held_against_the_processors() -> None:
    """Neither of a GPU that nobody can watch nor of Apple's."""
    for device in ("cuda", "cuda:1", "mps"):
        state = State(read=readings((0, 0, 0, 0), (100, 90, 10, 40)), device=device)
        state.begin(1)
        found, trouble = state.end(1)
        assert "left" not in found
        assert trouble is None
