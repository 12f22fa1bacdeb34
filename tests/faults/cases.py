"""The commands whose calls fail, each small: what it starts from, and how it looks when it is done.

Where `here` is true, workers measure in the command's own process, which is ten times as fast;
timed ones then answer at once, with made-up speeds. The others have the processes of every run.
"""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from bench.measure.messages import Failure, Job, Prepare, Samples, Window, look_away
from bench.record import store
from tests.program import ROOT

NET = "convmixer_8_1_k3_p4"
OTHER = "mixer_8_1_p8"
RUN = ("run", "--device", "cpu", "--results", "r")
COUNT = (*RUN, "--models", f"{NET},{OTHER}", "--metrics", "params,macs")
TIME = (*RUN, "--models", "vit_digits", "--metrics", "latency", "--rounds", "6")
TRAIN = (
    *RUN,
    "--models",
    NET,
    "--metrics",
    "top1",
    "--data",
    "folder:images",
    "--image-size",
    "16",
)
TRAIN = (*TRAIN, "--recipe", "small_folder:epochs=2", "--yes", "--jobs", "1")
STUDY = ("study", "run", "kernel_speed", "--device", "cpu", "--results", "r")
STARTING = ("run", "study")
"""The modules that start workers."""
PAIR = ("vit_s16", "deit_s16", "machine")
MACHINE = "amd-epyc-2t-e074"


@dataclass(frozen=True)
class Case:
    """A command that fails, and then the same again; `before` is run once, without faults."""

    name: str
    command: tuple[str, ...]
    prepare: Callable[[Path], object] = lambda root: None
    before: tuple[tuple[str, ...], ...] = ()
    here: bool = True
    records: tuple[str, ...] = ()
    """Beginnings of the names of the records that are finished when the command is done."""
    files: tuple[str, ...] = ()
    """Patterns of the other files that are there when it is done."""
    packed: bool = True
    """True if the folder `r` can be packed afterwards, and the pack accepted."""
    roles: tuple[int, ...] = (0, 1, 2)
    allowed: tuple[int, ...] = (0, 1, 2)
    """Exit codes, of the command that fails."""
    done: int = 0
    """Exit code of the command if nothing fails."""


def _filled(root: Path) -> None:
    """A small results folder: the five smallest records of the A/A pair and the drift check."""
    [folder] = ROOT.glob(f"results/{MACHINE}/records")
    records = [path for path in folder.glob("*.jsonl") if path.name.split(".")[0] in PAIR]
    (root / "r" / MACHINE / "records").mkdir(parents=True)
    for path in sorted(records, key=lambda path: (path.stat().st_size, path.name))[:5]:
        shutil.copy(path, root / "r" / MACHINE / "records")


def _made_up(root: Path) -> None:
    """Counts, speeds and accuracies of two models, as a run writes them."""
    from tests import conftest

    pair = [entry for entry in conftest.CONTESTANTS if entry[0] in PAIR]
    with mock.patch.object(conftest, "CONTESTANTS", pair):
        conftest.fill(root / "r")


def _images(root: Path) -> None:
    from tests.pictures import make_folder

    make_folder(root / "images", {"train": 24, "val": 2}, classes=2, side=16)


def _weights(root: Path) -> None:
    from bench.plugins import models
    from bench.training import checkpoint

    _images(root)
    net = models.get(NET).build(image_size=16, num_classes=2)
    checkpoint.save(root / "weights.safetensors", net.state_dict(), {})


