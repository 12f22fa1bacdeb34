"""A large comparison is reported in the time that a small one may take."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .many_records import write

SECONDS = 30.0
PROCESSORS = 2
PROGRAM = r"""
import json, os, re, sys
from bench.cli.app import main
code = main(["report", "--results", sys.argv[1]])
# VmHWM is of this program alone; ru_maxrss would also count the parent's memory.
peak = int(re.search(r"VmHWM:\s+(\d+) kB", open("/proc/self/status").read())[1])
times = os.times()
seconds = times.user + times.system + times.children_user + times.children_system
print(json.dumps({"code": code, "peak": 1024 * peak, "seconds": seconds}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of its memory from /proc")
def test_two_thousand_records_are_reported_in_half_a_minute_of_two_processors(
    tmp_path: Path,
) -> None:
    """Measured in CPU seconds, since other tests run at the same time.

    The figure and the page show all models.
    """
    results = write(tmp_path / "results", 2000)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(results)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["code"] == 0
    assert found["seconds"] < SECONDS * PROCESSORS
    assert found["peak"] < 2e9
    assert (results / "report.html").read_text().count("<tr data-id=") == 500
    assert list(results.glob("*/pareto_throughput_digits.png"))
