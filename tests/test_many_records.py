"""A large comparison is reported in the time that a small one may take."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .many_records import write

SECONDS = 30.0
PROCESSORS = 2


def test_two_thousand_records_are_reported_in_half_a_minute_of_two_processors(tmp_path: Path) -> None:
    """Measured in processor seconds: other tests run beside this one. The figure and the page are of all models."""
    results = write(tmp_path / "results", 2000)
    with (tmp_path / "out").open("w") as out:
        started = subprocess.Popen([sys.executable, "-m", "bench", "report", "--results", str(results)], stdout=out, stderr=out)
        _, status, used = os.wait4(started.pid, 0)  # of this process and its children alone
    started.returncode = os.waitstatus_to_exitcode(status)
    assert started.returncode == 0, (tmp_path / "out").read_text()[-2000:]
    assert used.ru_utime + used.ru_stime < SECONDS * PROCESSORS
    assert used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) < 2e9
    assert (results / "report.html").read_text().count("<tr data-id=") == 500
    assert list(results.glob("*/pareto_throughput_digits.png"))
