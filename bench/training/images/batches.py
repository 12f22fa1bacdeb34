"""The batches of a training run: the micro-batches of every step, from memory or from disk.

Order, augmentation and mixing are functions of the seed and the step (see `seeding.py`), so a feed
has no state to save and can start at any step: micro-batch 3 of step 40 contains the same images in
one process, in two, and after a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice, product
from typing import Any, Protocol

import torch
from timm.data import Mixup, create_transform
from torch import Tensor
from torch.utils.data import Dataset

from bench.errors import UsageError, one_line
from bench.files.foreign_errors import raise_if_of_the_system
from bench.plugins.recipe import Recipe
from bench.training.images.augment import augment, erased, normalised, resized
from bench.training.images.loader import UnreadableImage, loaded, refuse_broken
from bench.training.images.rand_augment import parse
from bench.training.images.splits import Pictures, Splits
from bench.training.processes import Share
from bench.training.seeding import Draws, derive, generator, seed_everything

Batch = tuple[Tensor, Tensor]
MOST_TOGETHER, MOST_PIXELS = 16, 16 << 20
"""Micro-batches that a GPU augments together, and the pixels that these have at most."""
ATTEMPTS = 10
"""Images that are tried for one place of an epoch before a training run gives up."""


class Feed(Protocol):
    """The images of a training run, step by step."""

    @property
    def steps_per_epoch(self) -> int: ...

    def steps(self, first: int, last: int) -> Iterator[list[Batch]]:
        """Yield this process's micro-batches of each step from `first` to before `last`.

        A micro-batch is normalised images (m, 3, size, size), and labels (m,) or mixed targets (m,
        classes), on the device.
        """
        ...

    def unreadable(self) -> list[str]:
        """Return the names of the images that could not be read so far."""
        ...


def feed_of(
    splits: Splits,
    recipe: Recipe,
    *,
    seed: int,
    share: Share,
    device: torch.device,
    image_size: int,
    workers: int,
) -> Feed:
    """Return the feed of a data set's training split; UsageError if the recipe does not fit it."""
    if len(splits.train) < recipe.batch_size:
        raise UsageError(
            f"--recipe: {recipe.name} takes {recipe.batch_size} images per step, and the training "
            f"split has {len(splits.train)}; use a smaller batch, such as by adding "
            ":batch_size=64:micro_batch=64 to the name"
        )
    if (recipe.mixup or recipe.cutmix) and share.images % 2:
        raise UsageError(
            f"--recipe: {recipe.name} mixes images in pairs, so it needs an even micro_batch, got "
            f"{share.images}"
        )
    common = Common(splits, recipe, seed, share, device)
    if not splits.in_memory:
        return FromDisk(common, image_size, workers)
    if recipe.image_size is not None and recipe.image_size != splits.train.images.shape[-1]:
        raise UsageError(
            f"--recipe: {recipe.name} trains at {recipe.image_size} pixels, and these images have "
            f"{splits.train.images.shape[-1]}; choose another recipe"
        )
    return InMemory(common, image_size)


