"""Rounds, with workers that answer at once and a clock that moves only when told."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from bench.forecast.round_rules import PROCESSES, PROCESSES_IF_DEAR, renewing_limit
from bench.measure.disturbance import State
from bench.measure.messages import Failure, Job, Window
from bench.plan.task import Task
from bench.plugins import metrics
from bench.record.arms import SpeedArm
from bench.record.schema import About, RoundLine, Scalar
from bench.record.store import Body
from bench.run.arm_run import ArmRun
from bench.run.rounds import Rounds
from bench.run.rounds.windows import RECENT, REPEATING

from .conftest import FakeWorkers, Silent

THROUGHPUT, FIRST_CALL = metrics.get("throughput"), metrics.get("first_call")


def arm(model: str, policy: str = "fp32") -> SpeedArm:
    return SpeedArm(
        model=model, image_size=32, num_classes=10, policy=policy, device="cpu", batch_size=4
    )


def arm_run(
    model: str, lines: list[Body] | None = None, role: Any = "asked", policy: str = "fp32"
) -> ArmRun:
    task = Task(
        arm=arm(model, policy),
        metrics=(THROUGHPUT,),
        settings={"window_s": 0.1},
        about=About(family=model.split("_")[0]),
        seed=0,
        role=role,
    )
    return ArmRun(task, (lines if lines is not None else []).append, role=role)


def rounds(arm_runs: list[ArmRun], workers: FakeWorkers, **changes: Any) -> Rounds:
    def open_arm(one: ArmRun) -> bool:
        one.open(lambda: workers.open(Job(one.arm, "cpu", 0, 1)), workers.clock.now)
        return True

    def fail(one: ArmRun, failure: Failure) -> None:
        one.status = failure.status
        one.close()

    for one in arm_runs:
        open_arm(one)
    common: dict[str, Any] = {
        "most": 100,
        "run": "r",
        "seed": 0,
        "watch": Silent(),
        "state": State(read=lambda pid: None),
    }
    return Rounds(
        arm_runs=arm_runs, open_arm=open_arm, fail=fail, now=workers.clock.now, **(common | changes)
    )


def noisy(spread: float) -> Any:
    """Speeds that wander by `spread` around 10 for the first model and 20 for the second."""
    wobble: Iterator[float] = itertools.cycle(
        [1.0, 1 + spread, 1 - spread, 1 + spread / 2, 1 - spread / 2]
    )
    return lambda job, window: [(10.0 if job.arm.model == "vit_a" else 20.0) * next(wobble)]


def test_a_narrow_ratio_ends_at_the_second_look_and_a_wide_one_goes_on_to_the_last() -> None:
    """Processes live for three rounds, so each side has a third one at round 9; look 13 follows."""
    narrow = rounds(
        [arm_run("vit_a"), arm_run("mixer_b")],
        FakeWorkers(noisy(0.0), seconds_to_open=1.0),
        target=0.01,
    )
    narrow.go()
    assert narrow.done == 13
    assert not any(narrow.short(one) for one in narrow.arm_runs)
    wide = rounds(
        [arm_run("vit_a"), arm_run("mixer_b")], FakeWorkers(noisy(0.5)), target=0.001, most=30
    )
    wide.go()
    assert wide.done == 30
    assert all(wide.short(one) for one in wide.arm_runs)


def test_looks_come_only_at_preset_rounds() -> None:
    """The ratio is exact from round 7 on, and its interval gets narrow between two looks."""
    count = itertools.count()

    def script(job: Job, window: Window) -> list[float]:
        return [10.0 * (1 + 0.1 * (next(count) % 7)) if next(count) < 12 else 10.0]

    one = rounds(
        [arm_run("vit_a"), arm_run("mixer_b")],
        FakeWorkers(script, seconds_to_open=1.0),
        target=0.01,
        most=300,
    )
    one.go()
    assert one.done in (13, 19, 27, 38, 54, 76, 107, 150, 210)


def test_of_one_process_a_side_no_target_is_reached() -> None:
    """Equal rounds of one process do not tell what another process would give."""
    one = rounds(
        [arm_run("vit_a"), arm_run("mixer_b")],
        FakeWorkers(noisy(0.0), seconds_to_open=1e6),
        target=0.5,
        most=60,
        time_budget=200.0,
    )
    one.go()
    assert all(one.short(each) and not each.reached and each.process == 1 for each in one.arm_runs)


def test_an_arm_at_its_target_stops_and_the_reference_goes_on_for_the_others() -> None:
    workers = FakeWorkers(noisy(0.0), seconds_to_open=1.0)
    wobble = itertools.cycle([0.5, 1.0, 2.0])
    workers.script = lambda job, window: [next(wobble) if job.arm.model == "mixer_c" else 10.0]
    arm_runs = [arm_run("vit_a"), arm_run("mixer_b"), arm_run("mixer_c")]
    one = rounds(arm_runs, workers, target=0.01, most=20)
    one.go()
    taken = {
        name: sum(request[0] == name for request in workers.requests)
        for name in ("vit_a", "mixer_b", "mixer_c")
    }
    assert taken == {"vit_a": 20, "mixer_b": 13, "mixer_c": 20}


def test_a_policy_that_is_far_behind_leaves_the_choosing_after_two_rounds() -> None:
    speeds = {"fp32": 10.0, "bf16": 4.0, "channels_last": 6.0}
    seen: list[Any] = []

    def script(job: Job, window: Window) -> list[float]:
        seen.append(job.arm)
        return [speeds[job.arm.policy]]  # type: ignore[union-attr]

    arm_runs = [arm_run("vit_a", policy=policy) for policy in speeds] + [arm_run("mixer_b")]
    for phase, rounds_of_bf16 in (("choose", 2), ("measure", 8)):
        for each in arm_runs:
            each.start_anew(None, [])
        seen.clear()
        one = rounds(arm_runs, FakeWorkers(script), most=8, phase=phase)
        one.go()
        taken = {policy: seen.count(arm("vit_a", policy)) for policy in speeds}
        assert taken == {"fp32": 8, "channels_last": 8, "bf16": rounds_of_bf16}
        assert [each.hopeless for each in arm_runs] == [False, phase == "choose", False, False]
        assert not any(one.short(each) for each in arm_runs)


def test_once_a_hopeless_policy_has_left_the_time_is_for_the_others() -> None:
    """Its windows took 100 s, the others' 1 s: after two long rounds many short ones fit."""
    workers = FakeWorkers(lambda job, window: [1.0])
    arm_runs = [arm_run("vit_a"), arm_run("vit_a", policy="bf16"), arm_run("mixer_b")]

    def script(job: Job, window: Window) -> list[float]:
        slow = job.arm == arm("vit_a", "bf16")
        workers.seconds_per_window = 100.0 if slow else 1.0
        return [1.0 if slow else 10.0]

    workers.script = script
    one = rounds(arm_runs, workers, most=100, phase="choose", time_budget=260.0)
    one.go()
    assert arm_runs[1].hopeless
    assert 15 < one.done < 60


