"""A large comparison is reported in the time that a small one may take."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from .many_records import write

SECONDS = 30.0
PROCESSORS = 2


def test_two_thousand_records_are_reported_in_half_a_minute_of_two_processors(tmp_path: Path) -> None:
    """Measured in processor seconds: other tests run beside this one. The figure and the page are of all models."""
    results = write(tmp_path / "results", 2000)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "bench", "report", "--results", str(results)], capture_output=True, text=True, timeout=600, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr[-2000:]
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < SECONDS * PROCESSORS
    assert after.ru_maxrss * (1 if sys.platform == "darwin" else 1024) < 2e9
    assert (results / "report.html").read_text().count("<tr data-id=") == 500
    assert list(results.glob("*/pareto_throughput_digits.png"))
