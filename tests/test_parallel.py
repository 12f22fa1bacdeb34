"""Training runs side by side: the pool of jobs, and the command with two at a time."""

from __future__ import annotations

import json
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from safetensors.torch import load_file

from bench.config import RunConfig
from bench.run.parallel import Ending, JobPool, jobs_for

from .pictures import make_folder
from .program import bench


def test_as_many_as_asked_for_go_on_at_a_time_the_first_ones_first() -> None:
    order: list[int] = []
    now, most = [0], [0]
    lock = threading.Lock()

    def job(number: int) -> None:
        with lock:
            order.append(number)
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.02)
        with lock:
            now[0] -= 1

    JobPool(3).run(partial(job, number) for number in range(12))
    assert most[0] == 3
    assert sorted(order[:3]) == [0, 1, 2]
    assert sorted(order) == list(range(12))


def test_one_that_fails_ends_the_others_and_no_further_one_begins() -> None:
    pool, begun = JobPool(2), []

    def fails() -> None:
        time.sleep(0.05)
        raise OSError("the disk is full")

    def waits() -> None:
        begun.append("waits")
        with pytest.raises(Ending):
            while True:
                pool.check()
                time.sleep(0.01)

    with pytest.raises(OSError, match="the disk is full"):
        pool.run([waits, fails, lambda: begun.append("too late")])
    assert begun == ["waits"]


def test_what_two_want_is_done_by_the_first() -> None:
    pool = JobPool(2)
    assert [pool.claim("arm"), pool.claim("arm"), pool.claim("other")] == [True, False, True]


@pytest.mark.parametrize(
    ("asked", "several", "jobs"),
    [
        ({"data": "digits", "jobs": 3}, True, 3),
        ({"data": "digits", "jobs": 1}, True, 1),
        ({"data": "digits"}, False, 1),
        ({"data": "imagenet:/somewhere"}, True, 1),
        ({"data": "digits", "launcher": "ray"}, True, 1),
    ],
)
def test_how_many(asked: dict[str, object], several: bool, jobs: int) -> None:
    assert jobs_for(RunConfig(**asked), "cpu", several=several) == jobs  # type: ignore[arg-type]


def test_a_gpu_trains_one_at_a_time() -> None:
    assert jobs_for(RunConfig(data="digits"), "cuda", several=True) == 1
    with pytest.raises(
        ValueError, match="--jobs: 2 training runs at a time need the CPU of one machine"
    ):
        jobs_for(RunConfig(data="digits", jobs=2), "cuda", several=True)


def test_two_at_a_time_give_the_weights_that_each_has_alone(tmp_path: Path) -> None:
    """Weights are equal to the bit to those of one thread alone; no training times are shown."""
    make_folder(tmp_path / "photos", {"train": 16, "test": 4}, side=32)
    command = [
        "run",
        "--metrics",
        "top1",
        "--image-size",
        "32",
        "--data",
        "cifar10:photos",
        "--recipe",
        "small_folder:epochs=2",
        "--jobs",
        "2",
        "--notes",
    ]
    env = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    both = bench(
        *command,
        "--models",
        "convmixer_digits,resnet_digits",
        "--results",
        "both",
        cwd=tmp_path,
        env=env,
        limit=300,
    )
    assert both.code == 0, both
    assert "training runs that shared the machine have no times" in both.out
    assert list((tmp_path / "cache").rglob("*.npy")), "the decoded images were not kept"
    alone = bench(
        *command,
        "--models",
        "convmixer_digits",
        "--results",
        "alone",
        cwd=tmp_path,
        env=env,
        limit=300,
    )
    assert alone.code == 0, alone
    left, right = (
        next(tmp_path.glob(f"{name}/*/weights/convmixer_digits*.safetensors"))
        for name in ("both", "alone")
    )
    ours, theirs = load_file(left), load_file(right)
    assert ours.keys() == theirs.keys()
    assert all(ours[name].equal(theirs[name]) for name in ours)
    [record] = tmp_path.glob("both/*/records/convmixer_digits.accuracy.*.jsonl")
    [detail] = [
        sample["detail"]
        for line in map(json.loads, record.read_text().splitlines())
        for sample in line.get("samples", ())
    ]
    assert detail["beside"] == 2
    row = next(line for line in both.out.splitlines() if line.startswith("convmixer_digits"))
    assert f"{detail['train_s']:.3g}" not in row.split()