def test_windows_are_longer_beside_a_slow_arm() -> None:
    arm_runs = [arm_run("vit_a"), arm_run("mixer_b")]
    one = rounds(arm_runs, FakeWorkers(noisy(0.0)), most=1)
    for each, seconds in zip(arm_runs, (0.1, 3.0), strict=True):
        each.setup = {"seconds_per_call": seconds}
    one.go()
    assert one.windows.least == 0.75
    assert one.windows.seconds(arm_runs[0], THROUGHPUT) == 0.75


def test_the_aa_pair_gets_the_rounds_of_an_interval_then_every_third() -> None:
    workers = FakeWorkers(noisy(0.0))
    one = rounds([arm_run("mixer_b"), arm_run("vit_s16", role="sentinel")], workers, most=13)
    one.go()
    assert (
        sum(request[0] == "vit_s16" for request in workers.requests) == 6 + 3
    )  # and rounds 7, 10 and 13


def test_contestants_stand_together_in_a_round() -> None:
    workers = FakeWorkers(noisy(0.0))
    arm_runs = [
        arm_run("vit_a"),
        arm_run("mixer_b"),
        arm_run("mixer_c"),
        arm_run("machine", role="probe"),
    ]
    rounds(arm_runs, workers, most=12).go()
    for number in range(12):
        names = [request[0] for request in workers.requests[4 * number : 4 * number + 4]]
        assert names.index("machine") in (0, 3)
    assert (
        len(
            {
                tuple(request[0] for request in workers.requests[4 * n : 4 * n + 4])
                for n in range(12)
            }
        )
        > 3
    )


