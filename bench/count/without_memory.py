"""Build models only to count them: on the meta device, which allocates nothing, else on the CPU."""

from __future__ import annotations

import io
import traceback
from collections.abc import Callable
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from bench.count.building import build
from bench.errors import ModelFault, Uncountable, UsageError
from bench.plugins import Model

T = TypeVar("T")
BENCH = Path(__file__).parents[1]


def built(
    entry: Model, use: Callable[[nn.Module, Tensor], T], *, image_size: int, num_classes: int
) -> tuple[T, str | None]:
    """Return `use(model, images)` for one image, and why the CPU was needed (None if it was not).

    `images` has the shape (1, 3, image_size, image_size). The meta device has no values, so that a
    constructor or a forward pass that reads any (`.item()`, numpy, a branch on data) fails there.
    Raises UsageError, in one line, if the model works on neither device.
    """

    def on(device: str) -> T:
        # A model may print while it is built or run, which would end up between lines of a table.
        with redirect_stdout(io.StringIO()):
            with torch.device("meta") if device == "meta" else nullcontext():
                model = build(entry, image_size=image_size, num_classes=num_classes).eval()
                images = torch.zeros(1, 3, image_size, image_size)
            return use(model, images)

    try:
        return on("meta"), None
    except (UsageError, Uncountable):
        raise
    except Exception as error:
        # Even after a ModelFault: what a model lacks on the meta device, it may have on the CPU.
        reason = in_a_line(error)
    try:
        return on("cpu"), reason
    except (UsageError, Uncountable):
        raise
    except ModelFault as error:
        raise UsageError(f"{entry.name}: {error}") from error
    except Exception as error:
        raise UsageError(
            f"{entry.name}: cannot be built and run on one image of {image_size} pixels: "
            f"{in_a_line(error)}"
        ) from error


def in_a_line(error: Exception) -> str:
    """Return the type of an exception, the first line of its text, and where it was raised.

    The place is the innermost frame outside of installed packages and the bench; none is shown if
    there is no such frame.
    """
    text = f"{type(error).__name__}: {error}".split("\n")[0][:300].rstrip()
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if "site-packages" not in frame.filename and BENCH not in path.parents:
            return f"{text} ({path.name}, line {frame.lineno})"
    return text
