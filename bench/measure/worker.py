"""One arm in a process of its own: a crash, a leak or a hang stays there.

Workers are forked from a server that has imported torch and timm and never touched a device. They do one thing at a
time, when told: make ready, or take one window of one metric, and answer with raw samples.
"""

from __future__ import annotations

import atexit
import io
import logging
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any, Literal, Protocol

from bench.count.model_errors import advised
from bench.errors import Diverged, ModelFault, Uncountable, UsageError
from bench.files import temporary
from bench.files.files import unwritable
from bench.measure import cpu_placement, interrupts, process_settings
from bench.measure.memory import is_out_of_memory
from bench.record.arms import AccuracyArm, Arm, CountArm, ProbeArm, SpeedArm
from bench.record.schema import Scalar, Status

GLANCE = 0.05
"""Seconds between two looks at the machine while a window runs."""
PATIENCE = 5.0
"""Seconds that a killed worker may take to be gone (freeing much memory takes a while)."""
PRELOAD = ["torch", "timm", "torchvision", "bench.measure.subject"]


@dataclass(frozen=True)
class Chosen:
    """What was asked of evaluating weights, beside the arm."""

    checkpoint: str | None = None
    """File of weights to evaluate."""
    key: str | None = None
    """The entry of the file, and behind a slash what stands in front of the names in it."""
    view: dict[str, Any] = field(default_factory=dict)
    """Fields of the view that were given as flags."""
    spread: bool = False
    """Evaluate at neighbouring crops and sizes as well."""


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
    data: str | None = None
    """`--data` as it was given: where the images lie that the arm has by another name."""
    beside: int = 1
    """How many trainings share the machine, this one included."""
    chosen: Chosen = field(default_factory=Chosen)
    """How weights are evaluated."""


@dataclass(frozen=True)
class Window:
    """Take one window of one metric."""

    metric: str
    seconds: float


@dataclass(frozen=True)
class Identify:
    """Say what the job's model is; see `bench/count/identity.py`."""

    use: Literal["inference", "training"]


def images_of(arm: AccuracyArm, job: Job | None) -> str:
    """What to open for an accuracy arm, as `--data` has it."""
    return job.data if job is not None and job.data is not None else arm.data


Request = Window | Identify | None
"""None: make ready."""


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
    """A worker in a forked process, from `start` on; `close` ends it at any time, and with it what it has started."""

    def __init__(self, job: Job, context: ForkServerContext) -> None:
        self._job = job
        self._mine, self._theirs = context.Pipe()
        # Daemons may have no children, and images are decoded by some.
        reads_images = isinstance(job.arm, AccuracyArm)
        self._process = context.Process(target=serve, args=(self._theirs, job), daemon=not reads_images, name=job.arm.model)
        self.closed = False

    def start(self) -> None:
        """Fork the process."""
        self._process.start()
        self._theirs.close()

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def ready(self) -> dict[str, Scalar]:
        return self._ask(None, lambda text: None, look_away).detail

    def take(self, window: Window, heard: Callable[[str], None], glance: Callable[[], None] = look_away) -> Samples:
        return self._ask(window, heard, glance)

    def identify(self, request: Identify) -> str:
        """What the job's model is, in a few hex digits. Raises Failure."""
        return str(self._ask(request, lambda text: None, look_away).detail["identity"])

    def close(self) -> None:
        self.kill()
        if self.pid:
            self._process.join(PATIENCE)
        self._mine.close()
        self.closed = True

    def kill(self) -> None:
        """End the process and what it has started (image loaders, compilers), without waiting for that."""
        if self.pid and not self.closed:
            kill_tree(self.pid)

    def _ask(self, request: Request, heard: Callable[[str], None], glance: Callable[[], None]) -> Samples:
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
    """Every worker of a run: `with Workers() as workers` ends all that it opened, however it is left.

    They are forked from a server, which is started here and ends with this process.
    """

    def __init__(self) -> None:
        process_settings.waiting()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOAD)
        self._opened: list[ProcessWorker] = []
        self._opening = threading.Lock()
        atexit.unregister(end_server)
        atexit.register(end_server)
        # At once: it imports torch while the caller does the same.
        with _serving():
            forkserver.ensure_running()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self, job: Job) -> ProcessWorker:
        """Fork a worker that will hold `job`."""
        worker = ProcessWorker(job, self._context)
        with self._opening:  # what the server is started with stands in the environment meanwhile
            self._opened = [*(one for one in self._opened if not one.closed), worker]
            with _serving():  # the server is started anew where it has ended
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
    """How the server of workers is started: its threads placed, deaf to Ctrl-C, its temporary files where they are removed."""
    with _in_silence():
        resource_tracker.ensure_running()  # older Pythons have it unblock Ctrl-C
    with cpu_placement.asked_for(), interrupts.deaf_children(), temporary.used():
        yield


