"""float32, contiguous, no compiling: the model as its author wrote it, and the name of "no switch at all"."""

from bench.plugins import Policy, policies
from bench.subject import Execution


def apply(execution: Execution) -> None:
    """Nothing to change."""


policies.add(Policy(name="eager", apply=apply, order=0, slot="base", summary="float32, contiguous, not compiled"))
