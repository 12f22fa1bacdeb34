"""Peak memory of one forward pass, weights included."""

from bench.measure import memory
from bench.measure.subject import SpeedSubject
from bench.measure.timing import pool_of
from bench.plugins import Metric, Reading, metrics


def measure(subject: SpeedSubject, window: float) -> Reading:
    """Return peak bytes.

    On a GPU these are the allocator's, including the pool of a captured graph; on a CPU the
    anonymous pages beyond those that the worker had before it built the model.
    """
    since = memory.reset_peak(subject.device)
    subject.call()
    subject.clock.synchronize()
    peak = memory.peak(subject.device, subject.memory_before)
    pool = memory.pooled(pool_of(subject.call))
    return Reading(
        [float(peak + pool)],
        {"since": since, "counted": memory.counted(subject.device), "graph_pool": pool},
    )


metrics.add(
    Metric(
        name="memory",
        unit="B",
        better="lower",
        arm="speed",
        rounds=1,  # allocation is deterministic, so further rounds would add nothing
        measure=measure,
        summary="peak memory of a forward pass, weights included",
    )
)
