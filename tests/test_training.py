"""The training loop on small real data: exact schedules, no forbidden reads, equal weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.errors import Diverged, ModelFault, UsageError
from bench.measure.subject import Execution
from bench.plugins import datasets, models, open_data, policies, split_policy
from bench.plugins.recipe import Recipe, changed, recipes
from bench.record.arms import AccuracyArm
from bench.training import checkpoint, session
from bench.training.images.batches import feed_of
from bench.training.images.files import Files
from bench.training.images.splits import Split, Splits, fewer
from bench.training.loop import Training
from bench.training.processes import ALONE, World
from bench.training.schedule import learning_rate
from bench.training.session import train_and_evaluate
from bench.training.surgery import at_test_size, drop_paths

DIGITS: Splits = datasets.get("digits").open("")
RECIPE = recipes.get("digits:epochs=1")
CPU = torch.device("cpu")


def tiny(seed: int = 0, name: str = "convmixer_16_1_k3_p8") -> torch.nn.Module:
    torch.manual_seed(seed)
    network: torch.nn.Module = models.get(name).build(image_size=32, num_classes=10)
    return network


def training(
    recipe: Recipe = RECIPE,
    *,
    model: torch.nn.Module | None = None,
    splits: Splits = DIGITS,
    seed: int = 0,
    policy: str = "fp32",
    **more: Any,
) -> Training:
    model = model or tiny()
    feed = feed_of(
        splits,
        recipe,
        seed=seed,
        share=ALONE.share(recipe, CPU),
        device=CPU,
        image_size=32,
        workers=0,
    )
    execution = Execution(
        model=model, inputs=torch.zeros(2, 3, 32, 32), device="cpu", mode="training"
    )
    for name in split_policy(policy):
        policies.get(name).apply(execution)
    steps = max(1, round(recipe.epochs * feed.steps_per_epoch))
    return Training(
        model=model,
        execution=execution,
        feed=feed,
        recipe=recipe,
        steps=steps,
        seed=seed,
        device=CPU,
        **more,
    )


def flat(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([tensor.detach().double().flatten() for tensor in model.state_dict().values()])


def arm(recipe: str = "digits:epochs=1", **changes: Any) -> AccuracyArm:
    common: dict[str, Any] = {
        "model": "convmixer_16_1_k3_p8",
        "image_size": 32,
        "num_classes": 10,
        "data": "digits",
        "split": "test",
    }
    return AccuracyArm(
        **(common | {"transform": "", "recipe": recipe, "seed": 0, "policy": "fp32"} | changes)
    )


def run(one: AccuracyArm, files: Files | None = None) -> session.Trained:
    return train_and_evaluate(
        one,
        build=lambda size: tiny(0, one.model),
        device=CPU,
        seed=one.seed or 0,
        workers=0,
        files=files,
    )


# Schedules


@pytest.mark.parametrize(
    ("name", "corners"),
    [
        (
            "convmixer_imagenet",
            {0: 0, 200: 0.5, 400: 1, 600: 0.525, 800: 0.05, 900: 0.025, 1000: 0},
        ),
        ("convmixer_cifar", {0: 0, 200: 0.5, 400: 1, 600: 0.525, 800: 0.05, 900: 0.025, 1000: 0}),
        ("digits", {0: 0, 400: 1, 800: 0.05, 1000: 0}),
        ("deit_cifar", {0: 1e-3, 50: 0.5005, 100: 1, 550: 0.505, 1000: 1e-2}),
        ("rsb_a3_imagenet", {0: 1e-2, 50: 1, 1000: 1e-4}),
    ],
)
def test_schedules_have_their_corners(name: str, corners: dict[int, float]) -> None:
    recipe = recipes.get(name)
    for step, level in corners.items():
        assert learning_rate(recipe, step, 1000) / recipe.learning_rate == pytest.approx(
            level, abs=1e-9
        )


def test_a_real_training_takes_the_rates_of_its_schedule() -> None:
    one = training(changed(RECIPE, epochs=2.0))
    one.go()
    steps = one.steps
    assert steps == 34
    assert one.curve.learning_rate == [
        learning_rate(one.recipe, step, steps) for step in range(steps)
    ]
    assert max(one.curve.learning_rate) <= one.recipe.learning_rate
    assert len(one.curve.loss) == steps


# Recipes


def test_the_hash_covers_what_changes_the_training() -> None:
    assert replace(RECIPE, name="other", summary="x", source="y").hash == RECIPE.hash
    assert replace(RECIPE, weight_decay=0.1).hash != RECIPE.hash
    assert replace(RECIPE, micro_batch=32).hash != RECIPE.hash


def test_a_changed_recipe_is_spelled_and_says_so() -> None:
    found = recipes.get("cifar_small:epochs=2:clip_norm=none:decay_vectors=true")
    assert (found.epochs, found.clip_norm, found.decay_vectors) == (2, None, True)
    assert found.name == "cifar_small:clip_norm=none:decay_vectors=true:epochs=2"
    assert recipes.get(found.name) == found
    with pytest.raises(UsageError, match="decay_vectors=yes: there are true, false"):
        recipes.get("cifar_small:decay_vectors=yes")
    assert recipes.get("digits:epochs=60") == recipes.get("digits")


def test_a_range_is_spelled_by_its_ends() -> None:
    found = recipes.get("convmixer_cifar:crop_scale=0.75-1:mixup=0.5:crop_scale=0.5-1")
    assert found.crop_scale == (0.5, 1.0)
    assert recipes.get(found.name) == found


def test_a_field_that_came_later_leaves_older_recipes_as_they_were() -> None:
    """The hash that the committed records of the digits recipe carry."""
    assert recipes.get("digits").hash == "732f273b6907"
    assert recipes.get("digits:data_share=0.5").hash != recipes.get("digits").hash


def test_a_share_of_the_data_lies_within_every_larger_one() -> None:
    whole = open_data("digits")
    parts = [fewer(whole, share) for share in (0.1, 0.3, 1.0)]
    assert [len(part.train) for part in parts] == [1150, 1150, 1150]  # an epoch keeps its length
    rows = [{bytes(image.numpy().tobytes()) for image in part.train.images} for part in parts]
    assert rows[0] <= rows[1] <= rows[2]
    assert [len(row) for row in rows] == [115, 345, 1150]
    assert all(
        part.test is whole.test and part.select is whole.select and part.mean == whole.mean
        for part in parts
    )
    assert "115 of train" in parts[0].name


@pytest.mark.parametrize(
    ("spelling", "words"),
    [
        ("digits:epoch=2", "no field 'epoch'; did you mean epochs"),
        ("digits:epochs=two", "is not a number"),
        ("digits:batch_size=6.5", "is not a whole number"),
        ("digits:batch_size=100", "must be a multiple of micro_batch=64"),
        ("digits:loss=hinge", "cross_entropy, binary_cross_entropy"),
        ("digits:schedule=1", "cannot be changed on the command line"),
        ("digits:epochs=-1", "must be above 0, got -1"),
        ("digits:crop_scale=wide", "is not a range; 0.5-1 would work"),
        ("digits:crop_scale=1-0.5", "a range must be above 0 and ascending"),
        ("digits:data_share=0", "must be above 0 and at most 1, got 0"),
        ("digit", "did you mean digits"),
    ],
)
def test_bad_recipes_are_refused(spelling: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        recipes.get(spelling)


@pytest.mark.parametrize("recipe", recipes.entries(), ids=lambda recipe: recipe.name)
def test_every_recipe_trains_a_step_of_every_family_or_says_why_not(recipe: Recipe) -> None:
    """On images from memory where they have the recipe's size; a few images a batch."""
    small = changed(recipe, batch_size=8, micro_batch=4, epochs=0.125, image_size=None)
    if small.rand_augment is not None and small.rand_augment.startswith("rand-"):
        small = changed(small, rand_augment="ra-n2-m9")
    few = replace(DIGITS, train=DIGITS.train.subset(torch.arange(128)))
    for name in ("convmixer_digits", "vit_digits", "mixer_digits", "resnet_digits"):
        model = tiny(0, name)
        drop_paths(model, small.drop_path, name=name)
        one = training(small, model=model, splits=few)
        before = flat(model)
        one.go()
        assert one.steps == 2  # the rate of the first is 0 in some
        assert torch.isfinite(torch.tensor(one.curve.loss)).all()
        assert not torch.equal(before, flat(model))


