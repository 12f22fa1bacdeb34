"""A model under a policy, called as a timed arm calls it, with images that vary."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bench.measure.subject.execution import Execution, apply


class Executed:
    """Maps images (m, 3, size, size) to logits (m, classes) by the call that a policy arranges.

    The first batch fixes the shape for which compilers and engines prepare; smaller batches are
    padded with the images before them.
    """

    def __init__(
        self, model: nn.Module, policy: str, device: torch.device, classes: int, **more: Any
    ) -> None:
        """`more` are further fields of the `Execution`, such as the data for a quantisation."""
        self.model, self.policy, self.device, self.classes = model, policy, device, classes
        self.more = more
        self._execution: Execution | None = None

    def __call__(self, images: Tensor) -> Tensor:
        """Return the logits of images in float32, in the memory of this call alone.

        Raises NotImplementedError, with the reason, if the policy cannot be applied to the model.
        """
        if self._execution is None:
            self._execution = self._prepared(images)
        inputs = self._execution.inputs
        if len(images) > len(inputs) or images.shape[1:] != inputs.shape[1:]:
            raise ValueError(
                f"images of shape {tuple(images.shape)} after a first batch of shape "
                f"{tuple(inputs.shape)}"
            )
        inputs[: len(images)].copy_(images)
        return self._call()[: len(images)].float().clone()

    def _prepared(self, images: Tensor) -> Execution:
        execution = Execution(
            model=self.model,
            inputs=images.clone(),
            device=str(self.device),
            classes=self.classes,
            **self.more,
        )
        apply(self.policy, execution)
        self._call = execution.finished(execution.inference)
        return execution
