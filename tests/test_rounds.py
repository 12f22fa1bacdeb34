"""Rounds on workers that answer at once and a clock that moves only when told: looks, targets, renewals, repetitions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from bench.lane import Lane
from bench.plugins import metrics
from bench.record import About, Body, RoundLine, SpeedArm
from bench.rounds import RECENT, RENEWALS, REPEATING, Rounds
from bench.state import State
from bench.task import Task
from bench.worker import Failure, Job, Window

from .conftest import FakeWorkers, Silent

THROUGHPUT, FIRST_CALL = metrics.get("throughput"), metrics.get("first_call")


def arm(model: str, policy: str = "fp32") -> SpeedArm:
    return SpeedArm(model=model, image_size=32, num_classes=10, policy=policy, device="cpu", batch_size=4)


def lane(model: str, lines: list[Body] | None = None, role: Any = "asked", policy: str = "fp32") -> Lane:
    task = Task(
        arm=arm(model, policy),
        metrics=(THROUGHPUT,),
        settings={"window_s": 0.1},
        about=About(family=model.split("_")[0]),
        seed=0,
        role=role,
    )
    return Lane(task, (lines if lines is not None else []).append, role=role)


def rounds(lanes: list[Lane], workers: FakeWorkers, **changes: Any) -> Rounds:
    def open_lane(one: Lane) -> bool:
        one.open(lambda: workers.open(Job(one.arm, "cpu", 0, 1)), workers.clock.now)
        return True

    def fail(one: Lane, failure: Failure) -> None:
        one.status = failure.status
        one.close()

    for one in lanes:
        open_lane(one)
    common: dict[str, Any] = {"most": 100, "run": "r", "seed": 0, "watch": Silent(), "state": State(read=lambda pid: None)}
    return Rounds(lanes=lanes, open_lane=open_lane, fail=fail, now=workers.clock.now, **(common | changes))


def noisy(spread: float) -> Any:
    """Speeds that wander by `spread` around 10 for the first model and 20 for the second."""
    wobble: Iterator[float] = itertools.cycle([1.0, 1 + spread, 1 - spread, 1 + spread / 2, 1 - spread / 2])
    return lambda job, window: [(10.0 if job.arm.model == "vit_a" else 20.0) * next(wobble)]


def test_a_narrow_ratio_ends_at_the_first_look_and_a_wide_one_goes_on_to_the_last() -> None:
    narrow = rounds([lane("vit_a"), lane("mixer_b")], FakeWorkers(noisy(0.0)), target=0.01)
    narrow.go()
    assert narrow.done == 6
    assert not any(narrow.short(one) for one in narrow.lanes)
    wide = rounds([lane("vit_a"), lane("mixer_b")], FakeWorkers(noisy(0.5)), target=0.001, most=30)
    wide.go()
    assert wide.done == 30
    assert all(wide.short(one) for one in wide.lanes)


def test_looks_come_only_at_preset_rounds() -> None:
    """The ratio is exact from round 7 on in no time, but nobody looks before round 9."""
    count = itertools.count()

    def script(job: Job, window: Window) -> list[float]:
        return [10.0 * (1 + next(count) % 7) if next(count) < 12 else 10.0]

    one = rounds([lane("vit_a"), lane("mixer_b")], FakeWorkers(script), target=0.01)
    one.go()
    assert one.done in (9, 13, 19, 27, 38)


def test_an_arm_that_has_reached_its_target_stops_and_the_reference_goes_on_for_the_others() -> None:
    workers = FakeWorkers(noisy(0.0))
    wobble = itertools.cycle([0.5, 1.0, 2.0])
    workers.script = lambda job, window: [next(wobble) if job.arm.model == "mixer_c" else 10.0]
    lanes = [lane("vit_a"), lane("mixer_b"), lane("mixer_c")]
    one = rounds(lanes, workers, target=0.01, most=20)
    one.go()
    taken = {name: sum(request[0] == name for request in workers.requests) for name in ("vit_a", "mixer_b", "mixer_c")}
    assert taken == {"vit_a": 20, "mixer_b": 6, "mixer_c": 20}


def test_a_policy_that_is_far_behind_leaves_the_choosing_after_two_rounds() -> None:
    speeds = {"fp32": 10.0, "bf16": 4.0, "channels_last": 6.0}
    seen: list[Any] = []

    def script(job: Job, window: Window) -> list[float]:
        seen.append(job.arm)
        return [speeds[job.arm.policy]]  # type: ignore[union-attr]

    lanes = [lane("vit_a", policy=policy) for policy in speeds] + [lane("mixer_b")]
    for phase, rounds_of_bf16 in (("choose", 2), ("measure", 8)):
        for each in lanes:
            each.start_anew(None, [])
        seen.clear()
        one = rounds(lanes, FakeWorkers(script), most=8, phase=phase)
        one.go()
        taken = {policy: seen.count(arm("vit_a", policy)) for policy in speeds}
        assert taken == {"fp32": 8, "channels_last": 8, "bf16": rounds_of_bf16}
        assert [each.hopeless for each in lanes] == [False, phase == "choose", False, False]
        assert not any(one.short(each) for each in lanes)


def test_once_a_hopeless_policy_has_left_the_time_is_for_the_others() -> None:
    """Its windows took 100 s, theirs 1 s: after two rounds of some 100 s there is time for many more."""
    workers = FakeWorkers(lambda job, window: [1.0])
    lanes = [lane("vit_a"), lane("vit_a", policy="bf16"), lane("mixer_b")]

    def script(job: Job, window: Window) -> list[float]:
        slow = job.arm == arm("vit_a", "bf16")
        workers.seconds_per_window = 100.0 if slow else 1.0
        return [1.0 if slow else 10.0]

    workers.script = script
    one = rounds(lanes, workers, most=100, phase="choose", time_budget=260.0)
    one.go()
    assert lanes[1].hopeless
    assert 15 < one.done < 60


def test_windows_are_longer_beside_a_slow_arm() -> None:
    lanes = [lane("vit_a"), lane("mixer_b")]
    one = rounds(lanes, FakeWorkers(noisy(0.0)), most=1)
    for each, seconds in zip(lanes, (0.1, 3.0), strict=True):
        each.setup = {"seconds_per_call": seconds}
    one.go()
    assert one.least_window == 0.75
    assert one._seconds(lanes[0], THROUGHPUT) == 0.75


def test_the_sentinel_takes_part_in_every_third_round_and_ends_with_the_others() -> None:
    workers = FakeWorkers(noisy(0.0))
    one = rounds([lane("mixer_b"), lane("vit_s16", role="sentinel")], workers, most=7)
    one.go()
    assert sum(request[0] == "vit_s16" for request in workers.requests) == 3


def test_contestants_stand_together_in_a_round() -> None:
    workers = FakeWorkers(noisy(0.0))
    lanes = [lane("vit_a"), lane("mixer_b"), lane("mixer_c"), lane("machine", role="probe")]
    rounds(lanes, workers, most=12).go()
    for number in range(12):
        names = [request[0] for request in workers.requests[4 * number : 4 * number + 4]]
        assert names.index("machine") in (0, 3)
    assert len({tuple(request[0] for request in workers.requests[4 * n : 4 * n + 4]) for n in range(12)}) > 3


def test_processes_are_renewed_while_that_costs_little_and_rounds_name_them() -> None:
    lines: list[Body] = []
    workers = FakeWorkers(noisy(0.0), seconds_to_open=2.0)
    rounds([lane("vit_a", lines), lane("mixer_b")], workers, most=60).go()
    processes = [line.worker for line in lines if isinstance(line, RoundLine)]
    assert processes[0] == 1
    assert processes == sorted(processes)
    assert 2 <= processes[-1] <= 4
    renewed = next(line for line in lines if isinstance(line, RoundLine) and line.worker == 2)
    assert renewed.setup == {"first_call_s": 0.5}
    assert len(workers.opened) > 2
    dear = FakeWorkers(noisy(0.0), seconds_to_open=1000.0)
    rounds([lane("vit_a"), lane("mixer_b")], dear, most=60).go()
    assert len(dear.opened) == 2


@pytest.mark.parametrize("left", [0, 2, 3, 20])
def test_no_process_is_renewed_for_fewer_than_three_rounds(left: int) -> None:
    """The first renewal can be paid after 9 rounds of 2 s: whether it comes depends on what is left then, of rounds or of time."""

    def opened(**limits: Any) -> int:
        workers = FakeWorkers(noisy(0.0), seconds_to_open=2.0)
        one = rounds([lane("vit_a"), lane("mixer_b")], workers, **limits, renewing=0.1)
        one.go()
        return len(workers.opened)

    assert (opened(most=9 + left) > 2) is (left >= 3)
    assert (opened(most=1000, time_budget=18.0 + 1.75 + 2.0 * left + 0.1) > 2) is (left >= 3)


def test_what_compiles_long_is_renewed_for_what_its_cache_leaves_of_that() -> None:
    """100 s to open, 96 of them compiling: 52 s again at most, but 100 s where the compiler's cache has to be empty."""

    def opened(cold: bool) -> int:
        workers = FakeWorkers(noisy(0.0), seconds_to_open=100.0, setup={"first_call_s": 98.0, "seconds_per_call": 2.0})
        lanes = [lane("vit_a"), lane("mixer_b")]
        for each in lanes:
            each.task = replace(each.task, metrics=(replace(THROUGHPUT, cold=cold),))
        rounds(lanes, workers, most=100, renewing=0.3).go()
        return len(workers.opened)

    assert FIRST_CALL.cold and not THROUGHPUT.cold
    assert opened(cold=False) == 3
    assert opened(cold=True) == 2


