"""The self-check on workers with known speeds: it accepts right answers and no others."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable

import pytest
import torch

from bench.check.known_ratio import once, twice
from bench.check.selfcheck import SelfCheck, SelfCheckResult
from bench.errors import UsageError
from bench.measure.messages import Job, Window
from bench.record.arms import SpeedArm

from .conftest import FakeWorkers


def check(speed: Callable[[str, bool], float]) -> SelfCheckResult:
    """Self-check with speeds by network and load; a window takes a twentieth of a second."""
    loaded = [False]

    @contextlib.contextmanager
    def busy(number: int):  # type: ignore[no-untyped-def]
        loaded[0] = True
        yield
        loaded[0] = False

    def script(job: Job, window: Window) -> list[float]:
        assert isinstance(job.arm, SpeedArm)
        return [speed(job.arm.model, loaded[0])]

    workers = FakeWorkers(script, seconds_per_window=0.05, seconds_to_open=0.5)
    return SelfCheck(
        3, "cpu", workers.open, tell=lambda text: None, busy=busy, now=workers.clock.now
    ).run()


def noisy(draw: random.Random, value: float) -> float:
    return value * draw.lognormvariate(0, 0.1)


def test_a_machine_that_is_merely_noisy_is_believed() -> None:
    draw = random.Random(0)
    verdict = check(lambda model, loaded: noisy(draw, 1.0 if model.endswith("twice") else 2.0))
    assert len(verdict.alike.ratios) >= 20
    assert verdict.enough_covered
    assert verdict.known.holds(2.0)
    assert verdict.overlaps
    assert verdict.believable
    assert 0 < verdict.alike.resolvable(60) < 0.05


def test_a_wrong_ratio_is_not_believed() -> None:
    draw = random.Random(1)
    verdict = check(lambda model, loaded: noisy(draw, 1.0 if model.endswith("twice") else 1.5))
    assert not verdict.known.holds(2.0)
    assert not verdict.believable


def test_a_ratio_that_moves_with_the_load_is_not_believed() -> None:
    draw = random.Random(2)
    verdict = check(
        lambda model, loaded: noisy(
            draw, (2.0 if loaded else 1.0) if model.endswith("twice") else 2.0
        )
    )
    assert verdict.known.holds(2.0)
    assert not verdict.overlaps
    assert not verdict.believable


def test_no_time_is_a_clear_line() -> None:
    with pytest.raises(UsageError, match="--minutes: must be a number above 0, got 0"):
        SelfCheck(0, "cpu", FakeWorkers(lambda job, window: []).open)


def test_twice_is_the_same_network_run_two_times() -> None:
    torch.manual_seed(0)
    left = once(image_size=32, num_classes=10).eval()
    torch.manual_seed(0)
    right = twice(image_size=32, num_classes=10).eval()
    calls = []
    right.network.register_forward_hook(lambda *_: calls.append(1))
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(left(images), right(images))
    assert len(calls) == 2
