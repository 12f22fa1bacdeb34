"""What studies of training runs share: the difference in top-1 between two of them."""

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
    """Return the finding about the top-1 of `left` minus that of `right`, in points.

    `recipes` are those of the two, the scale's usual one if empty. `more` are further fields of
    `Finding`.
    """
    return Finding(
        what=what,
        unit="points",
        region=region,
        effect=difference(
            evidence.top1(left, scale.data, recipes[0] or scale.recipe),
            evidence.top1(right, scale.data, recipes[1] or scale.recipe),
        ),
        of="trainings",
        **more,
    )


def published(scale: Scale, values: Mapping[str, str]) -> str:
    """Return a note with what the paper has at this scale; empty if it has nothing."""
    return f"published: {values[scale.name]}" if scale.name in values else ""


def on_share(scale: Scale, share: float) -> str:
    """Return the usual recipe on a share of the data, for as many steps."""
    return scale.recipe if share == 1 else scale.changed(f"data_share={share:g}")
