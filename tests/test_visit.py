"""A visit: what its steps may do to it, how it ends, and that its commands are commands."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from bench.cli.app import app, main
from bench.errors import UsageError
from bench.exchange.pack import verify
from bench.measure.disturbance import free_memory
from bench.plan import plan
from bench.plugins import studies
from bench.plugins.registry import Registry
from bench.visit import cuda
from bench.visit.journal import Entry, Folder, last
from bench.visit.parcel import parcel
from bench.visit.process import Guard, run_command
from bench.visit.queue import Queue, planned
from bench.visit.step import Step
from bench.visit.steps import chosen, steps_for, stretched

from .conftest import MACHINE
from .newcomers import FILES
from .pictures import make_folder
from .program import ROOT, called, environment, start

COPY = "import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2], dirs_exist_ok=True)"
DEAF = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
sleeping = [sys.executable, "-c", "import time; time.sleep(600)"]
child = subprocess.Popen(sleeping, start_new_session=True)
print("pids", os.getpid(), child.pid, flush=True)
def where_it_hangs():
    time.sleep(600)
where_it_hangs()
"""
GREEDY = """
import time
kept = []
while True:
    kept.append(bytearray(b"x") * (16 << 20))
    time.sleep(0.05)
"""
HUNGRY = 300 << 20
"""Bytes that a greedy step may take before its guard sees that memory is nearly full."""


def python(name: str, code: str, *arguments: str, limit_s: float = 60, min_s: float = 0) -> Step:
    command = ("-c", code, *arguments)
    return Step(name=name, why="a test", command=command, limit_s=limit_s, min_s=min_s)


def good(results: Path) -> Step:
    """A step that writes records: those of a folder."""
    return python("good", COPY, str(results), "{results}")


def take(
    steps: list[Step], folder: Path, seconds: float = 120, guard: Guard | None = None
) -> dict[str, Entry]:
    """Run a queue; returns the last entry of each step."""
    visit = Folder(folder)
    visit.make()
    try:
        Queue(steps, visit, seconds, lambda text: None, guard=guard or Guard()).run()
    finally:
        found = last(visit.entries())
    return found


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    assert condition()


# Steps that misbehave


def test_steps_that_hang_crash_and_fail_are_survived(tmp_path: Path, results: Path) -> None:
    """A hang that ignores Ctrl-C and has a child in its own session, a crash, an exception."""
    steps = [
        python("hang", DEAF, limit_s=4),
        python("crash", "import ctypes; print('so far'); ctypes.string_at(0)"),
        python("fail", "raise RuntimeError('broken in this way')"),
        python("gone", "import os; os.execv('/nonexistent', ['x'])"),
        good(results),
    ]
    found = take(steps, tmp_path / "visit")
    outcomes = {name: entry.outcome for name, entry in found.items()}
    assert outcomes == {
        "hang": "timed out",
        "crash": "failed",
        "fail": "failed",
        "gone": "failed",
        "good": "ok",
    }
    assert found["crash"].code == -signal.SIGSEGV and "so far" in found["crash"].reason
    assert "broken in this way" in found["fail"].reason and "exit code 1" in found["fail"].reason
    assert found["good"].records > 20
    log = (tmp_path / "visit" / "logs" / "hang.log").read_text()
    assert "in where_it_hangs" in log  # it was made to say so before it was killed
    pids = [int(pid) for pid in re.findall(r"pids (\d+) (\d+)", log)[0]]
    until(lambda: not any(map(is_alive, pids)), 10)
    assert "Traceback" in (tmp_path / "visit" / "logs" / "fail.log").read_text()
    parcel(tmp_path / "visit", tmp_path / "visit.zip")
    assert verify(tmp_path / "visit.zip").problems == []


def test_a_step_that_fills_the_memory_is_ended(tmp_path: Path) -> None:
    if free_memory("cpu") is None:
        pytest.skip("this system does not say how much memory is free")
    guard = Guard(floor=64 << 20, free=lambda: _left(HUNGRY))
    began = time.monotonic()
    found = take([python("greedy", GREEDY), python("next", "")], tmp_path, guard=guard)
    assert {name: entry.outcome for name, entry in found.items()} == {
        "greedy": "out of memory",
        "next": "ok",
    }
    assert time.monotonic() - began < 60


