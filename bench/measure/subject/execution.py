"""One call of a model: a forward pass or a training step, as policies arrange it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from bench.count.outputs import AUXILIARY_WEIGHT, heads, logits_of
from bench.errors import ModelFault
from bench.plugins import policies, split_policy
from bench.record.arms import Mode, SpeedArm
from bench.record.schema import Scalar

Call = Callable[[], Tensor]
"""Runs the model once and returns the logits (batch, num_classes)."""


@dataclass
class Execution:
    """How a model is run. Policies change it in place, in their order, before the first call.

    `finish` holds what has to happen after all switches have been applied, such as capturing a
    graph: each function takes a call and returns the call that replaces it.
    """

    model: Callable[..., Tensor]
    inputs: Tensor
    """Images of shape (batch, 3, image_size, image_size)."""
    device: str
    mode: Mode = "inference"
    contexts: list[Callable[[], contextlib.AbstractContextManager[Any]]] = field(
        default_factory=list
    )
    finish: list[Callable[[Call], Call]] = field(default_factory=list)
    scaler: Any = None
    """The gradient scaler for training in float16."""
    auxiliary: int = 0
    """How many auxiliary heads the latest training step saw."""
    classes: int | None = None
    """How many logits an image should have; None accepts any number."""
    model_name: str = ""
    data: str | None = None
    """`--data` as the user typed it, whose training split quantisation is calibrated on."""
    view: Any = None
    """How pictures of `data` are shown, a `bench.training.evaluate.View`; None: as usual for the
    model."""
    calibration: Any = None
    """A `bench.engines.calibration.Calibration` of an engine that computes in int8."""
    engine: dict[str, Scalar] = field(default_factory=dict)
    """Settings, versions and precision that an engine reports after the first call."""

    @contextlib.contextmanager
    def within(self) -> Iterator[None]:
        """Enter the policy's contexts."""
        with contextlib.ExitStack() as stack:
            for context in self.contexts:
                stack.enter_context(context())
            yield

    def forward(self) -> Tensor:
        """Run one forward pass within the policy's contexts."""
        with self.within():
            return logits_of(self.model(self.inputs), len(self.inputs), self.classes)

    def heads(self) -> list[Tensor]:
        """Run one forward pass; return the logits of every head, the evaluated head first."""
        with self.within():
            return heads(self.model(self.inputs), len(self.inputs), self.classes)

    def inference(self) -> Tensor:
        """Run one forward pass without gradients."""
        with torch.inference_mode():
            return self.forward()

    def finished(self, call: Call) -> Call:
        """Return `call` after the steps in `finish`."""
        for step in self.finish:
            call = step(call)
        return call


def module_of(execution: Execution) -> nn.Module:
    """Return the model as a module; a compiled model is a module too."""
    assert isinstance(execution.model, nn.Module)
    return execution.model


def apply(policy: str, execution: Execution) -> None:
    """Apply the switches of a policy in their order.

    Raises:
        NotImplementedError: if one of them cannot be applied to the model or to a training step.
    """
    for name in split_policy(policy):
        switch = policies.get(name)
        if execution.mode != "inference" and switch.inference_only:
            raise NotImplementedError(
                f"{name} is for inference and does not apply to a {execution.mode} step"
            )
        switch.apply(execution)


def training_step(execution: Execution, arm: SpeedArm) -> Call:
    """Return a training step: forward, cross-entropy of every head, backward, AdamW.

    The labels are fixed and already on the device.

    Raises:
        ModelFault: if the model has no trainable parameters.
    """
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(arm.num_classes, (arm.batch_size,), generator=generator)
    labels = labels.to(execution.device)
    parameters = _trainable(module_of(execution))
    if not parameters:
        raise ModelFault(
            f"{arm.model} has no parameters to train; leave out the metrics of a training step"
        )
    optimizer = torch.optim.AdamW(parameters, lr=1e-6)
    scaler = execution.scaler

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        logits, *others = execution.heads()
        execution.auxiliary = len(others)
        loss = nn.functional.cross_entropy(logits.float(), labels)
        for other in others:
            loss = loss + AUXILIARY_WEIGHT * nn.functional.cross_entropy(other.float(), labels)
        if scaler is None:
            loss.backward()
            optimizer.step()
        else:
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        return logits.detach()

    return step


def _trainable(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def check_output(logits: Tensor, arm: SpeedArm) -> None:
    """Raise if the output is not finite logits of the right shape: its speed would mean nothing.

    Raises:
        ModelFault: for another shape than (batch_size, num_classes).
        ValueError: for NaN or infinity.
    """
    expected = (arm.batch_size, arm.num_classes)
    if tuple(logits.shape) != expected:
        fits = logits.ndim == 2 and len(logits) == arm.batch_size
        hint = f"--num-classes {logits.shape[1]} would fit" if fits else "a classifier is needed"
        raise ModelFault(
            f"{arm.model} returned an output of shape {tuple(logits.shape)}, "
            f"expected {expected}; {hint}"
        )
    if not torch.isfinite(logits).all():
        raise ValueError(f"{arm.model} returned an output with NaN or infinity under {arm.policy}")
