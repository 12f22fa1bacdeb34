"""Images per second of calls made back to back."""

from bench.measure.subject import SpeedSubject
from bench.plugins import Metric, Reading, metrics


def measure(subject: SpeedSubject, window: float) -> Reading:
    """Return images per second; the device is synchronised at both ends of the window.

    On a GPU `detail` has `tail_s`, the wait for the device after the last call returned. If it is
    shorter than a call, or half of the only one, the model is launch-bound: its speed is that of
    the host's launches.
    """
    calls, seconds = subject.back_to_back(window)
    detail = {"calls": calls, "seconds": seconds}
    if subject.device != "cpu":
        detail["tail_s"] = subject.tail_s
    return Reading([calls * subject.arm.batch_size / seconds], detail)


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