def test_stochastic_depth_grows_along_the_blocks_and_is_refused_where_there_is_no_branch() -> None:
    model = tiny(0, "convmixer_16_3_k3_p8")
    drop_paths(model, 0.2, name="it")
    assert [
        round(module.drop_prob, 3)
        for module in model.modules()
        if type(module).__name__ == "DropPath"
    ] == [0, 0.1, 0.2]
    model.eval()
    assert torch.equal(
        model(torch.ones(1, 3, 32, 32)),
        tiny(0, "convmixer_16_3_k3_p8").eval()(torch.ones(1, 3, 32, 32)),
    )
    with pytest.raises(UsageError, match="linear has no block with a drop_path"):
        drop_paths(torch.nn.Linear(2, 2), 0.1, name="linear")


# Splits and what may be read


def test_the_splits_follow_the_file_order_and_share_nothing() -> None:
    assert [len(DIGITS.train), len(DIGITS.select), len(DIGITS.test)] == [1150, 287, 360]
    from sklearn.datasets import load_digits

    everything = torch.cat([DIGITS.train.labels, DIGITS.select.labels, DIGITS.test.labels])
    assert everything.tolist() == load_digits().target.tolist()
    assert DIGITS.train.images.shape[1:] == (3, 32, 32)
    assert DIGITS.train.images.dtype == torch.uint8
    assert DIGITS.mean == pytest.approx(
        (DIGITS.train.images.float() / 255).mean(dim=(0, 2, 3)).tolist(), abs=1e-5
    )
    assert DIGITS.std == pytest.approx(
        (DIGITS.train.images.float() / 255).std(dim=(0, 2, 3)).tolist(), abs=1e-4
    )


