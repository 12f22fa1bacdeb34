"""Several pieces of work at a time, each in a thread that mostly waits for a process of its own.

Two small trainings with one thread each finish more images a second on two cores than one after the other with two threads.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice

from bench.config import RunConfig
from bench.errors import UsageError
from bench.measure import interrupts, machine
from bench.measure.disturbance import free_memory
from bench.plugins import dataset_of

GLANCE = 0.1
"""Seconds between two looks for Ctrl-C, which Python hands to the main thread alone."""


SMALL = 64
"""Pixels a side: of larger images a training fills all processors by itself, and the memory too."""
EACH = 2 << 30
"""Bytes that a training of small images takes at most, about."""


class Ending(Exception):
    """Raised in a piece of work because another one failed, or because somebody asked for the end."""


@dataclass
class Abreast:
    """Up to `jobs` pieces of work at a time. Whoever waits in one of them calls `check` again and again."""

    jobs: int = 1
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _taken: set[str] = field(default_factory=set)
    _ending: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Ending where no piece is to go on."""
        if self._ending.is_set():
            raise Ending

    def take(self, what: str) -> bool:
        """Whether nobody else has taken this: pieces may want the same."""
        with self._lock:
            new = what not in self._taken
            self._taken.add(what)
            return new

    def run(self, pieces: Iterable[Callable[[], None]]) -> None:
        """Do all, the first ones first. Raises what a piece raised, or KeyboardInterrupt, once every piece has ended."""
        if self.jobs == 1:
            for piece in pieces:
                interrupts.check()
                piece()
            return
        waiting = iter(pieces)
        with ThreadPoolExecutor(self.jobs, thread_name_prefix="abreast") as threads:
            try:
                self._feed(threads, waiting)
            except BaseException:
                self._ending.set()  # before the pool waits for its threads
                raise

    def _feed(self, threads: ThreadPoolExecutor, waiting: Iterable[Callable[[], None]]) -> None:
        """A new piece for each that is done: none waits in the pool, where nobody could take it back."""
        open_ones: set[Future[None]] = {
            threads.submit(piece) for piece in islice(waiting, self.jobs)
        }
        while open_ones:
            done, open_ones = wait(open_ones, timeout=GLANCE, return_when=FIRST_COMPLETED)
            interrupts.check()
            for one in done:
                one.result()
            open_ones |= {threads.submit(piece) for piece in islice(waiting, len(done))}


def jobs_for(config: RunConfig, device: str, *, several: bool) -> int:
    """How many trainings are done at a time: `--jobs`, else one per processor where there are `several` and their images small.

    A function of what is asked and not of what is still open, so that a run that goes on trains as it began.
    """
    if device != "cpu" or config.launcher != "local" or "WORLD_SIZE" in os.environ:
        if config.jobs not in (None, 1):
            raise UsageError(
                f"--jobs: {config.jobs} trainings at a time are for one machine's CPU; leave it out here"
            )
        return 1
    if config.jobs is not None:
        return config.jobs
    side = dataset_of(config.data)[0].image_size if config.data else None
    if not several or side is None or side > SMALL:
        return 1
    return max(1, min(machine.cores(), (free_memory("cpu") or EACH) // EACH))
