"""Precision: float32, TF32, bfloat16, float16.

Inference casts weights and images once, as deployments do (and timm's benchmark script). Training
keeps float32 weights under autocast, and scales the gradients in float16. Models that compute with
float32 tensors of their own cannot be cast; for them there is also autocast in inference, which
casts the weights in every call.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from bench.measure import process_settings
from bench.measure.subject import Execution, module_of
from bench.plugins import Policy, cuda_only, policies


def keep(execution: Execution) -> None:
    """Change nothing: every worker starts in float32 with TF32 off."""


def allow_tf32(execution: Execution) -> None:
    """Let matrix products and convolutions round their inputs to 10 bits of mantissa."""
    process_settings.tf32(True)


def cast(dtype: torch.dtype) -> Callable[[Execution], None]:
    """Return a switch to `dtype`."""

    def apply(execution: Execution) -> None:
        if execution.mode == "training":
            autocast(dtype)(execution)
            return
        module_of(execution).to(dtype)
        execution.inputs = execution.inputs.to(dtype)

    return apply


def autocast(dtype: torch.dtype) -> Callable[[Execution], None]:
    """Return a switch to autocast in `dtype`, with weights and images in float32."""

    def apply(execution: Execution) -> None:
        kind = torch.device(execution.device).type
        execution.contexts.append(lambda: torch.autocast(kind, dtype=dtype))
        if execution.mode == "training" and dtype == torch.float16:
            execution.scaler = torch.amp.GradScaler(kind)

    return apply


SLOT = "precision"
TEN_BITS, SEVEN_BITS = 0.03, 0.12
"""Tolerances of 10 and 7 bits of mantissa; bfloat16 has eight times float16's rounding error. On
random weights as they are timed, bfloat16 has errors of 0.006 to 0.05, and a network without one of
its blocks 0.23 to 3."""
policies.add(
    Policy(name="fp32", apply=keep, order=10, slot=SLOT, default=True, summary="float32, TF32 off")
)
policies.add(
    Policy(
        name="tf32",
        apply=allow_tf32,
        order=10,
        slot=SLOT,
        supports=cuda_only("it is a mode of NVIDIA GPUs"),
        tolerance=TEN_BITS,
        summary="float32 storage, TF32 arithmetic",
    )
)
policies.add(
    Policy(
        name="bf16",
        apply=cast(torch.bfloat16),
        order=10,
        slot=SLOT,
        tolerance=SEVEN_BITS,
        summary="bfloat16 weights and images",
    )
)
policies.add(
    Policy(
        name="fp16",
        apply=cast(torch.float16),
        order=10,
        slot=SLOT,
        tolerance=TEN_BITS,
        summary="float16 weights and images",
    )
)
for _name, _dtype, _tolerance in (
    ("bf16", torch.bfloat16, SEVEN_BITS),
    ("fp16", torch.float16, TEN_BITS),
):
    _summary = f"{str(_dtype).removeprefix('torch.')} by autocast, weights and images in float32"
    policies.add(
        Policy(
            name=f"{_name}_autocast",
            apply=autocast(_dtype),
            order=10,
            slot=SLOT,
            tolerance=_tolerance,
            summary=_summary,
        )
    )