EVAL = ("eval", "--checkpoint", "weights.safetensors", "--models", NET)
CASES = (
    Case(
        "count",
        COUNT,
        before=((*RUN, "--models", OTHER, "--metrics", "params,macs"),),
        records=("convmixer_8_1_k3_p4.count", "mixer_8_1_p8.count"),
    ),
    Case("time", TIME, records=("vit_digits.speed", "vit_s16.speed", "deit_s16.speed")),
    Case(
        "train",
        TRAIN,
        _images,
        records=("convmixer_8_1_k3_p4.accuracy",),
        files=("r/*/weights/*.safetensors", "r/*/logs/*.jsonl"),
    ),
    Case("study", STUDY, files=("r/*/report.md",)),
    Case(
        "report", ("report", "--results", "r"), _made_up, files=("r/*/report.md", "r/report.html")
    ),
    Case("pack", ("pack", "mine.zip", "--results", "r"), _filled, files=("mine.zip",)),
    Case("verify", ("verify", "given.zip"), _filled, (("pack", "given.zip", "--results", "r"),)),
    Case(
        "unpack",
        ("unpack", "given.zip", "--results", "theirs"),
        _filled,
        (("pack", "given.zip", "--results", "r"),),
        files=("theirs/*/records/*.jsonl",),
    ),
    Case("export", ("export", "csv", "--results", "r"), _made_up, files=("csv/*.csv",)),
    Case(
        "claim",
        ("claim", "vit_s16 > deit_s16", "--on", "throughput", "--results", "r"),
        _made_up,
        files=("r/claims/*.png",),
        allowed=(0, 1, 2),
        done=-1,
    ),
    Case(
        "count in processes",
        COUNT,
        here=False,
        records=("convmixer_8_1_k3_p4.count", "mixer_8_1_p8.count"),
    ),
    Case(
        "train in processes", TRAIN, _images, here=False, records=("convmixer_8_1_k3_p4.accuracy",)
    ),
)


def finished(root: Path, case: Case) -> list[str]:
    """What is missing of what a command makes."""
    missing = []
    for start in case.records:
        paths = list(root.glob(f"r/*/records/{start}.*.jsonl"))
        found = list(map(store.load, paths))
        measured = {
            sample.metric for one in found for line in one.rounds for sample in line.samples
        }
        ends = [end for one in found for end in one.ends]
        if len(paths) != 1 or not ends or ends[-1].status != "ok":
            missing.append(f"{start}: {len(paths)} records, {[end.status for end in ends]}")
        elif not measured.issuperset(ends[-1].metrics):
            missing.append(f"{start}: {ends[-1].metrics} ended, and {measured} were measured")
    for pattern in case.files:
        made = list(root.glob(pattern))
        if not made or not all(path.stat().st_size for path in made):
            missing.append(f"no {pattern}")
    return missing


# Workers without processes


@dataclass
class Here:
    """A worker in this process."""

    job: Job
    subject: Any = None
    closed: bool = False
    pid: int = field(default_factory=os.getpid)

    def prepare(self) -> None: ...

    def make_reference(self) -> None: ...

    def ready(self) -> dict[str, Any]:
        if self.job.arm.is_timed:
            return {"first_call_s": 0.5}
        return self._do(None).detail

    def identify(self, request: Any) -> str:
        from bench.measure import serve

        with _as_failures(self.job):
            return str(serve._identified(self.job, request).detail["identity"])

    def take(
        self, window: Window, heard: Callable[[str], None], glance: Callable[[], None] = look_away
    ) -> Samples:
        if self.job.arm.is_timed:
            return Samples([0.1], {}, seconds=0.1)
        return self._do(window)

    def _do(self, request: Window | Prepare | None) -> Samples:
        from bench.measure import serve

        with _as_failures(self.job):
            if self.subject is None:
                self.subject = serve._open(self.job, mock.Mock())
            return serve._do(self.subject, request)

    def close(self) -> None:
        self.closed, self.subject = True, None


@contextmanager
def _as_failures(job: Job) -> Iterator[None]:
    from bench.count.model_errors import advised
    from bench.measure.serve import failure_of

    try:
        yield
    except (Failure, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise failure_of(advised(error, job.arm)) from None


class HereWorkers:
    """Workers of a run, all in this process."""

    def __enter__(self) -> HereWorkers:
        return self

    def __exit__(self, *_: object) -> None: ...

    def open(self, job: Job) -> Here:
        """Return a worker for `job`."""
        return Here(job)


def arrange(case: Case) -> None:
    """Make this process, which is to be the command, fast: workers inside, and one figure."""
    from bench.measure import cpu_placement, machine
    from bench.plugins import figures

    # Whether a process may go first is tried by processes of its own, which take a second.
    cpu_placement.may_go_first = lambda: False
    machine.cores = lambda: 1
    if case.here:
        for name in ("bench.measure.worker", *(f"bench.cli.{one}" for one in STARTING)):
            module = importlib.import_module(name)
            if hasattr(module, "Workers"):
                module.Workers = HereWorkers
    real = figures.entries
    figures.entries = lambda: [entry for entry in real() if entry.name == "pareto_params"]
