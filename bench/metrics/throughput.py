"""Images per second of calls made back to back."""

from bench.measure.subject import SpeedSubject
from bench.plugins import Metric, Reading, metrics


def measure(subject: SpeedSubject, window: float) -> Reading:
    """Return images per second; the device is synchronised at both ends of the window."""
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
