"""Every kind of picture: by value, or refused with its reason."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from bench.training.images.decoding import NotAPicture, decoded

RAMP = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
BYTES = Image.fromarray((RAMP >> 8).astype(np.uint8))


def through(image: Image.Image, kind: str, **how: object) -> np.ndarray:
    """Saved, and decoded again: uint8 (height, width, 3)."""
    stream = BytesIO()
    image.save(stream, kind, **how)
    stream.seek(0)
    found = decoded(stream)
    assert found.mode == "RGB"
    return np.asarray(found)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_keep_their_values(kind: str) -> None:
    """Pillow's own conversion makes everything white that is above 255 of 65,535."""
    found = through(Image.fromarray(RAMP), kind)
    assert found[..., 0].ravel().tolist() == list(range(256))
    assert (found[..., 0] == found[..., 2]).all()


@pytest.mark.parametrize(
    ("image", "kind", "first"),
    [
        (BYTES, "PNG", (0, 0, 0)),
        (BYTES.point(lambda value: 255 * (value < 128), mode="1"), "PNG", (255, 255, 255)),
        (Image.merge("LA", [BYTES, BYTES]), "PNG", (0, 0, 0)),
        (Image.new("P", (2, 2)), "PNG", (0, 0, 0)),
        (Image.new("RGBA", (2, 2), (10, 20, 30, 0)), "PNG", (10, 20, 30)),
        (Image.new("CMYK", (2, 2), (0, 255, 0, 0)), "TIFF", (255, 0, 255)),
    ],
    ids=["L", "1", "LA", "P", "RGBA", "CMYK"],
)
def test_eight_bits_are_what_pillow_makes_of_them(
    image: Image.Image, kind: str, first: tuple[int, ...]
) -> None:
    assert tuple(through(image, kind)[0, 0]) == first


def test_of_several_frames_the_first_is_taken() -> None:
    red, blue = Image.new("RGB", (4, 4), (255, 0, 0)), Image.new("RGB", (4, 4), (0, 0, 255))
    found = through(red, "WEBP", save_all=True, append_images=[blue], lossless=True)
    assert found[0, 0, 0] > 250 > 5 > found[0, 0, 2]


def test_values_whose_range_is_not_said_are_refused() -> None:
    for values, word in (
        (RAMP.astype(np.float32) / 65535, "floating-point"),
        (RAMP.astype(np.int32), "32-bit"),
    ):
        with pytest.raises(NotAPicture, match=word):
            through(Image.fromarray(values), "TIFF")


def test_a_truncated_file_is_an_error_and_no_grey_rest() -> None:
    stream = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(
        stream, "JPEG"
    )
    with pytest.raises(OSError, match=r"(?i)truncated"):
        decoded(BytesIO(stream.getvalue()[:-400]))
