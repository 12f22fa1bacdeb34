"""Evaluate a model on a split: is each image right, by the best class and by the best five.

Images on disk go through timm's evaluation transform, in the folder's order; images in memory are
shown as they are. An image that cannot be read is named and not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from bench.count.outputs import logits_of
from bench.devices import kind_of
from bench.errors import Diverged, one_line
from bench.files.foreign_errors import raise_if_of_the_system
from bench.plugins.recipe import Recipe
from bench.training.images.loader import UnreadableImage, loaded, refuse_broken
from bench.training.images.showing import View
from bench.training.images.splits import Part, Pictures, Split, Splits
from bench.training.processes import ALONE, World

WORTH = 64
"""Images that a reading process must read to be worth its start: a training run evaluates a
validation split twenty times, and that may be small."""


@dataclass
class Result:
    """Which images of a split are right, in the order of the split.

    `first` (n,) bool is True if the right class has the largest logit, `among_five` (n,) bool if it
    is among the five largest. `places` (n,) int64 has the images' places in the split; None means
    that these are all of its images.
    """

    first: Tensor
    among_five: Tensor
    places: Tensor | None = None
    broken: list[str] = field(default_factory=list)
    """Names of images that could not be read; the tensors leave them out."""

    @property
    def top1(self) -> float:
        """Share of the images whose best class is right."""
        return float(self.first.float().mean())


def view_of(recipe: Recipe, splits: Splits, size: int) -> View:
    """Return the view at which a recipe evaluates, for images of `size` pixels."""
    return View(
        size=size,
        crop=recipe.eval_crop,
        interpolation=recipe.eval_interpolation,
        mean=splits.mean,
        std=splits.std,
    )


class EvaluationImages(Dataset[tuple[Tensor, int]]):
    """Images with timm's evaluation transform; the second value is 1 if an image is unreadable."""

    def __init__(self, pictures: Pictures, view: View) -> None:
        self.pictures = pictures
        self.transform, self.size = view.transform, view.size

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, at: int) -> tuple[Tensor, int]:
        try:
            picture = self.pictures.read(at)
        except Exception as error:
            raise_if_of_the_system(error)
            return torch.zeros(3, self.size, self.size), 1
        try:
            return self.transform(picture), 0
        except Exception as error:
            reason = f"{type(error).__name__}: {one_line(error)}"
            raise UnreadableImage(
                f"{self.pictures.name(at)} cannot be resized ({reason})"
            ) from error


