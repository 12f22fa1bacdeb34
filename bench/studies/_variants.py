"""What the studies of one ConvMixer's variants share: trainings of both, and the difference of their top-1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.claims.evidence import Evidence
from bench.claims.rules import Finding
from bench.claims.scales import Scale
from bench.stats.intervals import difference


def compared(
    evidence: Evidence,
    scale: Scale,
    what: str,
    left: str,
    right: str,
    region: tuple[float, float],
    *,
    recipes: tuple[str, str] = ("", ""),
    **more: Any,
) -> Finding:
    """Top-1 of `left` less that of `right`, each under its recipe (the scale's usual one unless given)."""
    sides = [
        evidence.top1(model, scale.data, recipe or scale.recipe)
        for model, recipe in zip((left, right), recipes, strict=True)
    ]
    return Finding(
        what=what, unit="points", region=region, effect=difference(*sides), of="trainings", **more
    )


def published(scale: Scale, values: Mapping[str, str]) -> str:
    """What the paper has at this scale, for the note."""
    return f"published: {values[scale.name]}" if scale.name in values else ""
