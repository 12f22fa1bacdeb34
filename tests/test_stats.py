"""Intervals: coverage on draws whose truth is known, and the rules about when there is none."""

from __future__ import annotations

import numpy as np
import pytest

from bench.stats import ROUNDS_FOR_INTERVAL, median_interval, proportion


def test_no_interval_below_six_rounds() -> None:
    assert median_interval([1.0] * (ROUNDS_FOR_INTERVAL - 1)).low is None
    assert median_interval([1.0] * ROUNDS_FOR_INTERVAL).low == 1.0


def test_the_median_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        found = median_interval(list(rng.normal(10, 1, size=20)))
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 10 <= found.high
    assert 0.88 <= covered / 200 <= 0.995


def test_wilson_interval_of_a_proportion() -> None:
    # 8 of 10: Wilson's 95 % interval is 0.490 to 0.943 (Wilson 1927; any table of it).
    found = proportion(8, 10)
    assert found.low == pytest.approx(0.4902, abs=1e-3)
    assert found.high == pytest.approx(0.9433, abs=1e-3)
    assert proportion(10, 10).high == pytest.approx(1.0)


def test_the_bootstrap_is_scipys() -> None:
    """Written out, because scipy's own takes ten times as long and a report of 2,000 records asks for thousands."""
    import random

    import numpy as np
    from scipy.stats import bootstrap, norm, t

    from bench.stats import RESAMPLES, median_interval

    draw = random.Random(0)
    for n in (6, 9, 24):
        values = [draw.lognormvariate(0, 0.2) for _ in range(n)]
        level = 1 - 2 * norm.cdf(-np.sqrt(n / (n - 1)) * t.ppf(0.975, n - 1))
        theirs = bootstrap(
            (values,), np.median, n_resamples=RESAMPLES, method="percentile", confidence_level=level, rng=np.random.default_rng(0)
        ).confidence_interval
        ours = median_interval(values)
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)


def test_what_is_written_out_is_scipys() -> None:
    """scipy.stats takes a second to import, which `bench claim` would wait for."""
    from scipy.stats import binomtest, t, trim_mean

    from bench.paired import _middle
    from bench.stats import Effect, proportion, student

    for freedom in (1, 2.5, 5, 40):
        assert student(freedom) == pytest.approx(t.ppf(0.975, freedom), rel=1e-9)
        assert Effect(1.7, 1.0, freedom, 3).p(0.0) == pytest.approx(2 * t.sf(1.7, freedom), rel=1e-9)
    for correct, images in ((0, 10), (10, 10), (3, 10), (41_000, 50_000), (1, 360)):
        theirs = binomtest(correct, images).proportion_ci(method="wilson")
        ours = proportion(correct, images)
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9, abs=1e-12)
    for n in (6, 7, 10, 23):
        values = [((17 * place) % 11) + 0.5 * place for place in range(n)]
        import numpy as np

        assert _middle(np.array(values)) == pytest.approx(trim_mean(values, 0.2), rel=1e-12)
