"""Precision: float32, TF32, bfloat16, float16.

Inference casts weights and images once, as people deploy it (and as timm's benchmark script does); a training keeps
float32 weights under autocast, and scales float16's gradients.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from bench import settings
from bench.plugins import Policy, cuda_only, policies
from bench.subject import Execution, module_of


def keep(execution: Execution) -> None:
    """Float32 with TF32 off, as every worker starts."""


def allow_tf32(execution: Execution) -> None:
    """Let matrix products and convolutions alike round their inputs to 10 bits of mantissa."""
    settings.tf32(True)


def cast(dtype: torch.dtype) -> Callable[[Execution], None]:
    """A switch to `dtype`."""

    def apply(execution: Execution) -> None:
        if execution.mode == "training":
            kind = torch.device(execution.device).type
            execution.contexts.append(lambda: torch.autocast(kind, dtype=dtype))
            execution.scaler = torch.amp.GradScaler(kind) if dtype == torch.float16 else None
            return
        module_of(execution).to(dtype)
        execution.inputs = execution.inputs.to(dtype)

    return apply


SLOT = "precision"
policies.add(Policy(name="fp32", apply=keep, order=10, slot=SLOT, default=True, summary="float32, TF32 off"))
policies.add(
    Policy(
        name="tf32",
        apply=allow_tf32,
        order=10,
        slot=SLOT,
        supports=cuda_only("it is a mode of NVIDIA GPUs"),
        summary="float32 storage, TF32 arithmetic",
    )
)
policies.add(Policy(name="bf16", apply=cast(torch.bfloat16), order=10, slot=SLOT, summary="bfloat16 weights and images"))
policies.add(Policy(name="fp16", apply=cast(torch.float16), order=10, slot=SLOT, summary="float16 weights and images"))
