"""Odd but valid results folders: every kind of arm, every value at an end of its range.

`make(folder, seed)` writes one, `STAGES` is everything that reads one, and `reach` takes one
through them and counts.
"""

from __future__ import annotations

import math
import random
import shutil
import warnings
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args
from unittest import mock

import msgspec
import numpy as np

from bench.errors import UsageError
from bench.record import arms, metric_units, schema, store
from bench.record.arms import AccuracyArm, Arm, CountArm, ProbeArm, SpeedArm
from bench.record.schema import About, EndLine, Machine, RoundLine, RunLine, Sample

NAMES = ["vit_s16", "deit_s16", "convmixer_768_32", "convmixer_1536_20", "resnet50", "mixer_b16"]
NAMES += ["a|b", "x" * 300, "名前", "timm:x", "./n.py:b"]
FAMILIES = ["vit", "convmixer", "mixer", "resnet", "skeleton", "baseline", "somebody's"]
POLICIES = ["fp32", "bf16", "channels_last", "compile", "fused", "a+b", "fp32+channels_last"]
DATA = ["digits", "cifar10", "imagenet:/x", "folder:/some/where"]
SETTINGS: dict[str, schema.Scalar] = {"protocol": 1}
TEXTS = ["", "a", "oom: 1", "<b>", "a\nb", "\\", "%s {x}", "é" * 200]
STATUSES = list(get_args(schema.Status))