def processes(lines: list[Body]) -> list[int]:
    return [line.worker for line in lines if isinstance(line, RoundLine)]


@pytest.mark.parametrize(("most", "seconds_to_open"), [(6, 1.0), (16, 3.0), (64, 3.0), (16, 9.0)])
def test_every_arm_has_three_processes_and_rounds_name_them(
    most: int, seconds_to_open: float
) -> None:
    each: list[list[Body]] = [[], [], []]
    workers = FakeWorkers(noisy(0.0), seconds_to_open=seconds_to_open)
    arm_runs = [
        arm_run(name, lines)
        for name, lines in zip(("vit_a", "mixer_b", "mixer_c"), each, strict=True)
    ]
    rounds(arm_runs, workers, most=most).go()
    for lines in each:
        assert processes(lines)[0] == 1
        assert processes(lines) == sorted(processes(lines))
        assert processes(lines)[-1] >= PROCESSES
        renewed = next(line for line in lines if isinstance(line, RoundLine) and line.worker == 2)
        assert renewed.setup == {"first_call_s": 0.5}


def test_compared_arms_are_renewed_by_turns() -> None:
    each: list[list[Body]] = [[], [], []]
    arm_runs = [
        arm_run(name, lines)
        for name, lines in zip(("vit_a", "mixer_b", "mixer_c"), each, strict=True)
    ]
    rounds(arm_runs, FakeWorkers(noisy(0.0), seconds_to_open=4.0), most=24).go()
    begun = [
        {
            at
            for at, (one, next_one) in enumerate(itertools.pairwise(processes(lines)))
            if one != next_one
        }
        for lines in each
    ]
    assert not begun[0] & begun[1] and not begun[0] & begun[2] and not begun[1] & begun[2]


def test_dear_processes_are_two_and_of_few_rounds_none_is_renewed() -> None:
    """Five rounds give no interval, however many processes they come from."""
    for most, seconds, opened in ((16, 60.0, 2), (5, 1.0, 1)):
        lines: list[Body] = []
        rounds(
            [arm_run("vit_a", lines), arm_run("mixer_b")],
            FakeWorkers(noisy(0.0), seconds_to_open=seconds),
            most=most,
        ).go()
        assert processes(lines)[-1] == opened


@pytest.mark.parametrize("seconds_to_open", [2.0, 15.0, 40.0, 200.0])
def test_new_processes_keep_to_their_share_of_the_time_budget(seconds_to_open: float) -> None:
    lines: list[Body] = []
    workers = FakeWorkers(noisy(0.0), seconds_to_open=seconds_to_open, seconds_per_window=1.0)
    one = rounds(
        [arm_run("vit_a", lines), arm_run("mixer_b")], workers, most=1000, time_budget=120.0
    )
    one.go()
    assert one.account.renewed_s <= renewing_limit(120, 2 * 1.15)
    assert workers.clock.now() - one.account.start <= 120 + 2
    assert (
        processes(lines)[-1]
        == {2.0: pytest.approx(10, abs=6), 15.0: 3, 40.0: pytest.approx(1.5, abs=0.5), 200.0: 1}[
            seconds_to_open
        ]
    )


def test_what_compiles_long_is_renewed_for_what_its_cache_leaves_of_that() -> None:
    """Of 18 s to open, 16 are compiling: with a warm cache a new process takes 10 s, else 18 s."""

    def opened(cold: bool) -> int:
        workers = FakeWorkers(
            noisy(0.0), seconds_to_open=18.0, setup={"first_call_s": 18.0, "seconds_per_call": 2.0}
        )
        arm_runs = [arm_run("vit_a"), arm_run("mixer_b")]
        for each in arm_runs:
            each.task = replace(each.task, metrics=(replace(THROUGHPUT, cold=cold),))
        rounds(arm_runs, workers, most=12).go()
        return len(workers.opened)

    assert FIRST_CALL.cold and not THROUGHPUT.cold
    assert opened(cold=False) > opened(cold=True) >= 4