def _left(allowed: int) -> int:
    """Return the bytes left if this process's children may take `allowed` bytes together."""
    from bench.measure.processes import descendants
    from bench.visit.process import _anonymous

    return max(0, allowed - sum(map(_anonymous, descendants(os.getpid()))))


def test_a_step_for_records_that_writes_none_is_not_done(tmp_path: Path) -> None:
    steps = [replace(python("nothing", "print('2 entries are left')"), writes=True)]
    for _ in range(2):  # the same command tries it again
        found = take(steps, tmp_path)["nothing"]
        assert found.outcome == "skipped"
        assert found.reason == "the step measured nothing: 2 entries are left"
    assert len(Folder(tmp_path).entries()) == 2


def test_memory_that_others_took_ends_no_step(tmp_path: Path) -> None:
    found = take([python("small", "print(1)")], tmp_path, guard=Guard(free=lambda: 0))
    assert found["small"].outcome == "ok"


def test_ctrl_c_ends_the_step_and_is_passed_on(tmp_path: Path) -> None:
    looks = count()

    def interrupted() -> int:
        if next(looks) == 3:
            raise KeyboardInterrupt
        return 1 << 40

    step = python("long", "import os, time; print('pid', os.getpid(), flush=True); time.sleep(600)")
    with pytest.raises(KeyboardInterrupt):
        take([step, python("never", "")], tmp_path, guard=Guard(free=interrupted))
    assert [entry.outcome for entry in Folder(tmp_path).entries()] == ["interrupted"]
    log = (tmp_path / "logs" / "long.log").read_text()
    assert not is_alive(int(log.split()[1])) and "KeyboardInterrupt" in log


def test_a_killed_visit_takes_its_step_along_and_the_next_one_goes_on(
    tmp_path: Path, results: Path
) -> None:
    """SIGKILL to the visit: what is finished is in the pack, and nothing goes on by itself."""
    code = f"""
import sys
from pathlib import Path
from typing import Any
from tests.test_visit import Folder, Queue, good, parcel, python
folder = Folder(Path({str(tmp_path / "visit")!r}))
folder.make()
late = python("late", "import os, time; print('pid', os.getpid(), flush=True); time.sleep(600)")
after = lambda: parcel(folder.path, Path({str(tmp_path / "visit.zip")!r}))
Queue([good(Path({str(results)!r})), late], folder, 600, print, after=after).run()
"""
    process = subprocess.Popen([sys.executable, "-c", code], env=environment(), cwd=tmp_path)
    log = tmp_path / "visit" / "logs" / "late.log"
    try:
        until(lambda: log.exists() and log.read_text().endswith("\n"))
    finally:
        process.kill()
        process.wait()
    if sys.platform == "linux":
        until(lambda: not is_alive(int(log.read_text().split()[1])), 10)
    assert verify(tmp_path / "visit.zip").problems == []
    found = take([good(results), python("late", "")], tmp_path / "visit")
    assert {name: entry.outcome for name, entry in found.items()} == {"good": "ok", "late": "ok"}
    entries = Folder(tmp_path / "visit").entries()
    assert [entry.step for entry in entries] == ["good", "late"]  # the first one not again


# Time


def test_time_is_shared_out_in_order_and_the_rest_is_skipped(tmp_path: Path) -> None:
    sleep = "import time; time.sleep(600)"
    steps = [
        python("first", "", limit_s=10),
        python("fits_in_what_is_left", sleep, limit_s=100, min_s=1),
        python("needs_more", "", limit_s=100, min_s=50),
        replace(python("lacks", ""), needs=("a_module_that_is_not_there",)),
    ]
    began = time.monotonic()
    found = take(steps, tmp_path, seconds=12)
    assert time.monotonic() - began < 12 + 10  # and the grace of a step that ends at once
    assert [entry.outcome for entry in found.values()] == ["ok", "timed out", "skipped", "skipped"]
    assert 1 < found["fits_in_what_is_left"].given_s <= 7
    assert "s are left, and the step needs at least 50 s" in found["needs_more"].reason
    assert found["lacks"].reason == "a_module_that_is_not_there is not installed"


def test_the_plan_gives_what_the_steps_may_take() -> None:
    steps = [
        python("one", "", limit_s=30),
        python("two", "", limit_s=100, min_s=90),
        python("three", "", limit_s=20, min_s=5),
    ]
    given = [seconds for _, seconds in planned(steps, 60)]
    assert given == [30, 0, 20]