class World:
    """Draws from one seed."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.kind = "cpu"

    def number(self, low: float, high: float) -> float:
        """An end of a range, or anything between on a logarithmic scale."""
        least = max(low, 1e-12) if low >= 0 else 1e-3
        between = math.exp(self.draw.uniform(math.log(least), math.log(max(high, least))))
        return self.draw.choice([low, high, min(max(between, low), high), min(max(1.0, low), high)])

    def whole(self, low: int, high: int) -> int:
        return min(high, max(low, int(self.number(low, high))))

    def machine(self, name: str) -> Machine:
        draw = self.draw
        kind = self.kind = draw.choice(["cpu", "cpu", "cuda", "mps"])
        return Machine(
            name=name,
            device=kind,
            cpu=draw.choice(["Test CPU", *TEXTS]),
            cores=self.whole(1, 10**9),
            memory_bytes=self.whole(0, 10**18),
            accelerator=None if kind == "cpu" else draw.choice(["A GPU", *TEXTS]),
            versions={"torch": "2.6.0"} if draw.random() < 0.8 else {},
            settings={"threads": 2} if draw.random() < 0.8 else {},
        )

    def sample(self, metric: str, arm: Arm) -> tuple[Sample, dict[str, Any]]:
        """A sample of a metric of the suite's own, and the arrays beside it."""
        known = metric_units.METRICS[metric]
        high = min(known.high, 2.0**53) if known.whole else known.high
        values = [self.number(known.low, high) for _ in range(self.draw.choice([1, 1, 1, 2, 70]))]
        values = [float(int(value)) for value in values] if known.whole else values
        detail, arrays = self.detail(metric, arm)
        if metric == "top1":
            values = [detail["correct"] / detail["images"]]
        state: dict[str, Any] = {"left": self.number(0.01, 1)} if self.draw.random() < 0.3 else {}
        disturbed = self.draw.choice([None, None, *TEXTS])
        made = Sample(
            metric=metric,
            unit=known.unit,
            better=known.better,
            values=values,
            detail=detail,
            state=state,
            disturbed=disturbed,
        )
        return made, arrays

    def detail(self, metric: str, arm: Arm) -> tuple[dict[str, Any], dict[str, Any]]:
        if metric == "top1":
            return self.top1()
        if metric == "receptive_field":
            return self.fields(arm)
        if metric == "energy":
            return {"net_j": self.number(-1e12, 1e12)}, {}
        if metric == "layer_time":
            kinds = get_args(metric_units.LayerKind)
            layers = [
                [
                    self.draw.choice(TEXTS),
                    self.draw.choice(kinds),
                    self.number(0, 1e9),
                    self.whole(-5, 10**18),
                ]
                for _ in range(3)
            ]
            return {"layers": layers}, {}
        if metric == "macs" and self.draw.random() < 0.7:
            return {
                "uncounted": {self.draw.choice(["aten::conv2d", *TEXTS]): self.whole(0, 10**9)}
            }, {}
        if metric == "throughput" and self.draw.random() < 0.5:
            calls, seconds = self.whole(1, 10**18), self.number(1e-12, 1e9)
            return {"calls": calls, "seconds": seconds, "tail_s": self.number(0, 1e9)}, {}
        if metric == "latency" and self.draw.random() < 0.5:
            return {"host_s": self.number(0, 1e9), "device_span_s": self.number(0, 1e9)}, {}
        if metric == "largest_batch":
            return {
                "at_least": self.draw.random() < 0.5,
                "memory_limit": self.draw.choice([None, 0, 10**18]),
            }, {}
        return {}, {}

    def top1(self) -> tuple[dict[str, Any], dict[str, Any]]:
        draw = self.draw
        images = draw.choice([1, 2, 7, 360])
        right = np.array([draw.random() < draw.choice([0, 0.5, 1]) for _ in range(images)])
        detail: dict[str, Any] = {"correct": int(right.sum()), "images": images}
        arrays: dict[str, Any] = {"correct": right}
        if draw.random() < 0.6:
            detail["top5_correct"] = images
        if draw.random() < 0.3:
            detail |= {
                "spread": {one: self.number(0, 1) for one in draw.sample(TEXTS, 3)},
                "view": draw.choice(TEXTS),
            }
        if draw.random() < 0.3:
            file = {
                "entry": draw.choice([None, *TEXTS]),
                "other_entries": draw.sample(TEXTS, 2),
                "left_out": draw.choices(TEXTS, k=5),
            }
            file |= {"removed": draw.sample(TEXTS, 1), "stored_as": draw.sample(TEXTS, 1)}
            detail |= {
                "view": "x",
                "shown": draw.choice(TEXTS),
                "file": file,
                "resampled_from": self.whole(1, 10**6),
            }
        if draw.random() < 0.3:
            detail |= {
                "unreadable": draw.choices(TEXTS, k=draw.choice([0, 1, 5])),
                "split": draw.choice(TEXTS),
            }
        if draw.random() < 0.5:
            detail |= {
                "train_s": self.number(0, 1e9),
                "epochs": self.number(1e-9, 1e9),
                "steps": self.whole(1, 10**18),
            }
            detail |= {
                "images_per_s": self.number(0, 1e21),
                "peak_memory_bytes": self.whole(-(10**18), 10**18),
                "processes": 1,
            }
            looks = draw.choice([0, 1, 20, 20])
            arrays |= {
                "loss": np.full(30, np.nan),
                "learning_rate": np.linspace(0, self.number(0, 1e9), 30),
            }
            arrays |= {
                "select_step": np.arange(looks),
                "select_seconds": np.linspace(0, self.number(0, 1e9), looks),
            }
            arrays |= {"select_top1": np.linspace(self.number(0, 1), self.number(0, 1), looks)}
        return detail, arrays if draw.random() < 0.8 else {}

    def fields(self, arm: Arm) -> tuple[dict[str, Any], dict[str, Any]]:
        assert isinstance(arm, AccuracyArm)
        detail: dict[str, Any] = {"theoretical": self.draw.choice([None, 0, 1e21]), "images": 1}
        arrays: dict[str, Any] = {}
        for when in ("before", "after"):
            side = arm.image_size
            names = ("row", "column", "r50", "r90", "share50", "share90")
            detail[f"{when}_{side}"] = {name: self.number(0, 1e21) for name in names} | {
                "canvas": side,
                "saturated": True,
            }
            arrays[f"field_{when}_{side}"] = np.full((side, side), self.number(1e-30, 1e30))
        return detail, arrays

    def arms(self) -> list[tuple[Arm, list[str]]]:
        """Arms with what is measured of them."""
        draw, found = self.draw, []
        models = draw.sample(NAMES, 4)
        size, classes = self.whole(1, 1_000_000), self.whole(1, 10**8)
        size = draw.choice([8, 8, 224, 32, size])
        for model in models:
            shape: dict[str, Any] = {"model": model, "image_size": size, "num_classes": classes}
            found.append(
                (
                    CountArm(**shape),
                    draw.sample(["params", "macs", "activations"], draw.choice([1, 2, 3])),
                )
            )
            for policy in draw.sample(POLICIES, draw.choice([1, 2])):
                timed: dict[str, Any] = {
                    "policy": policy,
                    "device": self.kind,
                    "batch_size": draw.choice([1, 2, 10**9]),
                }
                metrics = draw.sample(
                    [
                        "latency",
                        "throughput",
                        "energy",
                        "memory",
                        "layer_time",
                        "graph_latency",
                        "first_call",
                    ],
                    3,
                )
                found.append((SpeedArm(**shape, **timed), metrics))
            plain: dict[str, Any] = {**shape, "policy": "fp32", "device": self.kind}
            found.append((SpeedArm(**plain, batch_size=1, mode="capacity"), ["largest_batch"]))
            found.append(
                (SpeedArm(**plain, batch_size=2, mode="training"), ["train_step", "train_memory"])
            )
            for seed in range(draw.choice([1, 2])):
                found.append(
                    (self.accuracy({**shape, "image_size": draw.choice([8, 32])}, seed), ["top1"])
                )
        for precision in ("fp32", "odd"):
            found.append(
                (
                    ProbeArm(precision=precision, device=self.kind),
                    ["canary", "matmul_ceiling", "copy_ceiling"],
                )
            )
        return found

    def accuracy(self, shape: dict[str, Any], seed: int) -> AccuracyArm:
        draw = self.draw
        how: dict[str, Any] = draw.choice(
            [
                {
                    "recipe": "digits",
                    "recipe_hash": "0",
                    "seed": seed,
                    "tuning": draw.choice(["as is", "trial", "else"]),
                    "policy": "fp32",
                },
                {
                    "recipe": "digits",
                    "recipe_hash": "0",
                    "seed": seed,
                    "tuning": "as is",
                    "equalise": "macs",
                    "learning_rate": 1e9,
                },
                {"weights": "in1k"},
                {"checkpoint": "abc", "labels": "real:/x"},
                {},
            ]
        )
        return AccuracyArm(
            **shape,
            data=draw.choice(DATA),
            split=draw.choice(["test", "select"]),
            transform="crop 0.9, bicubic",
            **how,
        )

    def write(self, folder: Path, machine: Machine) -> None:
        """All records of one machine."""
        draw = self.draw
        folder.mkdir(parents=True, exist_ok=True)
        rounds = draw.choice([1, 2, 6, 8])
        states = [machine, msgspec.structs.replace(machine, versions={"torch": "2.7"})]
        for arm, metrics in self.arms():
            about = About(
                family=draw.choice(FAMILIES),
                timm_name=draw.choice([None, "resnet50", *TEXTS]),
                caveat=draw.choice(TEXTS),
            )
            path = store.path_of(folder, arm, SETTINGS)
            lines: list[arms.Line] = [
                schema.ArmLine(
                    format=schema.FORMAT,
                    key=arms.key_of(arm, SETTINGS),
                    arm=arm,
                    settings=SETTINGS,
                    about=about,
                )
            ]
            for number in range(draw.choice([1, 1, 2])):
                lines += self.run(
                    path,
                    f"r{number}",
                    arm,
                    metrics,
                    rounds,
                    draw.choice([states[0], states[0], states[1]]),
                )
            if draw.random() < 0.3:
                name = draw.choice(TEXTS)[:60] or "Ours"
                lines.append(schema.NameLine(name=name, given="2026-01-01"))
            path.write_bytes(
                b"".join(map(store.sealed, lines)) + (b'{"torn' if draw.random() < 0.1 else b"")
            )

    def run(
        self, path: Path, name: str, arm: Arm, metrics: list[str], rounds: int, machine: Machine
    ) -> list[arms.Line]:
        draw = self.draw
        setup: dict[str, Any] = {
            "seconds_per_call": self.number(0, 1e9),
            "steady": False,
            "handwritten": draw.random() < 0.2,
        }
        lines: list[arms.Line] = [
            RunLine(
                run=name,
                started=draw.choice(
                    ["2026-01-01", "0001-01-01", "9999-12-31T23:59:59+00:00", "2026-01-02"]
                ),
                version=draw.choice(TEXTS),
                commit=draw.choice([None, *TEXTS]),
                seed=draw.choice([0, -1, 10**18]),
                machine=machine,
                setup=setup if draw.random() < 0.7 else {},
                fresh=draw.random() < 0.1,
                role=draw.choice(get_args(schema.Role)),
                studies={} if draw.random() < 0.5 else {"kernel_size": "abc"},
            )
        ]
        once = not isinstance(arm, SpeedArm | ProbeArm)
        for number in range(1, 2 if once else rounds + 1):
            made = [self.sample(metric, arm) for metric in metrics]
            if isinstance(arm, AccuracyArm) and draw.random() < 0.2:
                made.append(self.sample("receptive_field", arm))
            arrays = {key: value for _, beside in made for key, value in beside.items()}
            if len(made) > 1 and not arrays:
                made = made[:1]
            sidecar = None
            if arrays:
                sidecar = f"{path.stem}.{name}.npz"
                np.savez_compressed(path.with_name(sidecar), **arrays)
            found = [one for one, _ in made]
            phase = draw.choice(get_args(schema.Phase)) if isinstance(arm, SpeedArm) else "measure"
            lines.append(
                RoundLine(
                    run=name,
                    round=number,
                    phase=phase,
                    worker=draw.choice([1, 2]),
                    samples=found,
                    arrays=sidecar,
                )
            )
        if draw.random() < 0.8:
            status = draw.choice(STATUSES) if draw.random() < 0.3 else "ok"
            lines.append(
                EndLine(
                    run=name,
                    status=status,
                    metrics=metrics,
                    error=draw.choice([None, *TEXTS]),
                    short=draw.random() < 0.2,
                )
            )
        return lines


