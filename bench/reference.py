"""Which model the others are compared with: one rule for who measures and who shows."""

from __future__ import annotations

from collections.abc import Iterable

SENTINEL = ("vit_s16", "deit_s16")
"""One graph under two names: whatever their ratio is off 1 is the measuring's own error."""


def reference_model(models: Iterable[tuple[str, str]]) -> str:
    """Of (name, family) pairs: vit_s16, else the first transformer by name, else the first by name."""
    ordered = sorted(set(models))
    names = [name for name, _ in ordered]
    if "vit_s16" in names:
        return "vit_s16"
    return next((name for name, family in ordered if family == "vit"), names[0])