def test_limits_grow_where_there_is_more_time_than_all_steps_can_take() -> None:
    steps = [
        python("one", "", limit_s=30),
        replace(python("two", "", limit_s=20), grows=False),
        python("three", "", limit_s=10),
        replace(python("lacks", "", limit_s=500), needs=("a_module_that_is_not_there",)),
    ]
    for seconds, limits in ((50, [30, 20, 10, 500]), (100, [60, 20, 20, 1000])):
        assert [step.limit_s for step in stretched(steps, seconds)] == limits


@pytest.mark.parametrize("ignored", [False, True], ids=["terminal", "background"])
def test_the_limit_of_a_command_is_held(ignored: bool, tmp_path: Path) -> None:
    """Also where a shell's `&` started the visit, whose programs ignore Ctrl-C."""
    code = "import time\ntry:\n    time.sleep(600)\nexcept KeyboardInterrupt:\n    print('heard')"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if ignored else None
    try:
        ended = run_command([sys.executable, "-c", code], tmp_path / "log", limit_s=2)
    finally:
        if ignored:
            signal.signal(signal.SIGINT, before)
    assert (ended.why, ended.code) == ("limit", 0)
    assert (tmp_path / "log").read_text() == "heard\n"


def test_a_torn_journal_is_continued(tmp_path: Path) -> None:
    take([python("one", "")], tmp_path)
    journal = Folder(tmp_path).journal
    journal.write_bytes(journal.read_bytes() + b'{"step":"tw')
    found = take([python("one", ""), python("two", "")], tmp_path)
    assert list(found) == ["one", "two"]
    assert [entry.step for entry in Folder(tmp_path).entries()] == ["one", "two"]
    journal.write_bytes(b'{"step": 1}\n')
    with pytest.raises(UsageError, match=r"steps\.ndjson cannot be read"):
        Folder(tmp_path).entries()


# The steps


@pytest.mark.parametrize("device", ["cuda:0", "cpu"])
def test_every_step_is_a_command_that_can_be_planned(device: str, tmp_path: Path) -> None:
    """Flags, names and their combinations are valid on a device.

    The names are those of models, metrics, policies, recipes and studies.
    """
    make_folder(tmp_path, {"train": 4, "test": 2}, classes=10, side=32)
    steps = steps_for(device, f"cifar10:{tmp_path}")
    assert len({step.name for step in steps}) == len(steps)
    for step in steps:
        assert 0 <= step.opening_s < step.limit_s and step.min_s <= step.limit_s
        arguments = step.argv(step.limit_s, Path("results"))[3:]
        _, bound, *_ = app.parse_args(arguments, exit_on_error=False, print_error=False)
        if step.command[0] == "run":
            asked = plan.make(bound.arguments["config"], device=device)
            assert asked.tasks or asked.accuracies(lambda task: None)
        elif step.command[0] == "study":
            assert studies.get(step.command[2]).name in step.name


def released(registry: Registry[Any]) -> set[str]:
    """The names in a registry, but for those of files that test_newcomers.py plants."""
    files = {name: registry.origin(name).relative_to(ROOT) for name in registry.names()}
    return {name for name, file in files.items() if file.as_posix() not in FILES}


def test_on_a_gpu_every_policy_and_metric_has_its_first_contact() -> None:
    from bench.plugins import metrics, policies

    commands = [part for step in cuda.steps("cuda:0", None) for part in step.command]
    words = {word for part in commands for name in part.split(",") for word in name.split("+")}
    engines = {"ort", "openvino", "tensorrt", "int8"}  # extras that a rented GPU does not have
    assert released(policies) - words == {"eager", *engines}
    left_out = released(metrics) - words
    assert {metrics.get(name).arm for name in left_out - {"first_call"}} == {"probe"}


def test_steps_are_taken_by_name() -> None:
    steps = steps_for("cpu")
    assert [step.name for step in chosen(steps, ("families", "doctor"))] == ["families", "doctor"]
    assert chosen(steps, ()) == steps


