"""Agreement of a timed execution with float32 eager execution of the same weights.

A policy that computes something else would be timed all the same, so every timed process shows that
its own call, with its policy, layout and batch size, returns the right logits. The reference comes
from a process of its own, once per model and run. An execution whose error exceeds the tolerance of
its precision ends as `wrong` and has no place among speeds.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from bench.count.tensor_checksum import checksum
from bench.errors import WrongOutput
from bench.plugins import policies, split_policy
from bench.record import checking
from bench.record.schema import Scalar

TOLERANCE = 5e-4
"""The largest error of float32, and of policies that do not say otherwise.

Honest float32 executions have errors of 1e-6 to 1e-5; half precision has at least 7e-4.
"""
FEWEST = 8
"""Images for executions too slow to be checked on all of them."""
FLAT = 0.02
"""A model whose logits differ between images by less than this share of their size cannot be
checked: rounding alone would be as large. With timed weights, families of this project have 0.25 to
0.9 on the drawn images, against 0.15 to 0.6 on white noise."""
STEADY, LOOSEST = 0.05, 0.6
"""Families of this project change by less than `STEADY` when their weights are rounded to 7 bits of
mantissa. Of a network that changes by more, every precision has larger errors: its tolerances grow
in proportion, and above `LOOSEST` there is no telling right from wrong."""
PART = 8
"""Images per call of the reference, so that it fits where the timed batch may not."""


@dataclass(frozen=True)
class Agreement:
    """How far logits are from the reference's, over a number of images.

    `error` is the largest distance of an image's logits, relative to how much the reference's
    logits differ between images: the root mean square distance from their mean. So 0 is equal, and
    logits that have nothing to do with the image have an error of 1 or more. `cosine` is the
    smallest between logits less that mean, and `top1` the share of images with the same largest
    logit.
    """

    images: int
    error: float
    cosine: float
    top1: float


@dataclass(frozen=True)
class Reference:
    """Images (n or more, 3, size, size) in float16, and the logits (n, classes) of the first n.

    `weights` is a checksum of the weights, `noise` the error between two evaluations of the same
    images, `rounding` the error of weights that are rounded to 7 bits of mantissa, and `source`
    says where the images come from.
    """

    images: Tensor
    logits: Tensor
    weights: str
    noise: float
    source: str
    rounding: float = 0.0

    def save(self, path: str) -> None:
        """Write it to a file. The images go into one next to it, for all models of that size."""
        images = _images_beside(path, self.images.shape[-1])
        if not images.exists():
            _save(self.images, images)
        _save({**vars(self), "images": self.images.shape[-1]}, Path(path))

    @property
    def unfit(self) -> str | None:
        """The reason why no execution can be compared with it; None if there is none."""
        size = self.logits.double().norm(dim=1).square().mean().sqrt()
        if not _spread(self.logits.double()) > FLAT * size:
            return "the model's logits hardly depend on the image"
        if self.noise > TOLERANCE:
            return f"two evaluations of the model in float32 differ by {self.noise:.2g}"
        return None

    def tolerance(self, policy: str) -> float:
        """Return the largest error with which a policy computes this model."""
        return tolerance(policy) * max(1.0, self.rounding / STEADY)

    @classmethod
    def load(cls, path: str) -> Reference | None:
        """Return the reference at `path`; None if none could be made. Images are read when used."""
        if not Path(path).exists():
            return None
        fields = torch.load(path, weights_only=True)
        images = torch.load(
            _images_beside(path, fields.pop("images")), mmap=True, weights_only=True
        )
        return cls(images=images[: len(fields["logits"])], **fields)


def _images_beside(path: str, size: int) -> Path:
    return Path(path).with_name(f"images-{size}.pt")


def _save(what: object, path: Path) -> None:
    """Write a file as a whole: another process sees all of it or none."""
    unfinished = f"{path}.{os.getpid()}"
    torch.save(what, unfinished)
    os.replace(unfinished, path)


def reference(
    model: nn.Module, images: Tensor, source: str, device: str, busy: Callable[[], None]
) -> Reference:
    """Return the logits of a model in evaluation mode on `device`, for `images` on the CPU.

    Calls `busy` after every part. Takes as many images as fit into `checking.LONGEST_S`, at least
    `FEWEST`.
    """
    logits: list[Tensor] = []
    start = time.monotonic()
    for part in images.split(PART):
        logits.append(_logits(model, part, device))
        busy()
        if time.monotonic() - start > checking.LONGEST_S:
            break
    made = torch.cat(logits)
    again = _logits(model, images[:PART], device)
    rounded = _logits(_rounded(model), images[:PART], device)
    return Reference(
        images=images.half(),
        logits=made,
        weights=checksum_of(model),
        noise=compared(again, made[:PART], made).error,
        source=source,
        rounding=compared(rounded, made[:PART], made).error,
    )


def _rounded(model: nn.Module) -> nn.Module:
    """Return a copy of a model whose weights have 7 bits of mantissa."""
    copied = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in copied.parameters():
            if parameter.is_floating_point():
                parameter.copy_(parameter.bfloat16())
    return copied


def _logits(model: nn.Module, images: Tensor, device: str) -> Tensor:
    from bench.count.outputs import logits_of

    # Through half precision, as they are stored.
    with torch.inference_mode():
        output = model(images.half().float().to(device))
        return logits_of(output, len(images)).float().cpu()


def compared(logits: Tensor, expected: Tensor, population: Tensor) -> Agreement:
    """Compare logits with the expected ones of the same images, both (n, classes).

    `population` (m, classes) are the reference's logits of all images.
    """
    logits, expected, population = logits.double(), expected.double(), population.double()
    mean, distances = population.mean(0), (logits - expected).norm(dim=1)
    error = (distances / _spread(population)).nan_to_num(nan=float("inf")).max()
    cosine = cosine_similarity(logits - mean, expected - mean, dim=1).nan_to_num(nan=-1).min()
    same = (logits.argmax(1) == expected.argmax(1)).double().mean()
    return Agreement(len(logits), float(error), float(cosine), float(same))


def _spread(logits: Tensor) -> Tensor:
    """Return the root mean square distance of logits (n, classes) from their mean."""
    return (logits - logits.mean(0)).norm(dim=1).square().mean().sqrt()


def checked(
    call: Callable[[], Tensor], inputs: Tensor, known: Reference, *, thorough: bool
) -> Agreement:
    """Run a timed call on the reference's images and compare its logits.

    The images are written into `inputs` (batch, 3, size, size), which the call reads; afterwards
    that has its former content again. There are at least two calls, with images in different
    places, so that a call that returns an earlier result is found too.
    """
    before = inputs.detach().to("cpu", copy=True)
    outputs: list[Tensor] = []
    places: list[Tensor] = []
    start = time.monotonic()
    available = len(known.logits)
    for at in _places(len(inputs), available if thorough else checking.LATER, available):
        inputs.copy_(known.images[at].float())
        outputs.append(call().detach().float().cpu())
        places.append(at)
        done = sum(map(len, places))
        if thorough and done >= FEWEST and time.monotonic() - start > checking.LONGEST_S:
            break
    inputs.copy_(before)
    seen = torch.cat(places)
    found = compared(torch.cat(outputs), known.logits[seen], known.logits)
    return replace(found, images=len(seen.unique()))


def _places(batch: int, wanted: int, available: int) -> Iterator[Tensor]:
    """Yield the images of each call: all `wanted` ones, and two calls or more."""
    for number in range(checking.calls(wanted, batch)):
        # An image more than a whole batch each time, so that no place sees its former image.
        yield (torch.arange(batch) + number * (batch + (batch % available == 0))) % available


def tolerance(policy: str) -> float:
    """Return the largest error with which a policy counts as the same function."""
    stated = [policies.get(name).tolerance for name in split_policy(policy)]
    return max([TOLERANCE, *(value for value in stated if value is not None)])


def verify(found: Agreement, known: Reference, policy: str) -> dict[str, Scalar]:
    """Return what the record says of an agreement.

    Raises:
        WrongOutput: if the error exceeds the tolerance.
    """
    most = known.tolerance(policy)
    unfit = known.unfit
    if unfit is None and most > max(LOOSEST, tolerance(policy)):
        unfit = f"weights rounded to 7 bits change the model's logits by {known.rounding:.2g}"
    if unfit is not None:
        return {**not_checked(unfit), "agreement_images": found.images}
    if not found.error <= most:
        raise WrongOutput(
            f"{policy} does not compute what the model does in float32: its logits are off by "
            f"{found.error:.2g} of their spread between images ({most:g} is allowed), and the "
            f"largest is the same for {found.top1:.0%} of {found.images} images"
        )
    return {
        "agreement": "float32 eager",
        "agreement_images": found.images,
        "agreement_source": known.source,
        "agreement_error": found.error,
        "agreement_tolerance": most,
        "agreement_cosine": found.cosine,
        "agreement_top1": found.top1,
    }


def not_checked(why: str) -> dict[str, Scalar]:
    """Return what the record says of an execution that nothing was compared with."""
    return {"agreement": f"not checked: {why}"}


def checksum_of(model: nn.Module) -> str:
    """Return a checksum of a model's parameters and buffers."""
    return checksum(dict((*model.named_parameters(), *model.named_buffers())))
