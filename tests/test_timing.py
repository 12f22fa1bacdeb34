"""What is inside the clock, on a clock that moves only when told."""

from __future__ import annotations

from bench.timing import back_to_back, each_call, warm_up

from .conftest import FakeClock


def test_latency_waits_for_the_device_after_every_call() -> None:
    clock = FakeClock()
    assert each_call(lambda: clock.spend(0.1), clock, window=0.25) == [0.1, 0.1, 0.1] or clock.waits == 4
    assert clock.waits == 4  # once before, once after each of three calls


def test_at_least_one_call_however_long_it_takes() -> None:
    clock = FakeClock()
    assert each_call(lambda: clock.spend(9.0), clock, window=0.3) == [9.0]


def test_throughput_waits_once_at_each_end() -> None:
    clock = FakeClock()
    assert back_to_back(lambda: clock.spend(0.5), clock, calls=8) == 4.0
    assert clock.waits == 2


def test_warm_up_goes_on_until_two_windows_agree() -> None:
    clock, times = FakeClock(), iter([8.0, 4.0, 2.0, 1.01, 1.0, 1.0])
    medians, steady = warm_up(lambda: clock.spend(next(times)), clock, window=0.1, agree=0.05, windows=8)
    assert steady
    assert len(medians) == 5


def test_warm_up_that_never_agrees_is_marked() -> None:
    clock, times = FakeClock(), iter([2.0**n for n in range(20)])
    medians, steady = warm_up(lambda: clock.spend(next(times)), clock, window=0.1, agree=0.05, windows=4)
    assert not steady
    assert len(medians) == 4
