"""From the bytes of an image file to 8-bit RGB, by value; what has no certain values is refused by name.

Pillow converts 16-bit and floating-point pictures by cutting off at 255: nearly all of them become white. Everything
else is converted as timm and torchvision do it: a palette by its colours, transparency is dropped, of several frames the
first is taken, and a camera's note on how it was held (EXIF) does not turn the image.
"""

from __future__ import annotations

import warnings
from typing import IO

import numpy as np
from PIL import Image

SIXTEEN_BITS = 65535


class NotAPicture(ValueError):
    """The file can be opened, but what its values mean is not said in it."""


def decoded(stream: IO[bytes]) -> Image.Image:
    """The first frame in RGB, 8 bits a channel. Raises NotAPicture, and whatever Pillow raises where a file is damaged."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # on EXIF data and palettes: what matters is whether the pixels can be read
        image: Image.Image = Image.open(stream)
        image.load()
    if image.mode.startswith("I"):
        return _eight_bits(image).convert("RGB")
    if image.mode == "F":
        raise NotAPicture(
            "its pixels are floating-point numbers, whose black and white are not said; save it with 8 or 16 bits"
        )
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """A grey picture of 16 bits as one of 8, the brightest for the brightest.

    Pillow reads 16 bits of a PGM, and in older versions of a PNG, as mode I; in other files that mode is 32 bits.
    """
    if image.mode == "I" and image.format not in ("PNG", "PPM"):
        raise NotAPicture(
            "its pixels are 32-bit whole numbers, whose black and white are not said; save it with 8 or 16 bits"
        )
    values = np.asarray(image).astype(np.float64)
    return Image.fromarray((values * (255 / SIXTEEN_BITS)).round().astype(np.uint8))