def make(results: Path, seed: int) -> None:
    """Write the results folder of a seed: two machines."""
    world = World(seed)
    for name in ("one", "two"):
        world.write(results / name / "records", world.machine(name))


def read(results: Path) -> list[Any]:
    """The machines; every record of them has to be read."""
    from bench.analysis.machines import read_all

    found = read_all(results)
    assert [error for machine in found for error in machine.damaged] == []
    return found


def tables(results: Path) -> None:
    from bench.report import citations, formats
    from bench.report.headlines import headlines
    from bench.report.tables.machines import side_by_side
    from bench.report.tables.reading_order import all_tables
    from bench.report.tables.speed_gap import gaps
    from bench.report.write import markdown

    machines = read(results)
    for machine in machines:
        made = [*all_tables(machine.summary), *gaps(machine.everything)]
        for spell in (formats.markdown, formats.latex, formats.csv_text):
            for table in made:
                spell(table)
        markdown(machine.summary, made, [])
        assert all(headlines(machine.summary))
        citations.methods(machine.summary)
        citations.bibliography(machine.summary)
    list(side_by_side([machine.summary for machine in machines]))


def page(results: Path) -> None:
    from bench.report.page import render
    from bench.report.tables.reading_order import all_tables
    from bench.report.write import Report

    machines = read(results)
    render(
        [
            Report(
                one.folder,
                one.summary,
                list(all_tables(one.summary)),
                [],
                [],
                [],
                one.everything,
                [],
            )
            for one in machines
        ]
    )


