"""Our evaluation and training against timm's own, on the same weights, images and cores, in paired turns.

    python -m tests.by_hand.against_timm counts [--timm ../pytorch-image-models]
    python -m tests.by_hand.against_timm speed [--timm ../pytorch-image-models] [--turns 6]

`counts` makes a folder of a thousand classes and one checkpoint of each family, and compares top-1 and top-5 counts.
`speed` compares images a second of evaluating JPEG files, and of training on them. timm's validate.py and train.py are
not in its wheel: with --timm, the path of a checkout, they are run as they are. Without it, plain loops around timm's
own data set, loader, transforms and optimizer stand in for them, and the output says so.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import timm
import torch

from bench.paired import paired_ratio
from bench.plugins import models
from bench.units import interval
from tests.pictures import make_folder

FAMILIES = {
    "convmixer_1024_20": "convmixer_1024_20_ks9_p14",
    "vit_ti16": "vit_tiny_patch16_224",
    "mixer_s32": "mixer_s32_224",
    "resnet18": "resnet18",
}
SPEED = {"resnet18": "resnet18"}
BATCH, WORKERS = 16, 2
LIKE_TIMM = """
import json, sys, time, timm, torch
from timm.data import create_dataset, create_loader, resolve_data_config
from timm.optim import create_optimizer_v2
what, folder, name, weights, batch, workers = *sys.argv[1:5], int(sys.argv[5]), int(sys.argv[6])
torch.set_num_threads(workers)
model = timm.create_model(name, num_classes=1000)
if weights != "-":
    model.load_state_dict(torch.load(weights, weights_only=True))
data = resolve_data_config({}, model=model)
common = dict(input_size=data["input_size"], batch_size=batch, use_prefetcher=False, num_workers=workers, device=torch.device("cpu"))
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
            first, five, seen = first + int(hits[:, 0].sum()), five + int(hits.any(1).sum()), seen + len(labels)
    print(json.dumps({"first": first, "five": five, "images_per_s": seen / (time.perf_counter() - start)}))
else:
    augmented = dict(auto_augment="rand-m7", re_prob=0.25, interpolation="random")
    loader = create_loader(create_dataset("", folder, split="train"), is_training=True, **augmented, **common)
    optimizer, loss_of = create_optimizer_v2(model, opt="adamw", lr=1e-4, weight_decay=2e-5), torch.nn.CrossEntropyLoss(label_smoothing=0.1)
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
from bench.record import AccuracyArm
from bench.training.session import train_and_evaluate
from bench.training.evaluate import evaluate
from bench.training.published import timms_view
from bench.training.weights import from_file
import timm
what, folder, name, weights, batch, workers = *sys.argv[1:5], int(sys.argv[5]), int(sys.argv[6])
torch.set_num_threads(workers)
entry = models.get(name)
splits = datasets.get("folder").open(folder)
build = lambda size=None: entry.build(image_size=224, num_classes=1000)
if what == "validate":
    model, _ = from_file(Path(weights), build, splits, 224)
    view = timms_view(timm.create_model(entry.timm_name))
    start = time.perf_counter()
    found = evaluate(model, splits.test, view, device=torch.device("cpu"), workers=workers)
    seconds = time.perf_counter() - start
    print(json.dumps({"first": int(found.first.sum()), "five": int(found.among_five.sum()), "images_per_s": len(found.first) / seconds}))
else:
    from bench.subject import Execution
    from bench.training.feed import feed_of
    from bench.training.loop import Training
    from bench.training.recipe import changed, recipes
    from bench.training.world import ALONE
    cpu = torch.device("cpu")
    small = dict(batch_size=batch, micro_batch=batch, epochs=1.0, mixup=0.0, cutmix=0.0, learning_rate=1e-4, rand_augment="rand-m7")
    recipe = changed(recipes.get("convmixer_imagenet"), **small)
    model = build()
    feed = feed_of(splits, recipe, seed=0, share=ALONE.share(recipe, cpu), device=cpu, image_size=224, workers=workers)
    execution = Execution(model=model, inputs=torch.zeros(2, 3, 224, 224), device="cpu", mode="training")
    training = Training(model=model, execution=execution, feed=feed, recipe=recipe, steps=feed.steps_per_epoch, seed=0, device=cpu)
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
    found: dict[str, float] = json.loads(said([sys.executable, "-c", OURS, what, str(folder), name, weights, str(BATCH), str(WORKERS)]))
    return found


