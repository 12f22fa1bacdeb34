"""Fixed workloads that probe the machine in every round: a drift check, and the peak rates.

The peak rates are those of the fastest arithmetic and the fastest copy. The operations and bytes of
a model are compared with them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from bench.devices import kind_of
from bench.measure.subject import ProbeSubject
from bench.measure.timing import back_to_back
from bench.plugins import Metric, Reading, metrics
from bench.record.metric_units import DRIFT_S

DTYPES = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
ORDERS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}
LAGGING = 0.5
"""Shapes below this share of the best rate so far get no window."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """The sizes of the probes on a kind of device: large enough to keep it busy."""

    canary_side: int
    """Side of the matrices of the drift check."""
    product_side: int
    """Side of the matrices whose product is timed for the peak rate."""
    convolutions: dict[int, tuple[int, int, int]]
    """Images, channels and image side of the timed convolutions, by filter side. They have as many
    multiply-adds as the matrix product."""
    copied_bytes: int
    """Bytes of the buffer that is copied; larger than any cache."""


WORKLOADS = {
    "cpu": Workload(
        canary_side=512,
        product_side=1024,
        convolutions={1: (4, 1024, 16), 3: (4, 256, 14)},
        copied_bytes=64 << 20,
    ),
    "cuda": Workload(
        canary_side=4096,
        product_side=8192,
        convolutions={1: (64, 4096, 28), 3: (128, 512, 28)},
        copied_bytes=1 << 30,
    ),
    "mps": Workload(
        canary_side=1024,
        product_side=2048,
        convolutions={1: (16, 1024, 32), 3: (16, 256, 28)},
        copied_bytes=256 << 20,
    ),
}


def workload_for(device: str) -> Workload:
    """Return the sizes of the probes on a device such as "cuda:1".

    Raises NotImplementedError if `WORKLOADS` lacks its kind.
    """
    name = kind_of(device).name
    if name not in WORKLOADS:
        raise NotImplementedError(f"the probes have no sizes for {name}")
    return WORKLOADS[name]


def canary(subject: ProbeSubject, window: float) -> Reading:
    """Return the seconds of one product of two small float32 matrices, always the same ones.

    They fill a window as long as those of models are at least: over a few milliseconds, one other
    program that runs for a moment would look like a machine that has changed its speed.
    """
    left, right = _pair(subject, torch.float32)
    calls, seconds = _filled(lambda: left @ right, subject, window)
    return Reading([seconds / calls], {"calls": calls})


def arithmetic(subject: ProbeSubject, window: float) -> Reading:
    """Return the multiply-adds per second of the fastest of several shapes; `detail` has them all.

    A square matrix product is not the fastest operation on every machine: on two cores,
    channels-last 1 x 1 convolutions were up to 1.4 times as fast. A shape that takes twice as long
    as the best so far in its first, untimed call gets no window.
    """
    rates: dict[str, float] = {}
    done = 0
    made = subject.once("shapes", lambda: _shapes(subject.device, _dtype(subject)))
    for name, (call, macs) in made.items():
        first = back_to_back(call, subject.clock, calls=1)
        if macs / first < LAGGING * max(rates.values(), default=0.0):
            rates[name] = macs / first
            continue
        calls = max(1, round(window / len(made) / first))
        rates[name] = macs * calls / back_to_back(call, subject.clock, calls=calls)
        done += calls
    fastest = max(rates, key=lambda name: rates[name])
    return Reading([rates[fastest]], {"shape": fastest, "rates": rates, "calls": done})


def _shapes(device: str, dtype: torch.dtype) -> dict[str, tuple[Callable[[], object], int]]:
    """Return the candidates for the fastest arithmetic, each with its multiply-adds per call.

    These are a matrix product, and convolutions in both memory formats.
    """
    workload = workload_for(device)
    side = workload.product_side
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    found: dict[str, tuple[Callable[[], object], int]] = {
        "product": (lambda: left @ right, side**3)
    }
    for kernel, (number, channels, at) in workload.convolutions.items():
        images = torch.randn(number, channels, at, at, device=device).to(dtype)
        filters = torch.randn(channels, channels, kernel, kernel, device=device).to(dtype)
        macs = number * at**2 * channels**2 * kernel**2
        for order, format in ORDERS.items():
            found[f"{kernel} x {kernel} {order}"] = (_filtering(images, filters, format), macs)
    return found


def _filtering(
    images: torch.Tensor, filters: torch.Tensor, format: torch.memory_format
) -> Callable[[], object]:
    """Return a call of a convolution with its operands in one memory format."""
    images, filters = (one.contiguous(memory_format=format) for one in (images, filters))
    return lambda: F.conv2d(images, filters, padding=filters.shape[-1] // 2)


def copies(subject: ProbeSubject, window: float) -> Reading:
    """Return the bytes per second, read and written, of copying a buffer larger than any cache."""
    size = workload_for(subject.device).copied_bytes
    source, target = (
        subject.once(name, lambda: torch.ones(size // 4, device=subject.device))
        for name in ("source", "target")
    )
    calls, seconds = _filled(lambda: target.copy_(source), subject, window)
    return Reading([2 * size * calls / seconds], {"bytes": size, "calls": calls})


def _filled(call: Callable[[], object], subject: ProbeSubject, window: float) -> tuple[int, float]:
    """Run calls that fill the window, judged by a first one; return their number and seconds."""
    calls = max(1, round(window / back_to_back(call, subject.clock, calls=1)))
    return calls, back_to_back(call, subject.clock, calls=calls)


def _dtype(subject: ProbeSubject) -> torch.dtype:
    precision = subject.arm.precision
    if precision not in DTYPES:
        raise NotImplementedError(
            f"the peak rate in {precision} is not known: "
            "DTYPES in bench/metrics/probes.py has no type for it"
        )
    return DTYPES[precision]


def _pair(subject: ProbeSubject, dtype: torch.dtype) -> list[torch.Tensor]:
    """Return the two square matrices of the drift check, made once per process."""
    side = workload_for(subject.device).canary_side
    return [
        subject.once(
            f"{name}{side}{dtype}",
            lambda: torch.randn(side, side, device=subject.device).to(dtype),
        )
        for name in "ab"
    ]


metrics.add(
    Metric(
        name="canary",
        unit="s",
        better="lower",
        arm="probe",
        window=DRIFT_S,
        measure=canary,
        summary="drift check: a small fixed matrix product",
    )
)
metrics.add(
    Metric(
        name="matmul_ceiling",
        unit="MAC/s",
        better="higher",
        arm="probe",
        rounds=6,
        window=0.3,
        measure=arithmetic,
        summary="peak multiply-adds per second of large matrix products and convolutions",
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
