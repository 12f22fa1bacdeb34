"""ConvMixer-256/8 on CIFAR-10 the way its authors train it, for comparison of speed: one GPU.

    python -m tests.by_hand.original_cifar PICTURES [--workers 2,16] [--seconds 20]

The way is that of locuslab/convmixer-cifar10 as its README describes it: pictures decoded and
augmented one by one with torchvision in worker processes, float16 autocast with a gradient scaler,
maps in PyTorch's own order, batch 512, AdamW. What it prints is images a second over whole steps,
after the first ten; `bench run --metrics top1 --recipe convmixer_cifar` has its own in the report.
PICTURES is a folder with train/CLASS/*.jpg.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from bench.plugins import models

BATCH, WARM_UP = 512, 10
MEAN, SPREAD = (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)


def loader(pictures: str, workers: int) -> DataLoader[tuple[torch.Tensor, int]]:
    changes = transforms.Compose(
        [
            transforms.RandomHorizontalFlip(),
            transforms.RandAugment(num_ops=2, magnitude=12),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, SPREAD),
        ]
    )
    return DataLoader(
        ImageFolder(f"{pictures}/train", changes),
        batch_size=BATCH,
        shuffle=True,
        num_workers=workers,
        drop_last=True,
        persistent_workers=True,
    )


def images_per_second(pictures: str, workers: int, seconds: float) -> float:
    """Train for some seconds after the first steps."""
    torch.manual_seed(0)
    model = models.get("convmixer_256_8").build(image_size=32, num_classes=10).cuda().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.001, weight_decay=0.005)
    scaler = torch.amp.GradScaler("cuda")
    batches = loader(pictures, workers)
    steps, start = 0, 0.0
    while True:
        for images, labels in batches:
            if steps == WARM_UP:
                torch.cuda.synchronize()
                start = time.perf_counter()
            images, labels = images.cuda(), labels.cuda()
            with torch.amp.autocast("cuda", dtype=torch.float16):
                loss = cross_entropy(model(images), labels)
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            steps += 1
            if steps > WARM_UP and time.perf_counter() > start + seconds:
                torch.cuda.synchronize()
                return (steps - WARM_UP) * BATCH / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures")
    parser.add_argument("--workers", default="2,16")
    parser.add_argument("--seconds", type=float, default=20.0)
    chosen = parser.parse_args()
    for workers in map(int, chosen.workers.split(",")):
        speed = images_per_second(chosen.pictures, workers, chosen.seconds)
        print(f"{workers} workers: {speed:,.0f} images/s", flush=True)


if __name__ == "__main__":
    main()
