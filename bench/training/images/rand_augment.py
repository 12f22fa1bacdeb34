"""RandAugment (arXiv 1909.13719) on batches, with torchvision's operators, strengths and spelling.

Each image draws its own operators (`ra-n2-m12`: two, at strength 12). Images that drew the same one
are transformed together, so a batch of 512 takes a few dozen calls instead of a thousand, on any
device.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from bench.errors import UsageError
from bench.training.seeding import Draws

BINS = 31
"""Number of torchvision's strengths: `m` is from 0 to 30."""
NEAREST = InterpolationMode.NEAREST


def parse(spelling: str) -> tuple[int, int]:
    """Return the number of operators and the strength of a spelling such as `ra-n2-m12`."""
    found = re.fullmatch(r"ra-n(\d+)-m(\d+)", spelling)
    if not found or int(found[2]) >= BINS:
        raise UsageError(
            f"--recipe: rand_augment={spelling} does not work on images in memory; use "
            f"torchvision's, such as ra-n2-m12 (strength at most {BINS - 1})"
        )
    return int(found[1]), int(found[2])


def _shear(x: float, y: float) -> Callable[[Tensor], Tensor]:
    # Around the corner, by the angle whose tangent is the strength, as torchvision's RandAugment.
    angles = [math.degrees(math.atan(x)), math.degrees(math.atan(y))]
    return lambda images: F.affine(
        images,
        angle=0.0,
        translate=[0, 0],
        scale=1.0,
        shear=angles,
        interpolation=NEAREST,
        center=[0, 0],
    )


def _move(x: float, y: float) -> Callable[[Tensor], Tensor]:
    return lambda images: F.affine(
        images,
        angle=0.0,
        translate=[int(x), int(y)],
        scale=1.0,
        shear=[0.0, 0.0],
        interpolation=NEAREST,
    )


Operator = Callable[[Tensor], Tensor]


def operators(strength: int, side: int) -> list[tuple[str, Callable[[float], Operator], bool]]:
    """Return all fourteen operators for images of `side` pixels.

    Each has its name, a function that makes the operator for a sign of +1 or -1, and whether the
    sign matters.
    """
    share = strength / (BINS - 1)
    shear, move, turn, blend = 0.3 * share, 150 / 331 * side * share, 30 * share, 0.9 * share
    bits, threshold = 8 - round(4 * share), 255 * (1 - share)

    def rotate(sign: float) -> Operator:
        return lambda images: F.rotate(images, sign * turn, interpolation=NEAREST)

    def blended(adjust: Callable[[Tensor, float], Tensor]) -> Callable[[float], Operator]:
        return lambda sign: lambda images: adjust(images, 1 + sign * blend)

    return [
        ("Identity", lambda sign: lambda images: images, False),
        ("ShearX", lambda sign: _shear(sign * shear, 0.0), True),
        ("ShearY", lambda sign: _shear(0.0, sign * shear), True),
        ("TranslateX", lambda sign: _move(sign * move, 0.0), True),
        ("TranslateY", lambda sign: _move(0.0, sign * move), True),
        ("Rotate", rotate, True),
        ("Brightness", blended(F.adjust_brightness), True),
        ("Color", blended(F.adjust_saturation), True),
        ("Contrast", blended(F.adjust_contrast), True),
        ("Sharpness", blended(F.adjust_sharpness), True),
        ("Posterize", lambda sign: lambda images: F.posterize(images, bits), False),
        ("Solarize", lambda sign: lambda images: F.solarize(images, threshold), False),
        ("AutoContrast", lambda sign: F.autocontrast, False),
        ("Equalize", lambda sign: F.equalize, False),
    ]


def rand_augment(images: Tensor, spelling: str, draw: Draws) -> Tensor:
    """Apply operators, drawn with repetition, to each of the uint8 images (n, 3, size, size)."""
    number, strength = parse(spelling)
    known = operators(strength, images.shape[-1])
    chosen = draw.integers(len(known), number)
    negative = draw.integers(2, number).bool()
    for which, minus in zip(chosen, negative, strict=True):
        result = images.clone()
        for place, (_, make, signed) in enumerate(known[1:], start=1):  # the first is the identity
            every = torch.ones_like(minus)
            signs = ((1.0, ~minus), (-1.0, minus)) if signed else ((1.0, every),)
            for sign, matching in signs:
                at = torch.nonzero((which == place) & matching).flatten().to(images.device)
                if len(at):
                    result[at] = make(sign)(images[at])
        images = result
    return images
