"""Every registered metric and policy, on small models and in this process.

New files are tested without a change here.
"""

from __future__ import annotations

import math
from typing import Any, get_type_hints

import msgspec
import pytest
import torch

from bench.errors import ModelFault, UsageError
from bench.measure import subject as subjects
from bench.measure.memory import is_out_of_memory
from bench.measure.subject import ArmSubject, Execution, Subject, module_of, open_subject
from bench.metrics.largest_batch import search
from bench.plugins import Metric, Reading, metrics, models, policies, split_policy
from bench.record.arms import AccuracyArm, Arm, CountArm, ProbeArm, SpeedArm

from .conftest import FakeClock

TINY = "convmixer_16_1_k3_p8"


def subject(arm: Arm, seed: int = 0) -> ArmSubject[Any]:
    entry = models.get(TINY)

    def build(image_size: int | None = None) -> torch.nn.Module:
        torch.manual_seed(seed)
        return entry.build(image_size=32, num_classes=10)

    return open_subject(arm, device="cpu", seed=seed, build=build, progress=lambda text: None)


def speed_arm(policy: str = "fp32", batch_size: int = 1) -> SpeedArm:
    return SpeedArm(
        model=TINY,
        image_size=32,
        num_classes=10,
        policy=policy,
        device="cpu",
        batch_size=batch_size,
    )


ARMS: dict[str, Arm] = {
    "count": CountArm(model=TINY, image_size=32, num_classes=10),
    "speed": speed_arm(),
    "probe": ProbeArm(precision="fp32", device="cpu"),
    "accuracy": AccuracyArm(
        model="logistic-regression",
        image_size=32,
        num_classes=10,
        data="digits",
        split="test",
        transform="as loaded",
    ),
}


