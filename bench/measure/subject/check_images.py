"""The images on which an execution is compared with float32 eager execution.

Pictures of the data set that the user named, or images drawn from a seed. The drawn ones have
structure at every scale, like photographs: networks with random weights answer white noise with
nearly the same logits whatever its seed, and two nearly constant outputs agree in anything.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from bench.plugins import open_data
from bench.record import checking

IMAGES = checking.FIRST


def check_images(
    data: str | None, size: int, seed: int, number: int | None = None
) -> tuple[Tensor, str]:
    """Return `number` images (n, 3, size, size) float32, fewer if the data set has fewer, and a
    name of where they come from. None stands for `IMAGES`.

    `data` is spelled as in `--data`; None: images are drawn.
    """
    number = number or IMAGES
    if data is None:
        return drawn(number, size, seed), "drawn from a seed"
    splits = open_data(data)
    part = splits.test.subset(torch.arange(min(number, len(splits.test))))
    source = f"the first of the test split of {data.partition(':')[0]}"
    return part.shown(splits.whole(size)), source


def drawn(number: int, size: int, seed: int) -> Tensor:
    """Return images (number, 3, size, size) with standard deviation 1 each.

    Every image is a sum of smooth random fields whose contrast falls with their fineness, so that
    images differ in colour and brightness and in coarse and fine shapes.
    """
    images = torch.zeros(number, 3, size, size)
    generator = torch.Generator().manual_seed(seed)
    for image in images:
        side = 1
        while side < size:
            field = torch.randn(1, 3, side, side, generator=generator) / side**0.5
            image += functional.interpolate(field, size=(size, size), mode="bilinear")[0]
            side *= 2
        image /= image.std()
    return images
