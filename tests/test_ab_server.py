"""What the timing server of `bench ab` does with the process it runs in."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar, cast

import pytest

from bench.ab.compare import Comparison
from bench.ab.decision import ARMS
from bench.ab.process import SERVER, Process, Side
from bench.ab.sides import Pair
from bench.measure import cpu_placement

from .ab_worlds import BASE, HEAD

CASES = """
import hashlib, subprocess, sys, threading, time
from concurrent.futures import ThreadPoolExecutor

DATA = bytes(1 << 20)

def alone():
    return hashlib.sha256, (DATA,)

def by_threads_that_end():
    def work(data):
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(hashlib.sha256, [data] * 16))
    return work, (DATA,)

def beside_a_thread():
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
    return hashlib.sha256, (DATA,)

def beside_a_child():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    CHILDREN.append(child)
    return hashlib.sha256, (DATA,)

def by_children_that_end():
    return subprocess.run, ([sys.executable, "-S", "-c", "sum(range(100_000))"],)

def waits():
    return time.sleep, (0.01,)

CHILDREN = []
"""
CORES = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []
needs_linux = pytest.mark.skipif(not CORES, reason="needs Linux")


def loaded(case: str, folder: Path) -> tuple[bool, set[int]]:
    """Return whether a case keeps one core busy, and the cores it may use once it is bound."""
    (folder / "cases.py").write_text(CASES)
    side = Side("base", Path(sys.executable), folder, loads={"case": [f"{folder}/cases.py", case]})
    niceness = cpu_placement.NICENESS if cpu_placement.may_go_first() else None
    process = Process(side, {"niceness": niceness, "threads": 1})
    try:
        keeps_one_busy = process.load(60)["keeps_one_busy"]
        process.bind(CORES[0], 60)
        calls, seconds = process.time(0.01, 60)
        assert calls >= 1 and seconds > 0
        return keeps_one_busy, os.sched_getaffinity(process.pid)
    finally:
        process.close()


@needs_linux
def test_a_case_of_one_thread_keeps_one_core_busy(tmp_path: Path) -> None:
    """Beside other tests its calls may look as if they had waited, but not for a minute."""
    end = time.monotonic() + 60
    while True:
        keeps_one_busy, cores = loaded("alone", tmp_path)
        assert cores == set(CORES[:1])
        if keeps_one_busy or time.monotonic() > end:
            break
    assert keeps_one_busy


@needs_linux
@pytest.mark.parametrize(("own", "said"), [(0.65, False), (0.9, True), (1.0, True), (1.2, False)])
def test_neither_waiting_nor_helped(own: float, said: bool) -> None:
    code = f"import placement; print(placement.keeps_one_busy((5.0, 2.0), (6.0, 2.0 + {own})))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=SERVER.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(said)


@needs_linux
@pytest.mark.parametrize(
    "case",
    ["by_threads_that_end", "beside_a_thread", "beside_a_child", "by_children_that_end", "waits"],
)
def test_a_case_that_uses_or_leaves_more_is_known(case: str, tmp_path: Path) -> None:
    assert not loaded(case, tmp_path)[0]


class Told:
    """A process that says how many cores its case uses, and notes what it is bound to."""

    bound: ClassVar[list[int]] = []

    def __init__(self, keeps_one_busy: bool) -> None:
        self.keeps_one_busy = keeps_one_busy

    def bind(self, core: int, patience: float) -> None:
        Told.bound.append(core)


@pytest.mark.parametrize(
    ("said", "core", "bound"),
    [
        ((True, True, True), 1, [1, 1, 1]),
        ((True, True, False), 1, []),
        ((True, True, True), None, []),
    ],
)
def test_all_processes_are_bound_or_none(
    said: tuple[bool, ...], core: int | None, bound: list[int]
) -> None:
    """Head may use a second thread where the base does not: that is what is to be measured."""
    Told.bound = []
    comparison = Comparison(Pair("case", BASE, HEAD), 60, margin=0.05, settings={"core": core})
    comparison._start = comparison.now()
    for arm, keeps in zip(ARMS, said, strict=True):
        comparison._open[arm] = cast(Process, Told(keeps))
        comparison._loaded[arm] = {"keeps_one_busy": keeps}
    comparison._bind()
    assert Told.bound == bound
