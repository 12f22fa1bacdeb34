"""Intervals of proportions, and distributions (test_mixed.py has rounds and processes)."""

from __future__ import annotations

import pytest

from bench.stats.intervals import proportion


def test_wilson_interval_of_a_proportion() -> None:
    # 8 of 10: Wilson's 95 % interval is 0.490 to 0.943 (Wilson 1927; any table of it).
    found = proportion(8, 10)
    assert found.low == pytest.approx(0.4902, abs=1e-3)
    assert found.high == pytest.approx(0.9433, abs=1e-3)
    assert proportion(10, 10).high == pytest.approx(1.0)


def test_what_is_written_out_is_scipys() -> None:
    """scipy.stats takes a second to import, which `bench claim` would wait for."""
    from scipy.stats import binomtest, t

    from bench.stats.intervals import Effect, proportion, student

    for freedom in (1, 2.5, 5, 40):
        assert student(freedom) == pytest.approx(t.ppf(0.975, freedom), rel=1e-9)
        assert Effect(1.7, 1.0, freedom, 3).p(0.0) == pytest.approx(
            2 * t.sf(1.7, freedom), rel=1e-9
        )
    for correct, images in ((0, 10), (10, 10), (3, 10), (41_000, 50_000), (1, 360)):
        theirs = binomtest(correct, images).proportion_ci(method="wilson")
        ours = proportion(correct, images)
        assert (ours.low, ours.high) == pytest.approx(
            (theirs.low, theirs.high), rel=1e-9, abs=1e-12
        )