BAD = [
    (("--minutes", "-1"), "--minutes: must be from 0 to 1440"),
    (("--data", "imagenet:/x"), "--data: must be cifar10:/path"),
    (("--data", "cifar10:/not/there"), "--data: /not/there is not a folder"),
    (("--steps", "doktor"), "--steps: no step named 'doktor'; choose from doctor, "),
    (("--out", "visit.tar"), "--out: must name a zip file, such as visit.zip, got visit.tar"),
    (("--tests",), "--tests: the tests need a CUDA device"),
    (("--device", "tpu"), "--device: must be auto, cpu, cuda"),
    (("--device", "mps"), "--device: a visit has no steps for mps yet"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD)
def test_bad_input_is_one_line(
    arguments: tuple[str, ...],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = arguments if "--device" in arguments else (*arguments, "--device", "cpu")
    assert main(["visit", *given]) == 2
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


# The program

ON_THE_MACHINE = [
    "torch",
    "torchvision",
    "timm",
    "triton",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "matplotlib",
    "jinja2",
    "safetensors",
    "nvidia-ml-py",
    "attrs",
    "markdown-it-py",
    "pygments",
    "portalocker",
    "tqdm",
    "pillow",
]
WHEELS = [
    "rich",
    "tabulate",
    "cyclopts",
    "docstring-parser",
    "rich-rst",
    "docutils",
    "msgspec",
    "termcolor",
    "yacs",
    "fvcore",
    "iopath",
]
HIDE = """
import sys
from importlib.machinery import PathFinder

class Hiding:
    @staticmethod
    def find_spec(name, path=None, target=None):
        hidden = name.partition(".")[0] in {missing!r}
        return None if hidden else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Hiding
"""


def closure(names: list[str]) -> set[str]:
    """These distributions and all that they need, as far as that is installed."""
    found: set[str] = set()
    waiting = [name.lower() for name in names]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop())
        if name in found:
            continue
        found.add(name)
        try:
            needed = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        plain = [text for text in needed if "extra ==" not in text]
        waiting += [re.split(r"[^A-Za-z0-9._-]", text, maxsplit=1)[0].lower() for text in plain]
    return found


def without_others(folder: Path) -> str:
    """A PYTHONPATH on which nothing can be imported but what a bare GPU machine has."""
    there = closure([*ON_THE_MACHINE, *WHEELS])
    missing = {
        module
        for module, owners in packages_distributions().items()
        if not {re.sub(r"[-_.]+", "-", owner.lower()) for owner in owners} & there
    } - {"bench", "models", "plots", "tests", "_distutils_hack", "pip"}
    assert {"plotly", "itables"} <= missing
    (folder / "sitecustomize.py").write_text(HIDE.format(missing=missing))
    return os.pathsep.join([str(folder), str(ROOT)])


def test_it_needs_little_is_interrupted_and_brings_home_what_was_finished(tmp_path: Path) -> None:
    """With nothing but the wheels, Ctrl-C in the second step, then unpacked elsewhere."""
    (tmp_path / "bare").mkdir()
    env = {"PYTHONPATH": without_others(tmp_path / "bare")}
    steps = ("--steps", "contact_policies,contact_metrics", "--device", "cpu", "--minutes", "5")
    process = start("visit", *steps, cwd=tmp_path, env=env)
    try:
        log = tmp_path / "visit" / "logs" / "contact_metrics.log"
        until(lambda: process.poll() is not None or log.exists(), 120)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, out + err
    found = last(Folder(tmp_path / "visit").entries())
    outcomes = {name: entry.outcome for name, entry in found.items()}
    assert outcomes == {"contact_policies": "ok", "contact_metrics": "interrupted"}, out
    assert out.index("contact_policies ") < out.index("1/2 contact_policies")  # the plan first
    assert "at home: python -m bench unpack visit.zip" in out
    unpacked = called("unpack", "visit.zip", "--results", "home", cwd=tmp_path)
    assert unpacked.code == 0, unpacked
    reported = called("report", "--results", "home", "--format", "csv", cwd=tmp_path)
    assert reported.code == 0 and "resnet_digits" in reported.out, reported


def test_minutes_0_packs_what_a_killed_visit_left(
    tmp_path: Path,
    results: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["visit", "--minutes", "0", "--device", "cpu"]) == 1
    assert "no step wrote a record" in capsys.readouterr().err
    take([good(results)], tmp_path / "visit")
    assert main(["visit", "--minutes", "0", "--device", "cpu"]) == 0
    assert "1 ok" in capsys.readouterr().out
    checked = verify(tmp_path / "visit.zip")
    assert (checked.machines, checked.problems) == ([MACHINE.name], [])
