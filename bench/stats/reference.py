"""The model that others are compared with, by one rule for measuring and for showing."""

from __future__ import annotations

from collections.abc import Iterable

SENTINEL = ("vit_s16", "deit_s16")
"""The pair of the A/A check: one graph under two names, so that their ratio must be 1."""


def reference_model(models: Iterable[tuple[str, str]]) -> str:
    """Return the reference among models, given as pairs of name and family.

    That is vit_s16, else the first transformer by name, else the first by name.
    """
    ordered = sorted(set(models))
    names = [name for name, _ in ordered]
    if "vit_s16" in names:
        return "vit_s16"
    return next((name for name, family in ordered if family == "vit"), names[0])


def sentinel_size(size: int) -> int:
    """Return the image size of the A/A check's pair: the multiple of 16 nearest to `size`."""
    return max(16, 16 * round(size / 16))
