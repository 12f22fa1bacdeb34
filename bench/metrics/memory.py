"""Peak memory of one forward pass, weights included."""

from bench import memory
from bench.plugins import Metric, metrics
from bench.subject import Reading, Subject


def measure(subject: Subject, window: float) -> Reading:
    """Peak bytes: of the device's allocator, or on a CPU over what the worker held before it built the model."""
    since = memory.reset_peak(subject.device)
    subject.call()
    subject.clock.synchronize()
    return Reading([float(memory.peak(subject.device, subject.memory_before))], {"since": since})


metrics.add(
    Metric(
        name="memory",
        unit="B",
        better="lower",
        arm="speed",
        rounds=1,  # allocators repeat themselves: more rounds would cost time and tell nothing
        measure=measure,
        summary="peak memory of a forward pass, weights included",
    )
)