@pytest.mark.parametrize("metric", metrics.entries(), ids=lambda metric: metric.name)
def test_every_metric_gives_finite_values_with_unit_and_direction(
    metric: Metric, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.metrics.largest_batch.LONGEST", -1.0)
    if reason := metric.supports("cpu"):
        pytest.skip(reason)
    arm = ARMS[metric.arm]
    if isinstance(arm, SpeedArm):
        arm = msgspec.structs.replace(arm, mode=metric.mode)
    one = subject(arm)
    one.ready()
    one.memory_limit = 1 << 30
    try:
        reading = metric.measure(one, 0.02)
    except NotImplementedError as error:
        assert metric.arm == "accuracy"  # of a training, where the arm here is a baseline
        pytest.skip(str(error))
    assert reading.values
    assert all(math.isfinite(value) for value in reading.values)
    assert metric.unit
    assert metric.better in ("lower", "higher", "none")


@pytest.mark.parametrize("metric", metrics.entries(), ids=lambda metric: metric.name)
def test_a_metric_declares_the_subject_of_its_kind_of_arm(metric: Metric) -> None:
    declared, *others = get_type_hints(metric.measure).values()
    assert declared in (Subject, type(subject(ARMS[metric.arm])))
    assert others == [float, Reading]


def test_both_places_name_the_same_types() -> None:
    """Plug-ins written before the types were in `bench.plugins` import them from the subject."""
    assert subjects.Reading is Reading
    assert all(isinstance(subject(arm), ArmSubject) for arm in ARMS.values())


@pytest.mark.parametrize("policy", policies.names())
def test_every_policy_computes_the_same_function(policy: str) -> None:
    if policy.startswith("compile") or policy == "fused":
        pytest.skip("compiles in test_compile and test_fused")
    if policy == "fold_bn":
        pytest.skip("has nothing to fold in a ConvMixer: test_fold_bn")
    if policy in ("ort", "openvino", "tensorrt", "int8"):
        pytest.skip("engines are loaded into processes of their own: test_engines")
    if reason := policies.get(policy).supports("cpu"):
        pytest.skip(reason)
    reference, other = subject(speed_arm(batch_size=2)), subject(speed_arm(policy, batch_size=2))
    reference.ready()
    other.ready()
    torch.testing.assert_close(other.call().float(), reference.call(), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("policy", ["channels_last+compile", "compile_frozen"])
def test_compile(policy: str) -> None:
    one = subject(speed_arm(policy))
    assert one.execution is None
    setup = one.ready()
    assert isinstance(setup["first_call_s"], float)
    torch.testing.assert_close(one.call(), subject_call(), rtol=1e-3, atol=1e-4)


def test_fold_bn_takes_every_norm_out_of_a_resnet_and_none_out_of_a_convmixer() -> None:
    resnet = models.get("resnet18").build(image_size=64, num_classes=10).eval()
    images = torch.randn(2, 3, 64, 64)
    for module in resnet.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    execution = Execution(model=resnet, inputs=images, device="cpu")
    before = execution.inference()
    policies.get("fold_bn").apply(execution)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in execution.model.modules())
    torch.testing.assert_close(execution.inference(), before, rtol=1e-3, atol=1e-3)
    with pytest.raises(NotImplementedError, match="none of its 3 batch norms"):
        subject(speed_arm("fold_bn")).ready()


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_training_step_changes_the_weights(precision: str) -> None:
    one = subject(msgspec.structs.replace(speed_arm(precision, batch_size=4), mode="training"))
    one.ready()
    parameter = next(module_of(one.execution).parameters())
    before = parameter.detach().clone()
    one.call()
    assert parameter.dtype == torch.float32
    assert not torch.equal(before, parameter)


def test_what_is_for_inference_is_refused_for_training() -> None:
    with pytest.raises(NotImplementedError, match="fold_bn is for inference"):
        subject(msgspec.structs.replace(speed_arm("fold_bn"), mode="training")).ready()


def test_the_largest_batch_is_searched_by_doubling_and_bisection() -> None:
    tried: list[int] = []

    def fits(batch: int) -> bool:
        tried.append(batch)
        return batch <= 100

    best, bounded = search(fits, lambda: False)
    assert (96 < best <= 100, bounded) == (True, False)
    assert tried[:8] == [1, 2, 4, 8, 16, 32, 64, 128]
    assert search(lambda batch: True, lambda: True) == (1, True)
    assert search(lambda batch: False, lambda: False) == (0, False)


def test_a_batch_larger_than_the_free_memory_is_refused_before_it_is_filled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where a system promises more memory than it has, filling it would end some program."""
    monkeypatch.setattr("bench.measure.subject.speed.free_memory", lambda device: 10**6)
    one = subject(speed_arm(batch_size=1000))
    with pytest.raises(MemoryError, match=r"1,000 images take .* GB are free") as raised:
        one.ready()
    assert is_out_of_memory(raised.value)


def test_windows_keep_their_length_when_the_speed_changes() -> None:
    clock = FakeClock()
    one = subject(speed_arm())
    one.clock, one.seconds_per_call = clock, 0.001
    one.call = lambda: clock.spend(0.01)
    assert one.back_to_back(0.1) == (100, pytest.approx(1.0))
    assert one.back_to_back(0.1) == (10, pytest.approx(0.1))


def subject_call() -> torch.Tensor:
    one = subject(speed_arm())
    one.ready()
    return one.call()


def test_a_combination_of_switches_has_one_name() -> None:
    assert (
        split_policy("channels_last+bf16")
        == split_policy("bf16+channels_last")
        == ["bf16", "channels_last"]
    )
    with pytest.raises(
        UsageError, match=r"--policies: no policy named 'bf61'; did you mean bf16\?"
    ):
        split_policy("bf61")


def test_params_and_macs_by_hand() -> None:
    # width 16, depth 1, kernel 3, patch 8, 10 classes on a 4 x 4 grid
    one = subject(ARMS["count"])
    assert metrics.get("params").measure(one, 0).values == [
        16 * (1 * (9 + 16 + 6) + 3 * 64 + 10 + 3) + 10
    ]
    reading = metrics.get("macs").measure(one, 0)
    assert reading.values == [(16 * 9 + 16 * 16) * 16 + 3 * 16 * 64 * 16 + 16 * 10]
    assert reading.detail["check"] == reading.values[0]


def test_throughput_is_images_over_seconds() -> None:
    one = subject(speed_arm(batch_size=4))
    one.ready()
    reading = metrics.get("throughput").measure(one, 0.05)
    assert reading.values == [reading.detail["calls"] * 4 / reading.detail["seconds"]]
    assert 0.01 < reading.detail["seconds"] < 5


def test_wrong_output_is_not_timed() -> None:
    arm = replace_arm(num_classes=11)
    with pytest.raises(
        ModelFault, match=r"shape \(1, 10\), expected \(1, 11\); --num-classes 10 would fit"
    ):
        subject(arm).ready()
    broken = subject(speed_arm())
    model = broken.build()
    torch.nn.init.constant_(model.head.bias, float("nan"))
    broken.build = lambda: model
    with pytest.raises(ValueError, match="NaN or infinity"):
        broken.ready()


def replace_arm(**changes: int) -> SpeedArm:
    return msgspec.structs.replace(speed_arm(), **changes)


def test_top1_trains_and_counts_right_answers() -> None:
    arm = AccuracyArm(
        model=TINY,
        image_size=32,
        num_classes=10,
        data="digits",
        split="test",
        transform="as loaded",
        recipe="digits:epochs=4",
        recipe_hash="x",
        seed=0,
    )
    reading = metrics.get("top1").measure(subject(arm), 0)
    assert reading.values == [reading.detail["correct"] / 360]
    assert reading.arrays["correct"].sum() == reading.detail["correct"]
    assert len(reading.arrays["loss"]) == 4 * (1150 // 64)
    assert len(reading.arrays["select_top1"]) == 20
    assert reading.values[0] > 0.3  # four epochs of a tiny network, far above the chance of 0.1


def test_the_arithmetic_ceiling_is_the_fastest_of_a_product_and_of_filters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The speed of each shape is known, by a fake clock.

    A filter of 1 x 1 that is faster than the plain product is the ceiling.
    """
    clock = FakeClock()
    shapes = {
        "product": (lambda: clock.spend(1.0), 100),
        "1 x 1 channels last": (lambda: clock.spend(1.0), 140),
        "3 x 3 channels first": (lambda: clock.spend(9.0), 100),
    }
    monkeypatch.setattr("bench.metrics.probes._shapes", lambda device, dtype: shapes)
    one = subject(ARMS["probe"])
    one.clock = clock
    reading = metrics.get("matmul_ceiling").measure(one, 6.0)
    assert (reading.values, reading.detail["shape"], reading.detail["calls"]) == (
        [140.0],
        "1 x 1 channels last",
        4,
    )
    assert (
        clock.time == 2 * 3 + 9
    )  # a call untimed and two timed of each, and one of what is far behind


def test_what_the_ceiling_is_looked_for_with() -> None:
    one = subject(ARMS["probe"])
    reading = metrics.get("matmul_ceiling").measure(one, 0.05)
    assert reading.values == [max(reading.detail["rates"].values())]
    orders = ("channels first", "channels last")
    assert set(reading.detail["rates"]) == {
        "product",
        *(f"{side} x {side} {order}" for side in (1, 3) for order in orders),
    }
