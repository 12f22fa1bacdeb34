"""What the timing server of `bench ab` does with the process it runs in."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bench.ab.process import Process, Side

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
needs_two = pytest.mark.skipif(len(CORES) < 2, reason="needs Linux and two cores")


def cores_of(case: str, folder: Path, core: int | None) -> set[int]:
    """Return the cores that a case's process may use once it is warm."""
    (folder / "cases.py").write_text(CASES)
    side = Side("base", Path(sys.executable), folder, loads={"case": [f"{folder}/cases.py", case]})
    process = Process(side, {"niceness": None, "threads": 1, "core": core})
    try:
        process.load(60)
        assert process.time(0.01, 60) > 0
        return os.sched_getaffinity(process.pid)
    finally:
        process.close()


@needs_two
def test_a_case_of_one_thread_is_bound_to_the_core_that_is_named(tmp_path: Path) -> None:
    # Beside the other tests the first window may look as if the case had waited.
    found = [cores_of("alone", tmp_path, core) for core in CORES[:2] * 3]
    assert {CORES[0]} in found and {CORES[1]} in found


@needs_two
@pytest.mark.parametrize(
    "case",
    ["by_threads_that_end", "beside_a_thread", "beside_a_child", "by_children_that_end", "waits"],
)
def test_a_case_that_uses_or_leaves_more_than_one_core_stays_free(
    case: str, tmp_path: Path
) -> None:
    assert cores_of(case, tmp_path, CORES[0]) == set(CORES)


@needs_two
def test_without_a_core_no_case_is_bound(tmp_path: Path) -> None:
    assert cores_of("alone", tmp_path, None) == set(CORES)
