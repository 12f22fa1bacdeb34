"""Small stand-ins that several tests share: records, a fake clock, workers without processes."""

from __future__ import annotations

import os
import signal
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

# A program that a shell starts in the background ignores Ctrl-C, and under `nohup` SIGHUP too. So
# would every program that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# readline, which pytest imports, sets this behind the back of os.environ: programs that a test
# starts would take it for the user's own width.
if "COLUMNS" not in os.environ:
    os.unsetenv("COLUMNS")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Two test processes with two threads each wait for each other on two cores: 174 s against 110 s
    # for the training tests. Programs that tests start set their own number.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

if not torch.cuda.is_available():
    os.environ.setdefault(
        "TRITON_INTERPRET", "1"
    )  # read when Triton is imported: its kernels then run without a GPU

from bench.measure.messages import Failure, Job, Samples, Window
from bench.measure.timing import Times
from bench.record import store
from bench.record.arms import AccuracyArm, Arm, CountArm, ProbeArm, SpeedArm
from bench.record.schema import About, EndLine, Machine, RoundLine, RunLine, Sample


@pytest.fixture(scope="session", autouse=True)
def nothing_waits_for_the_disk() -> Iterator[None]:
    """What this process writes need not outlive a power cut; records of tests took seconds each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def reports_of_tests_have_no_pdf_files() -> Iterator[None]:
    """Cutting fonts to size takes 0.3 s per figure; test_figures.py writes one in every format."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.report.figures.REPORTED", ("png", "svg"))
        yield


def resealed(content: bytes) -> bytes:
    """A record whose lines were changed, with checksums that fit them again."""
    lines = [store.SEAL.sub(b"}", line) for line in content.splitlines()]
    return b"".join(line[:-1] + b',"crc":"%08x"}\n' % zlib.crc32(line) for line in lines)


@dataclass
class FakeClock:
    """Time that passes only in calls of `spend`; counts how often the device was waited for."""

    time: float = 0.0
    waits: int = 0

    def now(self) -> float:
        return self.time

    def synchronize(self) -> None:
        self.waits += 1

    def timed(self, call: Callable[[], object]) -> Times:
        start = self.time
        call()
        self.waits += 1
        return Times(self.time - start, self.time - start, self.time - start)

    def spend(self, seconds: float) -> None:
        self.time += seconds


COMPANIONS = {"vit_s16", "deit_s16", "machine"}


@dataclass
class FakeWorkers:
    """Workers that answer at once and note every request.

    `script(job, window)` returns the samples or raises.
    """

    script: Callable[[Job, Window], list[float]]
    clock: FakeClock = field(default_factory=FakeClock)
    seconds_per_window: float = 1.0
    seconds_to_open: float = 50.0
    setup: dict[str, float] = field(default_factory=lambda: {"first_call_s": 0.5})
    opened: list[Job] = field(default_factory=list)
    requests: list[tuple[str, int, str]] = field(default_factory=list)
    alive: int = 0
    preparing: int = 0
    """Workers that were told to prepare themselves and not yet to get ready."""
    most_preparing: int = 0
    broken: dict[str, Failure] = field(default_factory=dict)

    def asked(self) -> list[tuple[str, int, str]]:
        """The requests of those that were asked for: without the sentinel pair and the probes."""
        return [request for request in self.requests if request[0] not in COMPANIONS]

    def models(self) -> set[str]:
        """The models that got a worker, but for the companions."""
        return {job.arm.model for job in self.opened} - COMPANIONS

    def open(self, job: Job) -> FakeWorker:
        self.opened.append(job)
        self.alive += 1
        return FakeWorker(self, job)


@dataclass
class FakeWorker:
    pool: FakeWorkers
    job: Job
    pid: int = 0
    prepared: bool = False

    def prepare(self) -> None:
        self.prepared = True
        self.pool.preparing += 1
        self.pool.most_preparing = max(self.pool.most_preparing, self.pool.preparing)

    def make_reference(self) -> None:
        """Write nothing: answers of fakes are not compared, and no test counts this process."""
        self.pool.opened.remove(self.job)

    def ready(self) -> dict[str, float]:
        self.pool.preparing -= self.prepared
        self.prepared = False
        self.pool.clock.spend(self.pool.seconds_to_open)
        if failure := self.pool.broken.get(self.job.arm.model):
            raise failure
        return dict(self.pool.setup)

    def take(
        self,
        window: Window,
        heard: Callable[[str], None],
        glance: Callable[[], None] = lambda: None,
    ) -> Samples:
        batch = getattr(self.job.arm, "batch_size", 0)
        self.pool.requests.append((self.job.arm.model, batch, window.metric))
        self.pool.clock.spend(self.pool.seconds_per_window)
        detail = {"top1": {"correct": 9, "images": 10}, "energy": {"net_j": 1.0}}.get(
            window.metric, {}
        )
        return Samples(
            self.pool.script(self.job, window), detail, seconds=self.pool.seconds_per_window
        )

    def close(self) -> None:
        self.pool.alive -= 1


