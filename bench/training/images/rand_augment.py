"""RandAugment (arXiv 1909.13719) on batches, with torchvision's operators, strengths and spelling `ra-n2-m12`.

Every image draws its own operators. Images that drew the same one are transformed together, so a batch of 512 takes
some dozens of calls instead of a thousand, on whatever device it lies.
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

BINS = 31
"""Strengths that torchvision knows: `m` is one of 0 to 30."""
NEAREST = InterpolationMode.NEAREST


def parse(spelling: str) -> tuple[int, int]:
    """Number of operators and strength from `ra-n2-m12`."""
    found = re.fullmatch(r"ra-n(\d+)-m(\d+)", spelling)
    if not found or int(found[2]) >= BINS:
        raise UsageError(
            f"--recipe: rand_augment={spelling}: images that are held in memory take torchvision's, "
            f"such as ra-n2-m12 (strength up to {BINS - 1})"
        )
    return int(found[1]), int(found[2])


def _shear(x: float, y: float) -> Callable[[Tensor], Tensor]:
    # Around the corner and by the angle whose tangent is the strength, as torchvision's own RandAugment shears.
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


def operators(
    strength: int, side: int
) -> list[tuple[str, Callable[[float], Callable[[Tensor], Tensor]], bool]]:
    """Name, operator for a sign of +1 or -1, and whether the sign matters, of all fourteen."""
    share = strength / (BINS - 1)
    shear, move, turn, blend = 0.3 * share, 150 / 331 * side * share, 30 * share, 0.9 * share
    bits, threshold = 8 - round(4 * share), 255 * (1 - share)
    return [
        ("Identity", lambda sign: lambda images: images, False),
        ("ShearX", lambda sign: _shear(sign * shear, 0.0), True),
        ("ShearY", lambda sign: _shear(0.0, sign * shear), True),
        ("TranslateX", lambda sign: _move(sign * move, 0.0), True),
        ("TranslateY", lambda sign: _move(0.0, sign * move), True),
        (
            "Rotate",
            lambda sign: lambda images: F.rotate(images, sign * turn, interpolation=NEAREST),
            True,
        ),
        (
            "Brightness",
            lambda sign: lambda images: F.adjust_brightness(images, 1 + sign * blend),
            True,
        ),
        ("Color", lambda sign: lambda images: F.adjust_saturation(images, 1 + sign * blend), True),
        ("Contrast", lambda sign: lambda images: F.adjust_contrast(images, 1 + sign * blend), True),
        (
            "Sharpness",
            lambda sign: lambda images: F.adjust_sharpness(images, 1 + sign * blend),
            True,
        ),
        ("Posterize", lambda sign: lambda images: F.posterize(images, bits), False),
        ("Solarize", lambda sign: lambda images: F.solarize(images, threshold), False),
        ("AutoContrast", lambda sign: F.autocontrast, False),
        ("Equalize", lambda sign: F.equalize, False),
    ]


def rand_augment(images: Tensor, spelling: str, draw: torch.Generator) -> Tensor:
    """`images` (n, 3, size, size) uint8 with `n` operators applied to each, drawn with repetition."""
    number, strength = parse(spelling)
    known = operators(strength, images.shape[-1])
    chosen = torch.randint(len(known), (number, len(images)), generator=draw)
    negative = torch.randint(2, (number, len(images)), generator=draw).bool()
    for which, minus in zip(chosen, negative, strict=True):
        result = images.clone()
        for place, (_, make, signed) in enumerate(known):
            for sign, matching in (
                ((1.0, ~minus), (-1.0, minus)) if signed else ((1.0, torch.ones_like(minus)),)
            ):
                at = torch.nonzero((which == place) & matching).flatten().to(images.device)
                if place and len(at):
                    result[at] = make(sign)(images[at])
        images = result
    return images
