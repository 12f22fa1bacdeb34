"""Our evaluation and training against timm's own, on the same weights, images and cores.

    python -m tests.by_hand.against_timm counts [--timm ../pytorch-image-models]
        [--pictures FOLDER] [--images 1000] [--only MODEL]
    python -m tests.by_hand.against_timm speed [--timm ../pytorch-image-models] [--turns 6]

`counts` runs `python -m bench eval --checkpoint` and timm on one model of each family, and compares
how many pictures are right by top-1 and by top-5. Each picture is a class of its own, and the
weights know it by what a noisy copy of it looks like to the network, so that about half are right.
It ends with "equal" four times and exit code 0. `--pictures` takes any folder with JPEG files in
it; without it the pictures are scikit-learn's digits, which are much alike.

`speed` compares images per second of evaluating JPEG files, and of training on them, in paired
turns. timm's validate.py and train.py are not in its wheel: with --timm, the path of a checkout,
they are run as they are. Without it, plain loops around timm's own data set, loader, transforms and
optimizer stand in for them, and the output says so.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config

from bench.record import store, values
from bench.stats.formatting import interval
from bench.stats.paired import paired_ratio
from tests.pictures import make_folder, picture

FAMILIES = {
    "convmixer_1024_20": "convmixer_1024_20_ks9_p14",
    "vit_ti16": "vit_tiny_patch16_224",
    "mixer_s32": "mixer_s32_224",
    "resnet18": "resnet18",
}
SPEED = {"resnet18": "resnet18"}
NOISES = (0.5, 0.25, 0.12, 0.06, 0.03)
"""Standard deviations, in those of a pixel, of the noise in the copies that define the classes. The
largest that leaves two thirds of FEW pictures right is used."""
FEW = 32
BATCH, WORKERS = 16, 2
LIKE_TIMM = """
import json, sys, time, timm, torch
from timm.data import create_dataset, create_loader, resolve_data_config
from timm.optim import create_optimizer_v2
what, folder, name, weights, batch, workers, classes = *sys.argv[1:5], *map(int, sys.argv[5:8])
torch.set_num_threads(workers)
model = timm.create_model(name, num_classes=classes)
if weights != "-":
    model.load_state_dict(torch.load(weights, weights_only=True))
data = resolve_data_config({}, model=model)
common = dict(input_size=data["input_size"], batch_size=batch, use_prefetcher=False)
common |= dict(num_workers=workers, device=torch.device("cpu"))
common |= dict(mean=data["mean"], std=data["std"])
if what == "validate":
    shown = dict(interpolation=data["interpolation"], crop_pct=data["crop_pct"])
    loader = create_loader(create_dataset("", folder, split="val"), **shown, **common)
    model.eval()
    first = five = seen = 0
    start = time.perf_counter()
    with torch.inference_mode():
        for images, labels in loader:
            hits = model(images).topk(5).indices == labels[:, None]
            first += int(hits[:, 0].sum())
            five += int(hits.any(1).sum())
            seen += len(labels)
    speed = seen / (time.perf_counter() - start)
    print(json.dumps({"first": first, "five": five, "images_per_s": speed}))
