"""What studies of training runs share: the difference in top-1 between two, and the paper's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.claims.evidence import Evidence
from bench.claims.rules import Finding, PublishedEffect
from bench.claims.scales import Scale
from bench.stats.intervals import difference

PAPER = "arXiv 2201.09792, as quoted by others"


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


def on_share(scale: Scale, share: float) -> str:
    """Return the usual recipe on a share of the data, for as many steps."""
    return scale.recipe if share == 1 else scale.changed(f"data_share={share:g}")


PUBLISHED_ON = {
    "cifar10": "CIFAR-10, the paper's network and training",
    "imagenet": "ImageNet-1k, ConvMixer-1536/20",
}
"""The data and networks of the paper's ablations, by data set."""


def published(scale: Scale, values: Mapping[str, float]) -> PublishedEffect | None:
    """Return the paper's effect on the scale's data set; None if it has none.

    `values` are effects in points of top-1 by data set.
    """
    if scale.name not in values:
        return None
    on = PUBLISHED_ON[scale.name]
    return PublishedEffect(value=values[scale.name], on=on, source=PAPER)


def published_step(
    scale: Scale, top1: Mapping[str, Mapping[int, float]], left: int, right: int
) -> PublishedEffect | None:
    """Return the paper's top-1 at one setting less that at another; None without both.

    `top1` has, by data set, top-1 in points or its distance from any fixed setting.
    """
    known = top1.get(scale.name, {})
    if left not in known or right not in known:
        return None
    return published(scale, {scale.name: known[left] - known[right]})
