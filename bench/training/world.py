"""The processes that train one model together: one alone, or those that `torchrun` started.

Which images a process gets is the recipe's: a batch is a fixed row of micro-batches, and they are dealt out. Their
number and size, and with them what a batch norm sees, never depend on how many processes there are.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import UsageError
from bench.training.recipe import Recipe


@dataclass(frozen=True)
class World:
    """This process's place among `size`."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes and reports for all."""
        return self.rank == 0

    def share(self, recipe: Recipe, device: torch.device) -> Share:
        """What this process does of every step; UsageError where the recipe's numbers do not divide."""
        number = recipe.micro_batches
        if number % self.size == 0:
            each = number // self.size
            return Share(range(self.rank * each, (self.rank + 1) * each), 0, recipe.micro_batch, None)
        if self.size % number == 0 and recipe.micro_batch % (self.size // number) == 0 and device.type == "cuda":
            together = self.size // number
            images = recipe.micro_batch // together
            part = self.rank % together
            return Share(range(self.rank // together, self.rank // together + 1), part * images, images, together)
        fitting = [str(count) for count in range(1, number + 1) if number % count == 0]
        raise UsageError(
            f"--recipe: {recipe.name} has {number} micro-batches of {recipe.micro_batch} a step, which {self.size} processes cannot share "
            f"evenly; {', '.join(fitting)} can"
        )

    def mean(self, value: Tensor) -> Tensor:
        """The mean over all processes."""
        if self.size == 1:
            return value
        value = value.detach().clone()
        torch.distributed.all_reduce(value)
        return value / self.size

    def gather(self, mine: Any) -> list[Any]:
        """Everybody's object, by rank."""
        if self.size == 1:
            return [mine]
        found: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(found, mine)
        return found

    def from_leader(self, value: Any) -> Any:
        """What the leader passed, everywhere."""
        if self.size == 1:
            return value
        box = [value]
        torch.distributed.broadcast_object_list(box, src=0)
        return box[0]

    def average_statistics(self, model: nn.Module) -> None:
        """Give all processes the mean of their running batch-norm statistics."""
        if self.size == 1:
            return
        for name, buffer in model.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                torch.distributed.all_reduce(buffer)
                buffer /= self.size


@dataclass(frozen=True)
class Share:
    """The micro-batches of one process: their numbers, which images of each (`first`, `images`), and, where one is
    spread over several processes, over how many: their batch norms then count together."""

    micro_batches: range
    first: int
    images: int
    together: int | None


ALONE = World()


def launched() -> bool:
    """Whether `torchrun` started this process beside others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def join(device: str) -> tuple[World, str]:
    """Meet the other processes; returns this one's place and its device."""
    rank, size, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if device.startswith("cuda"):
        device = f"cuda:{local}"
        torch.cuda.set_device(device)
    torch.distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    return World(rank, size), device


def leave() -> None:
    """Part from the others."""
    torch.distributed.destroy_process_group()
