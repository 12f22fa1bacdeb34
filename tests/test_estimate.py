"""What a run will cost: from records where this machine has measured, from MACs elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.config import SUITES, RunConfig
from bench.errors import UsageError
from bench.forecast.past import Past
from bench.forecast.past_runs import RunCost, append, habits, read
from bench.forecast.round_rules import PROCESSES
from bench.plan import plan
from bench.plan.forecast import estimate
from bench.record import store
from bench.record.arms import SpeedArm
from bench.record.schema import RunLine

from .conftest import MACHINE

CONFIG = RunConfig(
    models=("convmixer_digits", "vit_digits"), device="cpu", metrics=("throughput",), rounds=10
)


def test_without_records_it_rests_on_macs_and_rounds_fill_the_time_budget() -> None:
    tasks = plan.make(CONFIG, device="cpu")
    found = estimate(CONFIG, tasks.tasks, Past(), "cpu")
    mine = [line for line in found.lines if line.want.arm.model in CONFIG.models]
    assert {line.basis for line in mine} == {"from its MACs"}
    assert found.rounds == 10
    assert found.seconds > 10 * sum(line.each_round for line in mine)
    budgeted = RunConfig(
        models=CONFIG.models, device="cpu", metrics=("throughput",), time_budget=4.0
    )
    assert 1 <= estimate(budgeted, tasks.tasks, Past(), "cpu").rounds < 64


def test_what_was_measured_here_counts(tmp_path: Path) -> None:
    tasks = plan.make(CONFIG, device="cpu")
    task = next(
        task
        for task in tasks.tasks
        if isinstance(task.arm, SpeedArm) and task.arm.model == "vit_digits"
    )
    path = store.create(tmp_path, task.arm, task.settings, task.about)
    setup = {"seconds_per_call": 2.0}
    store.append(
        path,
        RunLine(
            run="r",
            started="2026-01-01",
            version="0",
            commit=None,
            seed=0,
            machine=MACHINE,
            setup=setup,
        ),
    )
    found = estimate(CONFIG, tasks.tasks, Past.of([store.load(path)]), "cpu")
    line = next(line for line in found.lines if line.want.arm.model == "vit_digits")
    assert (line.basis, line.each_round) == ("measured here before", 2.0)


@pytest.mark.parametrize("suite", sorted(SUITES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_suite_can_be_planned(suite: Path) -> None:
    from bench.config import suite_fields

    fields = suite_fields(suite.stem)
    config = RunConfig(
        **{
            name: tuple(value) if isinstance(value, list) else value
            for name, value in fields.items()
        }
    )
    device = "cuda:0" if config.device == "cuda" else "cpu"
    tasks = plan.make(config, device=device).tasks
    assert {task.arm.model for task in tasks} >= set(config.models)
    if suite.stem == "gpu":
        speeds = [task.arm for task in tasks if isinstance(task.arm, SpeedArm)]
        assert {arm.batch_size for arm in speeds} == {1, 8, 64, 256}
        assert {metric.name for task in tasks for metric in task.metrics} >= {
            "energy",
            "graph_latency",
        }


def test_what_cannot_be_measured_on_a_device_is_a_clear_line() -> None:
    with pytest.raises(UsageError, match="--metrics: energy cannot be measured on cpu"):
        plan.make(
            RunConfig(models=("vit_digits",), device="cpu", metrics=("energy",)), device="cpu"
        )
    with pytest.raises(UsageError, match="--policies: tf32 does not run on cpu"):
        plan.make(RunConfig(models=("vit_digits",), device="cpu", policies=("tf32",)), device="cpu")
    with pytest.raises(UsageError, match="--metrics: canary is measured along with every"):
        plan.make(
            RunConfig(models=("vit_digits",), device="cpu", metrics=("canary",)), device="cpu"
        )


def test_what_runs_took_is_kept_and_the_next_estimate_is_held_against_it(tmp_path: Path) -> None:
    from bench.cli.tables.forecast import cost
    from bench.report.formats import markdown

    tasks = plan.make(CONFIG, device="cpu").tasks
    first = estimate(CONFIG, tasks, Past(), "cpu", rate=lambda: 1e9)
    assert first.past == []
    for took in (110.0, 90.0):
        append(
            tmp_path,
            RunCost(
                run="r",
                took=took,
                expected=100.0,
                windows=40.0,
                rounds=60.0,
                counts=2,
                counting=10.0,
            ),
        )
    with (tmp_path / "costs.jsonl").open("a") as file:
        file.write('{"run": "torn')
    costs = read(tmp_path)
    assert [one.took for one in costs] == [110.0, 90.0]
    here = habits(costs)
    assert (here.spent, here.count, here.start) == (1.5, 5.0, 30.0)
    second = estimate(CONFIG, tasks, Past(costs=costs), "cpu", rate=lambda: 1e9)
    assert second.past == [1.1, 0.9]
    each = sum(line.each_round for line in second.lines)
    # Each arm begins three times, later processes sooner, the probes once.
    setups = sum(
        line.setup + (0 if line.want.role == "probe" else (PROCESSES - 1) * line.renewal)
        for line in second.lines
    )
    assert all(line.renewal < line.setup for line in second.lines if line.reference)
    references = {line.want.arm.model: line.reference for line in second.lines}
    assert len(list(filter(None, references.values()))) == 4  # both models, and the A/A pair
    expected = 30.0 + setups + sum(references.values()) + 10 * 1.5 * each
    assert second.seconds == pytest.approx(expected)
    text = markdown(cost(second, second, "cpu"))
    assert "the last 2 runs here took 0.90 to 1.10 times their forecasts" in text
    assert "GPU hours" in markdown(cost(second, second, "cuda:0"))
    assert read(tmp_path / "nowhere") == []


def test_a_run_writes_what_it_took(tmp_path: Path) -> None:
    from bench.cli.app import main

    what = [
        "run",
        "--models",
        "vit_digits",
        "--metrics",
        "throughput",
        "--rounds",
        "2",
        "--device",
        "cpu",
        "--results",
        str(tmp_path),
    ]
    assert main(what) == 0
    [machine] = {path.parent for path in tmp_path.glob("*/costs.jsonl")}
    [first] = read(machine)
    assert first.took > first.rounds > first.windows > 0
    assert first.expected is not None and first.setups == 1
    assert main(what) == 0  # nothing is left to do, and nothing is written
    assert len(read(machine)) == 1
