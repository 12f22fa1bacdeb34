"""What the machine itself does in every round: a canary that should not change, and its ceilings.

The ceilings are the fastest matrix product and the fastest copy that were seen: what a model's operations and bytes
are held against.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from bench.plugins import Metric, metrics
from bench.record import ProbeArm
from bench.subject import Reading, Subject
from bench.timing import back_to_back

DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
SIDE = {"cpu": 1024, "mps": 2048, "cuda": 8192}
COPIED = {"cpu": 64 << 20, "mps": 256 << 20, "cuda": 1 << 30}
CANARY_SIDE = {"cpu": 512, "mps": 1024, "cuda": 4096}


def canary(subject: Subject, window: float) -> Reading:
    """Seconds of a few products of small float32 matrices, always the same ones."""
    left, right = _pair(subject, CANARY_SIDE, torch.float32)
    calls = 8
    back_to_back(lambda: left @ right, subject.clock, calls=1)
    return Reading([back_to_back(lambda: left @ right, subject.clock, calls=calls) / calls])


def products(subject: Subject, window: float) -> Reading:
    """Multiply-adds per second of one large matrix product in the arm's precision."""
    left, right = _pair(subject, SIDE, _dtype(subject))
    calls, seconds = _filled(lambda: left @ right, subject, window)
    return Reading([calls * len(left) ** 3 / seconds], {"side": len(left), "calls": calls})


def copies(subject: Subject, window: float) -> Reading:
    """Bytes per second, read and written, of copying a buffer larger than any cache."""
    size = COPIED[torch.device(subject.device).type]
    source, target = (_kept(subject, name, lambda: torch.ones(size // 4, device=subject.device)) for name in ("source", "target"))
    calls, seconds = _filled(lambda: target.copy_(source), subject, window)
    return Reading([2 * size * calls / seconds], {"bytes": size, "calls": calls})


def _filled(call: Callable[[], object], subject: Subject, window: float) -> tuple[int, float]:
    """As many calls as fill the window, by the time of an untimed first one: their number and their seconds."""
    calls = max(1, round(window / back_to_back(call, subject.clock, calls=1)))
    return calls, back_to_back(call, subject.clock, calls=calls)


def _dtype(subject: Subject) -> torch.dtype:
    assert isinstance(subject.arm, ProbeArm)
    return DTYPES[subject.arm.precision]


def _pair(subject: Subject, sides: dict[str, int], dtype: torch.dtype) -> list[torch.Tensor]:
    """Two square matrices, made once per process."""
    side = sides[torch.device(subject.device).type]
    return [_kept(subject, f"{name}{side}{dtype}", lambda: torch.randn(side, side, device=subject.device).to(dtype)) for name in "ab"]


def _kept(subject: Subject, name: str, make: Any) -> torch.Tensor:
    if name not in subject.kept:
        subject.kept[name] = make()
    return subject.kept[name]


metrics.add(
    Metric(name="canary", unit="s", better="lower", arm="probe", measure=canary, summary="a small fixed matrix product, to see drift")
)
metrics.add(
    Metric(
        name="matmul_ceiling",
        unit="MAC/s",
        better="higher",
        arm="probe",
        rounds=6,
        window=0.1,
        measure=products,
        summary="multiply-adds per second of a large matrix product",
    )
)
metrics.add(
    Metric(
        name="copy_ceiling",
        unit="B/s",
        better="higher",
        arm="probe",
        rounds=6,
        window=0.05,
        measure=copies,
        summary="bytes per second of a large copy, read and written",
    )
)
