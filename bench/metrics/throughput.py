"""Images per second of calls made back to back."""

from bench.measure.subject import Reading, Subject
from bench.plugins import Metric, metrics
from bench.record.arms import SpeedArm


def measure(subject: Subject, window: float) -> Reading:
    """One value: images over the seconds of the window, the device synchronised at its two ends."""
    assert isinstance(subject.arm, SpeedArm)
    calls, seconds = subject.back_to_back(window)
    return Reading([calls * subject.arm.batch_size / seconds], {"calls": calls, "seconds": seconds})


metrics.add(
    Metric(
        name="throughput",
        unit="image/s",
        better="higher",
        arm="speed",
        measure=measure,
        summary="images per second over a window, device synchronised at its ends",
    )
)