class Silent:
    """An observer that keeps what it was told."""

    def __init__(self) -> None:
        self.open_tasks: list[object] = []
        self.failures: list[str] = []
        self.warnings: list[str] = []
        self.notes: list[str] = []

    def planned(
        self, machine: object, folder: object, tasks: list[object], open_tasks: list[object]
    ) -> None:
        self.open_tasks = open_tasks

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def step(self, *_: object) -> None: ...

    def figure(self, *_: object) -> None: ...

    def failed(self, arm: object, failure: Failure) -> None:
        self.failures.append(failure.status)


MACHINE = Machine(
    name="test-cpu-2t-0000",
    device="cpu",
    cpu="Test CPU",
    cores=2,
    memory_bytes=8 << 30,
    versions={"torch": "2.6.0", "timm": "1.0.15"},
    settings={"threads": 2},
)


def run_line(**changes: Any) -> RunLine:
    """The line that opens run r1 on the test's machine."""
    usual = {"run": "r1", "started": "2026-01-01", "version": "0", "commit": None, "seed": 0}
    return RunLine(**{**usual, "machine": MACHINE, **changes})


UNITS = {"throughput": ("image/s", "higher"), "latency": ("s", "lower")}


def speed_record(
    folder: Path,
    model: str,
    values: list[float],
    *,
    metric: str = "throughput",
    family: str = "vit",
    timm: str | None = None,
    life: int = 2,
) -> Path:
    """Write a finished record of one speed metric with one value per round; return its path.

    The batch size is 1 for latency, else 4. A process lives for `life` rounds.
    """
    unit, better = UNITS[metric]
    batch_size = 1 if metric == "latency" else 4
    arm = SpeedArm(
        model=model,
        image_size=224,
        num_classes=1000,
        policy="fp32",
        device="cpu",
        batch_size=batch_size,
    )
    path = store.create(folder, arm, {"protocol": 1}, About(family=family, timm_name=timm))
    store.append(
        path,
        RunLine(run="r1", started="2026-01-01", version="0", commit=None, seed=0, machine=MACHINE),
    )
    for number, value in enumerate(values, start=1):
        sample = Sample(metric=metric, unit=unit, better=better, values=[value])
        store.append(
            path,
            RoundLine(run="r1", round=number, worker=1 + (number - 1) // life, samples=[sample]),
        )
    store.append(path, EndLine(run="r1", status="ok", metrics=[metric]))
    return path


def sound_pair(
    folder: Path, *, ratio: float = 1.0, protocol: int = 1, image_size: int = 224
) -> None:
    """Write a run's A/A pair with exactly this ratio.

    Speeds next to it are marked and ranked if the ratio is 1.
    """
    for model, level in (("vit_s16", 13.0), ("deit_s16", 13.0 * ratio)):
        arm = SpeedArm(
            model=model,
            image_size=image_size,
            num_classes=1000,
            policy="channels_last",
            device="cpu",
            batch_size=4,
        )
        path = store.create(folder, arm, {"protocol": protocol}, About(family="vit"))
        store.append(
            path,
            run_line(
                role="sentinel",
            ),
        )
        for number in range(1, 13):
            off = 1 + (0.001 if model == "vit_s16" else -0.001) * (number % 3 - 1)
            sample = Sample(
                metric="throughput", unit="image/s", better="higher", values=[level * off]
            )
            store.append(
                path, RoundLine(run="r1", round=number, worker=(number + 2) // 3, samples=[sample])
            )
        store.append(path, EndLine(run="r1", status="ok", metrics=["throughput"]))


def finished(
    folder: Path, arm: Arm, samples: list[Sample], *, rounds: int = 8, about: About | None = None
) -> Path:
    """A finished record of any arm, with the same samples in every round."""
    path = store.create(folder, arm, {"protocol": 1}, about or About(family="vit"))
    store.append(
        path,
        RunLine(run="r1", started="2026-01-01", version="0", commit=None, seed=0, machine=MACHINE),
    )
    for number in range(1, rounds + 1):
        store.append(
            path, RoundLine(run="r1", round=number, worker=(number + 1) // 2, samples=samples)
        )
    store.append(path, EndLine(run="r1", status="ok", metrics=[one.metric for one in samples]))
    return path


def count_record(
    folder: Path,
    model: str,
    params: int,
    macs: int,
    *,
    family: str = "vit",
    timm: str | None = None,
) -> Path:
    """A finished count record."""
    arm = CountArm(model=model, image_size=224, num_classes=1000)
    path = store.create(folder, arm, {"protocol": 1}, About(family=family, timm_name=timm))
    store.append(
        path,
        RunLine(run="r1", started="2026-01-01", version="0", commit=None, seed=0, machine=MACHINE),
    )
    samples = [
        Sample(metric="params", unit="parameter", better="lower", values=[float(params)]),
        Sample(
            metric="macs",
            unit="MAC",
            better="lower",
            values=[float(macs)],
            detail={"uncounted": {"aten::add": 3}},
        ),
    ]
    store.append(path, RoundLine(run="r1", round=1, samples=samples))
    store.append(path, EndLine(run="r1", status="ok", metrics=["params", "macs"]))
    return path


def probe_record(folder: Path, seconds: list[float], *, precision: str = "fp32") -> Path:
    """A finished record of the canary with one value per round."""
    path = store.create(
        folder,
        ProbeArm(precision=precision, device="cpu"),
        {"protocol": 1},
        About(family="machine"),
    )
    store.append(
        path,
        run_line(
            role="probe",
        ),
    )
    for number, value in enumerate(seconds, start=1):
        sample = Sample(metric="canary", unit="s", better="lower", values=[value])
        store.append(path, RoundLine(run="r1", round=number, samples=[sample]))
    store.append(path, EndLine(run="r1", status="ok", metrics=["canary"]))
    return path


def accuracy_record(
    folder: Path, model: str, correct: int, *, recipe: str | None = "digits", family: str = "vit"
) -> Path:
    """A finished top-1 record of 360 test images."""
    arm = AccuracyArm(
        model=model,
        image_size=224,
        num_classes=10,
        data="digits",
        split="test",
        transform="none",
        recipe=recipe,
        recipe_hash="0",
    )
    path = store.create(
        folder, arm, {"protocol": 1}, About(family=family, caveat="a pipeline check")
    )
    store.append(
        path,
        RunLine(run="r1", started="2026-01-01", version="0", commit=None, seed=0, machine=MACHINE),
    )
    detail = {"correct": correct, "images": 360, "train_s": 12.0}
    sample = Sample(
        metric="top1", unit="share", better="higher", values=[correct / 360], detail=detail
    )
    store.append(path, RoundLine(run="r1", round=1, samples=[sample]))
    store.append(path, EndLine(run="r1", status="ok", metrics=["top1"]))
    return path


CONTESTANTS = [
    ("convmixer_1536_20", "convmixer", 51_625_960, 51_099_168_768, 1.1, "convmixer_1536_20"),
    ("convmixer_768_32", "convmixer", 21_110_248, 20_677_000_000, 2.4, "convmixer_768_32"),
    ("convmixer_1024_20", "convmixer", 24_383_464, 5_949_000_000, 9.0, "convmixer_1024_20_ks9_p14"),
    ("vit_s16", "vit", 22_050_664, 4_598_882_304, 13.2, "vit_small_patch16_224"),
    ("deit_s16", "vit", 22_050_664, 4_598_882_304, 13.1, "deit_small_patch16_224"),
    ("mixer_b16", "mixer", 59_880_472, 12_601_767_936, 5.1, "mixer_b16_224"),
    ("resnet50", "resnet", 25_557_032, 4_089_184_256, 11.0, "resnet50"),
]


def fill(results: Path) -> Path:
    """A results folder with one machine: counts, speeds and digits accuracies of seven models."""
    folder = results / MACHINE.name / "records"
    for number, (model, family, params, macs, speed, timm) in enumerate(CONTESTANTS):
        count_record(folder, model, params, macs, family=family, timm=timm)
        wobble = [1 + 0.01 * (n % 3) for n in range(8)]
        speed_record(folder, model, [speed * factor for factor in wobble], family=family, timm=timm)
        speed_record(
            folder,
            model,
            [factor / speed for factor in wobble],
            metric="latency",
            family=family,
            timm=timm,
        )
        accuracy_record(folder, model, 330 + 4 * number, family=family)
    accuracy_record(folder, "logistic-regression", 320, recipe=None, family="baseline")
    return results


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results folder of one test's own."""
    return fill(tmp_path / "results")


@pytest.fixture
def one_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports draw one figure instead of all, where a test is about something else."""
    from bench.report.figures import figures

    entries = [figures.get("pareto_params")]
    monkeypatch.setattr(figures, "entries", lambda: entries)


@pytest.fixture(scope="module")
def shared_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for tests that only read."""
    return fill(tmp_path_factory.mktemp("shared") / "results")
