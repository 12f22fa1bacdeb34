"""What policies that run a model by an inference engine have in common."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from bench.measure.subject import Execution
from bench.plugins import Policy, policies


def add(
    name: str,
    *,
    apply: Callable[[Execution], None],
    supports: Callable[[str], str | None],
    summary: str,
) -> None:
    """Register an engine: it replaces the compiler, and decides on layout and norms by itself."""
    policies.add(
        Policy(
            name=name,
            apply=apply,
            order=30,
            slot="compiler",
            also=("memory format", "batch norm", "graph"),
            supports=supports,
            inference_only=True,
            summary=summary,
        )
    )


def missing(extra: str, *modules: str) -> str | None:
    """Return the line that installs an extra if one of its modules is missing, else None."""
    if all(find_spec(module) is not None for module in modules):
        return None
    return f"it is not installed: pip install 'convmixer-bench[{extra}]'"
