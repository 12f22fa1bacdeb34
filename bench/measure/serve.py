"""The worker's side of the pipe: open the arm and answer requests until told to end."""

from __future__ import annotations

import io
import logging
import multiprocessing
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from bench.count.model_errors import advised
from bench.errors import Diverged, ModelFault, Uncountable, UsageError, WrongOutput
from bench.files import system_limits
from bench.files.files import unwritable
from bench.measure import cpu_placement, process_settings
from bench.measure.memory import is_out_of_memory
from bench.measure.messages import (
    Failure,
    Identify,
    Job,
    MakeReference,
    Prepare,
    Samples,
    Window,
    Word,
)
from bench.measure.processes import descendants, kill
from bench.record.arms import CountArm, ProbeArm

if TYPE_CHECKING:
    from bench.measure.subject import ArmSubject


def serve(pipe: Connection, job: Job) -> None:
    """Answer requests until the pipe closes; the main function of a worker process."""
    from bench.plugins import models

    cpu_placement.release()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    models.typed.add(job.arm.model)  # the user typed it, or there would be no such job
    try:
        # The pipe closes when the runner has ended or no longer needs this worker.
        with suppress(EOFError, ConnectionError):
            _answer(pipe, job)
    except (OSError, MemoryError):  # of the pipe; the runner tells how this process has ended
        sys.exit(1)


def _answer(pipe: Connection, job: Job) -> None:
    """Answer requests forever; raises EOFError or ConnectionError when the pipe closes."""
    subject: ArmSubject[Any] | None = None
    while True:
        request = pipe.recv()
        answer: Samples | Failure
        try:
            # Anything that a model prints would break the progress display.
            with redirect_stdout(Unread()):
                if isinstance(request, Identify):
                    answer = _identified(job, request)
                else:
                    subject = subject or _open(job, pipe)
                    answer = _do(subject, request)
        except BaseException as error:  # sys.exit() in a model's code ends only its own arm
            answer = failure_of(advised(error, job.arm))
        pipe.send(answer)


class Unread(io.TextIOBase):
    """A stream that discards text."""

    def write(self, text: str) -> int:
        return len(text)


def _end_with_parent() -> None:
    """Wait for the program that started this worker to end, for whatever reason, and end at once.

    Otherwise a training run would continue by itself, next to the run that resumes it.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    kill(descendants(os.getpid()))
    os._exit(1)


def _open(job: Job, pipe: Connection) -> ArmSubject[Any]:
    from bench.measure.subject import open_subject

    if job.arm.times_calls:
        cpu_placement.go_first()
    process_settings.use_device(job.device)
    process_settings.fix(job.threads)
    if job.cache is not None:
        _use_compiler_cache(job.cache, job.device)
    if job.memory is not None:
        process_settings.limit_memory(job.memory, job.device)
    set_back: dict[str, str] = {}
    build = builder(job, set_back)
    return open_subject(
        job.arm,
        device=job.device,
        seed=job.seed,
        build=build,
        progress=lambda text: pipe.send(Word(text)),
        job=job,
        set_back=set_back,
    )


EXPORTS = "BENCH_EXPORTS"
"""The environment variable with the folder for what an engine's later processes need not repeat."""


def _use_compiler_cache(cache: str, device: str) -> None:
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = os.environ[EXPORTS] = cache
    os.environ["TRITON_CACHE_DIR"] = os.path.join(cache, "triton")
    if device == "cpu":
        # Compiler processes would outlive a killed worker, and a model has at most one kernel
        # file on a CPU, so there is nothing to compile in parallel.
        os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    # Silences its warning that CUDA is missing.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)


def builder(job: Job, set_back: dict[str, str] | None = None) -> Callable[..., Any]:
    """Return a function that builds the job's model with its seed.

    `build(image_size)` builds it at another size. Process settings that the model's code changes
    are restored, and added to `set_back`.

    Raises:
        UsageError: if the job's model name is not one of a model.
    """
    import torch

    from bench.count import building, process_guard
    from bench.plugins import models

    set_back = {} if set_back is None else set_back
    arm = job.arm
    torch.manual_seed(job.seed)  # a file may build its model while it is imported
    with process_guard.kept(set_back):
        entry = models.get(arm.model) if arm.is_network else None
        if entry is not None:
            entry.load()

    def build(image_size: int | None = None) -> Any:
        assert entry is not None and not isinstance(arm, ProbeArm), f"{arm.model} is not a network"
        torch.manual_seed(job.seed)
        with process_guard.kept(set_back):
            return building.build(
                entry, image_size=image_size or arm.image_size, num_classes=arm.num_classes
            )

    return build


def _identified(job: Job, request: Identify) -> Samples:
    from bench.count.identity import identify

    arm = job.arm
    assert isinstance(arm, CountArm)
    process_settings.fix(job.threads)
    identity = identify(
        arm.model, image_size=arm.image_size, num_classes=arm.num_classes, use=request.use
    )
    return Samples(detail={"identity": identity})


def _do(subject: ArmSubject[Any], request: Window | MakeReference | Prepare | None) -> Samples:
    from bench.plugins import metrics

    if isinstance(request, Prepare):
        subject.prepare()
        return Samples()
    if isinstance(request, MakeReference):
        subject.make_reference()
        return Samples()
    if request is None:
        return Samples(detail=subject.ready())
    start = time.perf_counter()
    subject.wake(request.seconds)
    awake = time.perf_counter()
    reading = metrics.get(request.metric).measure(subject, request.seconds)
    subject.check_settings("in a window")
    return Samples(
        reading.values,
        reading.detail,
        reading.arrays,
        seconds=time.perf_counter() - awake,
        wake_s=awake - start,
    )


UNSUPPORTED = ("not implemented for", "not supported", "unsupported")
"""PyTorch's words for an operator that does not exist in a precision or memory format."""


def failure_of(error: BaseException) -> Failure:
    """Return the status and the one-line message for an exception in a worker."""
    if not isinstance(error, Exception):
        return Failure("failed", _ended(error))
    text = f"{type(error).__name__}: {error}".split("\n")[0][:500].rstrip()
    if isinstance(error, UsageError):
        return Failure("failed", str(error), usage=True)
    if isinstance(error, OSError) and (line := unwritable(error)):
        return Failure("failed", str(line), usage=True)  # every arm would fail alike
    if isinstance(error, Diverged):
        return Failure("diverged", str(error))
    if isinstance(error, WrongOutput):
        return Failure("wrong", str(error))
    if isinstance(error, ModelFault | Uncountable):
        return Failure("failed", " ".join(str(error).split())[:500])
    if is_out_of_memory(error):
        return Failure("oom", text)
    if limit := system_limits.in_words(error):
        return Failure("failed", limit, usage=True)
    if isinstance(error, NotImplementedError):
        return Failure("unsupported", text)
    if isinstance(error, RuntimeError) and any(words in text for words in UNSUPPORTED):
        return Failure("unsupported", text)
    return Failure("failed", text + _where(error))


def _ended(error: BaseException) -> str:
    """Describe code that tried to end the program instead of raising an error."""
    if isinstance(error, SystemExit):
        what = f"called sys.exit({error.code!r})"
    else:
        what = f"raised {type(error).__name__}"
    return f"the model's code {what}{_where(error)}; remove that from it"


def _where(error: BaseException) -> str:
    """Return the file and line in which an exception was raised."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__
    ]
    if not frames:
        return ""
    return f" ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})"
