"""Joules per image from the GPU's energy counter, gross and net of idle power."""

from __future__ import annotations

import time

from bench.measure.subject import SpeedSubject
from bench.plugins import Metric, Reading, cuda_only, metrics

IDLE = 1.0
"""Seconds of idle time before each window, to measure the idle power."""


def measure(subject: SpeedSubject, window: float) -> Reading:
    """Return gross joules per image; `detail` has them net of the idle power just before."""
    gpu, clock = subject.gpu, subject.clock
    if gpu is None or gpu.energy() is None:
        raise NotImplementedError(
            "this GPU's energy counter cannot be read (NVML: pip install 'convmixer-bench[gpu]')"
        )
    clock.synchronize()
    start, before = clock.now(), gpu.energy()
    pause(IDLE)
    middle, between = clock.now(), gpu.energy()
    calls, seconds = subject.back_to_back(window)
    after = gpu.energy()
    assert before is not None and between is not None and after is not None
    idle_w = (between - before) / (middle - start)
    images, used = calls * subject.arm.batch_size, after - between
    return Reading(
        [used / images],
        {"net_j": (used - idle_w * seconds) / images, "idle_w": idle_w, "power_w": used / seconds},
    )


pause = time.sleep


metrics.add(
    Metric(
        name="energy",
        unit="J",
        better="lower",
        arm="speed",
        window=2.0,  # the counter is updated every few tens of milliseconds
        rounds=6,
        supports=cuda_only("the energy counter is read on NVIDIA GPUs only"),
        measure=measure,
        summary="energy per image from the GPU's counter; also net of idle power",
    )
)