def figures(results: Path) -> None:
    from bench.report.figures import drawings, figures

    for machine in read(results):
        for entry in figures.entries():
            for figure in drawings(
                entry, machine.everything if entry.of_studies else machine.summary
            ).values():
                figure.draw_without_rendering()


def verdicts(results: Path) -> None:
    from bench.claims.verdicts import verdicts
    from bench.report.tables.verdicts import details, overview, tally

    for machine in read(results):
        found = verdicts(machine.everything)
        list(details(found)), list(overview(found)), tally(found)


def export(results: Path) -> None:
    from bench.exchange.timm_csv import export

    for machine in read(results):
        export(machine.summary, results.parent / "exported" / machine.folder.name)


def claim(results: Path) -> None:
    from bench.claims.comparison import answer
    from bench.report.tables.comparison import claim_tables, sentence

    for on in ("top1", "throughput", "latency", "memory"):
        for left, right in (NAMES[:2], NAMES[2:4]):
            try:
                found = answer(f"{left} > {right}", on, results)  # type: ignore[arg-type]
                claim_tables(found), sentence(found)
            except UsageError as error:
                assert str(error).startswith("claim: ")


def verify(results: Path) -> None:
    from bench.exchange.pack import pack, verify

    from .bad_packs import unchecked

    target = results.parent / "pack.zip"
    try:
        packed = pack(results, target)
    except UsageError as error:
        assert "left out: no run" in str(error)
    else:
        assert packed.left_out == [] and len(verify(target).problems) == len(packed.doubts)
    found = verify(unchecked(results, target))
    assert found.records == len(list(results.glob("*/records/*.jsonl")))