@dataclass
class Common:
    """The parts that both kinds of feed have in common."""

    splits: Splits
    recipe: Recipe
    seed: int
    share: Share
    device: torch.device
    mixup: Mixup | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        recipe = self.recipe
        if recipe.mixup or recipe.cutmix:
            self.mixup = Mixup(
                mixup_alpha=recipe.mixup,
                cutmix_alpha=recipe.cutmix,
                switch_prob=recipe.mix_switch,
                label_smoothing=recipe.label_smoothing,
                num_classes=self.splits.num_classes,
            )

    @property
    def steps_per_epoch(self) -> int:
        """Number of whole batches; each epoch leaves out a different remainder of the images."""
        return len(self.splits.train) // self.recipe.batch_size

    def order(self, epoch: int) -> Tensor:
        """Return the places of an epoch's images (n,) int64, in its order."""
        return torch.randperm(
            len(self.splits.train), generator=generator(self.seed, "order", epoch)
        )

    def places(self, first: int, last: int, on: torch.device) -> Iterator[tuple[int, int, Tensor]]:
        """Yield step, number and images (m,) of each micro-batch from step `first` to `last`."""
        order, of_epoch = torch.empty(0), -1
        for step in range(first, last):
            epoch, at = divmod(step, self.steps_per_epoch)
            if epoch != of_epoch:
                order, of_epoch = self.order(epoch).to(on), epoch
            for micro in self.share.micro_batches:
                before = at * self.recipe.batch_size + micro * self.recipe.micro_batch
                start = before + self.share.first
                yield step, micro, order[start : start + self.share.images]

    def by_step(self, batches: Iterator[Batch]) -> Iterator[list[Batch]]:
        """Group a sequence of micro-batches by step."""
        while step := list(islice(batches, len(self.share.micro_batches))):
            yield step

    def ready(self, images: Tensor, labels: Tensor, step: int, micro: int) -> Batch:
        """Return a micro-batch normalised, erased and mixed, on the device."""
        where = (self.seed, step, micro, self.share.first)
        images = erased(normalised(images, self.splits.mean, self.splits.std), self.recipe, *where)
        if self.mixup is None:
            return images, labels
        seed_everything(*where, "mix")
        mixed: Batch = self.mixup(images, labels)
        return mixed


