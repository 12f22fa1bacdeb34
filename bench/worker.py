"""One arm in a process of its own: a crash, a leak or a hang stays there.

Workers are forked from a server that has imported torch and timm and never touched a device. They do one thing at a
time, when told: make ready, or take one window of one metric, and answer with raw samples.
"""

from __future__ import annotations

import io
import logging
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any, Protocol

from bench import scheduling, settings
from bench.disk import unwritable
from bench.errors import Diverged, Uncountable, UsageError
from bench.memory import is_out_of_memory
from bench.record import AccuracyArm, Arm, ProbeArm, Scalar, SpeedArm, Status

GLANCE = 0.05
"""Seconds between two looks at the machine while a window runs."""
PRELOAD = ["torch", "timm", "torchvision", "bench.subject"]


@dataclass(frozen=True)
class Job:
    """What a worker holds."""

    arm: Arm
    device: str
    seed: int
    threads: int
    timeout: float = 600.0
    """Seconds without a word after which the worker counts as hung; compiling a large model can take minutes."""
    memory: int | None = None
    """Bytes that the worker may take beyond what it starts with; None: all there are."""
    cache: str | None = None
    """Folder of the compiler's caches, for this arm alone."""
    folder: str | None = None
    """The machine's folder of results, where a training keeps its checkpoints."""
    stem: str = ""
    """Name of the arm's record without its ending."""
    fresh: bool = False
    """What an earlier training left is not gone on with."""
    checkpoint: str | None = None
    """File of weights to evaluate."""
    spread: bool = False
    """Evaluate at neighbouring crops and sizes as well."""


@dataclass(frozen=True)
class Window:
    """Take one window of one metric."""

    metric: str
    seconds: float


@dataclass(frozen=True)
class Samples:
    """Raw values of a window, or the set-up times of a worker that is ready.

    `seconds` is what the window took, `wake_s` what waking up before it took.
    """

    values: list[float] = field(default_factory=list)
    detail: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    wake_s: float = 0.0


class Failure(Exception):
    """How an arm failed. `usage` marks what the user can mend: it ends the run instead of becoming a record."""

    def __init__(self, status: Status, error: str, usage: bool = False) -> None:
        super().__init__(status, error, usage)  # all of them: the exception is pickled by its arguments
        self.status, self.error, self.usage = status, error, usage


@dataclass(frozen=True)
class Word:
    """A sign of life in the middle of something long."""

    text: str


class Worker(Protocol):
    """What the runner needs of a worker; tests bring their own."""

    @property
    def pid(self) -> int:
        """The process, for watching what it uses."""
        ...

    def ready(self) -> dict[str, Scalar]:
        """Build and warm up; returns the set-up times. Raises Failure."""
        ...

    def take(self, window: Window, heard: Callable[[str], None], glance: Callable[[], None] = ...) -> Samples:
        """One window of one metric; `heard` gets the words in between, `glance` is called now and then. Raises Failure."""
        ...

    def close(self) -> None:
        """End the process, whatever it is doing."""
        ...


def look_away() -> None:
    """What is done between two glances where nobody wants any."""


class ProcessWorker:
    """A worker in a forked process."""

    def __init__(self, job: Job, context: ForkServerContext) -> None:
        self._job = job
        self._mine, theirs = context.Pipe()
        # Daemons may have no children, and images are decoded by some. What reads images is ended by `close` all the same.
        reads_images = isinstance(job.arm, AccuracyArm)
        self._process = context.Process(target=serve, args=(theirs, job), daemon=not reads_images, name=job.arm.model)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def ready(self) -> dict[str, Scalar]:
        return self._ask(None, lambda text: None, look_away).detail

    def take(self, window: Window, heard: Callable[[str], None], glance: Callable[[], None] = look_away) -> Samples:
        return self._ask(window, heard, glance)

    def close(self) -> None:
        below = descendants(self.pid) if self.pid else []  # readers of images that hang would stay for ever
        self._process.kill()
        kill(below)
        self._process.join()
        self._mine.close()

    def _ask(self, request: Window | None, heard: Callable[[str], None], glance: Callable[[], None]) -> Samples:
        try:
            self._mine.send(request)
            while True:
                self._wait(glance)
                answer = self._mine.recv()
                if isinstance(answer, Failure):
                    raise answer
                if isinstance(answer, Samples):
                    return answer
                heard(answer.text)
        except (EOFError, ConnectionError) as error:
            self._process.join(5)
            raise Failure("failed", f"the worker died with {exit_text(self._process.exitcode)}") from error

    def _wait(self, glance: Callable[[], None]) -> None:
        """Return when there is an answer; Failure after the job's time-out."""
        quiet_until = time.monotonic() + self._job.timeout
        while not self._mine.poll(GLANCE):
            if time.monotonic() > quiet_until:
                raise Failure("timeout", f"no answer within {self._job.timeout:g} s (--timeout)")
            glance()


def exit_text(code: int | None) -> str:
    """An exit code in words; a negative one is a signal."""
    if code == -signal.SIGKILL:
        return f"exit code {code} (SIGKILL: somebody killed it, perhaps the system for want of memory)"
    return f"exit code {code}"


