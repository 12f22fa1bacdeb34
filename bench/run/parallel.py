"""Several training runs at a time, each in a thread that mostly waits for a process of its own.

On two cores, two small training runs with one thread each finish more images per second than one
after the other with two threads.
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

POLL_S = 0.1
"""Seconds between two checks for Ctrl-C, which Python delivers to the main thread only."""
SMALL = 64
"""Pixels per side. Training on larger images keeps all processors busy by itself, and takes more
memory."""
BYTES_PER_TRAINING = 2 << 30
"""About the most that training on small images takes."""


class Ending(Exception):
    """Raised in a job because another job failed, or because of Ctrl-C."""


@dataclass
class JobPool:
    """Runs up to `jobs` jobs at a time. A job that waits has to call `check` again and again."""

    jobs: int = 1
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _claimed: set[str] = field(default_factory=set)
    _ending: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Raise Ending if the jobs are to stop."""
        if self._ending.is_set():
            raise Ending

    def claim(self, key: str) -> bool:
        """True for the first caller with this key: two jobs may need the same arm."""
        with self._lock:
            new = key not in self._claimed
            self._claimed.add(key)
            return new

    def run(self, jobs: Iterable[Callable[[], None]]) -> None:
        """Run all jobs, the first ones first.

        Raises what a job raised, or KeyboardInterrupt, once every job has ended.
        """
        if self.jobs == 1:
            for job in jobs:
                interrupts.check()
                job()
            return
        with ThreadPoolExecutor(self.jobs, thread_name_prefix="job") as threads:
            try:
                self._feed(threads, iter(jobs))
            except BaseException:
                self._ending.set()  # before the executor waits for its threads
                raise

    def _feed(self, threads: ThreadPoolExecutor, waiting: Iterable[Callable[[], None]]) -> None:
        """Submit a job for each that is done: the executor's queue could not be taken back."""
        running: set[Future[None]] = set(map(threads.submit, islice(waiting, self.jobs)))
        while running:
            done, running = wait(running, timeout=POLL_S, return_when=FIRST_COMPLETED)
            interrupts.check()
            for future in done:
                future.result()
            running |= set(map(threads.submit, islice(waiting, len(done))))


def by_torchrun() -> bool:
    """True if `torchrun` started this process, and maybe others for the same run."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def jobs_for(config: RunConfig, device: str, *, several: bool) -> int:
    """Return the number of training runs at a time: `--jobs`, else one per processor.

    The latter only if there are `several` and their images are small. The number depends on what
    was asked for and not on what is still open, so that a resumed run trains as it began.
    UsageError if `--jobs` is given for a GPU, a launcher or torchrun.
    """
    if device != "cpu" or config.launcher != "local" or by_torchrun():
        if config.jobs not in (None, 1):
            raise UsageError(
                f"--jobs: {config.jobs} training runs at a time need the CPU of one machine, "
                "without --launcher and torchrun; drop --jobs"
            )
        return 1
    if config.jobs is not None:
        return config.jobs
    side = dataset_of(config.data)[0].image_size if config.data else None
    if not several or side is None or side > SMALL:
        return 1
    fitting = (free_memory("cpu") or BYTES_PER_TRAINING) // BYTES_PER_TRAINING
    return max(1, min(machine.cores(), fitting))
