"""Turn common errors of models in a forward pass into one line that says what would work."""

from __future__ import annotations

import re

from bench.errors import ModelFault, one_line
from bench.record.arms import AccuracyArm, Arm, ProbeArm, SpeedArm

DTYPES = re.compile(r"dtype|scalar type|type \(.*\) and bias type", re.IGNORECASE)
CHANNELS = re.compile(r"to have (\d+) channels, but got 3 channels")
TOO_SMALL = (
    "can't be greater than actual input size",
    "Output size is too small",
    "should be smaller than",
)


def advised(error: BaseException, arm: Arm) -> BaseException:
    """Return an error that says what would work; the same error if that is not known."""
    if isinstance(error, (ModelFault, NotImplementedError)) or isinstance(arm, ProbeArm):
        return error
    if not isinstance(error, (RuntimeError, TypeError)):
        return error
    text = str(error)
    if channels := CHANNELS.search(text):
        number = channels[1]
        return ModelFault(
            f"the model takes images with {number} channels, and images have 3; "
            f"build it for 3, or put nn.Conv2d(3, {number}, 1) in front of it"
        )
    if any(words in text for words in TOO_SMALL):
        size = arm.image_size
        return ModelFault(
            f"images of {size} pixels are too small for the model ({one_line(error)}); "
            f"try --image-size {2 * size}"
        )
    cast = _cast(arm)
    if cast is not None and DTYPES.search(text):
        autocast = [f"{cast}_autocast" if name == cast else name for name in _switches(arm)]
        return ModelFault(
            f"{cast} casts weights and images, but the model also computes with another type "
            f"({one_line(error)}); autocast casts each operator: --policies {'+'.join(autocast)}"
        )
    return error


def _switches(arm: Arm) -> list[str]:
    policy = arm.policy if isinstance(arm, (SpeedArm, AccuracyArm)) else None
    return (policy or "").split("+")


def _cast(arm: Arm) -> str | None:
    """Return the precision that an arm casts its model to; None for training (float32 weights)."""
    if not isinstance(arm, SpeedArm) or arm.mode == "training":
        return None
    return next((name for name in ("bf16", "fp16") if name in _switches(arm)), None)
