"""Augmentation in memory, image by image: torchvision's operators, geometry, reproducible draws."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.autoaugment import RandAugment, _apply_op

from bench.plugins import datasets
from bench.plugins.recipe import recipes
from bench.training.images.augment import augment, erased, jittered, normalised, resampled
from bench.training.images.rand_augment import operators, parse, rand_augment
from bench.training.seeding import Draws, generator

IMAGES = torch.randint(
    256, (24, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)
DIGITS = recipes.get("digits")
STILL = replace(DIGITS, rotate=0.0, shift=0.0, scale=0.0)


def draw(images: torch.Tensor, *where: object) -> Draws:
    return Draws((generator(*where),), len(images))


@pytest.mark.parametrize("strength", [0, 5, 12, 30])
def test_every_operator_is_torchvisions(strength: int) -> None:
    """Strength by strength, against the operator that torchvision's own RandAugment would apply."""
    space = RandAugment(2, strength)._augmentation_space(31, (32, 32))
    assert [name for name, _, _ in operators(strength, 32)] == list(space)
    for name, make, signed in operators(strength, 32):
        magnitudes, theirs_signed = space[name]
        assert signed == theirs_signed
        value = float(magnitudes[strength]) if magnitudes.ndim else 0.0
        for sign in (1.0, -1.0) if signed else (1.0,):
            expected = _apply_op(IMAGES, name, sign * value, InterpolationMode.NEAREST, None)
            found = make(sign)(IMAGES)
            assert (found.int() - expected.int()).abs().max() <= 1, name


def test_images_draw_for_themselves_and_batches_change_nothing() -> None:
    together = rand_augment(IMAGES, "ra-n2-m12", draw(IMAGES, 0, "x"))
    assert torch.equal(together, rand_augment(IMAGES, "ra-n2-m12", draw(IMAGES, 0, "x")))
    assert not torch.equal(together, rand_augment(IMAGES, "ra-n2-m12", draw(IMAGES, 1, "x")))
    same = IMAGES[:1].expand(24, -1, -1, -1)
    assert (
        len(
            {
                image.numpy().tobytes()
                for image in rand_augment(same, "ra-n2-m12", draw(same, 0, "x"))
            }
        )
        > 12
    )


def test_every_operator_is_drawn_equally_often() -> None:
    black = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    images = (black + 40).repeat(6000, 1, 1, 1)
    images[:, :, 2:4, 2:6] = 200
    found = rand_augment(images, "ra-n1-m15", draw(images, 3, "x"))
    changed_share = float((found != images).flatten(1).any(dim=1).float().mean())
    # Of the fourteen operators, identity, saturation of a grey image and others that happen to do
    # nothing to these images leave them unchanged.
    alone = [make(sign)(images[:1]) for _, make, _ in operators(15, 8) for sign in (1.0, -1.0)]
    idle = sum(torch.equal(image, images[:1]) for image in alone) / 2
    assert changed_share == pytest.approx(1 - idle / 14, abs=0.03)


def test_spelling() -> None:
    assert parse("ra-n2-m12") == (2, 12)
    from bench.errors import UsageError

    for wrong in ("rand-m9", "ra-n2-m31", "ra-2-12"):
        with pytest.raises(UsageError, match="ra-n2-m12"):
            parse(wrong)


def test_no_augmentation_leaves_images_alone() -> None:
    assert augment(IMAGES, STILL, draw(IMAGES, 0)) is IMAGES
    digits = datasets.get("digits").open("").train.images[:8]
    moved = augment(digits, DIGITS, draw(digits, 0))
    assert float((moved.float() - digits.float()).abs().mean()) > 2
    assert torch.equal(moved, augment(digits, DIGITS, draw(digits, 0)))


def test_resampling_by_nothing_gives_the_image_back() -> None:
    assert (resampled(IMAGES, STILL, draw(IMAGES, 0)).int() - IMAGES.int()).abs().max() <= 1


def test_a_shift_moves_by_its_share_of_the_image() -> None:
    image = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    image[:, :, 16, 16] = 255
    places = []
    for seed in range(40):
        moved = resampled(image, replace(STILL, shift=0.25), draw(image, seed))[0, 0]
        places.append(divmod(int(moved.argmax()), 32))
    assert all(abs(row - 16) <= 9 and abs(column - 16) <= 9 for row, column in places)
    assert max(abs(row - 16) for row, _ in places) >= 5


def test_a_crop_keeps_its_share_of_the_area() -> None:
    """On a ramp from left to right, a crop with a quarter of the area spans half of the values."""
    ramp = torch.arange(32).mul(8).to(torch.uint8).expand(1, 3, 32, 32)
    recipe = replace(STILL, crop_scale=(0.25, 0.25))
    for seed in range(10):
        row = resampled(ramp, recipe, draw(ramp, seed))[0, 0, 16].float()
        assert float(row.max() - row.min()) == pytest.approx(124, abs=12)
        assert bool((row.diff() >= 0).all())


def test_half_of_the_images_are_flipped() -> None:
    images = IMAGES[:1].repeat(400, 1, 1, 1)
    found = augment(images, replace(STILL, flip=0.5), draw(images, 0))
    flipped = (found == images.flip(-1)).flatten(1).all(dim=1)
    kept = (found == images).flatten(1).all(dim=1)
    assert bool((flipped ^ kept).all())
    assert 150 < int(flipped.sum()) < 250


def test_jitter_stays_within_its_strength_and_moves_every_image_by_its_own() -> None:
    grey = torch.full((50, 3, 8, 8), 100, dtype=torch.uint8)
    levels = jittered(grey, 0.2, draw(grey, 0))[:, 0, 0, 0].float()
    assert 79 <= float(levels.min()) < 90
    assert 110 < float(levels.max()) <= 121


def test_erasing_and_normalising() -> None:
    values = normalised(IMAGES, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
    torch.testing.assert_close(
        values[:, 1], (IMAGES[:, 1].float() / 255 - 0.4) / 0.2, atol=1e-5, rtol=1e-5
    )
    always = replace(STILL, erase=1.0)
    found = erased(values.clone(), always, 0, 3)
    assert bool((found != values).flatten(1).any(dim=1).all())
    assert torch.equal(found, erased(values.clone(), always, 0, 3))


def test_seeding_a_place_is_what_torch_would_seed() -> None:
    """Without its walk through the stack: the draws are the same."""
    import random

    import numpy as np

    from bench.training.seeding import derive, seed_everything

    seed_everything(3, "here", 4)
    found = (torch.rand(4).tolist(), np.random.rand(), random.random())
    torch.manual_seed(derive(3, "here", 4))
    np.random.seed(derive(3, "here", 4) % 2**32)
    random.seed(derive(3, "here", 4))
    assert found == (torch.rand(4).tolist(), np.random.rand(), random.random())
    seed_everything(3, "here", 5)
    assert found[0] != torch.rand(4).tolist()


def test_micro_batches_augmented_together_or_alone_are_the_same() -> None:
    """A GPU augments several at once; a killed training run goes on in the middle of these."""
    recipe = replace(DIGITS, flip=0.5, rand_augment="ra-n2-m12", jitter=0.2)
    parts = IMAGES.split(8)
    alone = [augment(part, recipe, draw(part, at)) for at, part in enumerate(parts)]
    together = augment(IMAGES, recipe, Draws(tuple(map(generator, range(3))), 8))
    assert torch.equal(torch.cat(alone), together)