@contextmanager
def _in_silence() -> Iterator[None]:
    """Python's tracker, started inside, removes what killed workers leave without a warning: killing is how they end."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (before, "ignore:resource_tracker:UserWarning")))
    try:
        yield
    finally:
        os.environ.pop("PYTHONWARNINGS")
        if before is not None:
            os.environ["PYTHONWARNINGS"] = before


def end_server() -> None:
    """End the server and whatever is left below it: in the middle of its imports it would outlive this process by seconds."""
    server = getattr(forkserver._forkserver, "_forkserver_pid", None)  # there is no public name for it
    if server is not None:
        kill_tree(server)
        with suppress(ChildProcessError):
            os.waitpid(server, 0)


def serve(pipe: Connection, job: Job) -> None:
    """The worker's life: answer requests until the pipe closes."""
    from bench.plugins import models

    cpu_placement.release()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    models.typed.add(job.arm.model)  # else there would be no job of it
    with suppress(EOFError, ConnectionError):  # the runner has ended, or does not want this worker any more
        _answer(pipe, job)


def _answer(pipe: Connection, job: Job) -> None:
    """Answer requests for ever. Raises EOFError or ConnectionError where nobody asks any more."""
    subject: Any = None
    while True:
        request = pipe.recv()
        answer: Samples | Failure
        try:
            # What a model prints would tear the progress display apart.
            with redirect_stdout(Unread()):
                if isinstance(request, Identify):
                    answer = _identified(job, request)
                else:
                    subject = subject or _open(job, pipe)
                    answer = _do(subject, request)
        except BaseException as error:  # sys.exit() in a model's code ends nothing but its arm
            answer = failure_of(advised(error, job.arm))
        pipe.send(answer)


class Unread(io.TextIOBase):
    """A place for text that nobody reads."""

    def write(self, text: str) -> int:
        return len(text)


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


