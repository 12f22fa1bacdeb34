"""A worker's own side: opens its arm and answers requests until it is told to end."""

from __future__ import annotations

import io
import logging
import multiprocessing
import os
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from multiprocessing.connection import Connection
from typing import Any

from bench.count.model_errors import advised
from bench.errors import Diverged, ModelFault, Uncountable, UsageError
from bench.files.files import unwritable
from bench.measure import cpu_placement, process_settings
from bench.measure.memory import is_out_of_memory
from bench.measure.messages import Failure, Identify, Job, Samples, Window, Word
from bench.measure.processes import descendants, kill
from bench.record.arms import AccuracyArm, Arm, CountArm, ProbeArm, SpeedArm


def serve(pipe: Connection, job: Job) -> None:
    """The worker's life: answer requests until the pipe closes."""
    from bench.plugins import models

    cpu_placement.release()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    models.typed.add(job.arm.model)  # else there would be no job of it
    with suppress(
        EOFError, ConnectionError
    ):  # the runner has ended, or does not want this worker any more
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
        logging.getLogger("torch.utils.cpp_extension").setLevel(
            logging.ERROR
        )  # says that there is no CUDA, which is known
    if job.memory is not None:
        process_settings.limit_memory(job.memory, job.device)
    if isinstance(job.arm, ProbeArm):
        process_settings.tf32(job.arm.precision == "tf32")
        if job.device == "cpu":
            cpu_placement.settle()
    changed: dict[str, str] = {}
    build = builder(job, changed)
    subject = open_subject(
        job.arm,
        device=job.device,
        seed=job.seed,
        build=build,
        progress=lambda text: pipe.send(Word(text)),
    )
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

    torch.manual_seed(
        job.seed
    )  # a module that is made when its file is imported draws its weights then
    with process_guard.kept(changed):
        entry = models.get(job.arm.model) if is_network(job.arm) else None
        if entry is not None:
            entry.load()

    def build(image_size: int | None = None) -> Any:
        assert entry is not None and not isinstance(job.arm, ProbeArm), (
            f"{job.arm.model} is no network"
        )
        torch.manual_seed(job.seed)
        with process_guard.kept(changed):
            return building.build(
                entry, image_size=image_size or job.arm.image_size, num_classes=job.arm.num_classes
            )

    return build


def _identified(job: Job, request: Identify) -> Samples:
    from bench.count.identity import identify

    assert isinstance(job.arm, CountArm)
    arm = job.arm
    process_settings.fix(job.threads)
    found = identify(
        arm.model, image_size=arm.image_size, num_classes=arm.num_classes, use=request.use
    )
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
    if not isinstance(
        subject.arm, AccuracyArm
    ):  # a training looks itself, and its policy sets some of them
        process_guard.check(subject.held, "in a window")
    return Samples(
        reading.values,
        reading.detail,
        reading.arrays,
        seconds=time.perf_counter() - awake,
        wake_s=awake - start,
    )


UNSUPPORTED = ("not implemented for", "not supported", "unsupported")
"""How PyTorch says that an operator does not exist in a precision or layout."""


def failure_of(error: BaseException) -> Failure:
    """The status and one line for an exception in a worker."""
    if not isinstance(error, Exception):
        what = (
            f"called sys.exit({error.code!r})"
            if isinstance(error, SystemExit)
            else f"raised {type(error).__name__}"
        )
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
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__
    ]
    return f" ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})" if frames else ""
