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


def sentinel_size(size: int) -> int:
    """The image size of the sentinel pair for arms of a size: the nearest that its patches of 16 pixels divide."""
    return max(16, 16 * round(size / 16))
