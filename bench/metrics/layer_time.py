"""Seconds and multiply-adds of every layer of one call at batch 1."""

from __future__ import annotations

from torch import nn

from bench.measure.subject import SpeedSubject
from bench.measure.timing import back_to_back
from bench.metrics._layers import costs, macs, times
from bench.plugins import Metric, Reading, metrics


def measure(subject: SpeedSubject, window: float) -> Reading:
    """Return the sum over all layers; `detail` has every layer and the time of the unobserved call
    (`plain_s`)."""
    execution = subject.execution
    assert execution is not None
    model = execution.model
    if (
        execution.finish
        or not isinstance(model, nn.Module)
        or type(model).__name__ == "OptimizedModule"
    ):
        raise NotImplementedError(
            "layer_time needs eager execution; leave compile and graph out of the policy"
        )
    if subject.layer_macs is None:
        subject.layer_macs = macs(model, execution.forward)
    calls = subject.calls_for(window / 2)
    plain = back_to_back(subject.call, subject.clock, calls=calls) / calls
    layers = costs(model, times(model, subject.call, subject.clock, calls), subject.layer_macs)
    listed = [[layer.path, layer.kind, layer.seconds, layer.macs] for layer in layers]
    total = sum(layer.seconds for layer in layers)
    return Reading([total], {"layers": listed, "plain_s": plain})


metrics.add(
    Metric(
        name="layer_time",
        unit="s",
        better="none",
        arm="speed",
        batch=1,
        rounds=6,
        on_request=True,
        measure=measure,
        summary="time and MACs of every layer of a call at batch 1, eager",
    )
)
