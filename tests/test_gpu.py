"""What only a CUDA device can show. Skipped where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench.check.selfcheck import SelfCheck
from bench.config import RunConfig
from bench.measure.subject import open_subject
from bench.measure.worker import Workers
from bench.plugins import models
from bench.record import arms, store, values
from bench.run.observer import Outcome
from bench.run.runner import Runner
from bench.run.session import Session

from .conftest import Silent

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def measured(config: RunConfig) -> Outcome:
    with Workers() as workers:
        session = Session.start(config.results, config.device, Silent(), workers.open)
        return Runner(config, session).run()


def test_the_default_run_on_cuda(tmp_path: Path) -> None:
    """Without energy, whose windows take three seconds each and have a test of their own."""
    what = ("params", "macs", "latency", "graph_latency", "throughput", "memory")
    config = RunConfig(
        models=("convmixer_digits", "vit_digits"),
        metrics=what,
        batch_sizes=(64,),
        rounds=3,
        results=tmp_path,
    )
    outcome = measured(config)
    assert outcome.failures == {}
    for path in outcome.records:
        loaded = store.load(path)
        assert loaded.ends[-1].status == "ok"
        assert loaded.runs[0].machine.accelerator == torch.cuda.get_device_name(0)
        if isinstance(loaded.arm, arms.SpeedArm) and loaded.arm.model in config.models:
            assert (loaded.arm.device, loaded.arm.policy) == ("cuda", "bf16")


def test_memory_is_the_allocators(tmp_path: Path) -> None:
    config = RunConfig(models=("vit_s16",), metrics=("memory",), batch_sizes=(1,), results=tmp_path)
    outcome = measured(config)
    [(_, sample)] = values.samples(store.load(outcome.records[0]), "memory")
    assert 44e6 < sample.values[0] < 1e9  # at least the weights in bfloat16


def test_out_of_memory_is_a_status(tmp_path: Path) -> None:
    config = RunConfig(
        models=("vit_s16",), metrics=("throughput",), batch_sizes=(10_000_000,), results=tmp_path
    )
    outcome = measured(config)
    assert store.load(outcome.records[0]).ends[-1].status == "oom"


FOR_ALL = [
    "fp32",
    "tf32",
    "bf16",
    "fp16",
    "bf16+channels_last",
    "bf16+compile",
    "bf16+compile_frozen",
    "bf16+graph",
]
CASES = [("vit_digits", policy) for policy in FOR_ALL] + [
    ("convmixer_digits", f"{one}+fused") for one in ("fp32", "bf16")
]


@pytest.mark.parametrize(("model", "policy"), CASES)
def test_every_policy_computes_the_same_function_on_cuda(model: str, policy: str) -> None:
    def logits(name: str) -> torch.Tensor:
        arm = arms.SpeedArm(
            model=model, image_size=32, num_classes=10, policy=name, device="cuda", batch_size=8
        )

        def build() -> torch.nn.Module:
            torch.manual_seed(0)
            return models.get(model).build(image_size=32, num_classes=10)

        one = open_subject(arm, device="cuda:0", seed=0, build=build, progress=lambda text: None)
        one.ready()
        return one.call().float()

    torch.testing.assert_close(logits(policy), logits("fp32"), rtol=0.05, atol=0.05)


def test_energy_and_the_graph_s_latency_are_measured(tmp_path: Path) -> None:
    config = RunConfig(
        models=("vit_s16",),
        metrics=("energy", "graph_latency", "latency"),
        batch_sizes=(64,),
        rounds=1,
        results=tmp_path,
    )
    outcome = measured(config)
    assert outcome.failures == {}
    found = {
        sample.metric: sample
        for path in outcome.records
        for line in store.load(path).rounds
        for sample in line.samples
    }
    assert found["energy"].values[0] > 0
    assert found["graph_latency"].values[0] <= found["latency"].values[0]
    assert found["latency"].detail["device_span_s"] > 0
    assert found["latency"].state["clock_mhz_max"]


def test_the_largest_batch_on_cuda(tmp_path: Path) -> None:
    config = RunConfig(
        models=("vit_s16",), metrics=("largest_batch",), worker_memory=4.0, results=tmp_path
    )
    outcome = measured(config)
    [(_, sample)] = values.samples(store.load(outcome.records[0]), "largest_batch")
    assert sample.values[0] > 32


def test_a_model_against_itself_is_within_one_percent() -> None:
    with Workers() as workers:
        verdict = SelfCheck(1, "cuda:0", workers.open, tell=lambda text: None).run()
    assert verdict.enough_covered
    assert verdict.alike.resolvable(180) < 0.01


def test_a_training_on_cuda_comes_to_the_accuracy_of_the_cpu(tmp_path: Path) -> None:
    """bf16 autocast in channels-last, as trained by default there; and resumable like any other."""
    config = RunConfig(
        models=("convmixer_digits",),
        metrics=("top1",),
        data="digits",
        results=tmp_path,
    )
    outcome = measured(config)
    assert outcome.failures == {}
    found = {
        loaded.arm.model: loaded
        for path in outcome.records
        if isinstance((loaded := store.load(path)).arm, arms.AccuracyArm)
    }
    for name in config.models:
        assert found[name].rounds[-1].samples[0].values[0] > 0.88
        assert found[name].arm.policy == "bf16+channels_last"  # type: ignore[union-attr]


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_a_micro_batch_over_two_gpus_is_the_undivided_one(tmp_path: Path) -> None:
    """With synchronised batch norm, a micro-batch over two GPUs has the losses of one GPU."""
    from .test_together import in_several, losses

    for processes in (1, 2):
        in_several(
            tmp_path / str(processes),
            "convmixer_digits",
            "digits:epochs=2",
            processes,
            device="cuda",
            policy="fp32",
        )
    one, two = losses(tmp_path / "1"), losses(tmp_path / "2")
    assert max(abs(left - right) for left, right in zip(one[:20], two[:20], strict=True)) < 1e-3


def test_layers_on_cuda_take_at_least_the_call(tmp_path: Path) -> None:
    outcome = measured(
        RunConfig(models=("vit_digits",), metrics=("layer_time",), rounds=6, results=tmp_path)
    )
    assert outcome.failures == {}
    [found] = [
        loaded
        for path in outcome.records
        if isinstance((loaded := store.load(path)).arm, arms.SpeedArm)
        and loaded.arm.model == "vit_digits"
    ]
    for line in found.rounds:
        [sample] = [sample for sample in line.samples if sample.metric == "layer_time"]
        assert sample.values[0] > 0.5 * sample.detail["plain_s"]
        assert any(
            kind == "linear" and seconds > 0 for _, kind, seconds, _ in sample.detail["layers"]
        )
