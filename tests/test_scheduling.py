"""Timed processes have priority and a core per thread, where that is possible and not overruled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.measure import cpu_placement, machine, process_settings
from bench.measure.messages import Job, Window
from bench.measure.worker import Workers
from bench.record.arms import SpeedArm

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="on Linux alone a thread has a niceness and a place of its own"
)


@pytest.fixture(autouse=True)
def nobody_said_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in cpu_placement.SAID:
        monkeypatch.delenv(name, raising=False)


def cores_of_threads(pid: int) -> dict[int, set[int]]:
    """The cores that each thread of a process may run on."""
    return {
        int(task.name): os.sched_getaffinity(int(task.name))
        for task in Path(f"/proc/{pid}/task").iterdir()
    }


def session(pid: int | str = "self") -> str:
    """How the kernel ranks the session of a process, where it ranks sessions."""
    path = Path(f"/proc/{pid}/autogroup")
    return path.read_text().strip() if path.exists() else ""


def test_it_is_tried_what_going_first_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is yes only if a process with priority gets nearly all of a core that it shares.

    It is no for a smaller share, and if the trial fails.
    """
    share = cpu_placement.GETS
    cpu_placement.may_go_first.cache_clear()
    tried = cpu_placement.may_go_first()
    if os.geteuid() != 0:
        assert not tried
    monkeypatch.setattr(cpu_placement, "GETS", 2.0)
    cpu_placement.may_go_first.cache_clear()
    assert not cpu_placement.may_go_first()
    monkeypatch.setattr(cpu_placement, "GETS", share)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    cpu_placement.may_go_first.cache_clear()
    assert not cpu_placement.may_go_first()
    cpu_placement.may_go_first.cache_clear()


@pytest.mark.skipif(sys.platform != "linux", reason="niceness is tried on Linux alone")
@pytest.mark.parametrize(
    ("shares", "answer", "trials"),
    [
        ([0.98], True, 1),
        ([float("nan"), 0.98], True, 2),
        ([0.4, 0.5, 0.97], True, 3),
        ([0.25, 0.25, 0.25], False, 3),
        ([0.0], False, 1),
    ],
)
def test_a_spoiled_trial_is_repeated_and_a_refusal_is_not(
    monkeypatch: pytest.MonkeyPatch, shares: list[float], answer: bool, trials: int
) -> None:
    """The answer is part of a machine's fingerprint: it must not change while others are busy."""
    left = iter(shares)
    tried: list[int] = []
    monkeypatch.setattr(
        cpu_placement, "_tried_share", lambda core: (tried.append(core), next(left))[1]
    )
    cpu_placement.may_go_first.cache_clear()
    assert cpu_placement.may_go_first() is answer
    assert len(tried) == trials
    cpu_placement.may_go_first.cache_clear()


def system(monkeypatch: pytest.MonkeyPatch, before: int, allowed: bool) -> None:
    """A system that holds a niceness, and lets it be changed or not."""
    now = [before]

    def ask(which: int, who: int, value: int) -> None:
        if not allowed:
            raise PermissionError
        now[0] = value

    monkeypatch.setattr(os, "getpriority", lambda which, who: now[0])
    monkeypatch.setattr(os, "setpriority", ask)


