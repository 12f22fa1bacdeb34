"""Training runs that are asked for: seeds, learning-rate searches, schedules of equal cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.config import RunConfig
from bench.count.cost import cost_of
from bench.errors import UsageError
from bench.plan.plan import make
from bench.plan.task import Task
from bench.plan.trainings import description
from bench.plugins import models
from bench.record.arms import AccuracyArm, SpeedArm
from bench.stats import lr_search

from .pictures import make_folder

QUARTET = ("convmixer_digits", "vit_digits")


def plan(**changes: Any) -> Any:
    common: dict[str, Any] = {"models": QUARTET, "metrics": ("top1",), "data": "digits"}
    return make(RunConfig(**(common | changes)), device="cpu")


def trained(tasks: list[Task]) -> list[AccuracyArm]:
    return [task.arm for task in tasks if isinstance(task.arm, AccuracyArm) and task.arm.recipe]


def test_every_model_gets_every_seed_and_the_same_recipe() -> None:
    arms = trained(plan(seeds=3, seed=5).accuracies(lambda task: None))
    assert [(arm.model, arm.seed) for arm in arms] == [
        (name, seed) for name in QUARTET for seed in (5, 6, 7)
    ]
    assert (
        len(
            {
                (arm.recipe, arm.recipe_hash, arm.tuning, arm.equalise, arm.epochs, arm.policy)
                for arm in arms
            }
        )
        == 1
    )
    assert arms[0].policy == "fp32"


def test_a_search_names_its_finals_only_after_all_trials_and_extends_once() -> None:
    one = plan(lr_search=True)
    first = trained(one.accuracies(lambda task: None))
    assert {(arm.split, arm.tuning) for arm in first} == {("select", "trial")}
    rates = [arm.learning_rate for arm in first if arm.model == QUARTET[0]]
    assert rates == [arm.learning_rate for arm in first if arm.model == QUARTET[1]]
    assert len(rates) == 7
    assert rates[0] == pytest.approx(4e-3 / 32)
    assert rates[-1] == pytest.approx(4e-3 * 3)

    def known(task: Task) -> float | None:
        """The ViT likes small rates, the ConvMixer the recipe's own; one trial diverged."""
        arm = task.arm
        assert isinstance(arm, AccuracyArm)
        rate = arm.learning_rate
        if arm.tuning != "trial" or rate is None:
            return None
        if rate > 0.01:
            return -1.0
        return 1 - rate if arm.model == "vit_digits" else 1 - abs(rate - 4e-3)

    second = trained(one.accuracies(known))
    more = [arm for arm in second if arm not in first]
    assert [(arm.model, arm.tuning) for arm in more] == [
        ("convmixer_digits", lr_search.PROTOCOL),
        *[("vit_digits", "trial")] * 2,
        ("vit_digits", lr_search.PROTOCOL),
    ]
    extra = [arm.learning_rate for arm in more if arm.tuning == "trial"]
    assert extra == [
        pytest.approx(rates[0] / lr_search.STEP),
        pytest.approx(rates[0] / lr_search.STEP**2, rel=1e-4),
    ]
    assert more[-1].learning_rate == extra[-1]
    assert more[0].learning_rate == pytest.approx(4e-3, rel=0.35)
    assert more[0].recipe_hash == first[0].recipe_hash


def test_the_grid_and_its_edges() -> None:
    factors = lr_search.grid()
    assert (factors[0], factors[-1]) == (1 / 32, pytest.approx(3.0))
    inside = {factor: -abs(number - 3) for number, factor in enumerate(factors)}
    assert lr_search.extension(inside) == []
    assert not lr_search.on_edge(inside)
    rising = {factor: number for number, factor in enumerate(factors)}
    more = lr_search.extension(rising)
    assert len(more) == 2
    assert more[0] > factors[-1]
    assert lr_search.on_edge(rising | {more[0]: 100.0, more[1]: 101.0})
    assert not lr_search.on_edge(rising | {more[0]: 100.0, more[1]: 1.0})
    assert lr_search.best(dict.fromkeys(factors, 0.1)) == factors[0]


def test_an_image_size_that_would_be_for_testing_alone_is_refused(tmp_path: Path) -> None:
    common = {
        "data": f"folder:{make_folder(tmp_path, {'train': 20, 'val': 2}, classes=2)}",
        "image_size": (64,),
    }
    with pytest.raises(
        UsageError,
        match=r"--image-size: .* trains at 224 pixels, and 64 .* testing alone.*:image_size=64$",
    ):
        plan(recipe="convmixer_imagenet", **common).accuracies(lambda task: None)
    tasks = plan(recipe="convmixer_imagenet:image_size=64", **common).accuracies(lambda task: None)
    assert {arm.image_size for arm in trained(tasks)} == {64}
    assert description(tasks) == "convmixer_imagenet:image_size=64 at 64 pixels"
    assert description(
        plan(recipe="rsb_a3_imagenet:image_size=16").accuracies(lambda task: None)
    ).endswith("16 pixels, tested at 32")
    tasks = plan(**common).accuracies(lambda task: None)  # the recipe that folders have
    assert {(arm.recipe, arm.image_size) for arm in trained(tasks)} == {("small_folder", 64)}


def test_equal_macs_stretch_the_schedule_before_training() -> None:
    arms = trained(plan(equalise="macs").accuracies(lambda task: None))
    macs = [cost_of(models.get(name), image_size=32, num_classes=10).macs for name in QUARTET]
    assert arms[0].epochs is None
    assert arms[1].epochs == pytest.approx(60 * macs[0] / macs[1], rel=1e-5)


def test_equal_seconds_wait_for_the_speed_of_a_training_step() -> None:
    one = plan(equalise="seconds")
    speeds = [task for task in one.accuracies(lambda task: None) if isinstance(task.arm, SpeedArm)]
    assert [
        (task.arm.model, task.arm.mode, task.arm.batch_size)
        for task in speeds
        if isinstance(task.arm, SpeedArm)
    ] == [(name, "training", 64) for name in QUARTET]
    assert trained(one.accuracies(lambda task: None)) == []
    found = {"convmixer_digits": 1000.0, "vit_digits": 500.0}
    arms = trained(
        one.accuracies(
            lambda task: found[task.arm.model] if isinstance(task.arm, SpeedArm) else None
        )
    )
    assert [(arm.model, arm.epochs) for arm in arms] == [
        ("convmixer_digits", None),
        ("vit_digits", 30.0),
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"recipe": "digit"}, "did you mean digits"),
        ({"train_policy": "fold_bn"}, "--train-policy: fold_bn is for inference"),
        ({"train_policy": "tf32"}, "--train-policy: tf32 does not run on cpu"),
        ({"models": ("vit_s16",)}, "has 32 x 32 images, and none of the models takes them"),
        ({"data": "cifar10"}, "no published weights for cifar10; add --recipe"),
        ({"data": "cifar"}, "did you mean cifar"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_measured(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        plan(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seeds": 0}, "--seeds: must be from 1 to 1000, got 0"),
        ({"data": None, "checkpoint": "x.pth"}, "--checkpoint: on which images"),
        ({"checkpoint": "x.pth", "recipe": "digits"}, "drop one"),
        ({"data": None, "recipe": "digits"}, "needs a data set"),
        ({"labels": "imagenet"}, "--labels: must be real:"),
    ],
)
def test_flags_that_do_not_go_together(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        plan(**changes)