def test_more_time_goes_into_processes_where_the_chosen_are_confirmed() -> None:
    def opened(phase: Any) -> int:
        workers = FakeWorkers(noisy(0.0), seconds_to_open=10.0)
        rounds([lane("vit_a"), lane("mixer_b")], workers, most=100, phase=phase).go()
        return len(workers.opened)

    assert (opened("measure"), opened("choose"), opened("confirm")) == (4, 4, 8)


def test_renewals_are_counted_by_phase() -> None:
    workers = FakeWorkers(noisy(0.0), seconds_to_open=1.0)
    lanes = [lane("vit_a"), lane("mixer_b")]
    for phase in ("choose", "confirm"):
        before = len(workers.opened)
        for each in lanes:
            each.start_anew(None, [])
        rounds(lanes, workers, most=150, phase=phase).go()
        assert len(workers.opened) - before == 2 + 2 * RENEWALS


def busy_beside(disturbed: Callable[[int], bool]) -> State:
    """Others take 40 % of the processors from every window, counted from 0, for which `disturbed` says so."""
    looks = itertools.count()
    last = (0, 0, 0, 0)

    def read(pid: int) -> tuple[int, int, int, int]:
        nonlocal last
        number, end = divmod(next(looks), 2)
        if end:  # 100 ticks a window, 20 of them by the worker itself
            last = tuple(a + b for a, b in zip(last, (100, 60 if disturbed(number) else 20, 0, 20), strict=True))  # type: ignore[assignment]
        return last

    return State(read=read)


