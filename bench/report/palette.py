"""Colours and markers of families and of verdicts, the same in every figure and on the page."""

from __future__ import annotations

# Okabe and Ito's palette, which stays distinct in the common colour blindnesses; markers repeat it
# for print.
FAMILIES = {
    "convmixer": ("ConvMixer", "#D55E00", "o"),
    "vit": ("ViT", "#0072B2", "s"),
    "mixer": ("MLP-Mixer", "#009E73", "^"),
    "resnet": ("ResNet", "#CC79A7", "D"),
    "user": ("own model", "#000000", "P"),
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


READABLE = 4.5
"""Smallest contrast of text (WCAG 2, level AA)."""


def readable(colour: str, paper: str = "#ffffff") -> str:
    """Return a colour for text on paper: the same, or as much darker as its contrast needs."""
    shade = colour
    for keep in range(95, -1, -5):
        if contrast(shade, paper) >= READABLE:
            break
        parts = (round(part * keep / 100) for part in _parts(colour))
        shade = "#" + "".join(map("{:02X}".format, parts))
    return shade


def ink_on(paper: str) -> str:
    """Return black or white, whichever is easier to read on a colour."""
    return max("#000000", "#ffffff", key=lambda ink: contrast(ink, paper))


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours such as `#D55E00`, from 1 to 21 (WCAG 2)."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    red, green, blue = (_linear(part / 255) for part in _parts(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


def _parts(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue from 0 to 255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def family(name: str) -> tuple[str, str, str]:
    """Return label, colour and marker of a family."""
    return FAMILIES.get(name, OTHER)


def family_order(name: str) -> int:
    """Return a family's place in legends: ConvMixer first, unknown families last."""
    return list(FAMILIES).index(name) if name in FAMILIES else len(FAMILIES)
