"""One forecast: what the report says a command takes is what that command's dry run says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import msgspec
import pytest

from bench.analysis.rows import Quantity
from bench.analysis.summary import summarise
from bench.config import RunConfig
from bench.forecast.forecast import FROM_MACS, MEASURED, NEARBY, Pace, Want, evaluating, line_of
from bench.forecast.past import Past
from bench.forecast.past_runs import RunCost
from bench.measure.subject import SPEED_SETTINGS
from bench.plan import plan
from bench.plan.forecast import estimate
from bench.plan.task import Task
from bench.plugins import metrics
from bench.record import store
from bench.record.arms import AccuracyArm, SpeedArm
from bench.record.metric_units import METRICS
from bench.record.schema import About, EndLine, RoundLine, Sample
from bench.report.fill import Fill, command, seconds, together
from bench.report.missing import missing

from .conftest import count_record, run_line
from .program import bench, called

FILLED = re.compile(
    r"empty cells are filled by: (python -m bench .*?) \(about (.*?) on this machine\)"
)
UNITS = {
    "throughput": ("image/s", "higher"),
    "latency": ("s", "lower"),
    "memory": ("B", "lower"),
    "train_step": ("s", "lower"),
    "layer_time": ("s", "none"),
    "first_call": ("s", "lower"),
    "largest_batch": ("image", "higher"),
}


def test_a_command_takes_as_long_in_the_report_as_in_its_dry_run(tmp_path: Path) -> None:
    # Said by the user, the placing of threads is not tried out: on a busy machine two tries may
    # differ, and with them the state of the machine that records are of.
    def ran(*arguments: str) -> str:
        ended = bench(*arguments, cwd=tmp_path, env={"OMP_PROC_BIND": "false"})
        assert ended.code == 0, ended
        return ended.out

    few = ("--device", "cpu", "--rounds", "2")
    ran("run", "--models", "vit_digits", "--metrics", "params,macs,throughput,latency", *few)
    ran("run", "--models", "convmixer_digits", "--metrics", "throughput", *few)
    assert called("report", cwd=tmp_path).code == 0
    [report] = tmp_path.glob("results/*/report.md")
    told = FILLED.findall(report.read_text())
    assert told
    for line, about in told:
        _, _, _, *arguments = shlex.split(line)
        assert "convmixer_digits" in arguments
        assert f"about {about} from the command to its tables" in ran(
            *arguments, "--device", "cpu", "--dry-run"
        )


def timed(
    folder: Path,
    metric: str,
    *,
    model: str,
    batch: int = 4,
    policy: str = "fp32",
    size: int = 224,
    call: float = 0.25,
) -> None:
    """A finished record of one metric of one arm whose call takes so long."""
    unit, better = UNITS[metric]
    mode = {"train_step": "training", "largest_batch": "capacity"}.get(metric, "inference")
    arm = SpeedArm(
        model=model,
        image_size=size,
        num_classes=1000,
        policy=policy,
        device="cpu",
        batch_size=batch,
        mode=mode,
    )  # type: ignore[arg-type]
    path = store.create(folder, arm, SPEED_SETTINGS, About(family="vit"))
    setup = {"seconds_per_call": call, "build_s": 0.5, "first_call_s": 2 * call}
    store.append(
        path,
        run_line(
            setup=setup,
        ),
    )
    value = batch / call if metric == "throughput" else 64.0 if unit in ("B", "image") else call
    detail = {"layers": [["a", "linear", 0.1, 1.0]]} if metric == "layer_time" else {}
    sample = Sample(metric=metric, unit=unit, better=better, values=[value], detail=detail)  # type: ignore[arg-type]
    for number in range(1, 9):
        store.append(
            path, RoundLine(run="r1", round=number, worker=(number + 1) // 2, samples=[sample])
        )
    store.append(path, EndLine(run="r1", status="ok", metrics=[metric]))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Measure four models; some with further metrics, batch sizes, another size or policy."""
    folder = tmp_path_factory.mktemp("forecast")
    for model in ("vit_s16", "deit_s16", "resnet50", "mixer_b16"):
        timed(folder, "throughput", model=model, call=1.0)
    for model in ("vit_s16", "deit_s16"):
        timed(folder, "latency", model=model, batch=1, call=0.1)
        count_record(folder, model, 22_050_664, 4_598_882_304)
    for metric in ("memory", "train_step", "layer_time", "first_call", "largest_batch"):
        timed(
            folder,
            metric,
            model="resnet50",
            batch=1 if metric in ("layer_time", "largest_batch") else 4,
        )
    timed(folder, "throughput", model="vit_s16", batch=16, call=1.0)
    timed(folder, "throughput", model="resnet50", size=192)
    timed(folder, "latency", model="vit_s16", size=192, batch=1, call=0.05)
    timed(folder, "latency", model="deit_s16", size=192, batch=1, call=0.05)
    for policy in ("channels_last", "bf16+channels_last"):
        timed(folder, "throughput", model="mixer_b16", policy=policy)
        timed(folder, "latency", model="vit_s16", policy=policy, batch=1)
        timed(folder, "latency", model="deit_s16", policy=policy, batch=1)
    return folder


COSTS = (
    RunCost(
        run="r",
        took=100.0,
        counts=2,
        counting=10.0,
        setups=3,
        setting_up=20.0,
        windows=20.0,
        rounds=30.0,
    ),
)