def test_a_disturbed_window_is_marked_and_repeated_a_bounded_number_of_times() -> None:
    lines: list[Body] = []
    workers = FakeWorkers(noisy(0.0), seconds_to_open=1e6)
    one = rounds([lane("vit_a", lines), lane("mixer_b")], workers, most=50, state=busy_beside(lambda number: number % 4 == 0))
    one.go()
    samples = [sample for line in lines if isinstance(line, RoundLine) for sample in line.samples]
    disturbed = [sample for sample in samples if sample.disturbed]
    assert {sample.disturbed for sample in disturbed} == {"40% of the processors taken, most by other programs"}
    assert {sample.state["left"] for sample in disturbed} == {0.6}
    assert all("left" not in sample.state for sample in samples if not sample.disturbed)
    assert one.ledger.windows == 100 + one.ledger.repeated
    assert 0 < one.ledger.repeated <= 0.1 * one.ledger.windows + 1


def test_beside_lasting_load_windows_are_not_repeated_for_nothing() -> None:
    lines: list[Body] = []
    workers = FakeWorkers(noisy(0.0), seconds_to_open=1e6)
    one = rounds([lane("vit_a", lines), lane("mixer_b")], workers, most=50, state=busy_beside(lambda number: True))
    one.go()
    samples = [sample for line in lines if isinstance(line, RoundLine) for sample in line.samples]
    assert all(sample.disturbed == "40% of the processors taken, most by other programs" for sample in samples)
    assert {sample.state["left"] for sample in samples} == {0.6}
    assert one.ledger.disturbed == one.ledger.windows == 100 + one.ledger.repeated
    assert 0 < one.ledger.repeated <= RECENT * REPEATING


def test_the_ledger_knows_what_share_lay_inside_windows() -> None:
    workers = FakeWorkers(noisy(0.0), seconds_per_window=2.0, seconds_to_open=1e6)
    one = rounds([lane("vit_a"), lane("mixer_b")], workers, most=5)
    one.go()
    assert one.ledger.seconds["windows"] == 20.0
    assert one.ledger.share == 1.0
