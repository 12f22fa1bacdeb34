"""Colours and markers of families and of verdicts, the same in every figure and on the page."""

from __future__ import annotations

# Okabe and Ito's palette, which stays distinct in the common colour blindnesses; markers repeat it
# for print.
FAMILIES = {
    "convmixer": ("ConvMixer", "#D55E00", "o"),
    "vit": ("ViT", "#0072B2", "s"),
    "mixer": ("MLP-Mixer", "#009E73", "^"),
    "resnet": ("ResNet", "#CC79A7", "D"),
    "user": ("your own", "#000000", "P"),
}
"""Label, colour and matplotlib marker by family, in the order of a legend."""
OTHER = ("other", "#666666", "X")
"""Label, colour and marker of any other family."""
OUTCOMES = {
    "supported": "#009E73",
    "contradicted": "#D55E00",
    "inconclusive": "#666666",
    "not measured": "#BBBBBB",
    "pipeline check": "#0072B2",
    "exact": "#333333",
}
"""Colour by outcome of a verdict."""
REGION = "#56B4E9"
"""Shade of the region where a claim wants its effect."""


def family(name: str) -> tuple[str, str, str]:
    """Return label, colour and marker of a family."""
    return FAMILIES.get(name, OTHER)


def family_order(name: str) -> int:
    """Return a family's place in legends: ConvMixer first, unknown families last."""
    return list(FAMILIES).index(name) if name in FAMILIES else len(FAMILIES)