def kill(pids: list[int], number: int = signal.SIGKILL) -> None:
    """Send a signal to each that is still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def kill_tree(pid: int) -> None:
    """End a process and all below it; stopped first, so that it starts nothing while its children are looked up."""
    kill([pid], signal.SIGSTOP)
    kill([*descendants(pid), pid])


def _open(job: Job, pipe: Connection) -> Any:

    from bench.measure.subject import open_subject

    if isinstance(job.arm, SpeedArm | ProbeArm):
        cpu_placement.go_first()
    process_settings.use_device(job.device)
    process_settings.fix(job.threads)
    if job.cache is not None:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = job.cache
        os.environ["TRITON_CACHE_DIR"] = os.path.join(job.cache, "triton")
        if job.device == "cpu":
            # Its helpers would outlive a worker that is killed; for a CPU there is one kernel file a model, if any.
            os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # says that there is no CUDA, which is known
    if job.memory is not None:
        process_settings.limit_memory(job.memory, job.device)
    if isinstance(job.arm, ProbeArm):
        process_settings.tf32(job.arm.precision == "tf32")
        if job.device == "cpu":
            cpu_placement.settle()
    changed: dict[str, str] = {}
    build = builder(job, changed)
    subject = open_subject(job.arm, device=job.device, seed=job.seed, build=build, progress=lambda text: pipe.send(Word(text)))
    subject.memory_limit, subject.job, subject.set_back = job.memory, job, changed
    return subject


def builder(job: Job, changed: dict[str, str] | None = None) -> Callable[..., Any]:
    """What makes the job's model with its seed, `build(image_size)` at another size; a model that is none is a UsageError now.

    Settings of the bench that the model's code changes are set back, and added to `changed`.
    """
    import torch

    from bench.count import building, process_guard
    from bench.plugins import models

    changed = {} if changed is None else changed

    torch.manual_seed(job.seed)  # a module that is made when its file is imported draws its weights then
    with process_guard.kept(changed):
        entry = models.get(job.arm.model) if is_network(job.arm) else None
        if entry is not None:
            entry.load()

    def build(image_size: int | None = None) -> Any:
        assert entry is not None and not isinstance(job.arm, ProbeArm), f"{job.arm.model} is no network"
        torch.manual_seed(job.seed)
        with process_guard.kept(changed):
            return building.build(entry, image_size=image_size or job.arm.image_size, num_classes=job.arm.num_classes)

    return build


def _identified(job: Job, request: Identify) -> Samples:
    from bench.count.identity import identify

    assert isinstance(job.arm, CountArm)
    arm = job.arm
    process_settings.fix(job.threads)
    found = identify(arm.model, image_size=arm.image_size, num_classes=arm.num_classes, use=request.use)
    return Samples(detail={"identity": found})


def is_network(arm: Arm) -> bool:
    """False for probes, and for the baselines of a data set, which have neither recipe nor weights nor a file of them."""
    if isinstance(arm, AccuracyArm):
        return not arm.baseline
    return not isinstance(arm, ProbeArm)


def _do(subject: Any, request: Window | None) -> Samples:
    from bench.count import process_guard
    from bench.measure.subject import prepare
    from bench.plugins import metrics

    if request is None:
        timed = isinstance(subject.arm, SpeedArm) and subject.arm.mode != "capacity"
        return Samples(detail=prepare(subject) if timed else {})
    start = time.perf_counter()
    subject.wake(request.seconds)
    awake = time.perf_counter()
    reading = metrics.get(request.metric).measure(subject, request.seconds)
    if not isinstance(subject.arm, AccuracyArm):  # a training looks itself, and its policy sets some of them
        process_guard.check(subject.held, "in a window")
    return Samples(reading.values, reading.detail, reading.arrays, seconds=time.perf_counter() - awake, wake_s=awake - start)


UNSUPPORTED = ("not implemented for", "not supported", "unsupported")
"""How PyTorch says that an operator does not exist in a precision or layout."""


def failure_of(error: BaseException) -> Failure:
    """The status and one line for an exception in a worker."""
    if not isinstance(error, Exception):
        what = f"called sys.exit({error.code!r})" if isinstance(error, SystemExit) else f"raised {type(error).__name__}"
        return Failure("failed", f"the model's code {what}{_where(error)}; take that out of it")
    text = f"{type(error).__name__}: {error}".split("\n")[0][:500].rstrip()
    if isinstance(error, UsageError):
        return Failure("failed", str(error), usage=True)
    if isinstance(error, OSError) and (line := unwritable(error)):
        return Failure("failed", str(line), usage=True)  # it would fail for every arm
    if isinstance(error, Diverged):
        return Failure("diverged", str(error))
    if isinstance(error, ModelFault | Uncountable):
        return Failure("failed", " ".join(str(error).split())[:500])
    if is_out_of_memory(error):
        return Failure("oom", text)
    if isinstance(error, NotImplementedError):
        return Failure("unsupported", text)
    if isinstance(error, RuntimeError) and any(word in text for word in UNSUPPORTED):
        return Failure("unsupported", text)
    return Failure("failed", text + _where(error))


def _where(error: BaseException) -> str:
    """File and line in which an exception was raised."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    return f" ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})" if frames else ""
