"""Augmentation of images in memory, in batches, on the device where they are.

Each image has its own draw throughout. All geometry is one resampling; RandAugment's operators are
torchvision's, random erasing is timm's. Random numbers are drawn on the host, so the same seed
gives the same images on every device.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.plugins.recipe import Recipe
from bench.training.seeding import Draws, seed_everything


def augment(images: Tensor, recipe: Recipe, draw: Draws) -> Tensor:
    """Return augmented uint8 images (n, 3, size, size), all but normalisation and erasing."""
    cropped = (recipe.crop_scale, recipe.crop_ratio) != ((1.0, 1.0), (1.0, 1.0))
    if cropped or recipe.rotate or recipe.shift or recipe.scale:
        images = resampled(images, recipe, draw)
    if recipe.flip:
        flipped = (draw.uniform() < recipe.flip).to(images.device)
        images = torch.where(flipped[:, None, None, None], images.flip(-1), images)
    if recipe.rand_augment is not None:
        from bench.training.images.rand_augment import rand_augment

        images = rand_augment(images, recipe.rand_augment, draw)
    if recipe.jitter:
        images = jittered(images, recipe.jitter, draw)
    return images


def resampled(images: Tensor, recipe: Recipe, draw: Draws) -> Tensor:
    """Crop, rotate, shift and scale each image (n, 3, size, size); new edges are black."""

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * draw.uniform()

    area = between(*recipe.crop_scale)
    ratio = torch.exp(between(math.log(recipe.crop_ratio[0]), math.log(recipe.crop_ratio[1])))
    wide, high = (area * ratio).sqrt().clamp_max(1.0), (area / ratio).sqrt().clamp_max(1.0)
    x, y = (1 - wide) * between(-1, 1), (1 - high) * between(-1, 1)
    angle, size = between(-1, 1) * math.radians(recipe.rotate), 1 + between(-1, 1) * recipe.scale
    cosine, sine = torch.cos(angle) / size, torch.sin(angle) / size
    # affine_grid measures in half image sides, hence the factor 2. The crop applies to the image
    # that was rotated and shifted.
    right, down = between(-1, 1) * recipe.shift * 2, between(-1, 1) * recipe.shift * 2
    rows = [
        torch.stack([cosine * wide, -sine * high, cosine * x - sine * y + right]),
        torch.stack([sine * wide, cosine * high, sine * x + cosine * y + down]),
    ]
    theta = torch.stack(rows).permute(2, 0, 1).to(images.device)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images.float(), grid, align_corners=False).round().to(torch.uint8)


def jittered(images: Tensor, strength: float, draw: Draws) -> Tensor:
    """Change brightness, contrast and saturation, each by its own factor within 1 +- strength."""
    values = images.float()

    def factor() -> Tensor:
        factors = 1 + strength * (2 * draw.uniform() - 1)
        return factors.to(images.device)[:, None, None, None]

    luma = torch.tensor([0.299, 0.587, 0.114], device=images.device)[None, :, None, None]
    values = (values * factor()).clamp(0, 255)
    mean = (values * luma).sum(dim=1, keepdim=True).mean(dim=(2, 3), keepdim=True)
    values = torch.lerp(mean, values, factor()).clamp(0, 255)
    grey = (values * luma).sum(dim=1, keepdim=True)
    values = torch.lerp(grey, values, factor()).clamp(0, 255)
    return values.round().to(torch.uint8)


def resized(images: Tensor, size: int, interpolation: str = "bicubic") -> Tensor:
    """Return uint8 images (n, 3, side, side) as (n, 3, size, size); unchanged if side is size."""
    if images.shape[-1] == size:
        return images
    values = F.interpolate(
        images.float(), size=(size, size), mode=interpolation, antialias=True, align_corners=False
    )
    return values.round().clamp(0, 255).to(torch.uint8)


def normalised(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Return uint8 images (n, 3, size, size) as float32, normalised by mean and std per channel."""
    shape = (1, -1, 1, 1)
    offset = torch.tensor(mean, device=images.device).reshape(shape) * 255
    factor = torch.tensor(std, device=images.device).reshape(shape) * 255
    # In place: fresh memory costs more than the arithmetic.
    return images.to(torch.float32, copy=True).sub_(offset).div_(factor)


def erased(images: Tensor, recipe: Recipe, *where: object) -> Tensor:
    """Replace random rectangles of normalised images by noise; `where` seeds the draw."""
    if not recipe.erase:
        return images
    from timm.data.random_erasing import RandomErasing

    seed_everything(*where, "erase")
    return RandomErasing(probability=recipe.erase, mode="pixel", device=str(images.device))(images)
