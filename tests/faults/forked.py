"""Commands as forks of this process, which has imported everything: a tenth of a second to start.

A command has its own folder, temporary files, streams and children, and ends with everything that
Python does at an exit. The programs that multiprocessing would start (the server that forks
workers, the tracker of semaphores) are forks as well. Other programs (git) are started as always.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import importlib
import io
import multiprocessing.util
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.shim import Fault, Shim

LONGEST_S = 60.0
"""A command that takes longer hangs."""
GONE_S = 20.0
"""Seconds in which the processes of an ended command end."""
PR_SET_CHILD_SUBREAPER = 36
OPEN_FILES = 4096


@dataclass(frozen=True)
class Ended:
    """How a command ended; `code` is negative for a signal, None if it hung."""

    code: int | None
    out: str
    err: str
    left: list[str]
    """Processes that were still there, by their command lines."""
    seconds: float


def adopt() -> None:
    """Become the parent of processes whose own parents have ended, to see those left over."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def run(
    arguments: Sequence[str],
    cwd: Path,
    shim: Shim | None = None,
    fault: Fault | None = None,
    first: Callable[[], object] | None = None,
) -> Ended:
    """Run one command in a fork, and wait for it and all of its processes.

    `first` is called in the fork, before the command.
    """
    began = time.monotonic()
    if shim is not None:
        shim.prepare(cwd, fault)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if not pid:
            _become(arguments, cwd, out.fileno(), err.fileno(), shim, first)
        code = _code_of(pid, began + LONGEST_S)
        if shim is not None:
            shim.end()
        left = _left_over()
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    return Ended(code, *texts, left, time.monotonic() - began)


def aside(do: Callable[[], object]) -> None:
    """Call a function in a fork, whose imports this process does not need."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            do()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise RuntimeError("preparing failed, as printed above")


def _code_of(pid: int, until: float) -> int | None:
    """Wait for a process; end it and return None if it takes too long."""
    while time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def _left_over() -> list[str]:
    """Wait until this process has no children; end those that stay, and return what they were."""
    until, told = time.monotonic() + GONE_S, []
    while True:
        try:
            ended, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return told
        if not ended:
            time.sleep(0.005)
        if time.monotonic() > until:
            for child in _children():
                told.append(f"{child} {_command(child)}")
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            until = time.monotonic() + GONE_S


def _children() -> list[int]:
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return list(map(int, text.split()))


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")[:200]
    return ""


def _become(
    arguments: Sequence[str],
    cwd: Path,
    out: int,
    err: int,
    shim: Shim | None,
    first: Callable[[], object] | None,
) -> None:
    """Be a command, to its end; does not return."""
    code = 99
    try:
        # Temporary folders of the parent are not this process's to remove.
        weakref.finalize._registry.clear()  # type: ignore[attr-defined]
        os.setsid()
        os.chdir(cwd)
        with open(os.devnull) as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        for number, name in ((1, "stdout"), (2, "stderr")):
            raw = io.FileIO(number, "w", closefd=False)
            setattr(sys, name, io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8"))
        sys.stderr.reconfigure(line_buffering=True)  # type: ignore[attr-defined]
        os.environ["TMPDIR"] = str(cwd / "t")
        tempfile.tempdir = None
        random.seed(0)
        _be_the_program(arguments)
        if first is not None:
            first()
        code = _as_python_does(shim)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _be_the_program(arguments: Sequence[str]) -> None:
    import bench.__main__ as program

    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["bench", *arguments]
    sys.modules["__main__"] = program  # workers import it, and it is theirs already
    subprocess._USE_VFORK = False  # type: ignore[attr-defined]  # vfork cannot be wrapped
    multiprocessing.util.spawnv_passfds = _fork_instead  # type: ignore[attr-defined]


def _as_python_does(shim: Shim | None) -> int:
    """Run the program and the interpreter's exit; return the exit code."""
    import bench.__main__ as program

    code: int
    try:
        if shim is not None:
            shim.begin()
        program.script()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    try:
        sys.stdout.flush()
    except OSError as error:
        os.write(2, f"Exception ignored in stdout: {error}\n".encode())
        code = 120
    return code


def _fork_instead(path: str, arguments: Sequence[object], passed: Iterable[int]) -> int:
    """Do what `python -c CODE` would do, in a fork of this process."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        kept = sorted({0, 1, 2, *passed})
        for low, high in zip(kept, [*kept[1:], OPEN_FILES], strict=True):
            os.closerange(low + 1, high)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        warnings.simplefilter("ignore")
        atexit._clear()
        atexit.register(multiprocessing.util._exit_function)  # type: ignore[attr-defined]
        multiprocessing.util._finalizer_registry.clear()  # type: ignore[attr-defined]
        texts = list(map(os.fsdecode, arguments))  # type: ignore[arg-type]
        exec(texts[texts.index("-c") + 1], {"__name__": "__main__"})
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    finally:
        with contextlib.suppress(Exception):
            atexit._run_exitfuncs()
        os._exit(code)


def import_all(names: Iterable[str]) -> None:
    """Import modules that a command imports on its way; those of plug-ins' files are left out."""
    for name in names:
        with contextlib.suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module(name)
