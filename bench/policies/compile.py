"""torch.compile in its default mode; the first call's time in the record is mostly the compiler's."""

import torch

from bench.plugins import Policy, policies
from bench.subject import Execution


def apply(execution: Execution) -> None:
    """Compile for these shapes."""
    execution.model = torch.compile(execution.model, dynamic=False)


policies.add(Policy(name="compile", apply=apply, order=30, slot="compiler", summary="torch.compile, default mode"))
