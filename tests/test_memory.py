"""Peak memory: anonymous pages on a CPU; on a fake GPU, the allocator's and a graph's."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bench.claims.evidence import exponent_over_constant
from bench.measure import memory
from bench.measure.subject import SpeedSubject
from bench.measure.timing import Replay
from bench.plugins import metrics
from bench.record.arms import SpeedArm

from .conftest import FakeClock

STATUS = (
    "VmHWM:\t{hwm} kB\nVmRSS:\t{rss} kB\n"
    "RssAnon:\t{anon} kB\nRssFile:\t{file} kB\nRssShmem:\t0 kB\n"
)


def test_library_pages_that_a_call_brings_in_are_not_the_model_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = tmp_path / "status"
    monkeypatch.setattr(memory, "STATUS", status)
    status.write_text(STATUS.format(hwm=150_000, rss=150_000, anon=50_000, file=100_000))
    before = memory.before("cpu")
    status.write_text(
        STATUS.format(hwm=190_000, rss=186_000, anon=52_000, file=134_000)
    )  # 34 MB of libraries, 6 MB at the peak
    assert memory.peak("cpu", before) == 6_000 * 1024
    assert memory.peak("cpu", 150_000 * 1024, pages="all") == 40_000 * 1024  # as trainings count
    assert memory.counted("cpu") == "anonymous pages"
    status.write_text("VmHWM:\t190000 kB\nVmRSS:\t186000 kB\n")
    assert memory.counted("cpu") == "all pages"


class Graph:
    """A captured graph whose pool is (0, 7)."""

    def pool(self) -> tuple[int, int]:
        return (0, 7)

    def replay(self) -> None: ...


SEGMENTS = [
    {"segment_pool_id": (0, 0), "total_size": 900 << 20, "allocated_size": 100 << 20},
    {"segment_pool_id": (0, 7), "total_size": 22 << 20, "allocated_size": 2 << 20},
    {"segment_pool_id": (0, 7), "total_size": 20 << 20, "allocated_size": 0},
    {
        "segment_pool_id": (0, 8),
        "total_size": 64 << 20,
        "allocated_size": 0,
    },  # of another metric's graph
]


@pytest.mark.parametrize(
    ("call", "bytes"),
    [(Replay(Graph(), None), 140 << 20), (lambda: None, 100 << 20)],
    ids=["graph", "eager"],
)
def test_a_graph_s_own_pool_is_part_of_its_memory(
    call: Any, bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = SimpleNamespace(
        reset_peak_memory_stats=lambda device: None,
        max_memory_allocated=lambda device: 100 << 20,
        memory_snapshot=lambda: SEGMENTS,
    )
    monkeypatch.setattr(torch, "cuda", fake)
    arm = SpeedArm(
        model="m", image_size=32, num_classes=10, policy="bf16+graph", device="cuda", batch_size=2
    )
    subject = SpeedSubject(
        arm=arm, device="cuda:0", build=torch.nn.Identity, clock=FakeClock(), seed=0, call=call
    )
    reading = metrics.get("memory").measure(subject, 0.1)
    assert reading.values == [bytes]
    assert reading.detail == {
        "since": "window",
        "counted": "allocated",
        "graph_pool": bytes - (100 << 20),
    }


def test_the_exponent_is_of_what_grows_over_a_constant() -> None:
    tokens = [196.0, 784.0, 3136.0]
    for exponent in (1.0, 2.0):
        values = [90e6 + 30 * one**exponent for one in tokens]
        assert exponent_over_constant(values, tokens) == pytest.approx(exponent)
    assert (
        exponent_over_constant([1.0, None, 3.0], tokens)
        is exponent_over_constant([3.0, 3.0, 3.0], tokens)
        is None
    )
