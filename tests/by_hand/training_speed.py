"""Train ConvMixer-256/8 on a CPU: images per second against the original script's way, and losses.

    python -m tests.by_hand.training_speed [--batch 256] [--ways fp32,channels_last]
        [--rounds 8] [--steps 12] [--seeds 4]

The original's way is float32, eager, contiguous, in a process that changes nothing of what PyTorch
and libc do by default. The others are what the bench does to a measured process
(`bench.measure.process_settings.fix`), with policies. Each lives in a process of its own; a round
is one step of each, in random order, and the ratio is paired by round. Images are CIFAR-shaped, in
memory, and can be learnt: each class has a pattern of its own under noise. For the losses each way
trains from the same weights on the same images: every way's losses must lie as near to the
original's as those of another seed of the original do.

Needs the machine for itself; about ten minutes on two cores. At the original's own batch of 512 a
way takes 10 GB: run one at a time.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import statistics
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

import torch

from bench.measure import process_settings
from bench.measure.subject import Execution, module_of
from bench.plugins import models, policies
from bench.stats.formatting import interval
from bench.stats.paired import paired_ratio

ORIGINAL = "original"
"""Plain PyTorch; the other ways are policies, in processes as the bench measures them."""


def training(way: str, batch: int, seed: int) -> Iterator[float]:
    """The losses of a training, step by step, for ever."""
    if way == ORIGINAL:
        torch.set_num_threads(os.cpu_count() or 1)
    else:
        process_settings.fix(os.cpu_count() or 1)
    torch.manual_seed(0)
    patterns = torch.randn(10, 3, 32, 32)
    torch.manual_seed(seed)
    model = models.get("convmixer_256_8").build(image_size=32, num_classes=10).train()
    execution = Execution(model, torch.empty(batch, 3, 32, 32), "cpu", mode="training")
    if way != ORIGINAL:
        policies.get(way).apply(execution)
    optimizer = torch.optim.AdamW(module_of(execution).parameters(), lr=0.01, weight_decay=0.005)
    while True:
        labels = torch.randint(10, (batch,))
        execution.inputs.copy_(patterns[labels] + 2 * torch.randn(batch, 3, 32, 32))
        loss = torch.nn.functional.cross_entropy(execution.forward(), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module_of(execution).parameters(), 1.0)
        optimizer.step()
        yield loss.item()


def serve(pipe: Connection, way: str, batch: int, seed: int) -> None:
    """A step and its seconds and loss, whenever asked."""
    steps = training(way, batch, seed)
    while True:
        pipe.recv()
        start = time.perf_counter()
        loss = next(steps)
        pipe.send((time.perf_counter() - start, loss))


class Trainer:
    """One way in a process of its own."""

    def __init__(self, way: str, batch: int, seed: int = 0) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, way, batch, seed), daemon=True)
        self._process.start()

    def step(self) -> tuple[float, float]:
        """Seconds and loss of the next step."""
        self._pipe.send(None)
        seconds, loss = self._pipe.recv()
        return seconds, loss

    def end(self) -> None:
        """Give the memory back."""
        self._process.kill()
        self._process.join()


def speeds(ways: list[str], batch: int, rounds: int) -> None:
    """Images a second, and their ratio to the original's."""
    trainers = {ORIGINAL: Trainer(ORIGINAL, batch)}
    process_settings.waiting()  # in the environment of those that start from here on
    trainers |= {way: Trainer(way, batch) for way in ways}
    for trainer in trainers.values():
        for _ in range(2):
            trainer.step()
    found: dict[str, dict[int, float]] = {way: {} for way in trainers}
    for number in range(rounds):
        for way in random.sample(list(trainers), len(trainers)):
            found[way][number] = batch / trainers[way].step()[0]
    for way, trainer in trainers.items():
        trainer.end()
        ratio = paired_ratio(found[way], found[ORIGINAL])
        assert ratio is not None
        usual = statistics.median(found[way].values())
        print(
            f"{way:14s} {usual:.1f} img/s, {interval(ratio)} times the original's, n {ratio.n}",
            flush=True,
        )


def losses(ways: list[str], batch: int, steps: int, seeds: int) -> None:
    """Print the largest distance of any step's loss from the original's.

    The same distance of the original's other seeds is printed next to it.
    """

    def curve(way: str, seed: int) -> list[float]:
        trainer = Trainer(way, batch, seed)
        found = [trainer.step()[1] for _ in range(steps)]
        trainer.end()
        return found

    def apart(one: list[float], other: list[float]) -> float:
        return max(abs(left - right) for left, right in zip(one, other, strict=True))

    original = curve(ORIGINAL, 0)
    print(f"losses of the original: {original[0]:.4f} to {original[-1]:.4f} in {steps} steps")
    print(
        "apart from it, at most: "
        + ", ".join(
            f"seed {seed} {apart(curve(ORIGINAL, seed), original):.4f}" for seed in range(1, seeds)
        )
    )
    print(
        "apart from it, at most: "
        + ", ".join(f"{way} {apart(curve(way, 0), original):.2g}" for way in ways)
    )


def main() -> None:
    """Speeds, then losses with small batches."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=256, help="of the speeds")
    parser.add_argument(
        "--ways", default="fp32,channels_last", help="policies held against the original"
    )
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument(
        "--steps", type=int, default=12, help="of each curve of losses, at batch 64"
    )
    parser.add_argument("--seeds", type=int, default=4)
    arguments = parser.parse_args()
    ways = arguments.ways.split(",")
    speeds(ways, arguments.batch, arguments.rounds)
    losses(ways, 64, arguments.steps, arguments.seeds)


if __name__ == "__main__":
    main()
