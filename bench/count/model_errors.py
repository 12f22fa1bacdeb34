"""What to do about errors that models of all sorts raise when they are shown an image: one line that names a way out."""

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
    """The same error, or one that says what would work, where that is known."""
    if (
        not isinstance(error, (RuntimeError, TypeError))
        or isinstance(error, (ModelFault, NotImplementedError))
        or isinstance(arm, ProbeArm)
    ):
        return error
    text = str(error)
    if found := CHANNELS.search(text):
        way = f"build it for 3, or put nn.Conv2d(3, {found[1]}, 1) in front of it"
        return ModelFault(f"the model takes images with {found[1]} channels and is shown 3; {way}")
    if any(words in text for words in TOO_SMALL):
        size = arm.image_size
        return ModelFault(
            f"images of {size} pixels are too small for the model ({one_line(error)}); try --image-size {2 * size}"
        )
    if (cast := _cast(arm)) and DTYPES.search(text):
        instead = "+".join(
            f"{cast}_autocast" if name == cast else name for name in _policy(arm).split("+")
        )
        return ModelFault(
            f"{cast} casts weights and images, and the model computes with another type beside them ({one_line(error)}); "
            f"autocast casts as it goes: --policies {instead}"
        )
    return error


def _policy(arm: Arm) -> str:
    return arm.policy or "" if isinstance(arm, (SpeedArm, AccuracyArm)) else ""


def _cast(arm: Arm) -> str | None:
    """The precision that an arm casts its model to; trainings keep float32 weights."""
    if not isinstance(arm, SpeedArm) or arm.mode == "training":
        return None
    return next((name for name in ("bf16", "fp16") if name in arm.policy.split("+")), None)