@torch.inference_mode()
def evaluate(
    model: Callable[[Tensor], Any],
    part: Part,
    view: View,
    *,
    device: torch.device,
    workers: int,
    world: World = ALONE,
    within: Callable[[], AbstractContextManager[None]] = nullcontext,
    right: Callable[[Tensor, Tensor], Tensor] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Result:
    """Evaluate each image of a split once, whatever the number of processes.

    Args:
        model: Maps images (m, 3, size, size) to logits (m, classes).
        part: The split.
        view: How its images are shown.
        device: Where the model is.
        workers: Processes that read images from disk.
        world: This process evaluates every n-th image; every process returns the whole result.
        within: Opens the context of a forward pass, such as autocast.
        right: Of the best five classes (m, 5) and the images' places (m,), which are right (m, 5).
            None compares them with the split's labels.
        progress: Receives the number of this process's images that are done, and of all of them.

    Raises UsageError if too many images cannot be read, and Diverged if any logit is NaN or
    infinite, since a top-1 would mean nothing.
    """
    if isinstance(model, nn.Module):
        model.eval()
    places = torch.arange(world.rank, len(part), world.size)
    mine = part.subset(places) if world.size > 1 else part
    tally = Tally(part, right)
    for images, unreadable in batches(mine, view, device, workers):
        with within():
            logits = logits_of(model(images.to(device, non_blocking=True)), len(images)).float()
        done = tally.done + len(images)
        tally.add(logits, unreadable, places[tally.done : done])
        progress(done, len(mine))
    return tally.result(world)


def batches(
    part: Part, view: View, device: torch.device, workers: int
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield images (m, 3, size, size) with 1 per unreadable one (m,), or None if all are fine."""
    if isinstance(part, Split):
        for images in view.batches(part.to(device).images):
            yield images, None
        return
    assert isinstance(part, Pictures)
    yield from loaded(
        EvaluationImages(part, view),
        workers=min(workers, len(part) // WORTH),
        device=device,
        batch_size=kind_of(device.type).evaluation_batch_size,
    )


class Tally:
    """What this process found about its images of a split, batch by batch."""

    def __init__(self, part: Part, right: Callable[[Tensor, Tensor], Tensor] | None) -> None:
        self.part, self.right = part, right
        self.done = 0
        self._places: list[Tensor] = []
        self._hits: list[Tensor] = []
        self._unreadable: list[Tensor] = []
        self._infinite: list[Tensor] = []

    def add(self, logits: Tensor, unreadable: Tensor | None, places: Tensor) -> None:
        """Add the logits (m, classes) of the images at `places` (m,) of the split."""
        # topk fails for more classes than there are, so fewer than five classes are all taken.
        best = logits.topk(min(5, logits.shape[1]), dim=1).indices.cpu()
        if self.right is None:
            hits = best == self.part.labels[places][:, None].cpu()
        else:
            hits = self.right(best, places)
        self._places.append(places)
        self._hits.append(hits)
        self._unreadable.append(torch.zeros(len(best)) if unreadable is None else unreadable)
        self._infinite.append(~torch.isfinite(logits).all(dim=1).cpu())
        self.done += len(best)

    def result(self, world: World) -> Result:
        """Put together the images of all processes; raises as `evaluate` does."""
        mine = (self._places, self._hits, self._unreadable, self._infinite)
        gathered = zip(*world.gather(tuple(map(torch.cat, mine))), strict=True)
        places, hits, unreadable, infinite = map(torch.cat, gathered)
        # Checked after gathering: a process that failed before would leave the others waiting.
        if bad := int(infinite.sum()):
            raise Diverged(
                f"the model's outputs are NaN or infinite for {bad} of {len(self.part)} images, "
                "so a top-1 would mean nothing"
            )
        order = places.argsort()
        hits, sound = hits[order], ~unreadable.bool()[order]
        right = hits[sound]
        sound_places = sound.nonzero().flatten()
        return Result(right[:, 0].clone(), right.any(dim=1), sound_places, self._names(~sound))

    def _names(self, unreadable: Tensor) -> list[str]:
        """Return the names of unreadable images; UsageError if there are too many."""
        if not isinstance(self.part, Pictures):
            return []
        places = unreadable.nonzero().flatten().tolist()
        refuse_broken(places, self.part)
        return list(map(self.part.name, places))


CROPS = (0.875, 0.9, 0.95, 1.0)
NEIGHBOURS = (28, 32)
"""Steps in pixels to neighbouring sizes: multiples of the usual patches of 7 and 14, or 16."""


def neighbours(model: Callable[[Tensor], Any], view: View, device: torch.device) -> list[View]:
    """Return the view at other crops, and at the next smaller and larger size the model takes."""
    views = [replace(view, crop=crop) for crop in CROPS if crop != view.crop]
    for sign in (-1, 1):
        for step in NEIGHBOURS:
            size = view.size + sign * step
            if size > 0 and _takes(model, size, device):
                views.append(replace(view, size=size))
                break
    return views


@torch.inference_mode()
def _takes(model: Callable[[Tensor], Any], size: int, device: torch.device) -> bool:
    """True if a model runs at another image size; transformers with fixed positions do not."""
    try:
        model(torch.zeros(1, 3, size, size, device=device))
    except (RuntimeError, AssertionError, ValueError):
        return False
    return True
