"""What every command prints at several widths: in this process, from inputs that never change.

`python -m tests.by_hand.screens` renews the stored screens in tests/snapshots/.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from unittest.mock import patch

from rich.console import Console

from bench.analysis.rows import Summary
from bench.analysis.summary import summarise
from bench.check.doctor import CheckResult
from bench.cli.app import app
from bench.cli.console import Terminal, print_tables
from bench.plugins import studies
from bench.record.store import load_folder
from bench.report.tables import weights
from bench.stats.intervals import mcnemar

from . import pick_worlds, pool_worlds, synthetic
from .ab_worlds import World as AbWorld
from .conftest import (
    CONTESTANTS,
    MACHINE,
    accuracy_record,
    count_record,
    probe_record,
    sound_pair,
    speed_record,
)
from .program import Ended, called
from .test_changes import write as write_ten_models
from .test_exchange import ACCURACIES
from .test_findings import LARGE, SMALL, blocks, kernels, patches, untrusted
from .test_speed_tables import WOBBLE

WIDTHS = (60, 80, 100, 140, 200)
STORED = (60, 80, 100, 140)
"""The widths of the stored screens."""
SNAPSHOTS = Path(__file__).parent / "snapshots"
LONG_NAME = "skeleton_384_12_depthwise_pyramid_staged_ln_p16_m1706"
STUDIES = ("kernel_accuracy", "block_choices", "patch_accuracy", "inference_cost", "kernel_speed")
"""The studies of stored screens; a new one changes none of them."""


@dataclass(frozen=True)
class Screen:
    """Commands, one after the other.

    `stored` is False if their output depends on this machine, on other packages, or on what
    plug-ins there are: a new plug-in needs no edit elsewhere.

    `words` is False where a narrow terminal is shown other words than a wide one.
    """

    commands: Sequence[Sequence[str] | Callable[[], None]]
    stored: bool = True
    words: bool = True


def _run() -> None:
    """Print what `bench run` prints when it is done."""
    from bench.cli.run import print_results

    summary = once(_summary)(Path("results") / MACHINE.name / "records")
    print_results(Terminal.on_stdout(), summary, notes=False)


def _summary(folder: Path) -> Summary:
    records, _ = load_folder(folder)
    return summarise(records)


def _compared() -> None:
    """Print what `bench eval --compare` prints."""
    summary = once(_summary)(Path("results") / MACHINE.name / "records")
    left, right = summary.accuracies[:2]
    found = mcnemar([True] * 320 + [False] * 40, [True] * 300 + [False] * 30 + [True] * 30)
    print_tables(Terminal.on_stdout(), [weights._table(left, right, found)], notes=False)


def _pick() -> None:
    """Print what `bench pick` prints when it is done."""
    from bench.cli.pick import print_answer
    from bench.pick.candidates import LeftOut
    from bench.pick.stages import FinalPlan

    world = pick_worlds.world(random.Random(4), number=5)
    unknown = pick_worlds.one_of_unknown_speed(world)
    print_answer(
        Terminal.on_stdout(),
        once(unknown.answer)("top1"),
        None,
        [LeftOut("published top-1 below 79.0 %", ("timm:gmixer_24_224", "resnet18"))],
        FinalPlan(("model0",), ("fp32",), ("ort", "openvino")),
        "results",
    )


def _visit() -> None:
    """Print the plan of a visit, which depends on what is installed."""
    from bench.cli.visit import _print_plan
    from bench.visit.steps import steps_for

    _print_plan(Terminal.on_stdout(), steps_for("cpu", None, tests=False), 9, 500, Path("my.zip"))


def _ab() -> None:
    """Print what `bench ab` prints when it is done."""
    from bench.ab.sides import Sides
    from bench.cli.ab import print_outcomes

    slower = AbWorld(seed=1, ratio=1.1, windows=0.02).compared(60, limit=0.05)
    open_ = AbWorld(seed=2, ratio=1.02, windows=0.3, output=2).compared(60)
    named = [
        dataclasses.replace(slower, name="./bench_me.py:case"),
        dataclasses.replace(open_, name="timm:resnet50"),
    ]
    sides = Sides([], ("base main (f3a94c07)", "head working tree (a8681c7d and 2 changed files)"))
    console = Terminal.on_stdout()
    print_outcomes(console, sides, named[:1], 0.05)
    print_outcomes(console, sides, named, 0.05)


def _help(*names: str) -> Callable[[], None]:
    """Return a function that prints a help page at the width of now: cyclopts keeps the first."""

    def printed() -> None:
        app.help_print(names, console=Console(width=Terminal.on_stdout().width))

    return printed


def _of(*arguments: str) -> Screen:
    return Screen([arguments])


SCREENS = {
    "run": Screen([_run]),
    "dry_run": _of(
        "run",
        *("--models", "convmixer_768_32,vit_s16,mixer_b16", "--policies", "fp32,channels_last"),
        *("--dry-run", "--device", "cpu", "--results", "nothing"),
    ),
    "pick": Screen([_pick]),
    "pick_dry_run": Screen(
        [("pick", "--max-latency", "60ms", "--max-params", "30M", "--device", "cpu", "--dry-run")],
        stored=False,
    ),
    "eval_compare": Screen([_compared]),
    "report": _of("report", "--results", "results", "--no-page"),
    "report_notes": _of("report", "--results", "results", "--no-page", "--notes"),
    "report_where": _of(
        "report", "--results", "results", "--no-page", "--where", "params<30M", "--sort", "latency"
    ),
    "verdicts": _of("study", "verdict", "--results", "small"),
    "verdict": _of("study", "verdict", "kernel_accuracy", "--results", "small"),
    "no_studies": _of("study", "verdict", "--results", "results"),
    "study_list": Screen([("study", "list")], stored=False),
    "study_dry_run": Screen(
        [("study", "run", "kernel_speed", "--dry-run", "--device", "cpu", "--results", "empty")],
        stored=False,
    ),
    "findings": Screen([("findings", "--results", "small")], words=False),
    "paper": Screen([("paper", "--results", "small")], words=False),
    "claim": _of("claim", "convmixer_768_32 > vit_s16", "--on", "throughput"),
    "compare": _of("compare", "before", "after", "--fail-on-regression", "5%"),
    "list_models": Screen([("list", "models")], stored=False),
    "list_weights": Screen([("list", "weights", "convmixer_768_32")], stored=False),
    "list_others": Screen(
        [("list", kind) for kind in ("families", "metrics", "policies", "datasets", "launchers")],
        stored=False,
    ),
    "list_recipes": Screen([("list", "recipes"), ("list", "figures")], stored=False),
    "describe": _of("describe", "convmixer_digits"),
    "match": _of("match", "--reference", "convmixer_768_32"),
    "recipe": Screen(
        [("recipe", "show", "convmixer_cifar"), ("recipe", "diff", "digits", "convmixer_cifar")]
    ),
    "exchange": Screen(
        [
            ("pack", "mine.zip", "--results", "results"),
            ("verify", "mine.zip"),
            ("unpack", "mine.zip", "--results", "unpacked"),
            ("export", "exported", "--results", "results"),
            ("import", "results-imagenet.csv", "--results", "unpacked"),
        ]
    ),
    "pool": Screen(
        [
            ("pool", "packs"),
            ("pool", "packs", "--claim", "resnet50 > vit_s16", "--on", "throughput"),
        ]
    ),
    "doctor": _of("doctor", "--device", "cpu"),
    "visit": Screen([_visit], stored=False),
    "ab": Screen([_ab]),
    "help": Screen([_help()], stored=False),
    "help_run": Screen([_help("run")], stored=False),
    "help_study": Screen([_help("study"), _help("study", "verdict")], stored=False),
}

CHECKS = [
    CheckResult("Python", "ok", "3.13.1"),
    CheckResult("torch", "ok", "2.6.0"),
    CheckResult(
        "torchvision",
        "wrong",
        "RuntimeError: operator torchvision::nms does not exist",
        "pip install --upgrade torch torchvision, both from the same index",
    ),
    CheckResult(
        "ray", "missing", "needed for --launcher ray", "pip install 'convmixer-bench[scale]'"
    ),
    CheckResult("results folder", "ok", "results, 12.3 GB free"),
    CheckResult(
        "load",
        "note",
        "other programs use 0.8 of 2 processors",
        "other programs are using the CPU; windows that they disturb are marked",
    ),
    CheckResult("noise", "unfit", "noisy: calls of one product vary by 41 %"),
]


def prepare(home: Path) -> None:
    """Write the folders that the commands read."""
    folder = home / "results" / MACHINE.name / "records"
    for place, (model, family, params, macs, speed, timm) in enumerate(CONTESTANTS):
        count_record(folder, model, params, macs, family=family, timm=timm)
        own = [level * speed for level in (*WOBBLE[place:], *WOBBLE[:place])]
        speed_record(folder, model, own, family=family, timm=timm)
        calls = [1 / level for level in own]
        speed_record(folder, model, calls, metric="latency", family=family, timm=timm)
        accuracy_record(folder, model, 330 + 4 * place, family=family)
    sound_pair(folder)
    probe_record(folder, [1.0 + 0.01 * (place % 4) for place in range(8)])
    speed_record(folder, LONG_NAME, [3.0 * one for one in WOBBLE], family="other")
    count_record(folder, LONG_NAME, 21_930_000, 4_120_000_000, family="other")
    accuracy_record(folder, LONG_NAME, 36, family="other")
    records = [*kernels(SMALL, 2.3), *blocks(SMALL), *patches(SMALL), *untrusted()]
    synthetic.write(home / "small" / "small-cpu", [*records, *kernels(LARGE, -0.5, start=5)])
    (home / "results-imagenet.csv").write_text(
        ACCURACIES + "resnet50.new_in1k,224,71.5,28.5,90,10,25.56,0.95,bicubic\n"
    )
    for name, speed, pair in (
        ("amd-epyc-2t-e074", 11.0, True),
        ("nvidia-h200-d28d", 18.0, True),
        ("an-unchecked-laptop", 18.0, False),
    ):
        speeds = {**pool_worlds.SPEEDS, "resnet50": speed}
        pool_worlds.packed(home / "packs", name, pool_worlds.records(name, speeds, pair=pair))
    write_ten_models(home / "before", random.Random(1), noise=0.004)
    write_ten_models(home / "after", random.Random(2), noise=0.004, scale=1.25)


@contextlib.contextmanager
def still() -> Iterator[None]:
    """Draw no figures, examine nothing, and answer slow questions once."""
    slow = (
        "bench.cli.inspect.catalogue",
        "bench.cli.report.answer",
        "bench.cli.report.answers",
        "bench.cli.report.changes.compare",
        "bench.cli.report.read_all",
        "bench.cli.report.write_all",
        "bench.cli.study.read_all",
        "bench.cli.study.verdicts",
        "bench.count.module_tree.describe",
        "bench.match.siblings.siblings",
    )
    with contextlib.ExitStack() as stack:

        def put(name: str, value: Any) -> None:
            stack.enter_context(patch(name, value))

        put("bench.report.write.draw_all", lambda jobs: [[] for _ in jobs])
        put("bench.cli.report.save", lambda found, results: results / "claims" / "figure.png")
        put("bench.cli.check.examine", lambda **_: iter(CHECKS))
        put("bench.plan.forecast.matmul_rate", lambda device="cpu": 5e10)
        put("bench.pick.search.product_rate", lambda device="cpu": 1e11)
        for name in slow:
            put(name, once(resolve_name(name)))
        put("bench.cli.study.BEGAN", time.monotonic())
        yield


ANSWERS: dict[Any, Any] = {}
"""Answers of slow functions, by function and arguments."""


def once(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with its answers kept, since the width of a screen changes none."""

    def asked(*positional: Any, **named: Any) -> Any:
        key = (function.__qualname__, _frozen(positional), _frozen(sorted(named.items())))
        if key not in ANSWERS:
            ANSWERS[key] = function(*positional, **named)
        return ANSWERS[key]

    return asked


