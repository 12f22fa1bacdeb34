"""Evaluate a model on a split: which images are right, first and among the first five, each image once.

Images on disk go through timm's own evaluation transform, in the folder's order; images in memory are shown as they
are. An image that cannot be read is named and counted out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from timm.data import create_transform
from torch import Tensor, nn
from torch.utils.data import Dataset

from bench.count.outputs import logits_of
from bench.errors import Diverged, UsageError, one_line
from bench.plugins.recipe import Recipe
from bench.training.images.augment import normalised, resized
from bench.training.images.loader import Unread, loaded, refuse_broken
from bench.training.images.splits import Part, Pictures, Split, Splits
from bench.training.processes import ALONE, World

BATCH = {"cpu": 16, "cuda": 128, "mps": 64}
"""Images at a time. A CPU gains nothing from more, and waits longer for the first ones."""
WORTH = 64
"""Images that a process has to read for its start to pay: a training looks at a small select split twenty times."""


IN_MEMORY = ("bicubic", "bilinear")
"""Interpolations that images held in memory can be resized by."""


@dataclass(frozen=True, kw_only=True)
class View:
    """How an image is shown to a model: resized so that the crop of `size` is a share `crop` of its side."""

    size: int
    crop: float
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_mode: str = "center"

    @property
    def text(self) -> str:
        """For records and tables."""
        mode = "" if self.crop_mode == "center" else f" {self.crop_mode}"
        return f"crop {self.crop:g}{mode}, {self.interpolation}, {self.size} px"


@dataclass
class Result:
    """Per image of a split, in its order, whether the right class came first, and among the first five (n,).

    `places` says which images of the split these are, where it is not all of them.
    """

    first: Tensor
    among_five: Tensor
    places: Tensor | None = None
    broken: list[str] = field(default_factory=list)
    """Names of images that could not be read; they are in neither."""

    @property
    def top1(self) -> float:
        """The share that is right."""
        return float(self.first.float().mean())


def view_of(recipe: Recipe, splits: Splits, size: int) -> View:
    """The recipe's own way of showing images."""
    return View(
        size=size,
        crop=recipe.eval_crop,
        interpolation=recipe.eval_interpolation,
        mean=splits.mean,
        std=splits.std,
    )


class Once(Dataset[tuple[Tensor, int]]):
    """Images through a transform; the second value is 1 where an image could not be read."""

    def __init__(self, pictures: Pictures, view: View) -> None:
        self.pictures = pictures
        settings: dict[str, Any] = asdict(view)
        size, crop = settings.pop("size"), settings.pop("crop")
        self.transform = create_transform(size, is_training=False, crop_pct=crop, **settings)
        self.size = size

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, at: int) -> tuple[Tensor, int]:
        try:
            picture = self.pictures.read(at)
        except Exception:
            return torch.zeros(3, self.size, self.size), 1
        try:
            return self.transform(picture), 0
        except Exception as error:
            raise Unread(
                f"{self.pictures.name(at)} cannot be resized ({type(error).__name__}: {one_line(error)})"
            ) from error


def shown(split: Split, view: View) -> Iterator[Tensor]:
    """Images from memory as a model takes them, in batches: of 256 at 32 pixels, larger ones in smaller batches."""
    scaled = round(view.size / view.crop)
    if split.images.shape[-1] != scaled and view.interpolation not in IN_MEMORY:
        raise UsageError(
            f"--interpolation: images held in memory are resized {' or '.join(IN_MEMORY)}, not {view.interpolation}"
        )
    for images in split.images.split(min(256, max(16, 256 * 32**2 // view.size**2))):
        values = resized(images, scaled, view.interpolation)
        edge = (scaled - view.size) // 2
        yield normalised(
            values[..., edge : edge + view.size, edge : edge + view.size], view.mean, view.std
        )


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
    """Every image of `part` once, whatever the number of processes: each takes every n-th, and they are put together.

    `within` is what a forward pass runs in, such as autocast. `right(best, places)` says which of the five best classes
    (n, 5) are right for the images at `places`; the labels are asked unless it is given. Raises UsageError where too
    many images cannot be read, Diverged where the model gives what is no number: a share of that means nothing.
    """
    if isinstance(model, nn.Module):
        model.eval()
    places = torch.arange(world.rank, len(part), world.size)
    mine = part.subset(places) if world.size > 1 else part
    batches: Any
    if isinstance(mine, Split):
        batches = ((images, None) for images in shown(mine.to(device), view))
    else:
        assert isinstance(mine, Pictures)
        batches = loaded(
            Once(mine, view),
            workers=min(workers, len(mine) // WORTH),
            device=device,
            batch_size=BATCH[device.type],
        )
    hits: list[Tensor] = []
    lost: list[Tensor] = []
    infinite: list[Tensor] = []
    done = 0
    for images, unreadable in batches:
        with within():
            logits = logits_of(model(images.to(device, non_blocking=True)), len(images)).float()
        infinite.append(~torch.isfinite(logits).all(dim=1).cpu())
        # Fewer than five classes: all of them.
        best = logits.topk(min(5, logits.shape[1]), dim=1).indices.cpu()
        at = places[done : done + len(best)]
        hits.append(best == part.labels[at][:, None].cpu() if right is None else right(best, at))
        lost.append(torch.zeros(len(best)) if unreadable is None else unreadable)
        done += len(best)
        progress(done, len(mine))
    found = world.gather((places, torch.cat(hits), torch.cat(lost).bool(), torch.cat(infinite)))
    if bad := sum(
        int(one[3].sum()) for one in found
    ):  # after gathering: all processes have to come to it
        raise Diverged(
            f"the model's outputs for {bad} of {len(part)} images are no finite numbers; a top-1 of them means nothing"
        )
    order = torch.cat([one[0] for one in found]).argsort()
    correct, broken = (
        torch.cat([one[1] for one in found])[order],
        torch.cat([one[2] for one in found])[order],
    )
    names: list[str] = []
    if isinstance(part, Pictures):
        unread = broken.nonzero().flatten().tolist()
        refuse_broken(unread, part)
        names = [part.name(place) for place in unread]
    kept = correct[~broken]
    return Result(kept[:, 0].clone(), kept.any(dim=1), (~broken).nonzero().flatten(), names)


CROPS = (0.875, 0.9, 0.95, 1.0)
NEIGHBOURS = (28, 32)
"""Steps in pixels to the neighbouring sizes: a multiple of the usual patches of 7 and 14, or of 16."""


def neighbours(model: nn.Module, view: View, device: torch.device) -> list[View]:
    """The same view at other crops, and at the sizes below and above where the model takes any."""
    views = [replace(view, crop=crop) for crop in CROPS if crop != view.crop]
    for sign in (-1, 1):
        for step in NEIGHBOURS:
            size = view.size + sign * step
            if size > 0 and _takes(model, size, device):
                views.append(replace(view, size=size))
                break
    return views


@torch.inference_mode()
def _takes(model: nn.Module, size: int, device: torch.device) -> bool:
    """Whether a model runs at another image size; transformers with fixed positions do not."""
    try:
        model(torch.zeros(1, 3, size, size, device=device))
    except (RuntimeError, AssertionError, ValueError):
        return False
    return True