def compare(results: Path) -> None:
    from bench.analysis.changes import compare

    try:
        compare(str(results / "one"), str(results / "two"))
    except UsageError as error:
        assert str(error).startswith("compare: ")


def frame(results: Path) -> None:
    import bench

    assert len(bench.load(results))


def answers(results: Path) -> None:
    """McNemar's test of every two sets of weights."""
    from bench.analysis.weights import rows_of
    from bench.report.tables.weights import compare

    rows, _ = rows_of(results, None)
    for left, right in pairwise(rows):
        try:
            compare(left, right)
        except UsageError as error:
            assert str(error).startswith("--compare: ")


def forecast(results: Path) -> None:
    """What every measured arm will cost next time, and the same arm under another policy."""
    from bench.config import RunConfig
    from bench.forecast.forecast import Pace, Want, line_of, total
    from bench.forecast.past import Past

    for folder in results.iterdir():
        records, _ = store.load_folder(folder / "records")
        for number in {run.machine.fingerprint for record in records for run in record.runs}:
            past = Past.read(folder, number)
            lines = []
            for seen in past.seen:
                arm, paces = seen.arm, tuple(Pace(metric) for metric in seen.windows)
                lines.append(line_of(Want(arm, paces, seen.settings), past))
                if isinstance(arm, SpeedArm):
                    other = msgspec.structs.replace(arm, batch_size=3, policy="odd")
                    lines.append(line_of(Want(other, paces, seen.settings), past))
                    past.per_image(arm.model, arm.image_size, "odd")
            for budget in (None, 60.0):
                config = RunConfig(models=["vit_s16"], time_budget=budget)
                assert total(config, [line for line in lines if line], past).seconds >= 0


def screens(results: Path) -> None:
    """What the commands print; files of figures are left out."""
    from .program import called

    commands: list[tuple[str, ...]] = [
        *(("report", "--notes"), ("report", "--format", "latex")),
        ("report", "--where", "latency<1000s or params<30M", "--sort", "throughput"),
        *(("paper",), ("findings",), ("study", "verdict", "--notes")),
        ("compare", str(results / "one"), str(results / "two")),
        ("claim", f"{NAMES[2]} > {NAMES[0]}", "--on", "throughput", "--notes"),
    ]
    with mock.patch("bench.report.write.draw_all", lambda jobs: [[] for _ in jobs]):
        for command in commands:
            where = () if command[0] == "compare" else ("--results", results)
            ended = called(*command, *where, cwd=results.parent)
            assert ended.code in (0, 1, 2), ended


STAGES: dict[str, Callable[[Path], None]] = {
    one.__name__: one
    for one in (
        *(tables, page, figures, verdicts, export, claim, verify, compare, frame, answers),
        *(forecast, screens),
    )
}


def reach(folder: Path, seed: int, stages: list[str], counts: Counter[str]) -> None:
    """Take the folder of a seed through some stages; count records by kind and by stage."""
    results = folder / "results"
    make(results, seed)
    paths = list(results.glob("*/records/*.jsonl"))
    for path in paths:
        counts[f"{store.load(path).arm.__struct_config__.tag} records"] += 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # figures warn of what does not fit into them
        for name in stages:
            STAGES[name](results)
            counts[f"reached {name}"] += len(paths)
    shutil.rmtree(folder)
