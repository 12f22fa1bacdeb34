"""Seconds of a single call at batch 1, as a user waits for it; on CUDA also as a replayed graph."""

from __future__ import annotations

import statistics

from bench.measure.subject import SpeedSubject
from bench.measure.timing import Replay, capture, each_call
from bench.plugins import Metric, Reading, cuda_only, metrics


def measure(subject: SpeedSubject, window: float) -> Reading:
    """Every call of the window, each timed until the device is done.

    The time until the call returned (`host_s`) and that between the device's events at its ends (`device_span_s`) are kept
    beside. The span holds the gaps in which the device waited for the next kernel to be launched: where the host takes nearly
    all of the wall time, the model waits for Python, and only `graph_latency` says what the device needs.
    """
    times = each_call(subject.call, subject.clock, window=window)
    host, span = (
        statistics.median(getattr(one, part) for one in times) for part in ("host", "device")
    )
    return Reading([one.wall for one in times], {"host_s": host, "device_span_s": span})


def replayed(subject: SpeedSubject, window: float) -> Reading:
    """The same calls captured in a CUDA graph: what the device needs once the host is out of the way.

    A policy that runs a graph is replayed as it is: a capture of its replay would be another graph than the one that is timed.
    """
    if subject.replay is None:
        subject.replay = (
            subject.call
            if isinstance(subject.call, Replay)
            else capture(subject.call, subject.device)
        )
        subject.replay()
    times = each_call(subject.replay, subject.clock, window=window)
    return Reading([one.device for one in times])


metrics.add(
    Metric(
        name="latency",
        unit="s",
        better="lower",
        arm="speed",
        batch=1,
        measure=measure,
        summary="time of one call at batch 1, device synchronised after each",
    )
)
metrics.add(
    Metric(
        name="graph_latency",
        unit="s",
        better="lower",
        arm="speed",
        batch=1,
        supports=cuda_only("CUDA graphs need an NVIDIA GPU"),
        measure=replayed,
        summary="device time of one call at batch 1, replayed as a CUDA graph",
    )
)
