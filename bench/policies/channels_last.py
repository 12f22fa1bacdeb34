"""Weights and images in channels-last order (NHWC)."""

import torch

from bench.measure.subject import Execution, module_of
from bench.plugins import Policy, policies


def apply(execution: Execution) -> None:
    """Convert weights and inputs to channels-last."""
    module_of(execution).to(memory_format=torch.channels_last)
    execution.inputs = execution.inputs.contiguous(memory_format=torch.channels_last)


policies.add(
    Policy(
        name="channels_last",
        apply=apply,
        order=20,
        slot="memory format",
        summary="channels-last memory format (NHWC)",
    )
)
