"""Image-reading processes: how they start and end, and the messages if something goes wrong in one.

What they need is pickled unless the start method is fork: Linux forked until Python 3.13 and uses a
fork server since 3.14, as the bench's own workers do in any version; macOS spawns.
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
    "bench.measure.server",
    "torch",
    "timm",
    "torchvision",
    "bench.cli.app",
    "bench.training.images.batches",
    "bench.training.evaluate",
]
"""Imported once by the fork server, if there is one; otherwise by each reading process."""


class UnreadableImage(Exception):
    """An image cannot be read or transformed; the message names it and says why.

    Its only argument is a text, so that it can be pickled.
    """


def loaded(
    images: Dataset[Any], *, workers: int, device: torch.device, **batches: Any
) -> Iterator[Any]:
    """Yield the batches of a data set, read by `workers` processes (0: by this one).

    `batches` are further settings of DataLoader. Raises UsageError for an image that cannot be read
    or transformed, and RuntimeError if one of the processes was killed.
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
    except UnreadableImage as error:
        raise UsageError(f"--data: {said(error)}") from None
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise RuntimeError(_end_of(iterator) or said(error)) from error


def begin(number: int) -> None:
    """Prepare a reading process. It ignores Ctrl-C, which the program itself handles."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cpu_placement.release()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Exit when the process that wants the images ends.

    PyTorch's own watchdog looks at the parent process, which may be the fork server.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def said(error: Exception) -> str:
    """Return the message of an error; if PyTorch wrapped it in a traceback, of the original one."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    if len(lines) < 2:
        return lines[0] if lines else type(error).__name__
    last = lines[-1].strip()
    kind, colon, text = last.partition(": ")
    return text if colon and kind.rpartition(".")[2] == type(error).__name__ else last


def _end_of(iterator: Any) -> str:
    """Return how a reading process ended, if one ended by itself, otherwise ""."""
    for process in getattr(iterator, "_workers", []):
        if code := process.exitcode:
            killed = " (SIGKILL: killed, perhaps because the system ran out of memory)"
            why = killed if code == -signal.SIGKILL else ""
            return f"a process that reads images ended with exit code {code}{why}"
    return ""


def refuse_broken(broken: list[int], part: Pictures) -> None:
    """Raise UsageError if more than a small share of a split's images cannot be read."""
    if len(broken) <= BROKEN_SHARE * len(part):
        return
    reason = part.trouble(broken[0])
    first = part.name(broken[0]) + (f": {reason}" if reason else "")
    others = ", ".join(map(part.name, broken[1:3]))
    more = f", also {others}" if others else ""
    if len(broken) > 3:
        more += " and others"
    raise UsageError(
        f"--data: {len(broken)} of {len(part)} images cannot be read ({first}{more}); at most "
        f"{BROKEN_SHARE:.1%} are skipped, so repair or remove them"
    )
