"""What a training is fed: the micro-batches of every step, from memory or from disk, starting at any step.

Order, augmentation and mixing are functions of the seed and the step (see `draw.py`), so a feed has no state to save,
and micro-batch 3 of step 40 holds the same images in one process, in two, and after a restart.
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
from bench.plugins.recipe import Recipe
from bench.training.images.augment import augment, erased, normalised, resized
from bench.training.images.loader import Unread, loaded, refuse_broken
from bench.training.images.splits import Pictures, Splits
from bench.training.processes import Share
from bench.training.seeding import derive, generator, seed_everything

Batch = tuple[Tensor, Tensor]


class Feed(Protocol):
    """The images of a training, step by step."""

    @property
    def steps_per_epoch(self) -> int: ...

    def steps(self, first: int, last: int) -> Iterator[list[Batch]]:
        """From step `first` to before `last`: this process's micro-batches, images (m, 3, size, size) and targets."""
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
    """The feed of a data set's training split; UsageError where it does not fill one batch."""
    if len(splits.train) < recipe.batch_size:
        raise UsageError(
            f"--recipe: {recipe.name} takes {recipe.batch_size} images a step, and the training split has {len(splits.train)}; "
            f"a smaller batch is another recipe, such as {recipe.name}:batch_size=64:micro_batch=64"
        )
    if (recipe.mixup or recipe.cutmix) and share.images % 2:
        raise UsageError(
            f"--recipe: {recipe.name} mixes images in pairs; {share.images} at a time are an odd number"
        )
    common = Common(splits, recipe, seed, share, device)
    if not splits.in_memory:
        return FromDisk(common, image_size, workers)
    if recipe.image_size is not None and recipe.image_size != splits.train.images.shape[-1]:
        raise UsageError(
            f"--recipe: {recipe.name} trains at {recipe.image_size} pixels, and these images have {splits.train.images.shape[-1]}; "
            "choose another recipe"
        )
    return InMemory(common, image_size)


@dataclass
class Common:
    """What both kinds of feed share."""

    splits: Splits
    recipe: Recipe
    seed: int
    share: Share
    device: torch.device
    mixers: Mixup | None = field(init=False)

    def __post_init__(self) -> None:
        recipe = self.recipe
        self.mixers = (
            Mixup(
                mixup_alpha=recipe.mixup,
                cutmix_alpha=recipe.cutmix,
                switch_prob=recipe.mix_switch,
                label_smoothing=recipe.label_smoothing,
                num_classes=self.splits.num_classes,
            )
            if recipe.mixup or recipe.cutmix
            else None
        )

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches; the rest of an epoch's images is left out, and is another rest in every epoch."""
        return len(self.splits.train) // self.recipe.batch_size

    def order(self, epoch: int) -> Tensor:
        """The images of an epoch, in its order."""
        return torch.randperm(
            len(self.splits.train), generator=generator(self.seed, "order", epoch)
        )

    def places(self, first: int, last: int, on: torch.device) -> Iterator[tuple[int, int, Tensor]]:
        """Step, number and images of every micro-batch that this process takes from step `first` to before `last`."""
        order, of_epoch = torch.empty(0), -1
        for step in range(first, last):
            epoch, at = divmod(step, self.steps_per_epoch)
            if epoch != of_epoch:
                order, of_epoch = self.order(epoch).to(on), epoch
            for micro in self.share.micro_batches:
                start = (
                    at * self.recipe.batch_size + micro * self.recipe.micro_batch + self.share.first
                )
                yield step, micro, order[start : start + self.share.images]

    def by_step(self, batches: Iterator[Batch]) -> Iterator[list[Batch]]:
        """One micro-batch after the other, put together to steps."""
        while found := list(islice(batches, len(self.share.micro_batches))):
            yield found

    def ready(self, images: Tensor, labels: Tensor, step: int, micro: int) -> Batch:
        """Normalised, erased and mixed, on the device."""
        where = (self.seed, step, micro, self.share.first)
        images = erased(normalised(images, self.splits.mean, self.splits.std), self.recipe, *where)
        if self.mixers is None:
            return images, labels
        seed_everything(*where, "mix")
        mixed: Batch = self.mixers(images, labels)
        return mixed


class InMemory:
    """Images that stay on the device from the first step on, resized for every step where a model takes another size."""

    def __init__(self, common: Common, image_size: int) -> None:
        self.common, self.image_size = common, image_size
        self.split = common.splits.train.to(common.device)
        self.steps_per_epoch = common.steps_per_epoch

    def steps(self, first: int, last: int) -> Iterator[list[Batch]]:
        return self.common.by_step(self._batches(first, last))

    def unreadable(self) -> list[str]:
        return []

    def _batches(self, first: int, last: int) -> Iterator[Batch]:
        common = self.common
        for step, micro, places in common.places(first, last, common.device):
            draw = generator(common.seed, step, micro, common.share.first, "augment")
            images = augment(
                resized(self.split.images[places], self.image_size), common.recipe, draw
            )
            yield common.ready(images, self.split.labels[places], step, micro)


