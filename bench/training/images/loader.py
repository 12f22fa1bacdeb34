"""Images read by processes of their own: how these begin and end, and what is said when something goes wrong in one.

What they are given is pickled, unless the system's way to start a process is to fork: Linux forked until Python 3.13 and
asks a server for processes since 3.14, as the bench's own workers do in any version; macOS starts Python anew.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from bench.errors import UsageError
from bench.measure import cpu_placement
from bench.training.images.splits import Pictures

BROKEN_SHARE = 0.001
"""Share of unreadable images above which a data set is refused."""

PRELOAD = [
    "torch",
    "timm",
    "torchvision",
    "bench.cli.app",
    "bench.training.images.batches",
    "bench.training.evaluate",
]
"""Imported once by the server that a process asks for readers where that is the way; each reader would do it anew."""


class Unread(Exception):
    """An image could not be shown; the message names it and says why. Made of one text, so that it can be pickled."""


def loaded(
    images: Dataset[Any], *, workers: int, device: torch.device, **batches: Any
) -> Iterator[Any]:
    """The batches of a data set, read by `workers` processes (0: by this one); `batches` are DataLoader's settings.

    Raises UsageError where an image cannot be shown, RuntimeError where one of the processes was killed.
    """
    if workers:
        multiprocessing.set_forkserver_preload(PRELOAD)
    loader = DataLoader(
        images,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        worker_init_fn=begin if workers else None,
        **batches,
    )
    iterator = iter(loader)
    try:
        yield from iterator
    except Unread as error:
        raise UsageError(f"--data: {said(error)}") from None
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise RuntimeError(_end_of(iterator) or said(error)) from error


def begin(number: int) -> None:
    """What a process that reads images does first. Ctrl-C is the program's own affair."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cpu_placement.release()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End with the process that wanted the images: PyTorch's own watch asks for the parent, which may be a server."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def said(error: Exception) -> str:
    """What an error says; of one that PyTorch wrapped with its traceback, the last line: what was raised in the process."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    if len(lines) < 2:
        return lines[0] if lines else type(error).__name__
    last = lines[-1].strip()
    kind, colon, text = last.partition(": ")
    return text if colon and kind.rpartition(".")[2] == type(error).__name__ else last


def _end_of(iterator: Any) -> str:
    """How a process that reads images ended, where one did by itself."""
    codes = [process.exitcode for process in getattr(iterator, "_workers", []) if process.exitcode]
    if not codes:
        return ""
    killed = codes[0] == -signal.SIGKILL
    why = " (SIGKILL: somebody killed it, perhaps the system for want of memory)" if killed else ""
    return f"a process that reads images ended with exit code {codes[0]}{why}"


def refuse_broken(broken: list[int], part: Pictures) -> None:
    """UsageError where more images of a split than a small share cannot be read, with the reason of the first."""
    if len(broken) <= BROKEN_SHARE * len(part):
        return
    first = part.name(broken[0])
    reason = f": {why}" if (why := part.trouble(broken[0])) else ""
    others = [part.name(at) for at in broken[1:3]]
    more = f", also {', '.join(others)}{' and others' if len(broken) > 3 else ''}" if others else ""
    raise UsageError(
        f"--data: {len(broken)} of {len(part)} images cannot be read ({first}{reason}{more}); up to {BROKEN_SHARE:.1%} would be passed "
        "over: mend or remove them"
    )
