"""Eager execution, or one of the modes of torch.compile, which compiles in the first call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from bench.measure.subject import Execution
from bench.plugins import Policy, policies


def keep(execution: Execution) -> None:
    """Change nothing: PyTorch runs a model operator by operator by default."""


def compiled(**how: Any) -> Callable[[Execution], None]:
    """Return a switch to `torch.compile` for fixed shapes; `how` is its mode or options."""

    def apply(execution: Execution) -> None:
        execution.model = torch.compile(execution.model, dynamic=False, **how)

    return apply


SLOT = "compiler"
policies.add(
    Policy(name="eager", apply=keep, order=30, slot=SLOT, default=True, summary="not compiled")
)
policies.add(
    Policy(
        name="compile",
        apply=compiled(mode="default"),
        order=30,
        slot=SLOT,
        summary="torch.compile, default mode",
    )
)
policies.add(
    Policy(
        name="compile_max",
        apply=compiled(mode="max-autotune-no-cudagraphs"),
        order=30,
        slot=SLOT,
        summary="torch.compile, mode max-autotune-no-cudagraphs: chooses kernels by timing them",
    )
)
policies.add(
    Policy(
        name="compile_frozen",
        apply=compiled(options={"freezing": True}),
        order=30,
        slot=SLOT,
        inference_only=True,
        summary="torch.compile with freezing: weights are constants, stored in reading order",
    )
)
