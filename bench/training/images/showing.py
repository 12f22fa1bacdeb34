"""The view: how an image becomes the input of a model, from a file or from memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from bench.errors import UsageError
from bench.training.images.augment import normalised, resized

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""By channel, of pixels from 0 to 1."""
IN_MEMORY = ("bicubic", "bilinear")
"""Interpolations for resizing images that are held in memory."""


@dataclass(frozen=True, kw_only=True)
class View:
    """How an image is shown to a model: the crop, and the normalisation of values in [0, 1].

    The image is resized so that a crop of `size` pixels is the share `crop` of its side.
    """

    size: int
    crop: float
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_mode: str = "center"

    @property
    def text(self) -> str:
        """Crop, interpolation and size, as records and tables have them."""
        mode = "" if self.crop_mode == "center" else f" {self.crop_mode}"
        return f"crop {self.crop:g}{mode}, {self.interpolation}, {self.size} px"

    @property
    def transform(self) -> Callable[[Any], Tensor]:
        """timm's evaluation transform, from a PIL image to (3, size, size) float32."""
        settings: dict[str, Any] = asdict(self)
        size, crop = settings.pop("size"), settings.pop("crop")
        from timm.data import create_transform

        return create_transform(size, is_training=False, crop_pct=crop, **settings)

    def batches(self, images: Tensor) -> Iterator[Tensor]:
        """Yield uint8 images (n, 3, side, side) as batches (m, 3, size, size) float32.

        A batch has 256 images of 32 pixels, and fewer of a larger size, but at least 16. Raises
        UsageError if the interpolation cannot resize images in memory.
        """
        scaled = round(self.size / self.crop)
        if images.shape[-1] != scaled and self.interpolation not in IN_MEMORY:
            raise UsageError(
                f"--interpolation: got {self.interpolation}, but the images are held in memory; "
                f"use {' or '.join(IN_MEMORY)}"
            )
        edge = (scaled - self.size) // 2
        shown = slice(edge, edge + self.size)
        for part in images.split(min(256, max(16, 256 * 32**2 // self.size**2))):
            values = resized(part, scaled, self.interpolation)
            yield normalised(values[..., shown, shown], self.mean, self.std)
