"""Seconds of a single call at batch 1 as a user waits for it; on CUDA also as a replayed graph."""

from __future__ import annotations

import statistics

from bench.measure.subject import SpeedSubject
from bench.measure.timing import Replay, capture, each_call
from bench.plugins import Metric, Reading, cuda_only, metrics


def measure(subject: SpeedSubject, window: float) -> Reading:
    """Return the seconds of every call in the window, each until the device is done.

    `detail` has two medians: the time until the call returned (`host_s`), and the time between the
    device's events at both ends (`device_span_s`). The span includes gaps in which the device
    waited for the next kernel launch. If the host time is nearly all of the wall time, the model
    waits for Python, and only `graph_latency` shows what the device needs.
    """
    times = each_call(subject.call, subject.clock, window=window)
    detail = {
        "host_s": statistics.median(call.host for call in times),
        "device_span_s": statistics.median(call.device for call in times),
    }
    return Reading([call.wall for call in times], detail)


def replayed(subject: SpeedSubject, window: float) -> Reading:
    """Return the device seconds of every call, captured in a CUDA graph and so free of host time.

    A policy that already runs a graph is replayed as it is: capturing its replay would time another
    graph.
    """
    call = subject.call
    if subject.replay is None:
        subject.replay = call if isinstance(call, Replay) else capture(call, subject.device)
        subject.replay()
    times = each_call(subject.replay, subject.clock, window=window)
    return Reading([replay.device for replay in times])


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