class Shown(Dataset[tuple[Tensor, int, int]]):
    """Training images from disk, each augmented by the draw of its epoch and place.

    An image that cannot be read is replaced by another one, and its place is told (-1: it could be read).
    """

    def __init__(self, pictures: Pictures, transform: Any, seed: int) -> None:
        self.pictures, self.transform, self.seed = pictures, transform, seed

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, at: tuple[int, int]) -> tuple[Tensor, int, int]:
        epoch, place = at
        broken = -1
        for attempt in range(10):
            index = (
                place
                if not attempt
                else derive(self.seed, "instead", epoch, place, attempt) % len(self)
            )
            try:
                picture = self.pictures.read(index)
            except Exception:
                broken = place if broken < 0 else broken
                continue
            return (
                self._shown(picture, index, epoch, place),
                int(self.pictures.labels[index]),
                broken,
            )
        raise Unread(
            f"{self.pictures.name(place)} cannot be read ({self.pictures.trouble(place)}), and nine other images cannot either"
        )

    def _shown(self, picture: Any, index: int, epoch: int, place: int) -> Tensor:
        """Augmented by the draw of its epoch and place."""
        seed_everything(self.seed, "picture", epoch, place)
        try:
            return torch.as_tensor(self.transform(picture))
        except Exception as error:
            raise Unread(
                f"{self.pictures.name(index)} cannot be augmented ({type(error).__name__}: {one_line(error)})"
            ) from error


@dataclass(frozen=True)
class Lazily:
    """An iterable that is made anew each time: the places of a whole training would fill the memory.

    It stays in the process that trains; DataLoader sends its workers one batch of places after the other.
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
                f"--recipe: {recipe.name} turns and shifts images, which is there for images in memory only; choose another recipe"
            )
        self.transform = host_transform(recipe, image_size)

    def steps(self, first: int, last: int) -> Iterator[list[Batch]]:
        return self.common.by_step(self._batches(first, last))

    def unreadable(self) -> list[str]:
        return list(map(self.common.splits.train.name, sorted(self.broken)))

    def _batches(self, first: int, last: int) -> Iterator[Batch]:
        common = self.common
        batches = loaded(
            Shown(common.splits.train, self.transform, common.seed),
            workers=self.workers,
            device=common.device,
            batch_sampler=Lazily(lambda: self._places(first, last)),
        )
        for (step, micro), (images, labels, broken) in zip(
            product(range(first, last), common.share.micro_batches), batches, strict=True
        ):
            self._note(broken)
            images, labels = (
                images.to(common.device, non_blocking=True),
                labels.to(common.device, non_blocking=True),
            )
            yield common.ready(images, labels, step, micro)

    def _places(self, first: int, last: int) -> Iterator[list[tuple[int, int]]]:
        """What the workers read: epoch and place of every image."""
        for step, _, places in self.common.places(first, last, torch.device("cpu")):
            yield [(step // self.steps_per_epoch, place) for place in places.tolist()]

    def _note(self, broken: Tensor) -> None:
        self.broken |= set(broken[broken >= 0].tolist())
        refuse_broken(sorted(self.broken), self.common.splits.train)


def host_transform(recipe: Recipe, size: int) -> Any:
    """A PIL image to a uint8 array (3, size, size): timm's training transform up to, and without, normalisation."""
    transform = create_transform(
        size,
        is_training=True,
        use_prefetcher=True,  # ends in a uint8 array; normalising and erasing follow on the device
        scale=recipe.crop_scale,
        ratio=recipe.crop_ratio,
        hflip=recipe.flip,
        color_jitter=recipe.jitter or None,
        auto_augment=None
        if recipe.rand_augment is None or recipe.rand_augment.startswith("ra-")
        else recipe.rand_augment,
        interpolation=recipe.interpolation,
    )
    for step in transform.transforms:
        for operator in getattr(step, "ops", ()):
            if operator.name.startswith("Posterize"):
                operator.aug_fn = posterized
    if recipe.rand_augment is not None and recipe.rand_augment.startswith("ra-"):
        from torchvision.transforms import RandAugment

        from bench.training.images.rand_augment import parse

        number, strength = parse(recipe.rand_augment)
        # Before the last step, which makes an array of the image.
        transform.transforms.insert(len(transform.transforms) - 1, RandAugment(number, strength))
    return transform


def posterized(image: Any, bits: int, **_: object) -> Any:
    """timm's operator down to no bits at all, a black image: its strongest draws ask for that, and newer Pillow refuses."""
    from PIL import Image, ImageOps

    if bits >= 8:
        return image
    return ImageOps.posterize(image, bits) if bits >= 1 else Image.new(image.mode, image.size)
