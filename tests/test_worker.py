"""Real worker processes: they answer, die, and take nobody with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.measure import cpu_placement
from bench.measure.messages import Failure, Job, Window
from bench.measure.serve import failure_of
from bench.measure.worker import Workers
from bench.record.arms import CountArm, SpeedArm

GO_FIRST = (
    "import os; os.getpriority(os.PRIO_PROCESS, 0) and 1 / 0; "
    f"os.setpriority(os.PRIO_PROCESS, 0, {cpu_placement.NICENESS})"
)
MAY_GO_FIRST = subprocess.run([sys.executable, "-c", GO_FIRST], capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers() as found:
        yield found


def job(model: str, **changes: int) -> Job:
    arm = SpeedArm(
        model=model,
        image_size=32,
        num_classes=changes.get("num_classes", 10),
        policy="fp32",
        device="cpu",
        batch_size=2,
    )
    return Job(arm, "cpu", seed=0, threads=1)


def test_a_worker_builds_warms_up_and_answers_windows(workers: Workers) -> None:
    worker = workers.open(job("convmixer_16_1_k3_p8"))
    try:
        setup = worker.ready()
        assert set(setup) >= {"build_s", "first_call_s", "warmup_windows", "steady"}
        assert setup["niceness"] == (
            cpu_placement.NICENESS if MAY_GO_FIRST else cpu_placement.niceness()
        )
        samples = worker.take(Window("throughput", 0.05), lambda text: None)
        assert samples.values[0] > 0
        assert worker.take(Window("memory", 0.0), lambda text: None).detail["since"] == "window"
    finally:
        worker.close()


def test_a_worker_told_to_prepare_gets_ready_like_any_other(workers: Workers) -> None:
    """Its first answer is to that; what went wrong meanwhile is told when it has to be ready."""
    worker, broken = workers.open(job("convmixer_16_1_k3_p8")), workers.open(job("no_such_model"))
    try:
        worker.prepare()
        broken.prepare()
        assert worker.ready()["seconds_per_call"]
        assert worker.take(Window("throughput", 0.05), lambda text: None).values[0] > 0
        with pytest.raises(Failure, match="no_such_model"):
            broken.ready()
    finally:
        worker.close()
        broken.close()


WIDE = """
from torch import nn
def build(*, num_classes):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(3072, 16384, bias=False), nn.Linear(16384, num_classes)
    )
"""


def test_memory_is_what_the_model_brought(workers: Workers, tmp_path: Path) -> None:
    """201 MB of weights read as at least that, and as less than twice of it."""
    (tmp_path / "wide.py").write_text(WIDE)
    worker = workers.open(job(f"{tmp_path}/wide.py:build"))
    try:
        worker.ready()
        [value] = worker.take(Window("memory", 0.0), lambda text: None).values
    finally:
        worker.close()
    assert 201e6 < value < 402e6


def test_a_killed_worker_is_a_failure_with_its_signal(workers: Workers) -> None:
    arm = CountArm(model="convmixer_16_1_k3_p8", image_size=32, num_classes=10)
    worker = workers.open(Job(arm, "cpu", seed=0, threads=1))
    worker.ready()
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(Failure, match="died with exit code -9") as caught:
        worker.take(Window("params", 0.0), lambda text: None)
    assert caught.value.status == "failed"
    worker.close()


def test_a_silent_worker_is_a_timeout(workers: Workers, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\ndef build():\n    time.sleep(60)\n")
    worker = workers.open(replace(job(f"{tmp_path}/slow.py:build"), timeout=0.5))
    start = time.monotonic()
    with pytest.raises(Failure, match="no answer within") as caught:
        worker.ready()
    worker.close()
    assert caught.value.status == "timeout"
    assert time.monotonic() - start < 20


def test_an_error_in_a_worker_comes_back_as_one_line(workers: Workers) -> None:
    worker = workers.open(job("convmixer_16_1_k3_p8", num_classes=10))
    try:
        with pytest.raises(Failure, match=r"AssertionError: call ready\(\) first"):
            worker.take(Window("latency", 0.05), lambda text: None)  # not made ready
        with pytest.raises(Failure, match="--metrics: no metric named 'speed'") as caught:
            worker.take(Window("speed", 0.05), lambda text: None)
        assert caught.value.usage
    finally:
        worker.close()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MemoryError(), "oom"),
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp] "
                "DefaultCPUAllocator: can't allocate memory: you tried"
            ),
            "oom",
        ),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "oom"),
        (NotImplementedError("no kernel for this device"), "unsupported"),
        (RuntimeError("something else\nwith a second line"), "failed"),
    ],
)
def test_what_an_exception_is_called(error: Exception, status: str) -> None:
    failure = failure_of(error)
    assert failure.status == status
    assert "\n" not in failure.error


def test_workers_end_with_the_process_that_opened_them(tmp_path: Path) -> None:
    """SIGKILL the runner in the middle of a run: no worker stays behind."""
    import subprocess
    import sys

    arguments = [
        "run",
        "--models",
        "convmixer_digits",
        "--device",
        "cpu",
        "--metrics",
        "latency",
        "--results",
        str(tmp_path),
    ]
    # A marker in the environment finds the children afterwards, whoever their parent is by then.
    marker = f"BENCH_TEST_{os.getpid()}_{time.monotonic_ns()}"
    run = subprocess.Popen(
        [sys.executable, "-m", "bench", *arguments, "--rounds", "100000"],
        env={**os.environ, marker: "1"},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(
            lambda: any(
                b'"round":2,' in path.read_bytes() for path in tmp_path.glob("*/records/*.jsonl")
            ),
            90,
        )
    finally:
        run.kill()
        run.wait()
    wait_for(lambda: not processes_with(marker), 30)


def processes_with(marker: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if (
                marker.encode() in path.read_bytes()
                and "Z" not in (path.parent / "stat").read_text().rpartition(")")[2].split()[0]
            ):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def wait_for(condition: object, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)
