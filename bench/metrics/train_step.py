"""Time, throughput and memory of a training step on one fixed batch.

A step is the forward pass, cross-entropy, backward pass and AdamW.
"""

from __future__ import annotations

from bench.measure import memory
from bench.measure.subject import SpeedSubject
from bench.plugins import Metric, Reading, metrics


def measure(subject: SpeedSubject, window: float) -> Reading:
    """Return seconds per step, of steps made back to back."""
    steps, seconds = subject.back_to_back(window)
    return Reading([seconds / steps], {"steps": steps, "seconds": seconds})


def images(subject: SpeedSubject, window: float) -> Reading:
    """Return images per second, of steps made back to back."""
    [seconds] = measure(subject, window).values
    return Reading([subject.arm.batch_size / seconds])


def peak(subject: SpeedSubject, window: float) -> Reading:
    """Return the peak bytes of one step: weights, gradients, optimizer state and activations."""
    since = memory.reset_peak(subject.device)
    subject.call()
    subject.clock.synchronize()
    return Reading(
        [float(memory.peak(subject.device, subject.memory_before))],
        {"since": since, "counted": memory.counted(subject.device)},
    )


for name, unit, better, rounds, measured, summary in (
    (
        "train_step",
        "s",
        "lower",
        None,
        measure,
        "time of one training step: forward, backward, AdamW",
    ),
    ("train_throughput", "image/s", "higher", None, images, "images per second of training steps"),
    ("train_memory", "B", "lower", 1, peak, "peak memory of a training step"),
):
    metrics.add(
        Metric(
            name=name,
            unit=unit,
            better=better,  # type: ignore[arg-type]
            arm="speed",
            mode="training",
            rounds=rounds,
            on_request=True,
            measure=measured,
            summary=summary,
        )
    )