class InMemory:
    """Images that stay on the device, resized at every step if the model takes another size.

    On a GPU several micro-batches are augmented together, with the same result: RandAugment takes
    dozens of calls, whatever the number of images, and starting them takes longer than a step.
    """

    def __init__(self, common: Common, image_size: int) -> None:
        self.common, self.image_size = common, image_size
        self.split = common.splits.train.to(common.device)
        self.steps_per_epoch = common.steps_per_epoch
        self.together = 1
        if common.device.type != "cpu":
            pixels = common.share.images * image_size**2
            self.together = max(1, min(MOST_TOGETHER, MOST_PIXELS // pixels))

    def steps(self, first: int, last: int) -> Iterator[list[Batch]]:
        return self.common.by_step(self._batches(first, last))

    def unreadable(self) -> list[str]:
        return []

    def _batches(self, first: int, last: int) -> Iterator[Batch]:
        common = self.common
        places = common.places(first, last, common.device)
        while together := list(islice(places, self.together)):
            everything = torch.cat([of_batch for _, _, of_batch in together])
            images = augment(
                resized(self.split.images[everything], self.image_size),
                common.recipe,
                self._draws([(step, micro) for step, micro, _ in together]),
            )
            parts = images.split(common.share.images)
            for (step, micro, of_batch), part in zip(together, parts, strict=True):
                yield common.ready(part, self.split.labels[of_batch], step, micro)

    def _draws(self, batches: list[tuple[int, int]]) -> Draws:
        """Return the random numbers for micro-batches, each by its step and number."""
        seed, share = self.common.seed, self.common.share
        each = [generator(seed, *batch, share.first, "augment") for batch in batches]
        return Draws(tuple(each), share.images)


class TrainingImages(Dataset[tuple[Tensor, int, int]]):
    """Training images from disk, augmented, by epoch and place: (image, label, broken).

    An unreadable image is replaced by another, and `broken` is its place; otherwise it is -1.
    """

    def __init__(self, pictures: Pictures, transform: Any, seed: int) -> None:
        self.pictures, self.transform, self.seed = pictures, transform, seed

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, at: tuple[int, int]) -> tuple[Tensor, int, int]:
        epoch, place = at
        for attempt in range(ATTEMPTS):
            index = self._index(epoch, place, attempt)
            try:
                picture = self.pictures.read(index)
            except Exception as error:
                raise_if_of_the_system(error)
                continue
            image = self._augmented(picture, index, epoch, place)
            return image, int(self.pictures.labels[index]), place if attempt else -1
        name, trouble = self.pictures.name(place), self.pictures.trouble(place)
        raise UnreadableImage(
            f"{name} cannot be read ({trouble}), nor can {ATTEMPTS - 1} other images"
        )

    def _index(self, epoch: int, place: int, attempt: int) -> int:
        """Return the image for a place: its own, or at further attempts another drawn for it."""
        if not attempt:
            return place
        return derive(self.seed, "instead", epoch, place, attempt) % len(self)

    def _augmented(self, picture: Any, index: int, epoch: int, place: int) -> Tensor:
        seed_everything(self.seed, "picture", epoch, place)
        try:
            return torch.as_tensor(self.transform(picture))
        except Exception as error:
            reason = f"{type(error).__name__}: {one_line(error)}"
            raise UnreadableImage(
                f"{self.pictures.name(index)} cannot be augmented ({reason})"
            ) from error


@dataclass(frozen=True)
class Lazily:
    """An iterable that calls `make` for each pass: a list of all places would fill the memory.

    It stays in the training process; DataLoader sends its workers one batch of places at a time.
    """

    make: Callable[[], Iterator[Any]]

    def __iter__(self) -> Iterator[Any]:
        return self.make()


class FromDisk:
    """Images read, decoded and augmented by worker processes, with timm's transforms."""

    def __init__(self, common: Common, image_size: int, workers: int) -> None:
        self.common, self.workers = common, workers
        self.steps_per_epoch = common.steps_per_epoch
        self.broken: set[int] = set()
        recipe = common.recipe
        if recipe.rotate or recipe.shift or recipe.scale:
            raise UsageError(
                f"--recipe: {recipe.name} rotates, shifts or scales images, which works only on "
                "images in memory; choose another recipe"
            )
        self.transform = host_transform(recipe, image_size)

    def steps(self, first: int, last: int) -> Iterator[list[Batch]]:
        return self.common.by_step(self._batches(first, last))

    def unreadable(self) -> list[str]:
        return list(map(self.common.splits.train.name, sorted(self.broken)))

    def _batches(self, first: int, last: int) -> Iterator[Batch]:
        common = self.common
        batches = loaded(
            TrainingImages(common.splits.train, self.transform, common.seed),
            workers=self.workers,
            device=common.device,
            batch_sampler=Lazily(lambda: self._places(first, last)),
        )
        places = product(range(first, last), common.share.micro_batches)
        for (step, micro), (images, labels, broken) in zip(places, batches, strict=True):
            self._note(broken)
            images = images.to(common.device, non_blocking=True)
            labels = labels.to(common.device, non_blocking=True)
            yield common.ready(images, labels, step, micro)

    def _places(self, first: int, last: int) -> Iterator[list[tuple[int, int]]]:
        """Yield epoch and place of the images of each micro-batch, for the workers to read."""
        for step, _, places in self.common.places(first, last, torch.device("cpu")):
            yield [(step // self.steps_per_epoch, place) for place in places.tolist()]

    def _note(self, broken: Tensor) -> None:
        self.broken |= set(broken[broken >= 0].tolist())
        refuse_broken(sorted(self.broken), self.common.splits.train)


def host_transform(recipe: Recipe, size: int) -> Any:
    """Return timm's training transform without normalisation.

    It maps a PIL image to a uint8 array (3, size, size).
    """
    of_torchvision = recipe.rand_augment is not None and recipe.rand_augment.startswith("ra-")
    transform = create_transform(
        size,
        is_training=True,
        use_prefetcher=True,  # ends in a uint8 array; normalising and erasing follow on the device
        scale=recipe.crop_scale,
        ratio=recipe.crop_ratio,
        hflip=recipe.flip,
        color_jitter=recipe.jitter or None,
        auto_augment=None if of_torchvision else recipe.rand_augment,
        interpolation=recipe.interpolation,
    )
    for step in transform.transforms:
        for operator in getattr(step, "ops", ()):
            if operator.name.startswith("Posterize"):
                operator.aug_fn = posterized
    if of_torchvision:
        from torchvision.transforms import RandAugment

        number, strength = parse(str(recipe.rand_augment))
        # Before the last step, which makes an array of the image.
        transform.transforms.insert(len(transform.transforms) - 1, RandAugment(number, strength))
    return transform


def posterized(image: Any, bits: int, **_: object) -> Any:
    """Posterize as timm does, but down to 0 bits (black), which newer Pillow refuses."""
    from PIL import Image, ImageOps

    if bits >= 8:
        return image
    return ImageOps.posterize(image, bits) if bits >= 1 else Image.new(image.mode, image.size)