else:
    augmented = dict(auto_augment="rand-m7", re_prob=0.25, interpolation="random")
    train = create_dataset("", folder, split="train")
    loader = create_loader(train, is_training=True, **augmented, **common)
    optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-4, weight_decay=2e-5)
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    model.train()
    seen, start = 0, time.perf_counter()
    for images, labels in loader:
        loss = loss_of(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seen += len(labels)
    print(json.dumps({"images_per_s": seen / (time.perf_counter() - start)}))
"""
OURS = """
import json, sys, time, torch
from pathlib import Path
from bench.plugins import datasets, models
from bench.training.evaluate import evaluate
from bench.training.images.views import timms
from bench.training.weights import from_file
what, folder, name, weights, batch, workers = *sys.argv[1:5], int(sys.argv[5]), int(sys.argv[6])
torch.set_num_threads(workers)
entry = models.get(name)
splits = datasets.get("folder").open(folder)
build = lambda size=None: entry.build(image_size=224, num_classes=1000)
if what == "validate":
    model, _ = from_file(Path(weights), build, 224)
    view = timms(entry.timm_name, 224)
    start = time.perf_counter()
    found = evaluate(model, splits.test, view, device=torch.device("cpu"), workers=workers)
    seconds = time.perf_counter() - start
    first, five = int(found.first.sum()), int(found.among_five.sum())
    speed = len(found.first) / seconds
    print(json.dumps({"first": first, "five": five, "images_per_s": speed}))
else:
    from bench.measure.subject import Execution
    from bench.training.images.batches import feed_of
    from bench.training.loop import Training
    from bench.plugins.recipe import changed, recipes
    from bench.training.processes import ALONE
    cpu = torch.device("cpu")
    small = dict(batch_size=batch, micro_batch=batch, epochs=1.0, mixup=0.0, cutmix=0.0)
    small |= dict(learning_rate=1e-4, rand_augment="rand-m7")
    recipe = changed(recipes.get("convmixer_imagenet"), **small)
    model = build()
    feed = feed_of(
        splits,
        recipe,
        seed=0,
        share=ALONE.share(recipe, cpu),
        device=cpu,
        image_size=224,
        workers=workers,
    )
    inputs = torch.zeros(2, 3, 224, 224)
    execution = Execution(model=model, inputs=inputs, device="cpu", mode="training")
    training = Training(
        model=model,
        execution=execution,
        feed=feed,
        recipe=recipe,
        steps=feed.steps_per_epoch,
        seed=0,
        device=cpu,
    )
    training.go()
    print(json.dumps({"images_per_s": training.steps * batch / training.seconds}))
"""


def said(command: list[str]) -> str:
    """What a command prints; its error where it fails."""
    found = subprocess.run(command, capture_output=True, text=True)
    if found.returncode:
        raise RuntimeError(found.stderr[-2000:])
    return found.stdout


def ours(what: str, folder: Path, name: str, weights: str = "-") -> dict[str, float]:
    """Our way."""
    found: dict[str, float] = json.loads(
        said(
            [sys.executable, "-c", OURS, what, str(folder), name, weights, str(BATCH), str(WORKERS)]
        )
    )
    return found


def theirs(
    what: str, folder: Path, name: str, weights: str, checkout: Path | None, classes: int = 1000
) -> dict[str, float]:
    """timm's scripts, or loops around timm's parts."""
    if checkout is None:
        arguments = [
            what,
            str(folder / "val" if what == "validate" else folder / "train"),
            name,
            weights,
            str(BATCH),
            str(WORKERS),
            str(classes),
        ]
        found: dict[str, float] = json.loads(said([sys.executable, "-c", LIKE_TIMM, *arguments]))
        return found
    common = [
        "--data-dir",
        str(folder),
        "--model",
        name,
        "--device",
        "cpu",
        "-b",
        str(BATCH),
        "-j",
        str(WORKERS),
    ]
    if what == "validate":
        # At the training size, which ours are built for by default; timm's script would take the
        # larger size that some models are tested at.
        more = [
            "--split",
            "val",
            "--num-classes",
            str(classes),
            "--use-train-size",
            "--checkpoint",
            weights,
        ]
        text = said([sys.executable, str(checkout / "validate.py"), *common, *more])
        result = json.loads(text[text.index("--result") + len("--result") :])
        images = sum(1 for _ in (folder / "val").rglob("*.jpg"))
        return {
            "first": round(result["top1"] * images / 100),
            "five": round(result["top5"] * images / 100),
        }
    with tempfile.TemporaryDirectory() as output:
        options = [
            "--epochs",
            "1",
            "--opt",
            "adamw",
            "--lr",
            "1e-4",
            "--clip-grad",
            "1.0",
            "--aa",
            "rand-m7",
            "--reprob",
            "0.25",
        ]
        options += ["--num-classes", "1000", "--output", output]
        found_run = subprocess.run(
            [sys.executable, str(checkout / "train.py"), *common, *options],
            capture_output=True,
            text=True,
            check=True,
        )
        return {
            "images_per_s": float(
                re.findall(r"\(\s*[\d.]+s,\s*([\d.]+)/s\)", found_run.stdout + found_run.stderr)[-1]
            )
        }


def counts(
    folder: Path, checkout: Path | None, pictures: Path | None, images: int, only: str | None
) -> bool:
    """Top-1 and top-5 counts of one model of each family."""
    make_pictures(folder, pictures, images)
    same = True
    for name, timms in FAMILIES.items() if only is None else [(only, FAMILIES[only])]:
        weights = folder / f"{name}.pth"
        torch.save(separating(timms, folder, images).state_dict(), weights)
        mine, other = (
            by_command(folder, name, weights),
            theirs("validate", folder, timms, str(weights), checkout, classes=images),
        )
        equal = (mine["first"], mine["five"]) == (other["first"], other["five"])
        same &= equal and 0 < mine["first"] < images
        print(
            f"{name}: of {images} ours {mine['first']}, {mine['five']}; "
            f"theirs {other['first']}, {other['five']}: "
            f"{'equal' if equal else 'DIFFERENT'}",
            flush=True,
        )
    return same


def make_pictures(folder: Path, pictures: Path | None, images: int) -> None:
    """Folders train and val with one picture of each class, 96 pixels on its shorter side."""
    found = sorted(pictures.rglob("*.jp*g")) if pictures else []
    found = found[:: max(1, len(found) // images)]
    for number in range(images):
        if pictures is None:
            image = picture(number, 96)
        else:
            with Image.open(found[number]) as opened:
                image = opened.convert("RGB")
            scale = 96 / min(image.size)
            image = image.resize(
                (round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC
            )
        for part in ("train", "val"):
            (folder / part / f"c{number:04d}").mkdir(parents=True)
            image.save(folder / part / f"c{number:04d}" / "picture.jpg", quality=95)


@torch.inference_mode()
def separating(name: str, folder: Path, images: int) -> Any:
    """timm's model whose random weights tell the pictures apart.

    Norms get the statistics of these pictures: with those they are made with, ConvMixer's
    activations fade from block to block and all pictures look alike, to the last bit of rounding.
    A class's row of the head is what a noisy copy of its picture looks like.
    """
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=images)
    transform = create_transform(**resolve_data_config({}, model=network))
    clean = torch.stack(
        [
            transform(Image.open(path).convert("RGB"))
            for path in sorted((folder / "val").rglob("*.jpg"))
        ]
    )
    norms = [
        module
        for module in network.modules()
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)
    ]
    for module in norms:
        module.reset_running_stats()
        module.momentum = None
    for module in norms:
        module.train()
    for batch in clean[: 2 * FEW].split(BATCH):
        network(batch)
    network.eval()
    few = _looks(network, clean[:FEW])
    noise = next(
        (one for one in NOISES if _right(few, *_head(_looks(network, clean[:FEW], one))) >= 2 / 3),
        NOISES[-1],
    )
    weight, bias = _head(_looks(network, clean, noise))
    network.get_classifier().weight.copy_(weight)
    network.get_classifier().bias.copy_(bias)
    return network


def _looks(network: Any, pictures: torch.Tensor, noise: float = 0.0) -> torch.Tensor:
    """What pictures look like to the network, before its head (n, width)."""
    noisy = (batch + noise * torch.randn_like(batch) for batch in pictures.split(BATCH))
    return torch.cat(
        [network.forward_head(network.forward_features(batch), pre_logits=True) for batch in noisy]
    )


def _head(looks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of a head that has a class for each look."""
    middle = looks.mean(dim=0)
    rows = torch.nn.functional.normalize(looks - middle, dim=1)
    return rows, -rows @ middle


def _right(looks: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> float:
    best = torch.nn.functional.linear(looks, weight, bias).argmax(dim=1)
    return float((best == torch.arange(len(looks))).float().mean())


def by_command(folder: Path, name: str, weights: Path) -> dict[str, float]:
    """The counts in the record that `bench eval` leaves, with its defaults."""
    results = folder / f"results-{name}"
    command = [
        "eval",
        "--checkpoint",
        str(weights),
        "--model",
        name,
        "--data",
        f"folder:{folder}",
        "--no-spread",
        "--device",
        "cpu",
    ]
    said([sys.executable, "-m", "bench", *command, "--results", str(results)])
    [found] = [store.load(path) for path in results.glob("*/records/*.jsonl")]
    [detail] = [sample.detail for _, sample in values.samples(found, "top1")]
    return {"first": detail["correct"], "five": detail["top5_correct"]}


def speed(folder: Path, checkout: Path | None, turns: int) -> None:
    """Compare images per second in paired turns.

    timm's evaluation script prints no speed to read.
    """
    make_folder(folder, {"val": 24, "train": 24}, classes=10, side=320)
    for what in ("validate", "train"):
        for name, timms in SPEED.items():
            weights = "-"
            if what == "validate":
                weights = str(folder / f"{name}.pth")
                torch.save(timm.create_model(timms, num_classes=1000).state_dict(), weights)
            mine: dict[int, float] = {}
            other: dict[int, float] = {}
            for turn in range(turns):
                for way in ("ours", "theirs") if turn % 2 else ("theirs", "ours"):
                    if way == "ours":
                        mine[turn] = ours(what, folder, name, weights)["images_per_s"]
                    else:
                        other[turn] = theirs(
                            what, folder, timms, weights, None if what == "validate" else checkout
                        )["images_per_s"]
            found = paired_ratio(mine, other)
            assert found is not None
            middle = sorted(mine.values())[turns // 2]
            print(
                f"{what} {name}: {middle:.1f} images/s, "
                f"ours over theirs {interval(found, places=3)}, n {found.n}",
                flush=True,
            )


def main() -> None:
    """One of the two comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["counts", "speed"])
    parser.add_argument("--timm", type=Path)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--only", choices=list(FAMILIES))
    arguments = parser.parse_args()
    if arguments.timm is not None and not (arguments.timm / "validate.py").exists():
        parser.error(
            f"--timm: {arguments.timm} has no validate.py; give a checkout of pytorch-image-models"
        )
    print(
        "theirs: "
        + (
            f"the scripts in {arguments.timm}"
            if arguments.timm
            else f"plain loops around timm {timm.__version__}'s parts, not its scripts"
        )
    )
    with tempfile.TemporaryDirectory() as folder:
        if arguments.what == "counts":
            sys.exit(
                0
                if counts(
                    Path(folder),
                    arguments.timm,
                    arguments.pictures,
                    arguments.images,
                    arguments.only,
                )
                else 1
            )
        speed(Path(folder), arguments.timm, arguments.turns)


if __name__ == "__main__":
    main()
