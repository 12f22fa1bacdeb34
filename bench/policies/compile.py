"""Eager, or torch.compile in one of its modes; the first call's time in the record is mostly the compiler's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from bench.measure.subject import Execution
from bench.plugins import Policy, policies


def keep(execution: Execution) -> None:
    """Operator by operator, as PyTorch runs a model by itself."""


def compiled(**how: Any) -> Callable[[Execution], None]:
    """A switch to `torch.compile` for these shapes; `how` is its mode or options."""

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
        summary="torch.compile, mode max-autotune-no-cudagraphs: kernels chosen by timing them",
    )
)
policies.add(
    Policy(
        name="compile_frozen",
        apply=compiled(options={"freezing": True}),
        order=30,
        slot=SLOT,
        inference_only=True,
        summary="torch.compile with freezing: weights are constants, arranged once in the order they are read in",
    )
)