class Workers:
    """The server that workers are forked from. Started with the first worker; it ends with this process."""

    def __init__(self) -> None:
        settings.waiting()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOAD)
        # At once: it imports torch while the caller does the same.
        with scheduling.asked_for():
            forkserver.ensure_running()

    def open(self, job: Job) -> Worker:
        """Fork a worker that will hold `job`."""
        with scheduling.asked_for():  # the server is started anew where it has ended
            return ProcessWorker(job, self._context)


def serve(pipe: Connection, job: Job) -> None:
    """The worker's life: answer requests until the pipe closes."""
    scheduling.release()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the runner decides what ends
    subject: Any = None
    while True:
        try:
            request = pipe.recv()
        except EOFError:
            return
        answer: Samples | Failure
        try:
            # What a model prints would tear the progress display apart.
            with redirect_stdout(io.StringIO()):
                if subject is None:
                    subject = _open(job, pipe)
                answer = _do(subject, request)
        except Exception as error:
            answer = failure_of(error)
        pipe.send(answer)


def _end_with_parent() -> None:
    """Wait until the program that wanted this worker has ended, however it did, and end at once.

    A training in the middle of its steps would otherwise go on by itself, beside the one that resumes it.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    kill(descendants(os.getpid()))
    os._exit(1)


def descendants(pid: int) -> list[int]:
    """The processes below one, as far as the system tells (Linux)."""
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            below = [int(child) for child in children.read_text().split()]
        except OSError:
            continue  # the thread has just ended
        found += [one for child in below for one in (child, *descendants(child))]
    return found


def kill(pids: list[int]) -> None:
    """SIGKILL to each that is still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _open(job: Job, pipe: Connection) -> Any:

    from bench.subject import open_subject

    if isinstance(job.arm, SpeedArm | ProbeArm):
        scheduling.go_first()
    settings.fix(job.threads)
    if job.cache is not None:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = job.cache
        os.environ["TRITON_CACHE_DIR"] = os.path.join(job.cache, "triton")
        if job.device == "cpu":
            # Its helpers would outlive a worker that is killed; for a CPU there is one kernel file a model, if any.
            os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # says that there is no CUDA, which is known
    if job.memory is not None:
        settings.limit_memory(job.memory, job.device)
    if isinstance(job.arm, ProbeArm):
        settings.tf32(job.arm.precision == "tf32")
        if job.device == "cpu":
            scheduling.settle()
    subject = open_subject(job.arm, device=job.device, seed=job.seed, build=builder(job), progress=lambda text: pipe.send(Word(text)))
    subject.memory_limit, subject.job = job.memory, job
    return subject


def builder(job: Job) -> Callable[..., Any]:
    """What makes the job's model with its seed, `build(image_size)` at another size; a model that is none is a UsageError now."""
    from bench.plugins import models

    entry = models.get(job.arm.model) if is_network(job.arm) else None

    def build(image_size: int | None = None) -> Any:
        import torch

        assert entry is not None and not isinstance(job.arm, ProbeArm), f"{job.arm.model} is no network"
        torch.manual_seed(job.seed)
        return entry.build(image_size=image_size or job.arm.image_size, num_classes=job.arm.num_classes)

    return build


def is_network(arm: Arm) -> bool:
    """False for probes, and for the baselines of a data set, which have neither recipe nor weights nor a file of them."""
    if isinstance(arm, AccuracyArm):
        return not arm.baseline
    return not isinstance(arm, ProbeArm)


def _do(subject: Any, request: Window | None) -> Samples:
    from bench.plugins import metrics
    from bench.subject import prepare

    if request is None:
        timed = isinstance(subject.arm, SpeedArm) and subject.arm.mode != "capacity"
        return Samples(detail=prepare(subject) if timed else {})
    start = time.perf_counter()
    subject.wake(request.seconds)
    awake = time.perf_counter()
    reading = metrics.get(request.metric).measure(subject, request.seconds)
    return Samples(reading.values, reading.detail, reading.arrays, seconds=time.perf_counter() - awake, wake_s=awake - start)


UNSUPPORTED = ("not implemented for", "not supported", "unsupported")
"""How PyTorch says that an operator does not exist in a precision or layout."""


def failure_of(error: Exception) -> Failure:
    """The status and one line for an exception in a worker."""
    text = f"{type(error).__name__}: {error}".split("\n")[0][:500].rstrip()
    if isinstance(error, UsageError):
        return Failure("failed", str(error), usage=True)
    if isinstance(error, OSError) and (line := unwritable(error)):
        return Failure("failed", str(line), usage=True)  # it would fail for every arm
    if isinstance(error, Diverged):
        return Failure("diverged", str(error))
    if isinstance(error, Uncountable):
        return Failure("failed", str(error))
    if is_out_of_memory(error):
        return Failure("oom", text)
    if isinstance(error, NotImplementedError):
        return Failure("unsupported", text)
    if isinstance(error, RuntimeError) and any(word in text for word in UNSUPPORTED):
        return Failure("unsupported", text)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    where = f" ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})" if frames else ""
    return Failure("failed", text + where)
