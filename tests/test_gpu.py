"""What only a CUDA device can show. Skipped where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench import record
from bench.config import RunConfig
from bench.runner import Runner

from .conftest import Silent

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


def test_the_default_run_on_cuda(tmp_path: Path) -> None:
    config = RunConfig(models=("convmixer_digits", "vit_digits"), batch_sizes=(1, 64), rounds=6, results=tmp_path)
    outcome = Runner(config, Silent()).run()
    assert outcome.failures == {}
    for path in outcome.records:
        loaded = record.load(path)
        assert loaded.ends[-1].status == "ok"
        assert loaded.runs[0].machine.accelerator == torch.cuda.get_device_name(0)
        if isinstance(loaded.arm, record.SpeedArm):
            assert (loaded.arm.device, loaded.arm.policy) == ("cuda", "bf16")


def test_memory_is_the_allocators(tmp_path: Path) -> None:
    config = RunConfig(models=("vit_s16",), metrics=("memory",), batch_sizes=(1,), results=tmp_path)
    outcome = Runner(config, Silent()).run()
    [(_, sample)] = record.samples(record.load(outcome.records[0]), "memory")
    assert 88e6 < sample.values[0] < 1e9  # at least the float32 weights


def test_out_of_memory_is_a_status(tmp_path: Path) -> None:
    config = RunConfig(models=("vit_s16",), metrics=("throughput",), batch_sizes=(10_000_000,), results=tmp_path)
    outcome = Runner(config, Silent()).run()
    assert record.load(outcome.records[0]).ends[-1].status == "oom"
