"""What is inside the clock, on a clock that moves only when told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.measure.timing import WarmUp, back_to_back, each_call, filled, warm_up

from .conftest import FakeClock


def test_latency_waits_for_the_device_after_every_call() -> None:
    clock = FakeClock()
    times = each_call(lambda: clock.spend(0.1), clock, window=0.25)
    assert [one.wall for one in times] == pytest.approx([0.1, 0.1, 0.1])
    assert clock.waits == 4  # once before, once after each of three calls


def test_at_least_one_call_however_long_it_takes() -> None:
    clock = FakeClock()
    assert [one.wall for one in each_call(lambda: clock.spend(9.0), clock, window=0.3)] == [9.0]


def test_throughput_waits_once_at_each_end() -> None:
    clock = FakeClock()
    assert back_to_back(lambda: clock.spend(0.5), clock, calls=8) == 4.0
    assert clock.waits == 2


class FakeDevice(FakeClock):
    """A device that works beside the host: calls cost the host `launch` and the device `work`."""

    done: float = 0.0

    def call(self, launch: float, work: float) -> None:
        self.spend(launch)
        self.done = max(self.done, self.time) + work

    def synchronize(self) -> None:
        super().synchronize()
        self.time = max(self.time, self.done)


@pytest.mark.parametrize(
    ("launch", "work", "seconds", "tail"), [(1.0, 3.0, 25.0, 17.0), (3.0, 1.0, 25.0, 1.0)]
)
def test_the_tail_of_a_window_tells_who_waited_for_whom(
    launch: float, work: float, seconds: float, tail: float
) -> None:
    """Below the time of a call the device was idle when each launch came."""
    device = FakeDevice()
    window = filled(lambda: device.call(launch, work), device, calls=8)
    assert (window.seconds, window.tail) == (seconds, tail)
    assert (window.tail < window.seconds / 8) == (launch > work)


def warmed(
    times: list[float],
    *,
    windows: int = 8,
    cap: float = 1e9,
    frequency: Callable[[], float | None] = lambda: None,
) -> WarmUp:
    clock, left = FakeClock(), iter(times)
    return warm_up(
        lambda: clock.spend(next(left)),
        clock,
        window=0.1,
        agree=0.05,
        windows=windows,
        cap=cap,
        frequency=frequency,
    )


def test_warm_up_goes_on_until_two_windows_agree() -> None:
    found = warmed([8.0, 4.0, 2.0, 1.01, 1.0, 1.0])
    assert (found.steady, len(found.medians)) == (True, 5)


def test_warm_up_that_never_agrees_is_marked() -> None:
    found = warmed([2.0**n for n in range(20)], windows=4)
    assert (found.steady, len(found.medians)) == (False, 4)


def test_warm_up_ends_at_its_cap_but_not_before_two_windows() -> None:
    found = warmed([9.0, 4.0, 2.0, 1.0], cap=5.0)
    assert (found.steady, len(found.medians)) == (False, 2)


def test_warm_up_waits_for_a_flat_clock_too() -> None:
    clocks = iter([1000.0, 1500.0, 1900.0, 1905.0])
    found = warmed([1.0] * 8, frequency=lambda: next(clocks))
    assert (found.steady, len(found.medians)) == (True, 4)