def dry_run(fills: list[Fill], past: Past) -> float:
    """What `--dry-run` finds for a command; the speed of this machine now has no part in it."""
    given = dict(zip(*[iter(shlex.split(command(fills))[4:])] * 2, strict=True))
    named = {
        flag.removeprefix("--").replace("-", "_"): tuple(text.split(","))
        for flag, text in given.items()
    }
    numbers = {
        name: tuple(map(int, named.pop(name)))
        for name in ("batch_sizes", "image_size")
        if name in named
    }
    config = RunConfig(**named, **numbers)  # type: ignore[arg-type]

    def never() -> float:
        raise AssertionError("the report knows no such speed")

    return estimate(config, plan.make(config, device="cpu").tasks, past, "cpu", never).seconds


def test_every_kind_of_empty_cell_has_the_dry_runs_time(measured: Path) -> None:
    records, damaged = store.load_folder(measured)
    assert not damaged
    past = Past.of(records, COSTS)
    summary = summarise(records, past=past)
    quantities = {quantity for row in summary.rows for quantity in row.values}
    empty = [
        missing(summary, row, one)
        for row in summary.rows
        for one in quantities
        if one not in row.values
    ]
    kinds: dict[tuple[str, tuple[str, ...]], Fill] = {(one.metric, one.flags): one for one in empty}
    assert {metric for metric, _ in kinds} >= {*UNITS, "macs"}
    for one in kinds.values():
        told = seconds([one], past)
        assert told is not None, one
        assert told == pytest.approx(dry_run([one], past)), one


def test_commands_measure_what_is_missing_and_nothing_else(measured: Path) -> None:
    records, _ = store.load_folder(measured)
    past = Past.of(records, COSTS)
    summary = summarise(records, past=past)
    row, other = (
        next(row for row in summary.rows if row.model == name and row.image_size == 224)
        for name in ("mixer_b16", "resnet50")
    )
    latency, memory = Quantity("latency", 1, "s", "lower"), Quantity("memory", 4, "B", "lower")
    both = [missing(summary, row, latency), missing(summary, other, latency)]
    assert len(together(both, past)) == 1
    assert seconds(both, past) == pytest.approx(dry_run(both, past))
    apart = [*both, missing(summary, row, memory)]
    assert len(together(apart, past)) == 2  # at another batch size
    counts = [missing(summary, row, Quantity(name)) for name in ("params", "macs", "activations")]
    lines = together([*counts, Fill("resnet50", "params", counts[0].flags, counts[0].want)], past)
    assert [line.split(" --models ")[1].split(" (")[0] for line in lines] == [
        "mixer_b16 --metrics params,macs,activations",
        "resnet50 --metrics params",
    ]


def test_a_forecast_rests_on_the_nearest_that_was_measured(tmp_path: Path) -> None:
    timed(tmp_path, "throughput", model="a", batch=4, call=0.4)
    timed(tmp_path, "throughput", model="a", batch=16, call=1.0)
    count_record(tmp_path, "a", 1, 10_000_000)
    count_record(tmp_path, "b", 1, 20_000_000)
    past = Past.of(store.load_folder(tmp_path)[0])
    arm = SpeedArm(
        model="a", image_size=224, num_classes=1000, policy="fp32", device="cpu", batch_size=4
    )

    def found(**changes: object) -> tuple[str, float] | None:
        line = line_of(
            Want(
                msgspec.structs.replace(arm, **changes), (Pace("throughput"),), {"window_s": 0.15}
            ),
            past,
        )
        return (line.basis, line.each_round) if line else None

    assert found() == (MEASURED, pytest.approx(0.4))
    assert found(source="edited since") == (MEASURED, pytest.approx(0.4))
    assert found(batch_size=6) == (NEARBY, pytest.approx(0.6))
    assert found(batch_size=32, policy="bf16") == (NEARBY, pytest.approx(2.0))
    assert found(batch_size=4, mode="training") == (NEARBY, pytest.approx(3 * 0.4))
    # Of 100 and 160 million multiply-adds a second the median, for 20 million an image.
    assert found(model="b") == (FROM_MACS, pytest.approx(4 * 20 / 130))
    assert found(model="b", image_size=64) is None
    assert found(model="c") is None
    assert evaluating([("a", 224), ("b", 224)], 1000, "cpu", past) == pytest.approx(
        past.habits.start + 1000 * (1 / 16 + 20 / 130)
    )
    assert evaluating([("c", 224)], 1000, "cpu", past) is None


def test_what_the_report_knows_of_rounds_is_what_the_metrics_say() -> None:
    said = {entry.name: entry.rounds for entry in metrics.entries() if entry.name in METRICS}
    assert said == {name: METRICS[name].rounds for name in said}


def test_weights_are_evaluated_as_long_in_the_report_as_in_a_dry_run(
    measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    past = Past.of(store.load_folder(measured)[0], COSTS)
    monkeypatch.setattr("bench.plan.forecast.tested_images", lambda data: 50_000)
    shown = [("vit_s16", 224), ("resnet50", 224)]
    arms = [
        AccuracyArm(
            model=name,
            image_size=size,
            num_classes=1000,
            data="imagenet:/path",
            split="test",
            transform="t",
            weights="tag",
        )
        for name, size in shown
    ]
    tasks = [
        Task(
            arm=arm, metrics=(metrics.get("top1"),), settings={}, about=About(family="vit"), seed=0
        )
        for arm in arms
    ]
    config = RunConfig(models=("vit_s16@tag", "resnet50@tag"), data="imagenet:/path")
    assert estimate(config, tasks, past, "cpu").seconds == pytest.approx(
        evaluating(shown, 50_000, "cpu", past)
    )
