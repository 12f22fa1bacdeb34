"""Seconds of a single call at batch 1, as a user waits for it."""

from bench.plugins import Metric, metrics
from bench.subject import Reading, Subject
from bench.timing import each_call


def measure(subject: Subject, window: float) -> Reading:
    """Every call of the window, each timed until the device is done."""
    return Reading(each_call(subject.call, subject.clock, window=window))


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
