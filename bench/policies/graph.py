"""The whole call captured in a CUDA graph and replayed, so that the host launches no kernels."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from bench.measure.subject import Execution
from bench.measure.timing import capture
from bench.plugins import Policy, cuda_only, policies


def apply(execution: Execution) -> None:
    """Capture the call after all other switches have been applied."""

    def finish(call: Callable[[], Tensor]) -> Callable[[], Tensor]:
        return capture(call, execution.device)

    execution.finish.append(finish)


policies.add(
    Policy(
        name="graph",
        apply=apply,
        order=40,
        slot="graph",
        supports=cuda_only("CUDA graphs need an NVIDIA GPU"),
        inference_only=True,
        summary="the forward pass replayed as a CUDA graph",
    )
)
