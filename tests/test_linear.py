"""The logistic regression on raw pixels: converged, chosen on select, and deterministic."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from bench.datasets import _linear
from bench.datasets._linear import GAP, STRENGTHS, Problem, logistic_regression
from bench.forecast.past import Past, Seen
from bench.metrics import top1
from bench.plan.forecast import Lines
from bench.plan.task import Task
from bench.plugins import datasets, metrics
from bench.record.arms import AccuracyArm
from bench.record.metric_units import check_sample
from bench.record.schema import About
from bench.training.images.splits import Pictures, Split, Splits, held


def blobs(number: int, seed: int) -> Split:
    """Images of 3 x 4 x 4 values around a centre per class, with much noise."""
    draw = torch.Generator().manual_seed(seed)
    centres = torch.randn(3, 48, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(3, (number,), generator=draw)
    values = 128 + 20 * centres[labels] + 60 * torch.randn(number, 48, generator=draw)
    return Split(values.clamp(0, 255).to(torch.uint8).reshape(-1, 3, 4, 4), labels)


SPLITS = held("blobs", [blobs(400, 1), blobs(200, 2), blobs(500, 3)], 3)


def problem() -> Problem:
    mean, std = _linear._statistics(SPLITS.train)
    return Problem(_linear._rows(SPLITS.train, mean, std), SPLITS.train.labels, 3)


@pytest.mark.parametrize("penalty", STRENGTHS)
def test_a_fit_is_as_near_the_optimum_as_it_says(penalty: float) -> None:
    """scikit-learn's own solver, run to the end in float64, finds the same minimum."""
    posed = problem()
    weights, gap = posed.fit(penalty, torch.zeros(49, 3))
    theirs = LogisticRegression(
        C=1 / (penalty * 400), fit_intercept=False, tol=1e-10, max_iter=10_000
    ).fit(posed.rows.double().numpy(), posed.labels.numpy())
    best = torch.from_numpy(theirs.coef_.T).float()
    mine, optimum = (float(posed.value_and_gradient(w, penalty)[0]) for w in (weights, best))
    assert gap <= GAP
    assert -1e-6 <= mine - optimum <= gap + 1e-6


def test_a_fit_that_does_not_converge_is_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_linear, "GAP", 0.0)
    monkeypatch.setattr(_linear, "MOST", 10)
    with pytest.raises(RuntimeError, match="no convergence in 10 evaluations"):
        problem().fit(0.1, torch.zeros(49, 3))


def test_the_penalty_is_chosen_on_the_validation_split_and_nothing_on_the_test() -> None:
    labels, detail = logistic_regression(SPLITS)
    mean, std = _linear._statistics(SPLITS.train)
    rows = _linear._rows(SPLITS.select, mean, std)
    right = {
        penalty: int(((rows @ weights).argmax(1) == SPLITS.select.labels).sum())
        for penalty, weights, _ in problem().path()
    }
    assert right[detail["penalty"]] == max(right.values())
    shuffled = replace(SPLITS, test=Split(SPLITS.test.images, SPLITS.test.labels.roll(1)))
    again, same = logistic_regression(shuffled)
    assert torch.equal(labels, again)  # to the bit, whatever the test labels
    assert (same["penalty"], same["gap"]) == (detail["penalty"], detail["gap"])
    assert float((labels == SPLITS.test.labels).float().mean()) > 0.6  # guessing is 0.33


def test_images_of_many_sizes_have_no_such_row() -> None:
    class Nothing:
        def read(self, at: int) -> None: ...

        def name(self, at: int) -> str:
            return ""

    on_disk = Pictures(Nothing(), torch.arange(3), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(NotImplementedError, match="differ in size"):
        logistic_regression(Splits(**{**SPLITS.__dict__, "test": on_disk}))


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_both_cifars_have_it_and_digits_keep_theirs(name: str) -> None:
    assert list(datasets.get(name).baselines) == ["logistic-regression"]
    assert list(datasets.get("digits").baselines) == ["1-nearest-neighbour", "logistic-regression"]


def arm(data: str = "cifar10") -> AccuracyArm:
    return AccuracyArm(
        model="logistic-regression",
        image_size=32,
        num_classes=10,
        data=data,
        split="test",
        transform="as loaded",
    )


def test_the_record_says_how_it_was_fitted_and_has_no_top5(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(top1, "open_data", lambda data: SPLITS)
    subject = SimpleNamespace(arm=arm(), job=None, device="cpu")
    taken = metrics.get("top1").measure(subject, 0.0)
    assert {"penalty", "penalties", "gap", "train_s"} <= taken.detail.keys()
    assert "top5_correct" not in taken.detail and taken.arrays.keys() == {"correct"}
    check_sample("top1", "share", "higher", taken.values, taken.detail, {})


def test_its_forecast_is_what_it_took_here_and_before_that_what_the_data_set_says() -> None:
    declared = datasets.get("cifar10").baselines["logistic-regression"].seconds
    task = Task(
        arm=arm(), metrics=(metrics.get("top1"),), settings={}, about=About(family="b"), seed=0
    )
    assert declared > 10
    seen = Seen(
        arm=arm(),
        settings={},
        call=None,
        setup=None,
        renewal=None,
        windows={},
        macs=None,
        memory=None,
        training=71.0,
        handwritten=False,
    )
    for past, seconds in ((Past(), declared), (Past([seen]), 71.0)):
        lines = Lines(past, lambda: 1e9, "fp32", "cifar10")
        assert lines.of(task).once == seconds