def test_the_first_processes_longer_check_does_not_make_others_dear() -> None:
    """Of 30 s to open, 28 are the comparison with float32 on 64 images; later ones see 4."""

    def opened(setup: dict[str, Scalar]) -> int:
        lines: list[Body] = []
        workers = FakeWorkers(noisy(0.0), seconds_to_open=30.0, setup=setup)
        rounds([arm_run("vit_a", lines), arm_run("mixer_b")], workers, most=12).go()
        return processes(lines)[-1]

    assert opened({}) == PROCESSES_IF_DEAR
    assert opened({"agreement_s": 28.0, "agreement_images": 64}) == PROCESSES


def test_a_worker_that_says_it_took_longer_than_was_waited_costs_nothing() -> None:
    """A cost below zero had no square root, and ended the run."""
    lines: list[Body] = []
    workers = FakeWorkers(noisy(0.0), seconds_to_open=0.1, setup={"first_call_s": 5.0})
    rounds([arm_run("vit_a", lines), arm_run("mixer_b")], workers, most=12).go()
    assert processes(lines)[-1] >= PROCESSES


def test_renewals_are_counted_by_phase() -> None:
    workers = FakeWorkers(noisy(0.0), seconds_to_open=4.0)
    arm_runs = [arm_run("vit_a"), arm_run("mixer_b")]
    counts = []
    for phase in ("choose", "confirm"):
        before = len(workers.opened)
        for each in arm_runs:
            each.start_anew(None, [])
        rounds(arm_runs, workers, most=16, phase=phase).go()
        counts.append(len(workers.opened) - before)
    assert counts[0] == counts[1] >= 2 * PROCESSES


def busy_beside(disturbed: Callable[[int], bool]) -> State:
    """Other programs take 40 % of the CPU from `disturbed` windows, which are counted from 0."""
    looks = itertools.count()
    last = (0, 0, 0, 0)

    def read(pid: int) -> tuple[int, int, int, int]:
        nonlocal last
        number, end = divmod(next(looks), 2)
        if end:  # 100 ticks a window, 20 of them by the worker itself
            last = tuple(
                a + b
                for a, b in zip(last, (100, 60 if disturbed(number) else 20, 0, 20), strict=True)
            )  # type: ignore[assignment]
        return last

    return State(read=read)


def test_a_disturbed_window_is_marked_and_repeated_a_bounded_number_of_times() -> None:
    lines: list[Body] = []
    workers = FakeWorkers(noisy(0.0), seconds_to_open=1e6)
    one = rounds(
        [arm_run("vit_a", lines), arm_run("mixer_b")],
        workers,
        most=50,
        state=busy_beside(lambda number: number % 4 == 0),
    )
    one.go()
    samples = [sample for line in lines if isinstance(line, RoundLine) for sample in line.samples]
    disturbed = [sample for sample in samples if sample.disturbed]
    assert {sample.disturbed for sample in disturbed} == {
        "40% of the processors taken, most by other programs"
    }
    assert {sample.state["left"] for sample in disturbed} == {0.6}
    assert all("left" not in sample.state for sample in samples if not sample.disturbed)
    assert one.ledger.windows == 100 + one.ledger.repeated
    assert 0 < one.ledger.repeated <= 0.1 * one.ledger.windows + 1


def test_beside_lasting_load_windows_are_not_repeated_for_nothing() -> None:
    lines: list[Body] = []
    workers = FakeWorkers(noisy(0.0), seconds_to_open=1e6)
    one = rounds(
        [arm_run("vit_a", lines), arm_run("mixer_b")],
        workers,
        most=50,
        state=busy_beside(lambda number: True),
    )
    one.go()
    samples = [sample for line in lines if isinstance(line, RoundLine) for sample in line.samples]
    assert all(
        sample.disturbed == "40% of the processors taken, most by other programs"
        for sample in samples
    )
    assert {sample.state["left"] for sample in samples} == {0.6}
    assert one.ledger.disturbed == one.ledger.windows == 100 + one.ledger.repeated
    assert 0 < one.ledger.repeated <= RECENT * REPEATING


def test_the_ledger_knows_what_share_lay_inside_windows() -> None:
    workers = FakeWorkers(noisy(0.0), seconds_per_window=2.0, seconds_to_open=1e6)
    one = rounds([arm_run("vit_a"), arm_run("mixer_b")], workers, most=5)
    one.go()
    assert one.ledger.seconds["windows"] == 20.0
    assert one.ledger.share == 1.0
