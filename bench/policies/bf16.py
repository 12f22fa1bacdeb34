"""bfloat16 by autocast: the policy that most people deploy on a GPU."""

import torch

from bench.plugins import Policy, policies
from bench.subject import Execution


def apply(execution: Execution) -> None:
    """Run every call under autocast; weights stay float32 and are cast once, then kept."""
    kind = torch.device(execution.device).type
    execution.contexts.append(lambda: torch.autocast(kind, dtype=torch.bfloat16))


policies.add(Policy(name="bf16", apply=apply, order=10, slot="precision", summary="bfloat16 by autocast"))