@pytest.mark.parametrize(
    ("before", "allowed", "after"),
    [
        (0, True, cpu_placement.NICENESS),
        (0, False, 0),
        (5, True, 5),
        (-3, True, -3),
        (-20, False, -20),
    ],
)
def test_a_measured_process_goes_first_where_it_may_and_nobody_said_otherwise(
    before: int, allowed: bool, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    system(monkeypatch, before, allowed)
    cpu_placement.go_first()
    assert cpu_placement.niceness() == process_settings.current()["niceness"] == after


@pytest.mark.parametrize(
    ("asking", "allowed", "after"), [(0, True, 0), (0, False, 15), (5, True, 5), (None, True, 15)]
)
def test_a_launchers_niceness_gives_way_to_that_of_who_asked(
    asking: int | None, allowed: bool, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    system(monkeypatch, 15, allowed)
    cpu_placement.be_as_nice_as(asking)
    assert cpu_placement.niceness() == after


def test_the_threads_that_compute_go_first_too() -> None:
    program = """
import os, torch
from bench.measure import cpu_placement as scheduling, process_settings as settings
scheduling.go_first()
settings.fix(2)
torch.randn(512, 512) @ torch.randn(512, 512)
assert len(os.listdir("/proc/self/task")) > 1
priorities = {
    os.getpriority(os.PRIO_PROCESS, int(thread)) for thread in os.listdir("/proc/self/task")
}
print(*priorities, scheduling.niceness())
"""
    # NumPy's own thread pool starts at its import and is never timed. Tests that run in parallel
    # give it one thread.
    threads = {**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "1"}
    found = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, env=threads
    ).stdout.split()
    assert len(set(found)) == 1  # of all threads, whatever the system allowed


@pytest.fixture
def first(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where processes may come before others."""
    monkeypatch.setattr(cpu_placement, "may_go_first", lambda: True)


@pytest.mark.usefixtures("first")
def test_what_the_user_says_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cpu_placement.described({}) == {"goes_first": "verified", "threads_placed": "one a core"}
    assert cpu_placement.described({"OMP_PROC_BIND": "false"}) == {"omp_proc_bind": "false"}
    monkeypatch.setenv("GOMP_CPU_AFFINITY", "0")
    with cpu_placement.asked_for():
        assert "OMP_PROC_BIND" not in os.environ and "OMP_PLACES" not in os.environ


def test_who_may_not_go_first_may_leave_his_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_placement, "may_go_first", lambda: False)
    assert cpu_placement.described({}) == {}
    assert cpu_placement.described({"OMP_PLACES": "cores"}) == {"omp_places": "cores"}


@pytest.mark.usefixtures("first")
def test_only_what_is_started_within_is_asked() -> None:
    everywhere = sorted(os.sched_getaffinity(0))
    with cpu_placement.asked_for():
        assert os.environ["OMP_PLACES"] == ",".join(f"{{{core}}}" for core in everywhere)
        assert os.environ["OMP_PROC_BIND"] == "close"
    assert not set(cpu_placement.SAID) & set(os.environ)
    assert sorted(os.sched_getaffinity(0)) == everywhere


def test_a_timed_process_has_each_thread_on_a_core_of_its_own() -> None:
    arm = SpeedArm(
        model="convmixer_64_2_k3_p4",
        image_size=64,
        num_classes=10,
        policy="fp32",
        device="cpu",
        batch_size=8,
    )
    everywhere, cores = os.sched_getaffinity(0), machine.cores()
    worker = Workers().open(Job(arm, "cpu", seed=0, threads=cores))
    mine = session()
    try:
        assert worker.ready()["cores_of_main_thread"] == (
            1 if cpu_placement.may_go_first() else cores
        )
        worker.take(Window("throughput", 0.05), lambda text: None)
        found = cores_of_threads(worker.pid)
        if cpu_placement.may_go_first():  # what was tried and what holds are the same
            assert (
                session(worker.pid).endswith(f"nice {cpu_placement.NICENESS}")
                or not cpu_placement.AUTOGROUP.exists()
            )
        assert session() == mine, "the session of the program itself was changed"
    finally:
        worker.close()
    main = found.pop(worker.pid)
    alone = [next(iter(mask)) for mask in found.values() if len(mask) == 1]
    if cpu_placement.may_go_first():
        assert len(main) == 1
        assert cores == 1 or sorted([*main, *alone]) == sorted(everywhere)


RELEASED = """
import json, os, sys
from pathlib import Path
from bench.measure import cpu_placement as scheduling
everywhere = os.sched_getaffinity(0)
scheduling.may_go_first = lambda: True
with scheduling.asked_for():
    import torch
    first = os.sched_getaffinity(0)
    scheduling.release()
released, said = os.sched_getaffinity(0), sorted(set(scheduling.SAID) & set(os.environ))
if sys.argv[1:]:
    scheduling.MAPS = Path(sys.argv[1])
scheduling.settle()
print(json.dumps([len(everywhere), len(first), released == everywhere, said, scheduling.cores()]))
"""


def released(*arguments: str, **said: str) -> list[object]:
    """Return the numbers of cores before and after placement, and the state after release.

    Runs in its own process, since OpenMP reads its variables once.
    """
    done = subprocess.run(
        [sys.executable, "-c", RELEASED, *arguments],
        env=os.environ | said,
        check=True,
        capture_output=True,
        text=True,
    )
    return list(json.loads(done.stdout))


def test_a_process_may_go_everywhere_until_it_settles() -> None:
    cores = machine.cores()
    assert released() == [cores, 1, True, [], 1]


def test_a_second_openmp_keeps_the_main_thread_from_settling(tmp_path: Path) -> None:
    """Its threads would all inherit the one core."""
    maps = tmp_path / "maps"
    maps.write_text(
        "".join(
            f"7f00-7f01 r-xp 00000000 fe:00 1   {path}\n"
            for path in ("/a/libgomp.so.1", "/a/libgomp.so.1", "/b/libiomp5.so")
        )
    )
    cores = machine.cores()
    assert released(str(maps)) == [cores, 1, True, [], cores]


def test_who_wants_no_places_gets_none() -> None:
    cores = machine.cores()
    assert released(OMP_PROC_BIND="false") == [cores, cores, True, ["OMP_PROC_BIND"], cores]


def test_places_of_the_user_are_left_alone() -> None:
    """Also where they look like ours, or are written as OpenMP allows and we do not."""
    first = min(os.sched_getaffinity(0))
    for places in (f"{{{first}}}", f"{{{first}}}:1"):
        left = released(OMP_PLACES=places)
        assert left[3] == ["OMP_PLACES"]
        assert left[1] == left[4]
