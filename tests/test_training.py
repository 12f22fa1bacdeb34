"""Schedule, data and loop: exact corners, honest splits, the same seed the same weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bench.plugins import datasets, models
from bench.training.loop import Diverged, augment, learning_rate, predict, train
from bench.training.recipe import recipes
from bench.training.splits import Split, Splits

DIGITS = datasets.get("digits").load("")
RECIPE = recipes.get("digits")
CPU = torch.device("cpu")


def tiny(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return models.get("convmixer_16_1_k3_p8").build(image_size=32, num_classes=10)


def test_the_schedule_has_the_authors_corners() -> None:
    rates = [learning_rate(RECIPE, step, 1000) / RECIPE.learning_rate for step in (0, 200, 400, 600, 800, 900, 1000)]
    assert rates == pytest.approx([0, 0.5, 1, 0.525, 0.05, 0.025, 0], abs=1e-9)


def test_the_splits_follow_the_file_order_and_share_nothing() -> None:
    assert [len(DIGITS.train), len(DIGITS.select), len(DIGITS.test)] == [1150, 287, 360]
    from sklearn.datasets import load_digits

    everything = torch.cat([DIGITS.train.labels, DIGITS.select.labels, DIGITS.test.labels])
    assert everything.tolist() == load_digits().target.tolist()
    assert DIGITS.train.images.shape[1:] == (3, 32, 32)
    assert 0 <= float(DIGITS.train.images.min()) < float(DIGITS.train.images.max()) <= 1


def test_the_baselines_are_those_of_the_literature() -> None:
    """On file order 1-NN is far better than logistic regression; both lie where scikit-learn puts them."""
    found = {
        name: float((baseline(DIGITS) == DIGITS.test.labels).float().mean()) for name, baseline in datasets.get("digits").baselines.items()
    }
    assert found["1-nearest-neighbour"] == pytest.approx(0.95, abs=0.015)
    assert found["logistic-regression"] == pytest.approx(0.89, abs=0.015)


def test_the_same_seed_gives_the_same_weights_and_another_does_not() -> None:
    short = replace(RECIPE, epochs=1)
    weights = []
    for seed in (0, 0, 1):
        model = tiny()
        train(model, DIGITS, short, seed=seed, device=CPU)
        weights.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_training_reads_neither_test_nor_select_labels() -> None:
    poisoned = Splits(
        name="poisoned",
        train=DIGITS.train,
        select=Split(DIGITS.select.images, torch.full_like(DIGITS.select.labels, -7)),
        test=Split(DIGITS.test.images * float("nan"), torch.full_like(DIGITS.test.labels, -7)),
        num_classes=10,
    )
    models_ = [tiny(), tiny()]
    for model, splits in zip(models_, (DIGITS, poisoned), strict=True):
        train(model, splits, replace(RECIPE, epochs=1), seed=0, device=CPU)
    left, right = (model.state_dict() for model in models_)
    assert all(torch.equal(left[key], right[key]) for key in left)


def test_a_loss_that_is_not_finite_stops_with_its_step() -> None:
    with pytest.raises(Diverged, match=r"at step \d+ of"):
        train(tiny(), DIGITS, replace(RECIPE, epochs=20, learning_rate=1e30, clip_norm=None), seed=0, device=CPU)


def test_no_augmentation_leaves_images_alone() -> None:
    still = replace(RECIPE, rotate=0.0, shift=0.0, scale=0.0)
    images = DIGITS.train.images[:8]
    torch.testing.assert_close(augment(images, still, torch.Generator().manual_seed(0)), images, atol=1e-5, rtol=0)
    moved = augment(images, RECIPE, torch.Generator().manual_seed(0))
    assert float((moved - images).abs().mean()) > 0.01


def test_a_shift_moves_by_its_share_of_the_image() -> None:
    image = torch.zeros(1, 3, 32, 32)
    image[:, :, 16, 16] = 1.0
    recipe = replace(RECIPE, rotate=0.0, scale=0.0, shift=0.25)
    for seed in range(20):
        moved = augment(image, recipe, torch.Generator().manual_seed(seed))[0, 0]
        row, column = divmod(int(moved.argmax()), 32)
        assert abs(row - 16) <= 9
        assert abs(column - 16) <= 9


def test_the_hash_covers_what_changes_the_training() -> None:
    assert replace(RECIPE, name="other", summary="x").hash == RECIPE.hash
    assert replace(RECIPE, weight_decay=0.1).hash != RECIPE.hash


def test_predictions_are_in_order() -> None:
    torch.manual_seed(0)
    model = tiny()
    together = predict(model, DIGITS, DIGITS.test, device=CPU, batch_size=360)
    assert torch.equal(together, predict(model, DIGITS, DIGITS.test, device=CPU, batch_size=7))
