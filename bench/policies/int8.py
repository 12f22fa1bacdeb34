"""Eight-bit integers by static quantisation after training, in an engine."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from bench.errors import UsageError
from bench.measure.subject import Execution
from bench.plugins import Policy, policies

TOLERANCE = 0.5
"""With random weights as they are timed and pictures of digits, four small networks in two engines
had errors of 0.07 to 0.38. That is more than some networks change without one of their blocks, so
for int8 the top-1 of the same artifact has to say the rest."""


def apply(execution: Execution) -> None:
    """Have the engine quantise by pictures of the training split of `--data`.

    Raises:
        UsageError: without data: ranges taken from random inputs would be those of no picture.
    """
    from bench.engines.calibration import calibration

    if execution.calibration is None:
        if execution.data is None:
            raise UsageError(
                "--policies: int8 takes its ranges from pictures, not from random inputs; "
                "add --data, such as --data digits"
            )
        size = execution.inputs.shape[-1]
        execution.calibration = calibration(
            execution.data, execution.model_name, size, execution.view
        )
    execution.finish.append(lambda call: _in_engine(execution, call))


def _in_engine(execution: Execution, call: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """Return the call unchanged; raise NotImplementedError if no engine quantises the model."""
    from bench.engines.deferred import Deferred

    if not isinstance(execution.model, Deferred):
        raise NotImplementedError("int8 is computed by an engine; use int8+ort or int8+openvino")
    return call


policies.add(
    Policy(
        name="int8",
        apply=apply,
        order=10,
        slot="precision",
        inference_only=True,
        needs=("ort", "openvino"),
        needs_data=True,
        tolerance=TOLERANCE,
        summary="static int8 by pictures of --data, with ort or openvino",
    )
)
