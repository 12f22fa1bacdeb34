"""Extra time of the first call over a warm one: compiling, autotuning, loading kernels."""

from __future__ import annotations

from bench.measure.subject import SpeedSubject
from bench.plugins import Metric, Reading, metrics


def measure(subject: SpeedSubject, window: float) -> Reading:
    """Return seconds; they were measured in `ready`, with an empty compiler cache on disk."""
    first = float(subject.setup["first_call_s"] or 0)
    return Reading(
        [max(0.0, first - float(subject.setup["seconds_per_call"] or 0))],
        {"build_s": subject.setup["build_s"]},
    )


metrics.add(
    Metric(
        name="first_call",
        unit="s",
        better="lower",
        arm="speed",
        rounds=1,
        cold=True,
        on_request=True,
        measure=measure,
        summary="extra time of the first call over a warm one: compiling, autotuning, loading",
    )
)
