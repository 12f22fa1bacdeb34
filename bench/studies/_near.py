"""The controlled skeleton on a grid with neighbourhoods: mixers at equal parameters.

The hidden width of the MLP makes up for what mixers cost more or less; it was solved by
`python -m tests.by_hand.factorial`. A test counts every one: all are within 2 % of the scale's
ConvMixer where that is small, else of the factorial's first cell.
"""

from __future__ import annotations

from bench.claims.scales import Scale
from bench.studies._factorial import SCALES

HEADS = 8
"""Of attention with a bias for each offset: one for nearly every tap of a 3 x 3 convolution."""
HIDDEN: dict[str, tuple[int, int, int, int]] = {
    "attention": (128, 512, 125, 1536),
    "depthwise": (232, 744, 165, 2280),
    "mlp": (255, 753, 125, 2255),
    "relative": (125, 505, 97, 1528),
    "impulse": (125, 505, 97, 1528),
}
"""The hidden width of each mixer at each of `SCALES`."""


def name_of(scale: Scale, mixer: str, more: str = "") -> str:
    """Return the name of a mixer's skeleton; `more` is the end of the name, such as `_nopos`."""
    width, depth, patch, _ = scale.skeleton
    hidden = HIDDEN[mixer][SCALES.index(scale.key)]
    heads = f"_h{HEADS}" if mixer in ("relative", "impulse") else ""
    spelled = f"skeleton_{width}_{depth}_{mixer}_patch_iso_ln_p{scale.near or patch}_m{hidden}"
    return f"{spelled}{heads}{more}"