def theirs(what: str, folder: Path, name: str, weights: str, checkout: Path | None) -> dict[str, float]:
    """timm's scripts, or loops around timm's parts."""
    if checkout is None:
        arguments = [what, str(folder / "val" if what == "validate" else folder / "train"), name, weights, str(BATCH), str(WORKERS)]
        found: dict[str, float] = json.loads(said([sys.executable, "-c", LIKE_TIMM, *arguments]))
        return found
    common = ["--data-dir", str(folder), "--model", name, "--device", "cpu", "-b", str(BATCH), "-j", str(WORKERS)]
    if what == "validate":
        text = said([sys.executable, str(checkout / "validate.py"), *common, "--checkpoint", weights])
        result = json.loads(text[text.index("--result") + len("--result") :])
        images = sum(1 for _ in (folder / "val").rglob("*.jpg"))
        return {"first": round(result["top1"] * images / 100), "five": round(result["top5"] * images / 100)}
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
        found_run = subprocess.run(
            [sys.executable, str(checkout / "train.py"), *common, *options, "--num-classes", "1000", "--output", output],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return {"images_per_s": float(re.findall(r"\(\s*[\d.]+s,\s*([\d.]+)/s\)", found_run.stdout + found_run.stderr)[-1])}


def counts(folder: Path, checkout: Path | None) -> bool:
    """Top-1 and top-5 of one model of each family."""
    make_folder(folder, {"val": 1, "train": 1}, classes=1000, side=160)
    same = True
    for name, timms in FAMILIES.items():
        torch.manual_seed(0)
        network = timm.create_model(timms, num_classes=1000).eval()
        with torch.inference_mode():
            # Without this a random network gives every image the same class, and there would be nothing to compare.
            images = torch.stack([torch.randn(3, 224, 224) + shift for shift in (-1.0, -0.5, 0.5, 1.0)])
            head = network.get_classifier()
            head.bias.copy_(head.bias - network(images).mean(dim=0))
        state = network.state_dict()
        assert state.keys() == models.get(name).build(image_size=224, num_classes=1000).state_dict().keys()
        weights = folder / f"{name}.pth"
        torch.save(state, weights)
        mine, other = ours("validate", folder, name, str(weights)), theirs("validate", folder, timms, str(weights), checkout)
        equal = (mine["first"], mine["five"]) == (other["first"], other["five"])
        same &= equal
        print(
            f"{name}: ours {mine['first']}, {mine['five']}; theirs {other['first']}, {other['five']}: {'equal' if equal else 'DIFFERENT'}",
            flush=True,
        )
    return same


def speed(folder: Path, checkout: Path | None, turns: int) -> None:
    """Images a second in paired turns; evaluation by timm's script has no speed of its own to read."""
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
                        other[turn] = theirs(what, folder, timms, weights, None if what == "validate" else checkout)["images_per_s"]
            found = paired_ratio(mine, other)
            assert found is not None
            middle = sorted(mine.values())[turns // 2]
            print(f"{what} {name}: {middle:.1f} images/s, ours over theirs {interval(found, places=3)}, n {found.n}", flush=True)


def main() -> None:
    """One of the two comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["counts", "speed"])
    parser.add_argument("--timm", type=Path)
    parser.add_argument("--turns", type=int, default=6)
    arguments = parser.parse_args()
    if arguments.timm is not None and not (arguments.timm / "validate.py").exists():
        parser.error(f"--timm: {arguments.timm} has no validate.py; give a checkout of pytorch-image-models")
    print(
        "theirs: "
        + (f"the scripts in {arguments.timm}" if arguments.timm else f"plain loops around timm {timm.__version__}'s parts, not its scripts")
    )
    with tempfile.TemporaryDirectory() as folder:
        if arguments.what == "counts":
            sys.exit(0 if counts(Path(folder), arguments.timm) else 1)
        speed(Path(folder), arguments.timm, arguments.turns)


if __name__ == "__main__":
    main()
