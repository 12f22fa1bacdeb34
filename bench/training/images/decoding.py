"""Decode an image file to 8 bits per channel; refuse files whose values have no certain meaning.

Pillow converts 16-bit and floating-point images by clipping at 255, so that nearly all pixels
become white. Everything else is converted as timm and torchvision do it: a palette by its colours;
without transparency; the first of several frames; and without rotation by the EXIF orientation.
"""

from __future__ import annotations

import warnings
from typing import IO

import numpy as np
from PIL import Image

SIXTEEN_BITS = 65535


class NotAPicture(ValueError):
    """The file can be opened, but it does not say what its values mean."""


def decoded(stream: IO[bytes]) -> Image.Image:
    """Return the first frame in RGB, 8 bits per channel.

    Raises NotAPicture, or any error of Pillow's if the file is damaged.
    """
    with warnings.catch_warnings():
        # Warnings are about EXIF data and palettes; only the pixels matter here.
        warnings.simplefilter("ignore")
        image: Image.Image = Image.open(stream)
        image.load()
    if image.mode.startswith("I"):
        return _eight_bits(image).convert("RGB")
    if image.mode == "F":
        raise NotAPicture(
            "its pixels are floating-point numbers, and which are black and white is unknown; save "
            "it with 8 or 16 bits"
        )
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return a 16-bit grey image with 8 bits, scaled so that the brightest value stays that.

    Pillow reads a 16-bit PGM, and in older versions a 16-bit PNG, as mode I; in other files that
    mode has 32 bits.
    """
    if image.mode == "I" and image.format not in ("PNG", "PPM"):
        raise NotAPicture(
            "its pixels are 32-bit integers, and which are black and white is unknown; save it "
            "with 8 or 16 bits"
        )
    values = np.asarray(image).astype(np.float64)
    return Image.fromarray((values * (255 / SIXTEEN_BITS)).round().astype(np.uint8))