def test_the_baselines_are_those_of_the_literature() -> None:
    """In file order 1-NN is far better than logistic regression; both agree with scikit-learn."""
    found = {
        name: float((baseline.predict(DIGITS)[0] == DIGITS.test.labels).float().mean())
        for name, baseline in datasets.get("digits").baselines.items()
    }
    assert found["1-nearest-neighbour"] == pytest.approx(0.95, abs=0.015)
    assert found["logistic-regression"] == pytest.approx(0.89, abs=0.015)


def poisoned(splits: Splits, *, select: bool) -> Splits:
    """Return the same training images, with wrong labels and noise as images in other splits."""

    def wrong(split: Split) -> Split:
        noise = torch.randint(
            256, split.images.shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
        )
        return Split(noise, (split.labels + 1) % 10)

    return replace(
        splits, test=wrong(splits.test), select=wrong(splits.select) if select else splits.select
    )


def test_training_reads_neither_test_nor_select() -> None:
    found = [training(splits=splits) for splits in (DIGITS, poisoned(DIGITS, select=True))]
    for one in found:
        one.go()
    assert torch.equal(flat(found[0].model), flat(found[1].model))


def test_poisoned_test_labels_change_no_curve_no_select_score_and_no_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Run whole sessions, with trials of a search (split select) as well.

    Only the final test accuracy changes.
    """
    found: list[tuple[Any, ...]] = []
    for name, splits in (("clean", DIGITS), ("poisoned", poisoned(DIGITS, select=False))):
        monkeypatch.setitem(
            datasets._entries,
            "digits",
            replace(datasets.get("digits"), open=lambda argument, splits=splits: splits),
        )
        files = Files(tmp_path / name, "arm")
        trained = run(arm("digits:epochs=3"), files)
        trial = run(arm("digits:epochs=1", split="select", tuning="trial", learning_rate=0.002))
        weights = files.weights.read_bytes()
        found.append(
            (
                trained.curve.loss,
                trained.curve.select_top1,
                trial.result.top1,
                weights,
                trained.result.top1,
            )
        )
    assert found[0][:4] == found[1][:4]
    assert found[0][4] != found[1][4]


# The same again


def test_the_same_seed_gives_the_same_weights_and_another_does_not() -> None:
    found = [training(seed=seed) for seed in (0, 0, 1)]
    for one in found:
        one.go()
    weights = [flat(one.model) for one in found]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    "recipe",
    ["digits:epochs=2", "deit_cifar:epochs=0.3:batch_size=64:micro_batch=32:ema_decay=0.9"],
)
def test_stopped_at_any_step_and_resumed_it_ends_as_if_it_had_not_been(
    recipe: str, tmp_path: Path
) -> None:
    """Batch norm, moving average, dropped branches, augmentation: everything comes back."""

    def one(path: Path | None, **more: Any) -> Training:
        model = tiny(0, "convmixer_16_2_k3_p8")
        drop_paths(model, recipes.get(recipe).drop_path, name="it")
        return training(recipes.get(recipe), model=model, save_to=path, identity={"it": 1}, **more)

    whole = one(None)
    whole.go()
    path = tmp_path / "state.safetensors"
    for stop in (1, 2, whole.steps - 1):
        path.unlink(missing_ok=True)
        first = one(path)
        first._looks = set()

        def interrupt(
            step: int, loss: float, rate: float, first: Training = first, stop: int = stop
        ) -> None:
            if step == stop:
                raise KeyboardInterrupt

        first.watch.step = interrupt
        first._worth_saving = lambda: True  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            first.go()
        second = one(path)
        assert second.resume()
        assert second.step == stop
        second.go()
        assert torch.equal(flat(whole.result), flat(second.result))
        assert second.curve.loss == whole.curve.loss
    other = one(path)
    other.identity = {"it": 2}
    assert not other.resume()


def test_a_checkpoint_with_another_state_is_one_line(tmp_path: Path) -> None:
    """Its checksum fits, and it is of this training run, but the loop never wrote it."""
    path = tmp_path / "state.safetensors"
    one = partial(training, RECIPE, save_to=path, identity={"it": 1})
    first = one(model=tiny(0, "convmixer_16_2_k3_p8"))
    first.save()
    tensors, state = checkpoint.load(path)
    model = tiny(0, "convmixer_16_2_k3_p8")
    assert one(model=model).resume()
    for wrong in (
        {"step": first.steps + 1},
        {"step": "one"},
        {"step": 1},
        {"seconds": -1.0},
        {"curve": None},
        {"curve": {**state["curve"], "loss": "low"}},
        {"optimizer": {"plain": {"x.y": 1}, "groups": []}},
        {"optimizer": None},
    ):
        checkpoint.save(path, tensors, {**state, **wrong})
        with pytest.raises(UsageError, match="not a checkpoint of this training run") as caught:
            one(model=model).resume()
        assert len(str(caught.value).splitlines()) == 1
    left = {name: tensor for name, tensor in tensors.items() if not name.startswith("model/")}
    checkpoint.save(path, left, state)
    with pytest.raises(UsageError, match="not a checkpoint of this training run"):
        one(model=model).resume()


def test_accumulated_micro_batches_are_the_batch_without_batch_norm() -> None:
    """A batch's gradients are the mean of its micro-batches', whatever their number."""
    still = changed(RECIPE, rotate=0.0, shift=0.0, scale=0.0)
    losses = []
    for micro in (64, 16):
        one = training(changed(still, micro_batch=micro), model=tiny(0, "vit_digits"))
        losses.append(one.go().loss)
    assert losses[0] == pytest.approx(losses[1], abs=2e-4)


def test_processes_share_micro_batches_without_changing_them() -> None:
    recipe = changed(recipes.get("digits"), batch_size=64, micro_batch=16)
    whole = feed_of(
        DIGITS, recipe, seed=0, share=ALONE.share(recipe, CPU), device=CPU, image_size=32, workers=0
    )
    [alone] = whole.steps(5, 6)
    parts: list[Any] = []
    for rank in range(2):
        share = World(rank, 2).share(recipe, CPU)
        [mine] = feed_of(
            DIGITS, recipe, seed=0, share=share, device=CPU, image_size=32, workers=0
        ).steps(5, 6)
        parts += mine
    assert len(alone) == len(parts) == 4
    assert all(
        torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
        for a, b in zip(alone, parts, strict=True)
    )
    with pytest.raises(UsageError, match="3 processes cannot share evenly; 1, 2, 4 can"):
        World(0, 3).share(recipe, CPU)


# Trouble


class TwoHeads(torch.nn.Module):
    """Two heads in training, one in evaluation, as distilled transformers and GoogLeNet have."""

    def __init__(self, threads: int | None = None) -> None:
        super().__init__()
        self.one, self.two, self.threads = (
            torch.nn.Linear(3072, 10),
            torch.nn.Linear(3072, 10),
            threads,
        )
        self.two.load_state_dict(self.one.state_dict())

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        return (
            (self.one(x.flatten(1)), self.two(x.flatten(1)))
            if self.training
            else self.one(x.flatten(1))
        )


def test_every_head_is_trained_the_further_ones_with_less_weight() -> None:
    torch.manual_seed(0)
    two = training(changed(RECIPE, epochs=1.0), model=TwoHeads())
    before = flat(two.model.two)
    two.go()
    torch.manual_seed(0)
    single = training(
        changed(RECIPE, epochs=1.0), model=torch.nn.Sequential(torch.nn.Flatten(), TwoHeads().one)
    )
    single.go()
    assert two.auxiliary == 1
    assert not torch.equal(flat(two.model.two), before)
    assert two.curve.loss[0] == pytest.approx(1.3 * single.curve.loss[0], rel=1e-5)


def test_a_training_whose_model_changes_the_benchs_settings_ends() -> None:
    threads = torch.get_num_threads()
    one = training(changed(RECIPE, epochs=1.0), model=TwoHeads(threads + 1))
    try:
        with pytest.raises(ModelFault, match=f"threads {threads}, now {threads + 1}: .* by step 1"):
            one.go()
    finally:
        torch.set_num_threads(threads)


def test_a_loss_that_is_not_finite_stops_with_its_step_and_settings() -> None:
    one = training(replace(RECIPE, name="wild", epochs=20, learning_rate=1e30, clip_norm=None))
    with pytest.raises(Diverged, match=r"at step \d+ of 340 \(recipe wild, learning rate"):
        one.go()


def test_too_few_images_for_a_batch_are_refused() -> None:
    with pytest.raises(
        UsageError, match="takes 4096 images per step, and the training split has 1150"
    ):
        training(changed(RECIPE, batch_size=4096, micro_batch=4096))


def test_a_recipe_for_other_images_is_refused() -> None:
    with pytest.raises(UsageError, match="trains at 224 pixels, and these images have 32"):
        training(changed(recipes.get("convmixer_imagenet"), batch_size=64, micro_batch=64))


# Policies and files


@pytest.mark.parametrize("policy", ["bf16", "channels_last", "fp16"])
def test_policies_train_to_nearly_the_same_losses(policy: str) -> None:
    plain, other = training(), training(policy=policy)
    plain.go()
    other.go()
    assert other.curve.loss == pytest.approx(plain.curve.loss, rel=0.05)


def test_the_log_and_the_weights_of_a_session(tmp_path: Path) -> None:
    files = Files(tmp_path, "it")
    trained = run(arm("digits:epochs=2"), files)
    lines = [json.loads(line) for line in files.log.read_text().splitlines()]
    assert [line["event"] for line in lines if line["event"] != "step"] == [
        "start",
        *["look"] * 20,
        "end",
    ]
    assert [line["loss"] for line in lines if line["event"] == "step"] == trained.curve.loss
    assert lines[-1]["top1"] == trained.result.top1
    assert lines[-2]["select_top1"] == trained.curve.select_top1[-1]
    from bench.training.checkpoint import load

    tensors, says = load(files.weights)
    assert (says["model"], says["image_size"], says["num_classes"]) == (
        "convmixer_16_1_k3_p8",
        32,
        10,
    )
    assert tensors.keys() == tiny().state_dict().keys()
    assert trained.detail["steps"] == 34
    assert trained.detail["images_per_s"] > 0


def test_equal_epochs_are_stretched_before_training_and_rates_replaced() -> None:
    found = session.recipe_of(arm("digits", epochs=3.5, learning_rate=0.001))
    assert (found.epochs, found.learning_rate) == (3.5, 0.001)


def test_trained_at_one_size_and_tested_at_another_or_refused() -> None:
    """As in A3 of "ResNet strikes back", sizes differ.

    Convolutions take any size, positions are resampled, and an MLP over tokens has a fixed size.
    """
    recipe = recipes.get("digits:image_size=32")
    for name in ("convmixer_16_1_k3_p8", "vit_32_1_p8", "resnet_digits", "mixer_32_1_p8"):

        def build(size: int, name: str = name) -> torch.nn.Module:
            network: torch.nn.Module = models.get(name).build(image_size=size, num_classes=10)
            return network

        small = build(32)
        if name.startswith("mixer"):
            with pytest.raises(
                NotImplementedError,
                match="tied to the image size it was trained at and cannot run at 64",
            ):
                at_test_size(arm(model=name, image_size=64), small, recipe, build)
            continue
        large = at_test_size(arm(model=name, image_size=64), small, recipe, build).eval()
        assert large(torch.zeros(1, 3, 64, 64)).shape == (1, 10)
        if name.startswith("vit"):
            before, after = small.state_dict()["pos_embed"], large.state_dict()["pos_embed"]
            assert (before.shape[1], after.shape[1]) == (17, 65)
            torch.testing.assert_close(after[:, 0], before[:, 0])  # the class token's
            torch.testing.assert_close(
                after[:, 1:].mean(), before[:, 1:].mean(), atol=2e-3, rtol=0.1
            )


CONSTANTS: dict[str, Callable[[Recipe], bool]] = {
    "convmixer_imagenet": lambda r: (
        (
            r.batch_size,
            r.micro_batch,
            r.learning_rate,
            r.epsilon,
            r.weight_decay,
            r.epochs,
            r.clip_norm,
        )
        == (640, 64, 0.01, 1e-3, 2e-5, 150, 1.0)
        and (r.mixup, r.cutmix, r.erase, r.label_smoothing, r.crop_scale, r.eval_crop)
        == (0.5, 0.5, 0.25, 0.1, (0.08, 1.0), 0.96)
    ),
    "convmixer_cifar": lambda r: (
        (r.batch_size, r.learning_rate, r.weight_decay, r.epochs, r.rand_augment, r.flip)
        == (512, 0.05, 0.005, 25, "ra-n2-m12", 0.5)
        and (r.epsilon, r.clip_norm, r.decay_vectors) == (1e-8, None, True)
        and (r.crop_scale, r.jitter, r.erase, r.mixup) == ((1.0, 1.0), 0.0, 0.0, 0.0)
    ),
    "convmixer_cifar_100": lambda r: (r.epochs, r.jitter, r.erase) == (100, 0.2, 0.2),
    "deit_imagenet": lambda r: (
        (r.learning_rate / r.batch_size * 512, r.weight_decay, r.drop_path, r.epochs)
        == (5e-4, 0.05, 0.1, 300)
    ),
    "rsb_a3_imagenet": lambda r: (
        (r.optimizer, r.loss, r.epochs, r.image_size) == ("lamb", "binary_cross_entropy", 100, 160)
    ),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_recipes_hold_the_published_values(name: str) -> None:
    assert CONSTANTS[name](recipes.get(name))