def _frozen(value: Any) -> Any:
    """Return a value as a key: a list by its items, what cannot be a key by its identity."""
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    try:
        hash(value)
    except TypeError:
        return id(value)
    return value


def shown(name: str, width: int, home: Path, **environment: str) -> str:
    """Return what a screen's commands print at a width, in a folder that `prepare` filled."""
    parts: list[str] = []
    for left in ("mine.zip", "unpacked", "exported"):
        path = home / left
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    with (
        still(),
        patch.dict(os.environ, {"COLUMNS": str(width), **environment}),
        _few_studies(name),
    ):
        for command in SCREENS[name].commands:
            ended = _called(command, home)
            assert ended.code in (0, 1), ended
            parts.append(ended.out)
    return "\n".join(parts)


def _few_studies(name: str) -> contextlib.AbstractContextManager[Any]:
    """Make `STUDIES` all that there are, for stored screens."""
    if not SCREENS[name].stored:
        return contextlib.nullcontext()
    known = [studies.get(study) for study in STUDIES]
    return patch.object(studies, "entries", lambda: known)


def _called(command: Sequence[str] | Callable[[], None], home: Path) -> Ended:
    if not callable(command):
        return called(*command, cwd=home)

    def main(_: list[str]) -> int:
        command()
        return 0

    with patch("bench.cli.app.main", main):
        return called(cwd=home)


def stored(name: str) -> dict[int, str]:
    """Return the stored screens of a name by their width."""
    text = (SNAPSHOTS / f"{name}.txt").read_text(encoding="utf-8")
    screens: dict[int, str] = {}
    for part in text.split("\n=== ")[1:]:
        head, _, body = part.partition(" columns ===\n")
        screens[int(head)] = body
    return screens


def store(name: str, screens: dict[int, str]) -> None:
    """Write the screens of a name, which `stored` then returns."""
    parts = [f"What `{name}` prints; python -m tests.by_hand.screens renews it.\n"]
    parts += [f"\n=== {width} columns ===\n{text}" for width, text in screens.items()]
    SNAPSHOTS.mkdir(exist_ok=True)
    (SNAPSHOTS / f"{name}.txt").write_text("".join(parts), encoding="utf-8")
