"""Models built only to be counted: on the meta device, where nothing is allocated, or on the CPU where that fails."""

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


def built(
    entry: Model, use: Callable[[nn.Module, Tensor], T], *, image_size: int, num_classes: int
) -> tuple[T, str | None]:
    """What `use(model, images)` returns for one image, and why that took the CPU (None: it did not).

    Values that a constructor or a forward pass reads (`.item()`, numpy, a branch on data) do not exist on the meta device.
    UsageError in one line where the model works on neither.
    """

    def on(device: str) -> T:
        # What a model prints while it is built or run would come between the lines of a table.
        with redirect_stdout(io.StringIO()):
            with torch.device("meta") if device == "meta" else nullcontext():
                model = build(entry, image_size=image_size, num_classes=num_classes).eval()
                images = torch.zeros(1, 3, image_size, image_size)
            return use(model, images)

    try:
        return on("meta"), None
    except (UsageError, Uncountable):
        raise
    except (
        Exception
    ) as error:  # a ModelFault too: what a model lacks on the meta device it may have on the CPU
        reason = in_a_line(error)
    try:
        return on("cpu"), reason
    except (UsageError, Uncountable):
        raise
    except ModelFault as error:
        raise UsageError(f"{entry.name}: {error}") from error
    except Exception as error:
        raise UsageError(
            f"{entry.name}: cannot be built and run on one image of {image_size} pixels: {in_a_line(error)}"
        ) from error


def in_a_line(error: Exception) -> str:
    """The kind of an exception, the first line of its text, and where it was raised."""
    text = f"{type(error).__name__}: {error}".split("\n")[0][:300].rstrip()
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "site-packages" not in frame.filename
    ]
    own = [
        frame for frame in frames if Path(__file__).parents[1] not in Path(frame.filename).parents
    ]
    return f"{text} ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else text
