"""A run in parts: shards, Ray tasks and processes of torchrun, and what happens if one is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.distributed import HashStore

from bench.cli.app import main
from bench.config import RunConfig
from bench.errors import UsageError
from bench.measure import machine
from bench.measure.messages import Job
from bench.measure.processes import descendants
from bench.measure.serve import builder
from bench.plan import plan
from bench.record import store as record_store
from bench.record.arms import AccuracyArm, SpeedArm, key_of
from bench.training import processes
from bench.training.processes import attempt
from bench.training.session import train_and_evaluate

MODELS = ("convmixer_digits", "vit_digits")
SWEEP = [
    "--models",
    ",".join(MODELS),
    "--metrics",
    "top1",
    "--device",
    "cpu",
]
TRAININGS = [*SWEEP, "--data", "digits", "--recipe", "digits:epochs=1"]


def keys(results: Path) -> list[str]:
    """The keys of all records, each as often as it is there."""
    return sorted(path.name.split(".")[-2] for path in results.glob("*/records/*.jsonl"))


def planned(**more: object) -> list[str]:
    """The keys that a part of a run names before anything is measured."""
    names = ("convmixer_digits", "vit_digits", "resnet_digits")
    settings: dict[str, Any] = {"data": "digits", "seeds": 3, "device": "cpu", **more}
    config = RunConfig(models=names, **settings)
    asked = plan.make(config, device="cpu")
    return [
        key_of(task.arm, task.settings)
        for task in [*asked.tasks, *asked.accuracies(lambda task: None)]
    ]


@pytest.mark.parametrize("number", [1, 2, 3, 7, 40])
def test_every_arm_is_in_one_shard_and_timed_ones_in_the_same(number: int) -> None:
    shards = [planned(shard=f"{part}/{number}") for part in range(1, number + 1)]
    assert sorted(key for part in shards for key in part) == sorted(planned())
    config = RunConfig(
        models=("convmixer_digits", "vit_digits"),
        device="cpu",
        policies=("fp32", "channels_last"),
        batch_sizes=(1, 2),
    )
    timed = {
        key_of(task.arm, task.settings)
        for task in plan.make(config, device="cpu").tasks
        if isinstance(task.arm, SpeedArm)
    }
    homes = 0
    for part in range(1, number + 1):
        shard = RunConfig(**{**vars(config), "shard": f"{part}/{number}"})
        mine = {key_of(task.arm, task.settings) for task in plan.make(shard, device="cpu").tasks}
        assert mine & timed in (set(), timed)
        homes += bool(mine & timed)
    assert homes == 1


@pytest.mark.parametrize(
    "text", ["0/3", "4/3", "1/0", "x", "1", "1/3/4", "-1/3", "1.5/3", "", "١/٣"]
)
def test_what_is_no_shard_is_one_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"--shard: .* is not a shard"):
        RunConfig(shard=text)


def test_flags_that_exclude_each_other() -> None:
    with pytest.raises(
        UsageError, match="--address: auto is the address of a Ray cluster; add --launcher ray"
    ):
        RunConfig(address="auto")
    with pytest.raises(UsageError, match="--shard: a launcher distributes"):
        RunConfig(shard="1/2", launcher="ray")
    with pytest.raises(UsageError, match="--launcher: no launcher named 'rey'; did you mean ray"):
        plan.make(RunConfig(models=("vit_digits",), launcher="rey", device="cpu"), device="cpu")


def test_an_empty_shard_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    what = [
        "run",
        "--models",
        "vit_digits",
        "--metrics",
        "params",
        "--device",
        "cpu",
        "--results",
        str(tmp_path),
    ]
    assert [main([*what, "--shard", f"{part}/9"]) for part in range(1, 10)] == [0] * 9
    assert len(keys(tmp_path)) == 1


def test_shards_that_run_together_share_a_folder(tmp_path: Path) -> None:
    """Two programs at the same time, in a folder that neither of them has made yet."""
    what = [
        "--models",
        ",".join(MODELS),
        "--metrics",
        "params,macs",
        "--device",
        "cpu",
    ]
    command = [sys.executable, "-m", "bench", "run", *what, "--results", str(tmp_path / "r")]
    parts = [
        subprocess.Popen([*command, "--shard", f"{part}/2"], stdout=subprocess.DEVNULL)
        for part in (1, 2)
    ]
    assert [part.wait(120) for part in parts] == [0, 0]
    assert len(keys(tmp_path / "r")) == len(set(keys(tmp_path / "r"))) == 2
    assert len(list((tmp_path / "r").glob("*/records"))) == 1


@pytest.mark.parametrize("seeds", [1, pytest.param(3, marks=pytest.mark.exhaustive)])
def test_trainings_under_ray_with_a_worker_killed(seeds: int, tmp_path: Path) -> None:
    """Every arm once, under its usual key; Ray restarts the training of a lost worker."""
    pytest.importorskip("ray")
    trainings = [*TRAININGS, "--seeds", str(seeds)]
    command = [
        sys.executable,
        "-m",
        "bench",
        "run",
        *trainings,
        "--launcher",
        "ray",
        "--results",
        str(tmp_path),
    ]
    with (tmp_path / "out.txt").open("w") as out:
        run = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        until = time.monotonic() + 240
        while not keys(tmp_path) and run.poll() is None and time.monotonic() < until:
            time.sleep(0.2)
        victims = [pid for pid in descendants(run.pid) if _command(pid).startswith("ray::bench")]
        assert victims, (tmp_path / "out.txt").read_text()
        os.kill(victims[0], signal.SIGKILL)
        assert run.wait(400) == 0, (tmp_path / "out.txt").read_text()
    trained = [
        path
        for path in tmp_path.glob("*/records/*.jsonl")
        if '"recipe":"digits' in path.read_text().split("\n")[0]
    ]
    what = {
        "models": MODELS,
        "metrics": ("top1",),
        "data": "digits",
        "recipe": "digits:epochs=1",
        "seeds": seeds,
    }
    expected = RunConfig(**what, device="cpu")  # type: ignore[arg-type]
    named = plan.make(expected, device="cpu").accuracies(lambda task: None)
    assert keys(tmp_path) == sorted(key_of(task.arm, task.settings) for task in named)
    assert len(trained) == len(MODELS) * seeds
    for path in trained:
        found = record_store.load(path)
        assert [end.status for end in found.ends] == ["ok"]
        assert len(found.rounds) == 1
    assert main(["run", *trainings, "--results", str(tmp_path)]) == 0  # nothing is left to do
    assert all(len(record_store.load(path).rounds) == 1 for path in trained)


@pytest.mark.parametrize(
    ("address", "line"),
    [(None, "--launcher: Ray could not start here"), ("auto", "--address: no Ray cluster at auto")],
)
def test_a_ray_that_cannot_be_joined_is_one_line(
    address: str | None, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.launchers import ray

    def refuse(**_: object) -> None:
        raise RuntimeError("no\nroom")

    monkeypatch.setattr(
        ray, "reach", lambda address: None
    )  # whether a cluster answers is asked in test_ending.py

    with pytest.raises(UsageError, match=rf"{line}.*no room"):
        ray._join(SimpleNamespace(init=refuse), address)


def undisturbed(model: str, recipe: str) -> list[float]:
    """The loss of every step of a training in this process."""
    arm = AccuracyArm(
        model=model,
        image_size=32,
        num_classes=10,
        data="digits",
        split="test",
        transform="",
        recipe=recipe,
        seed=0,
        policy="fp32",
    )

    before, build = torch.get_num_threads(), builder(Job(arm, "cpu", 0, 1))
    torch.set_num_threads(max(1, machine.cores() // 2))  # as each of two processes has
    try:
        found = train_and_evaluate(
            arm, build=build, device=torch.device("cpu"), seed=0, workers=0, files=None
        )
    finally:
        torch.set_num_threads(before)
    return found.curve.loss


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def test_a_folder_that_is_not_shared_is_one_line(tmp_path: Path) -> None:
    from bench.launchers._one import measure

    (tmp_path / ".installation").write_text("0000\n")
    config = RunConfig(results=tmp_path, models=("vit_digits",))
    found = measure(config, "0" * 16, folder=str(Path.cwd()), installation="ffff", niceness=None)
    assert found.refused is not None and "share it" in found.refused


def test_processes_that_begin_again_agree_on_a_name_that_the_lost_ones_had_not() -> None:
    """In any order of arrival, although the store still holds the names of lost processes."""
    store, names = HashStore(), []
    for start in range(3):
        store.set("here/2", f"lost before start {start}")
        with ThreadPoolExecutor(3) as pool:
            others = [pool.submit(attempt, store, rank, 3) for rank in (1, 2)]
            time.sleep(
                0.2
            )  # the leader comes last, when the others could have read what is not for them
            agreed = attempt(store, 0, 3)
            assert [other.result(30) for other in others] == [agreed, agreed]
        names.append(agreed)
    assert len(set(names)) == 3


def test_the_leader_names_who_did_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PATIENCE", 0.2)
    with pytest.raises(UsageError, match="processes 1, 2 of 3 did not start"):
        attempt(HashStore(), 0, 3)


@pytest.mark.parametrize(
    "model", [pytest.param("vit_digits", marks=pytest.mark.exhaustive), "convmixer_digits"]
)
def test_two_processes_of_torchrun_one_killed(model: str, tmp_path: Path) -> None:
    """torchrun restarts both: they resume from the checkpoint, train as one process with
    accumulation does, and count every test image once.

    Same batch, same micro-batches: losses are equal without batch norm and with one, whose
    statistics are each process's own.
    """
    # What is dropped belongs to the micro-batch, not to the process.
    recipe = "digits:drop_path=0.2:epochs=2:micro_batch=32"
    what = [
        "run",
        "--metrics",
        "top1",
        "--data",
        "digits",
        "--device",
        "cpu",
        "--models",
        model,
        "--recipe",
        recipe,
    ]
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "--max-restarts",
        "3",
    ]
    with (tmp_path / "out.txt").open("w") as out:
        run = subprocess.Popen(
            [*launcher, "-m", "bench", *what, "--results", str(tmp_path)],
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        until = time.monotonic() + 120
        while (
            not list(tmp_path.glob("*/checkpoints/*.safetensors"))
            and run.poll() is None
            and time.monotonic() < until
        ):
            time.sleep(0.05)
        workers = [pid for pid in descendants(run.pid) if "bench\0run" in _command(pid)]
        assert len(workers) >= 2, (tmp_path / "out.txt").read_text()
        os.kill(workers[1], signal.SIGKILL)
        assert run.wait(240) == 0, (tmp_path / "out.txt").read_text()
    [log] = tmp_path.glob("*/logs/*.jsonl")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    starts = [event["step"] for event in events if event["event"] == "start"]
    assert len(starts) == 2 and starts[1] > 0
    [path] = tmp_path.glob(f"*/records/{model}.*.jsonl")
    found = record_store.load(path)
    assert [end.status for end in found.ends] == ["ok"]
    detail = found.rounds[-1].samples[0].detail
    assert (detail["processes"], detail["images"]) == (2, 360)
    by_step = {event["step"]: event["loss"] for event in events if event["event"] == "step"}
    together, alone = [by_step[step] for step in sorted(by_step)], undisturbed(model, recipe)
    assert len(together) == len(alone) == 34
    apart = [abs(left - right) for left, right in zip(together, alone, strict=True)]
    assert max(apart[:20]) < 1e-4  # to the bit at first; other sums, other last digits
    assert max(apart) < 0.01
