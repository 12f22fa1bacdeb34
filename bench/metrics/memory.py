"""Peak memory of one forward pass, weights included."""

from bench.measure import memory
from bench.measure.subject import SpeedSubject
from bench.measure.timing import pool_of
from bench.plugins import Metric, Reading, metrics


def measure(subject: SpeedSubject, window: float) -> Reading:
    """Peak bytes: of the device's allocator, a captured graph's pool included, or on a CPU of anonymous pages over what the
    worker held before it built the model."""
    since = memory.reset_peak(subject.device)
    subject.call()
    subject.clock.synchronize()
    held, pool = (
        memory.peak(subject.device, subject.memory_before),
        memory.pooled(pool_of(subject.call)),
    )
    return Reading(
        [float(held + pool)],
        {"since": since, "counted": memory.counted(subject.device), "graph_pool": pool},
    )


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
