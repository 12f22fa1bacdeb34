"""Worker processes, one per arm, so that a crash, a leak or a hang affects no other arm.

Workers are forked from a server that has imported torch and timm but never used a device. A worker
does one thing at a time, on request: get ready, or measure one window of one metric.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext

from bench.errors import UsageError
from bench.files import system_limits, temporary
from bench.measure import cpu_placement, interrupts, process_settings
from bench.measure.messages import (
    Failure,
    Identify,
    Job,
    MakeReference,
    Prepare,
    Samples,
    Window,
    look_away,
)
from bench.measure.processes import exit_text, kill_tree
from bench.measure.serve import serve
from bench.record.schema import Scalar

GLANCE = 0.05
"""Seconds between two readings of the machine's state while a window runs."""
PATIENCE = 5.0
"""Seconds to wait for a killed worker to end; freeing much memory takes a while."""
PRELOAD = ["bench.measure.server", "torch", "timm", "torchvision", "bench.measure.subject"]
"""Imported by the server, the first of them to keep its errors off the terminal."""


Request = Window | Identify | MakeReference | Prepare | None
"""None: get ready."""


class ProcessWorker:
    """A worker in a forked process. `close` ends it at any time, with its child processes."""

    def __init__(self, job: Job, context: ForkServerContext) -> None:
        self._job = job
        self._mine, self._theirs = context.Pipe()
        # A daemon must not have children, and image loaders are child processes.
        daemon = not job.arm.reads_images
        self._process = context.Process(
            target=serve, args=(self._theirs, job), daemon=daemon, name=job.arm.model
        )
        self.closed = False
        self._preparing = False

    def start(self) -> None:
        """Fork the process. Raises UsageError if the server ended instead."""
        try:
            self._process.start()
        except (EOFError, ConnectionError):  # a BrokenPipeError would pass for a closed terminal
            raise UsageError(
                "no worker process could be started: their server ended, as it does if the system "
                "refuses it a process (ulimit -u), an open file (ulimit -n) or memory; raise the "
                "limit or end other programs and rerun: finished results are kept"
            ) from None
        self._theirs.close()

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def prepare(self) -> None:
        with suppress(ConnectionError):  # it has died, which `ready` tells
            self._mine.send(Prepare())
        self._preparing = True

    def ready(self) -> dict[str, Scalar]:
        if self._preparing:
            self._preparing = False
            self._hear(lambda text: None, look_away)
        return self._ask(None, lambda text: None, look_away).detail

    def take(
        self, window: Window, heard: Callable[[str], None], glance: Callable[[], None] = look_away
    ) -> Samples:
        return self._ask(window, heard, glance)

    def identify(self, request: Identify) -> str:
        """Return the identity of the job's model in hex digits. Raises Failure."""
        return str(self._ask(request, lambda text: None, look_away).detail["identity"])

    def make_reference(self) -> None:
        self._ask(MakeReference(), lambda text: None, look_away)

    def close(self) -> None:
        self.kill()
        if self.pid:
            self._process.join(PATIENCE)
        self._mine.close()
        self.closed = True

    def kill(self) -> None:
        """End the process and its children (image loaders, compilers) without waiting for them."""
        if self.pid and not self.closed:
            kill_tree(self.pid)

    def _ask(
        self, request: Request, heard: Callable[[str], None], glance: Callable[[], None]
    ) -> Samples:
        try:
            self._mine.send(request)
        except ConnectionError as error:
            raise self._died() from error
        return self._hear(heard, glance)

    def _hear(self, heard: Callable[[str], None], glance: Callable[[], None]) -> Samples:
        """Wait for the answer to the latest request."""
        try:
            while True:
                self._wait(glance)
                answer = self._mine.recv()
                if isinstance(answer, Failure):
                    raise answer
                if isinstance(answer, Samples):
                    return answer
                heard(answer.text)
        except (EOFError, OSError) as error:
            if isinstance(error, OSError) and not _is_end(error):
                raise
            raise self._died() from error

    def _died(self) -> Failure:
        self._process.join(5)
        return Failure("failed", f"the worker died with {exit_text(self._process.exitcode)}")

    def _wait(self, glance: Callable[[], None]) -> None:
        """Wait for a message; raise Failure after the job's time-out."""
        quiet_until = time.monotonic() + self._job.timeout
        while not self._mine.poll(GLANCE):
            if time.monotonic() > quiet_until:
                raise Failure("timeout", f"no answer within {self._job.timeout:g} s (--timeout)")
            glance()


def _is_end(error: OSError) -> bool:
    """True if a pipe's other end has closed: in a message's middle, the error has no number."""
    return isinstance(error, ConnectionError) or error.errno is None


class Workers:
    """All workers of a run. `with Workers() as workers` ends them when the block is left.

    They are forked from a server, which starts here and ends with this process.

    Raises UsageError if the system's limits leave no room for it.
    """

    def __init__(self) -> None:
        system_limits.require_for_workers()
        process_settings.waiting()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOAD)
        self._opened: list[ProcessWorker] = []
        self._opening = threading.Lock()
        atexit.unregister(end_server)
        atexit.register(end_server)
        # Start now, so that the server imports torch while the caller does.
        with _serving():
            forkserver.ensure_running()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self, job: Job) -> ProcessWorker:
        """Fork a worker for `job`. Raises OSError or UsageError if the system allows none."""
        worker = ProcessWorker(job, self._context)
        # One at a time: starting a worker changes the environment for a moment.
        with self._opening:
            self._opened = [opened for opened in self._opened if not opened.closed]
            self._opened.append(worker)
            with _serving():  # restarts the server if it has ended
                worker.start()
        return worker

    def close(self) -> None:
        """End every worker that is still open."""
        for worker in self._opened:
            worker.kill()
        for worker in self._opened:
            worker.close()


@contextmanager
def _serving() -> Iterator[None]:
    """Start the server inside: with its threads bound, without Ctrl-C, with temporary files where
    they are removed."""
    with _in_silence():
        resource_tracker.ensure_running()  # first, as older Pythons unblock Ctrl-C in it
    with cpu_placement.asked_for(), interrupts.deaf_children(), temporary.used():
        yield


@contextmanager
def _in_silence() -> Iterator[None]:
    """Start Python's resource tracker inside without its warnings about the leftovers of killed
    processes, because workers are always killed."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join(
        filter(None, (before, "ignore:resource_tracker:UserWarning"))
    )
    try:
        yield
    finally:
        os.environ.pop("PYTHONWARNINGS")
        if before is not None:
            os.environ["PYTHONWARNINGS"] = before


def end_server() -> None:
    """End the server and its children; in the middle of its imports it would outlive this process
    by seconds."""
    server = getattr(forkserver._forkserver, "_forkserver_pid", None)  # has no public name
    if server is not None:
        kill_tree(server)
        with suppress(ChildProcessError):
            os.waitpid(server, 0)
